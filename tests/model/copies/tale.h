/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model/copies/tale.h - one random history over several sites: its state, its steps, its counts.
 */
#ifndef TESTS_MODEL_COPIES_TALE_H
#define TESTS_MODEL_COPIES_TALE_H

#include "common/site.h"

struct tale {
    struct realm realm;
    uint32_t pages_max;
    bool full; /* a store was full: the history ends here */
};

struct tale_counts {
    uint64_t steps, copies, incremental, stopped, gone_on, abandoned, keyless, keyed, within, anew;
    uint64_t taken, refused, cuts_source, cuts_destination, cuts, back, forks, looks, full;
    uint64_t snapshots, restores, deleted, hindered, rekeys, recipients, rounds;
    uint64_t reencrypts, reencrypted;
};
extern struct tale_counts tale_counts;

/* True: go on. NO_SPACE ends the history, any other error fails it. */
bool tale_settle(struct tale *tale, const struct site *site, int error, const char *what);
#define settle(tale, site, call) tale_settle(tale, site, call, #call)

enum tale_kind { TALE_VOLUME, TALE_SNAPSHOT, TALE_COPYING, TALE_ANY };
/* Any holding of the kind, or SITE_NONE. */
unsigned tale_any(struct tale *tale, const struct site *site, enum tale_kind kind);
unsigned tale_held(const struct site *site);
struct site *tale_site(struct tale *tale);

/* changes.c */
void tale_new_volume(struct tale *tale);
void tale_write(struct tale *tale);
void tale_discard(struct tale *tale);
void tale_flush(struct tale *tale);
void tale_checkpoint(struct tale *tale);
void tale_reopen(struct tale *tale);
void tale_lose(struct tale *tale);
void tale_keep(struct tale *tale);
void tale_put_back(struct tale *tale);
void tale_fork(struct tale *tale);
void tale_look(struct tale *tale);
void tale_snapshot(struct tale *tale);
void tale_restore(struct tale *tale);
void tale_delete(struct tale *tale);
void tale_rekey(struct tale *tale);
void tale_recipient(struct tale *tale);
void tale_reencrypt(struct tale *tale);

/* travel.c */
void tale_copy(struct tale *tale);
void tale_go_on(struct tale *tale);
void tale_abandon(struct tale *tale);

/* rounds.c: A to B to A so many times. */
struct tale_rounds {
    uint64_t seed, rounds;
    bool tell;
};
void tale_there_and_back(void *ctx);

#endif
