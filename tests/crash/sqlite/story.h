/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/sqlite/story.h - a run of transactions that is recorded once, and cut many times.
 */
#ifndef TESTS_CRASH_SQLITE_STORY_H
#define TESTS_CRASH_SQLITE_STORY_H

#include "common/prng.h"
#include "databases.h"
#include "sql.h"

#define TRANSACTIONS 12u

struct commit {
    struct moment begun, done;
    char signature[2][SQL_ANSWER_BYTES];
};

extern struct story {
    struct world world; /* recorded */
    struct commit commits[TRANSACTIONS + 1];
    unsigned done;
    struct moments moments;
} story;

/* A case of the harness: the story of its scene, whole; ctx is the seed. */
void story_record(void *ctx);
void story_set_modes(const struct world *world);
void story_transaction(struct world *world, struct prng *prng, unsigned number);
/* What a database holds, in a word; it begins with the number of the transaction. */
void story_sign(sqlite3 *db, unsigned database, char ret_signature[SQL_ANSWER_BYTES]);

extern struct cut_counts {
    uint64_t cuts, second, rolled, by_variant[SIM_VARIANTS];
} cut_counts;

/* A case of the harness: the story is cut, opened, judged, and goes on; ctx is the cut. */
void cut_story(void *ctx);

#endif
