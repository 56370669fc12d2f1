/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/kms/world.h - a key store, random operations on it, and a model of what it must hold.
 *
 * An operation is announced, done, and acknowledged; whoever listens (a pipe, a list) can say at
 * any moment which ones were acknowledged and which one was under way. The model is plain values,
 * so it can be copied. Everything follows from a seed but keys, which the store draws. One thread.
 */
#ifndef TESTS_CRASH_KMS_WORLD_H
#define TESTS_CRASH_KMS_WORLD_H

#include "common/prng.h"
#include "kms/import_row.h"
#include "kms/verbs.h"

#include <limits.h>

#define SLOTS 24u
#define BLOB_BYTES_MAX 512u
#define DAY_NS (86400u * UINT64_C(1000000000))
#define BEGAN_NS (1900000000u * UINT64_C(1000000000))

enum op {
    OP_NONE = 0,
    OP_CREATE,
    OP_CREATE_EXTERNAL,
    OP_ENABLE,
    OP_DISABLE,
    OP_DESCRIBE, /* another description */
    OP_ROTATE,
    OP_IMPORT,
    OP_DROP, /* delete imported material */
    OP_ALIAS,
    OP_NO_ALIAS,
    OP_GRANT,
    OP_REVOKE,
    OP_TAG,
    OP_ENCRYPT,
    OP_SCHEDULE,
    OP_CANCEL,
    OP_AGE, /* eight days pass: what was scheduled is destroyed */
    OP_KINDS
};
extern const char *const op_names[OP_KINDS];

/* What there is to see of a key. */
struct seen {
    bool live;
    enum coffer_key_state state;
    uint32_t description, materials, sealed, aliases, grants, tag;
};

struct slot {
    struct seen seen;
    bool external;
    uint32_t number; /* of the key: no two have the same */
    uint32_t blob_bytes;
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    char grant[COFFER_GRANT_ID_BYTES];
    uint8_t blob[BLOB_BYTES_MAX]; /* of "attack at dawn"; of the first material it was made under */
};

#define GONE_MAX 64u /* the last that were destroyed, which must never be seen again */

struct model {
    struct slot slots[SLOTS];
    char gone[GONE_MAX][COFFER_KEY_ARN_BYTES_MAX];
    uint64_t gone_count;
    uint32_t numbers; /* keys so far */
    uint64_t now_ns;
};

/* An operation, and what it gave. */
struct step {
    enum op op;
    uint32_t slot, argument;
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    char grant[COFFER_GRANT_ID_BYTES];
    uint32_t blob_bytes;
    uint8_t blob[BLOB_BYTES_MAX];
};

struct world {
    char path[PATH_MAX];
    struct model model;
    struct coffer_keystore *store;
    struct cof_kms_import_scratch *scratch; /* one wrapping key for all imports: each takes long */
    struct cof_kms_import_scratch *drawn;
    struct cof_kms_import_offer offer;
    uint64_t by_op[OP_KINDS];
};

void world_init(struct world *world, const char *path);
/* Before the first import; after a fork again, since locked pages don't survive that. */
void world_draw(struct world *world);
/* The store at path; made when create. Fails the harness when it doesn't open. */
void world_open(struct world *world, bool create);
void world_close(struct world *world);
void world_done(struct world *world);

/* What to do next, as the model is. */
void step_choose(const struct model *model, struct prng *prng, struct step *ret_step);
/* What the model is while step is under way (before), and when it was done (after). */
void step_begin(struct model *model, const struct step *step);
void step_end(struct model *model, const struct step *step);
/* Do it; it must succeed. */
void step_do(struct world *world, struct step *step);

/* look.c: the store must be the model, or, when pending isn't NULL, the model with it done; the
 * model is then the one that it is. What is gone must be gone. Returns how many rows it has. */
uint64_t world_look(struct world *world, const struct step *pending);
/* look.c: an older copy of the store, beside a copy of its ledger, has nothing that is gone. */
void world_look_at_old(struct world *world, const char *old_path);

#endif
