/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/timed_keys.h - a key provider that passes each call on and counts what it took.
 *
 * A call to the key service has a price of its own (the embedded one syncs an audit record), which
 * is to be told apart from the engine's. One thread.
 */
#ifndef COF_BENCH_TIMED_KEYS_H
#define COF_BENCH_TIMED_KEYS_H

#include <coffer/keys.h>
#include <stdint.h>

struct cof_bench_timed_keys {
    struct coffer_key_provider provider; /* to give to the engine; stays where it is */
    struct coffer_key_provider inner;
    uint64_t calls, spent_ns; /* since init or the caller's last reset */
};

void cof_bench_timed_keys_init(struct cof_bench_timed_keys *keys,
                               const struct coffer_key_provider *inner);

#endif
