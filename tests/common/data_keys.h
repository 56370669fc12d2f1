/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/data_keys.h - which data keys the tables of a store have, told by their commitments: what
 * a deep re-encrypt takes away must be in none of them at its end.
 */
#ifndef TESTS_COMMON_DATA_KEYS_H
#define TESTS_COMMON_DATA_KEYS_H

#include <coffer/coffer.h>
#include <stdbool.h>
#include <stdint.h>

struct data_keys {
    uint8_t (*list)[32];
    unsigned count;
};

/* Whether a deep re-encrypt is under way in the open store. */
bool data_keys_running(const struct coffer_store *store);
void data_keys_forget(struct data_keys *keys);
/* Those that leave in the deep re-encrypt that is under way, in place of what there is. Returns an
 * engine's error. */
int data_keys_note(struct data_keys *keys, struct coffer_store *store);
/* Fails the case when a table of the store has one of them. Returns an engine's error. */
int data_keys_absent(const struct data_keys *keys, struct coffer_store *store);

#endif
