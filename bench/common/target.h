/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/target.h - the store, the volume and the embedded key store that a load runs on.
 *
 * Everything is reached through installed headers, as an embedder would. The root key lies in a
 * file of mode 0600 in the directory of --keys: a benchmark's key guards nothing, but the path that
 * is measured is the whole one.
 */
#ifndef COF_BENCH_TARGET_H
#define COF_BENCH_TARGET_H

#include "common/options.h"
#include "tools/load/latency.h"
#include <coffer/coffer.h>
#include <coffer/keystore.h>

struct cof_bench_target {
    struct coffer_keystore *keys; /* NULL for a plain volume */
    struct coffer_key_provider provider;
    struct coffer_store *store;
    struct coffer_volume *volume;
    uint64_t store_open_ns, volume_open_ns, close_ns; /* how long each took */
};

/* Say on standard error what failed. Returns error. */
int cof_bench_complain(const char *what, int error, const struct coffer_fault *fault);

/* Open, and make first when options->create is set. What fails is complained about. */
COFFER_MUST_CHECK int cof_bench_target_open(const struct cof_bench_options *options,
                                            struct cof_bench_target *ret_target);

/* Close all that is open and fill close_ns; a half-opened target is fine. */
COFFER_MUST_CHECK int cof_bench_target_close(struct cof_bench_target *target);

#endif
