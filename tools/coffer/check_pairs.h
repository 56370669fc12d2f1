/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/check_pairs.h - finds keys that were seen with two values, among any number, in bounded
 * memory: an external sort.
 *
 * Facts (key, value, where) are added in any order. They are sorted in memory and, whenever that is
 * full, written as a sorted run to a temporary file: in $TMPDIR or /var/tmp, mode 0600, without a
 * name from the moment it is there. At the end the runs are merged, and a key with two values is
 * told. Equal key and value is the same fact again, wherever it was seen.
 *
 * Memory: twice memory_bytes while sorting; while merging memory_bytes, and 4 KiB a run beyond
 * that. The file takes 40 bytes a fact, less those that are met again within one run. What is
 * written is hashes and places: no secret. One thread.
 */
#ifndef COF_TOOLS_COFFER_CHECK_PAIRS_H
#define COF_TOOLS_COFFER_CHECK_PAIRS_H

#include <stddef.h>
#include <stdint.h>

#define CLI_PAIRS_MEMORY_MIN (64u * 1024u)
#define CLI_PAIRS_STORES_MAX 64u

/* Where and as what a seal was seen. */
struct cli_place {
    uint32_t store; /* number of the operand, below CLI_PAIRS_STORES_MAX */
    uint32_t kind;  /* enum coffer_seal_kind                             */
    uint64_t segment, offset;
    uint64_t extent; /* below 2^40 */
    uint32_t slot;
};

enum cli_rule {
    CLI_RULE_NAME = 0,  /* the key is a name, the value its ciphertext */
    CLI_RULE_CIPHERTEXT /* the key is a ciphertext, the value its name */
};

struct cli_pairs;

/* NULL: no memory. */
struct cli_pairs *cli_pairs_new(size_t memory_bytes);
/* Takes NULL. */
void cli_pairs_free(struct cli_pairs *pairs);

/* 0 or an errno: of the temporary file, or ENOMEM. */
int cli_pairs_add(struct cli_pairs *pairs, enum cli_rule rule, const uint8_t key[16],
                  const uint8_t value[16], const struct cli_place *place);

struct cli_pairs_ops {
    void *ctx;
    /* A key with two values, and a place of each; once for each value after the first. Non-zero
     * stops. */
    int (*twice)(void *ctx, enum cli_rule rule, const struct cli_place *first,
                 const struct cli_place *second);
    /* Called now and then; non-zero stops. NULL: not called. */
    int (*step)(void *ctx, uint64_t done_bytes, uint64_t total_bytes);
};

/* Merge what was added; nothing can be added after it. ret_names counts the names that differ. 0,
 * an errno, or what stopped it as *ret_stop with 0. */
int cli_pairs_finish(struct cli_pairs *pairs, const struct cli_pairs_ops *ops, uint64_t *ret_names,
                     int *ret_stop);

/* Where the temporary file is or would be. */
const char *cli_pairs_directory(void);

#endif
