/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/check_facts.h - what check_pairs.c (collecting and sorting) and check_merge.c (merging)
 * share. Included by nothing else.
 */
#ifndef COF_TOOLS_COFFER_CHECK_FACTS_H
#define COF_TOOLS_COFFER_CHECK_FACTS_H

#include "check_pairs.h"
#include <stdbool.h>

/* 40 bytes. place: rule 1, store 6, kind 2, segment 32, block in the segment 14. what: extent 40,
 * slot 24; for what a volume key sealed: number 32, key id 32. */
struct cli_fact {
    uint64_t key[2];
    uint64_t value;
    uint64_t place;
    uint64_t what;
};

struct cli_run {
    uint64_t begin, end; /* bytes of the file that are still to be read */
    struct cli_fact *window;
    size_t at, count, room; /* facts of the window */
};

struct cli_pairs {
    size_t room, count; /* facts */
    struct cli_fact *facts;
    int file; /* -1: none */
    uint64_t file_bytes;
    struct cli_run *runs;
    size_t run_count, run_room;
};

/* By key, rule, value; then by place, so that what is told does not depend on the sort. */
int cli_fact_compare(const void *one, const void *two);
bool cli_fact_same_key(const struct cli_fact *a, const struct cli_fact *b);
enum cli_rule cli_fact_rule(const struct cli_fact *fact);
struct cli_place cli_fact_place(const struct cli_fact *fact);

/* Sort what is in memory and drop repeats; the same, and write it as a run (0 or an errno). */
void cli_pairs_sort(struct cli_pairs *pairs);
int cli_pairs_spill(struct cli_pairs *pairs);
/* One more run, zeroed; NULL: no memory. */
struct cli_run *cli_pairs_run(struct cli_pairs *pairs);

#endif
