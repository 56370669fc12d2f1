/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/options.h - what one run of bench_volume does, and how the command line says it.
 */
#ifndef COF_BENCH_OPTIONS_H
#define COF_BENCH_OPTIONS_H

#include "tools/load/shape.h"
#include <coffer/coffer.h>
#include <stdbool.h>
#include <stdint.h>

struct coffer_segdev;

struct cof_bench_options {
    const char *file;             /* the store, or with raw a file of at least span_bytes       */
    struct coffer_segdev *device; /* instead of file, lent (ram.h); NULL: none          */
    const char *keys;             /* directory of key store and root key; NULL: a plain volume  */
    const char *volume;
    bool create;      /* make store and volume first                                */
    bool add_volume;  /* make the volume first                                      */
    bool raw;         /* pwrite and fdatasync on file, no store at all              */
    bool hot;         /* read everything once before the measured time              */
    bool kill_at_end; /* end by SIGKILL: no close, no checkpoint                    */
    bool background;  /* a thread of the library's own runs what is due             */
    bool unsettled;   /* a write load ends with neither flush nor checkpoint        */
    enum cof_load_rw rw;
    enum cof_load_durable durable;
    uint64_t store_bytes;   /* with create                                                */
    uint64_t segment_bytes; /* likewise; 0: the library's choice                        */
    uint64_t size_bytes;    /* of the volume, with create                                 */
    uint64_t span_bytes;    /* the part of the volume worked on; 0: all                   */
    uint64_t block_bytes;   /* of one request                                             */
    uint64_t amount_bytes;  /* stop after this much; 0: no limit                         */
    uint64_t runtime_ns;    /* stop after this long; 0: no limit                          */
    uint64_t depth;         /* requests in flight, in each thread                         */
    uint64_t threads;       /* each has a queue and a part of the span                    */
    uint64_t seed;          /* of the random offsets                                      */
    uint64_t rate;          /* requests a second, all threads together; 0: as many as go  */
    uint64_t read_percent;  /* of the requests of COF_LOAD_RANDRW                        */
    uint64_t readers;       /* threads that read at random, one page at a time, meanwhile */

    /* Budgets of coffer_store_opts; 0 is the library's default. */
    uint64_t staging_bytes, delta_entries_max, node_cache_bytes, tag_cache_bytes, placement_bytes,
        key_arena_bytes, checkpoint_ns, sync_ns;
    uint64_t cleaner_heads;
    enum coffer_cipher_backend cipher;
};

/* Fill ret_options from the command line. Returns 0, 1 after --help, or -1 after a sentence on
 * standard error about what is wrong. Strings are borrowed from argv. */
int cof_bench_options_parse(int argc, char **argv, struct cof_bench_options *ret_options);

/* What of the options is the load's. */
struct cof_load_shape cof_bench_options_shape(const struct cof_bench_options *options);

const char *cof_bench_rw_name(enum cof_load_rw rw);

#endif
