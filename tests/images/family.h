/* SPDX-License-Identifier: Apache-2.0 */
/*
 * images/family.h - what the maker of families and copies does to its stores, each step with the
 * truth beside it: volumes and snapshots are nodes that know what they hold.
 */
#ifndef TESTS_IMAGES_FAMILY_H
#define TESTS_IMAGES_FAMILY_H

#include "common/det_env.h"
#include "common/fake_kms.h"
#include "maker.h"

#include <stdbool.h>

#define STORE_BYTES (64u << 20)
#define NODES_MAX 40u
#define PLAIN (-1)
#define STOPPED 77 /* by copy_begin */

struct side {
    char path[4096];
    uint64_t seed, incarnation;
    struct det_env env;
    struct coffer_store *store;
};

/* A volume, or (snapshot != NULL) a snapshot of it. */
struct node {
    struct side *side;
    const char *volume, *snapshot;
    int key; /* number of its master key, or PLAIN */
    int recipient;
    const char *tag; /* the value of "kept", or NULL: no tag */
    bool gone, copying;
    uint64_t pages;
    uint8_t *bytes; /* the truth */
    struct coffer_uuid uuid;
    struct coffer_volume *open;
};

/* All of it; snapshots and volumes that are gone included. */
extern struct node nodes[NODES_MAX];
extern unsigned node_count;
extern struct fake_kms kms;
extern struct coffer_key_provider another_kms; /* another service with the same keys */
extern struct coffer_key_provider keyless_kms; /* of a principal who may not decrypt */

void family_begin(uint64_t seed);
void family_end(void);

/* A store at PREFIX.ENDING; the same seed gives the same uuid. */
void make_side(struct side *side, const char *prefix, const char *ending, uint64_t seed);
void reopen_side(struct side *side);
void end_side(struct side *side);

/* NULL for PLAIN. */
const char *key_name(int key, char arn[COFFER_KEY_ARN_BYTES_MAX]);
void full_name(const struct node *node, char *name, size_t room);
void open_node(struct node *node);
void close_node(struct node *node);
/* New ones are open. */
struct node *make_volume(struct side *side, const char *name, uint64_t pages, int key);
void put(struct node *node, uint64_t page, uint64_t count, uint64_t version);
void drop(struct node *node, uint64_t page, uint64_t count);
void delete_volume(struct node *node);
struct node *snap(struct node *volume, const char *name);
void delete_snapshot(struct node *node);
struct node *restore(const struct node *snapshot, const char *name, int key);
/* The volume is closed. Its snapshots go with it. */
void rekey(struct node *volume, int key);
void add_recipient(struct node *snapshot, int key);
void tag(struct node *node, const char *value);
/* The tag comes along if keep_tag. */
struct node *copy(struct side *to, const struct node *from, const char *name, int key,
                  bool keep_tag, const struct coffer_key_provider *ours,
                  const struct coffer_key_provider *theirs);
/* A copy that stops after its first extent. */
struct node *copy_begin(struct side *to, const struct node *from, int key);

#endif
