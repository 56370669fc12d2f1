/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load/shape.h - what a load on a volume is: which requests, how many at once, when it is over.
 */
#ifndef COF_TOOLS_LOAD_SHAPE_H
#define COF_TOOLS_LOAD_SHAPE_H

#include <stdbool.h>
#include <stdint.h>

enum cof_load_rw {
    COF_LOAD_NONE = 0, /* open and close only */
    COF_LOAD_WRITE,
    COF_LOAD_READ,
    COF_LOAD_RANDWRITE,
    COF_LOAD_RANDREAD,
    COF_LOAD_RANDRW /* read_percent of the requests read, the others write */
};

enum cof_load_durable {
    COF_LOAD_AT_END = 0, /* one flush after the last write, inside the measured time  */
    COF_LOAD_FLUSH,      /* a flush after each write; both are one operation          */
    COF_LOAD_FUA,        /* each write completes when it is durable                   */
    COF_LOAD_WRITE_BACK  /* each completes in the log's memory; one flush at the end  */
};

struct cof_load_shape {
    enum cof_load_rw rw;
    enum cof_load_durable durable;
    bool unverified;       /* pages that are read need not hold their stamps           */
    uint64_t block_bytes;  /* of one request                                           */
    uint64_t depth;        /* requests in flight, in each thread                       */
    uint64_t amount_bytes; /* stop after this much; 0: no limit                        */
    uint64_t runtime_ns;   /* stop after this long; 0: no limit                        */
    uint64_t seed;         /* of the random offsets                                    */
    uint64_t rate;         /* requests a second, all threads together; 0: as many as go */
    uint64_t read_percent; /* of the requests of COF_LOAD_RANDRW                       */
};

/* Whether a load writes at all; one that also reads does. */
static inline bool cof_load_writes(enum cof_load_rw rw)
{
    return rw == COF_LOAD_WRITE || rw == COF_LOAD_RANDWRITE || rw == COF_LOAD_RANDRW;
}

static inline bool cof_load_is_random(enum cof_load_rw rw)
{
    return rw == COF_LOAD_RANDWRITE || rw == COF_LOAD_RANDREAD || rw == COF_LOAD_RANDRW;
}

#endif
