/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map/records.h - memory for what a delta keeps of its leaves: blocks of 32 to 4096 bytes.
 *
 * Buddies (Knuth, vol. 1, 2.5): two free halves of a block are a free block again. Leaves that fill
 * at random outgrow their blocks at about the same time, so that what small ones leave is joined
 * and serves large ones. Memory goes back to the environment with all of them at once only.
 * The structure may be moved, as it holds no pointer to itself. Under the store's lock.
 */
#ifndef COF_MAP_RECORDS_H
#define COF_MAP_RECORDS_H

#include "base/env.h"

#define COF_RECORD_BYTES_MIN 32u
#define COF_RECORD_ORDERS 8u /* of size COF_RECORD_BYTES_MIN << order: 32 to 4096 bytes */

struct cof_record_chunk;
struct cof_record_free;

struct cof_records {
    struct cof_env *env;
    struct cof_record_chunk *chunks; /* newest, and largest, first */
    struct cof_record_free *free[COF_RECORD_ORDERS];
    uint64_t used_bytes; /* of blocks that were given and not taken back */
};

void cof_records_init(struct cof_records *records, struct cof_env *env);
void cof_records_done(struct cof_records *records);
/* A block, aligned to its size, not cleared; NULL without memory. */
void *cof_records_get(struct cof_records *records, unsigned order);
void cof_records_put(struct cof_records *records, void *block, unsigned order);

#endif
