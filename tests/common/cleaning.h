/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/cleaning.h - what the cleaner did in all stores of a run: a harness that is to see it at
 * work fails when it was not.
 */
#ifndef TESTS_COMMON_CLEANING_H
#define TESTS_COMMON_CLEANING_H

#include <coffer/coffer.h>
#include <stdbool.h>

/* Count what was done in this store since it was opened: once, before it is closed. NULL is
 * allowed. */
void cleaning_note(struct coffer_store *store);
/* Pages moved so far in stores that were noted. */
uint64_t cleaning_pages(void);
/* Print the counts. status, or 1 when the cleaner was to move pages and moved none; it need not
 * under a planted fault, which may be caught before that. */
int cleaning_close(int status, bool wanted);

#endif
