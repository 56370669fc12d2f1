/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/verbs.h - the work of each operation, between begin and settle of a call (kms.h).
 *
 * Each finds its key, asks cof_kms_authorize, looks at the key's state and works; a failure leaves
 * a sentence in the call's fault, and settle undoes what was done. Whoever begins the call copies
 * what it gives out after settle, and before leave: plaintexts lie in locked scratch (secrets).
 *
 * Keys are "id or ARN" unless a comment says "any name", which takes aliases too. NULL stands for
 * the default key where any name is taken. Texts that may be NULL say what that means.
 *
 * Errors beside those of coffer/keystore.h: UNSUPPORTED (what this kind of key can't do),
 * KEY_USAGE, LIMIT, EXISTS, CONFLICT, MARKER, ALIAS_NAME, TAG, POLICY, GRANT_ID, GRANT_TOKEN.
 */
#ifndef COF_KMS_VERBS_H
#define COF_KMS_VERBS_H

#include "kms.h"

#define COF_KMS_TAGS_MAX 50u
#define COF_KMS_PENDING_DAYS_MIN 7u
#define COF_KMS_PENDING_DAYS_MAX 30u
#define COF_KMS_ROTATION_DAYS_MIN 90u
#define COF_KMS_ROTATION_DAYS_MAX 2560u
#define COF_KMS_ROTATION_DAYS_DEFAULT 365u
#define COF_KMS_ON_DEMAND_ROTATIONS_MAX 25u
#define COF_KMS_GRANT_TOKEN_BYTES_MAX 1024u /* with its NUL */
#define COF_KMS_DAY_NS (86400u * UINT64_C(1000000000))

/* A page of a listing: at most limit entries (0: all), those behind marker. marker is NULL or ""
 * for the first page; next is the marker of the page that follows, or "". */
struct cof_kms_page {
    unsigned limit;
    const char *marker;
    char next[COFFER_MARKER_BYTES_MAX];
};

/* What the listings share (page.c): open, ask the rows for one entry more than the page takes,
 * count each that comes, close. scope is what is listed: a marker is good for that alone. */
struct cof_kms_lister {
    struct cof_kms_call *call;
    struct cof_kms_page *page;
    const char *scope;
    unsigned given;
    bool more;
    char after[COFFER_MARKER_BYTES_MAX];
    char last[COFFER_MARKER_BYTES_MAX];
};

COFFER_MUST_CHECK int cof_kms_lister_open(struct cof_kms_call *call, struct cof_kms_page *page,
                                          const char *scope, struct cof_kms_lister *ret_lister);
/* What a store's listing is asked for: 0 is all. */
unsigned cof_kms_lister_asks(const struct cof_kms_lister *lister);
/* Count an entry; false when the page was full before it. */
bool cof_kms_lister_takes(struct cof_kms_lister *lister, const char *name);
COFFER_MUST_CHECK int cof_kms_lister_close(struct cof_kms_lister *lister);

/* ---- keys (keys.c, key_make.c, key_life.c) ----------------------------------------------- */

struct cof_kms_tag {
    const char *name;
    const char *value;
};

struct cof_kms_create_key {
    const char *policy;       /* NULL: the default one                   */
    const char *description;  /* NULL: ""                                */
    const char *key_spec;     /* NULL: SYMMETRIC_DEFAULT                 */
    const char *key_usage;    /* NULL: ENCRYPT_DECRYPT                   */
    const char *origin;       /* NULL: AWS_KMS                           */
    const char *key_store_id; /* NULL: none                              */
    const struct cof_kms_tag *tags;
    unsigned tag_count;
    bool multi_region;
    bool bypass_lockout_check;
    uint32_t rotation_period_days; /* 0: no automatic rotation from the start */
};

COFFER_MUST_CHECK int cof_kms_create_key(struct cof_kms_call *call,
                                         const struct cof_kms_create_key *params,
                                         struct cof_kms_key_row *ret_row);
/* Any name. */
COFFER_MUST_CHECK int cof_kms_describe_key(struct cof_kms_call *call, const char *key,
                                           struct cof_kms_key_row *ret_row);
/* The caller's account's, in the call's region. */
COFFER_MUST_CHECK int cof_kms_list_keys(struct cof_kms_call *call, struct cof_kms_page *page,
                                        int (*visit)(void *ctx, const struct cof_kms_key_row *row),
                                        void *ctx);
COFFER_MUST_CHECK int cof_kms_enable_key(struct cof_kms_call *call, const char *key);
COFFER_MUST_CHECK int cof_kms_disable_key(struct cof_kms_call *call, const char *key);
COFFER_MUST_CHECK int cof_kms_update_key_description(struct cof_kms_call *call, const char *key,
                                                     const char *description);
/* window_days 0: 30. The row has the state and the date. */
COFFER_MUST_CHECK int cof_kms_schedule_key_deletion(struct cof_kms_call *call, const char *key,
                                                    uint32_t window_days,
                                                    struct cof_kms_key_row *ret_row);
COFFER_MUST_CHECK int cof_kms_cancel_key_deletion(struct cof_kms_call *call, const char *key,
                                                  struct cof_kms_key_row *ret_row);

/* Parts of verbs: */
COFFER_MUST_CHECK int cof_kms_check_description(struct cof_kms_call *call,
                                                const char *description);
COFFER_MUST_CHECK int cof_kms_tags_put(struct cof_kms_call *call,
                                       const struct cof_kms_key_row *row,
                                       const struct cof_kms_tag *tags, unsigned count);
/* 0 when a key of that kind can rotate by itself, and so often. */
COFFER_MUST_CHECK int cof_kms_rotation_check(struct cof_kms_call *call,
                                             const struct cof_kms_key_row *row,
                                             uint32_t period_days);
/* New material takes over, by a rotation of that kind (AUTOMATIC, ON_DEMAND); row is written. */
COFFER_MUST_CHECK int cof_kms_rotate(struct cof_kms_call *call, struct cof_kms_key_row *row,
                                     const char *kind);

/* ---- key policies (key_policy.c) --------------------------------------------------------- */

/* Write the policy of row, or the default one, into ret_policy (COF_KMS_POLICY_BYTES_MAX + 1). */
COFFER_MUST_CHECK int cof_kms_get_key_policy(struct cof_kms_call *call, const char *key,
                                             const char *name, char *ret_policy);
COFFER_MUST_CHECK int cof_kms_put_key_policy(struct cof_kms_call *call, const char *key,
                                             const char *name, const char *policy,
                                             bool bypass_lockout_check);
/* There is one, "default", when it may be asked for. */
COFFER_MUST_CHECK int cof_kms_list_key_policies(struct cof_kms_call *call, const char *key);

/* ---- aliases (alias.c) ------------------------------------------------------------------- */

COFFER_MUST_CHECK int cof_kms_create_alias(struct cof_kms_call *call, const char *name,
                                           const char *target);
/* target: of the same kind as the key that the alias names now. */
COFFER_MUST_CHECK int cof_kms_update_alias(struct cof_kms_call *call, const char *name,
                                           const char *target);
COFFER_MUST_CHECK int cof_kms_delete_alias(struct cof_kms_call *call, const char *name);
/* key NULL: of all keys. */
COFFER_MUST_CHECK int cof_kms_list_aliases(
    struct cof_kms_call *call, const char *key, struct cof_kms_page *page,
    int (*visit)(void *ctx, const struct cof_kms_alias_row *row), void *ctx);

/* ---- tags (tag.c) ------------------------------------------------------------------------ */

COFFER_MUST_CHECK int cof_kms_tag_resource(struct cof_kms_call *call, const char *key,
                                           const struct cof_kms_tag *tags, unsigned count);
COFFER_MUST_CHECK int cof_kms_untag_resource(struct cof_kms_call *call, const char *key,
                                             const char *const *names, unsigned count);
COFFER_MUST_CHECK int cof_kms_list_resource_tags(
    struct cof_kms_call *call, const char *key, struct cof_kms_page *page,
    int (*visit)(void *ctx, const struct cof_kms_tag_row *row), void *ctx);

/* ---- rotation (rotation.c) --------------------------------------------------------------- */

/* period_days 0: what it was, or 365. */
COFFER_MUST_CHECK int cof_kms_enable_key_rotation(struct cof_kms_call *call, const char *key,
                                                  uint32_t period_days);
COFFER_MUST_CHECK int cof_kms_disable_key_rotation(struct cof_kms_call *call, const char *key);
/* rotation_period_days and next_rotation_ns of the row answer it. */
COFFER_MUST_CHECK int cof_kms_get_key_rotation_status(struct cof_kms_call *call, const char *key,
                                                      struct cof_kms_key_row *ret_row);
COFFER_MUST_CHECK int cof_kms_rotate_key_on_demand(struct cof_kms_call *call, const char *key,
                                                   struct cof_kms_key_row *ret_row);
/* Materials that took over by a rotation; all_materials: also the first, and those that wait. */
COFFER_MUST_CHECK int cof_kms_list_key_rotations(
    struct cof_kms_call *call, const char *key, bool all_materials, struct cof_kms_page *page,
    int (*visit)(void *ctx, const struct cof_kms_material_row *row), void *ctx);

/* ---- the last use (last_use.c) ----------------------------------------------------------- */

/* Of what succeeded since the key was made; ret_use->seq 0: nothing. key is an id or an ARN. */
COFFER_MUST_CHECK int cof_kms_get_key_last_usage(struct cof_kms_call *call, const char *key,
                                                 struct cof_kms_key_row *ret_row,
                                                 struct cof_kms_audit_use *ret_use);

/* ---- multi-Region keys (replica.c) ------------------------------------------------------- */

#define COF_KMS_REPLICAS_MAX 64u

struct cof_kms_replicate {
    const char *key; /* the primary */
    const char *region;
    const char *policy;      /* NULL: the default one */
    const char *description; /* NULL: ""              */
    const struct cof_kms_tag *tags;
    unsigned tag_count;
    bool bypass_lockout_check;
};

/* The row of the replica; the call's record names the primary. */
COFFER_MUST_CHECK int cof_kms_replicate_key(struct cof_kms_call *call,
                                            const struct cof_kms_replicate *params,
                                            struct cof_kms_key_row *ret_row);
/* A replica in region becomes the primary. */
COFFER_MUST_CHECK int cof_kms_update_primary_region(struct cof_kms_call *call, const char *key,
                                                    const char *region);
/* Parts of verbs: */
bool cof_kms_key_is_replica(const struct cof_kms_key_row *row);
/* Other rows of the family; 0 of a key of one region. */
COFFER_MUST_CHECK int cof_kms_replica_count(struct cof_kms_call *call,
                                            const struct cof_kms_key_row *row,
                                            unsigned *ret_count);
COFFER_MUST_CHECK int cof_kms_primary_get(struct cof_kms_call *call,
                                          const struct cof_kms_key_row *row,
                                          struct cof_kms_key_row *ret_row);
/* Visit the replicas of row's family, row too when it is one, by region; see cof_kms_list_keys. */
COFFER_MUST_CHECK int cof_kms_replicas_each(struct cof_kms_call *call,
                                            const struct cof_kms_key_row *row,
                                            int (*visit)(void *ctx,
                                                         const struct cof_kms_key_row *row),
                                            void *ctx);
/* Each replica takes over the material that the primary encrypts with now. */
COFFER_MUST_CHECK int cof_kms_replicas_follow(struct cof_kms_call *call,
                                              const struct cof_kms_key_row *primary);
/* A replica was destroyed: a primary that waited for the last one begins its own window. */
COFFER_MUST_CHECK int cof_kms_replica_gone(struct cof_kms_call *call,
                                           const struct cof_kms_key_row *replica);

/* ---- cryptographic operations (crypt.c); any name ---------------------------------------- */

/* What an operation used. */
struct cof_kms_used {
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    uint8_t material_id[COF_KMS_MATERIAL_ID_BYTES];
    bool has_material_id; /* false: an asymmetric key */
};

struct cof_kms_encrypt {
    const char *key;
    const char *algorithm; /* NULL: SYMMETRIC_DEFAULT */
    struct cof_kms_bytes plaintext;
    const struct coffer_context *context;
};

COFFER_MUST_CHECK int cof_kms_encrypt(struct cof_kms_call *call,
                                      const struct cof_kms_encrypt *params,
                                      struct coffer_key_blob *ret_blob,
                                      struct cof_kms_used *ret_used);

struct cof_kms_decrypt {
    const char *key;       /* NULL: the one that the blob names (of a symmetric key) */
    const char *algorithm; /* NULL: SYMMETRIC_DEFAULT */
    struct cof_kms_bytes blob;
    const struct coffer_context *context;
};

/* The plaintext is at ks->secrets->plaintext. */
COFFER_MUST_CHECK int cof_kms_decrypt(struct cof_kms_call *call,
                                      const struct cof_kms_decrypt *params,
                                      size_t *ret_plaintext_bytes, struct cof_kms_used *ret_used);

struct cof_kms_re_encrypt {
    struct cof_kms_decrypt source;
    const char *key;       /* the destination        */
    const char *algorithm; /* NULL: SYMMETRIC_DEFAULT */
    const struct coffer_context *context;
};

COFFER_MUST_CHECK int cof_kms_re_encrypt(struct cof_kms_call *call,
                                         const struct cof_kms_re_encrypt *params,
                                         struct coffer_key_blob *ret_blob,
                                         struct cof_kms_used *ret_source,
                                         struct cof_kms_used *ret_used);

/* The data key is at ks->secrets->plaintext. The call's event says whether it is to be shown:
 * GenerateDataKey or GenerateDataKeyWithoutPlaintext. */
COFFER_MUST_CHECK int cof_kms_generate_data_key(struct cof_kms_call *call, const char *key,
                                                size_t bytes, const struct coffer_context *context,
                                                struct coffer_key_blob *ret_blob,
                                                struct cof_kms_used *ret_used);
/* 1 to 1024 bytes at ks->secrets->plaintext. */
COFFER_MUST_CHECK int cof_kms_generate_random(struct cof_kms_call *call, size_t bytes);

/* ---- what leaves (export.c); any name ----------------------------------------------------- */

/* Put on the record that plaintext which key protects is about to be given out. It needs no right,
 * and tells nobody whether another account has a key. */
COFFER_MUST_CHECK int cof_kms_export_plaintext(struct cof_kms_call *call, const char *key,
                                               const struct coffer_context *context);

/* ---- grants (grant.c, grant_list.c, grant_end.c) ----------------------------------------- */

struct cof_kms_create_grant {
    const char *key;
    const char *grantee;
    const char *retiring_principal; /* NULL: none */
    const char *name;               /* NULL: none */
    const char *const *operations;
    unsigned operation_count;
    enum coffer_grant_constraint constraint;
    const struct coffer_context *context; /* of the constraint */
    const char *source_arn;               /* of the constraint; NULL: none */
};

COFFER_MUST_CHECK int cof_kms_create_grant(struct cof_kms_call *call,
                                           const struct cof_kms_create_grant *params,
                                           char ret_grant_id[COFFER_GRANT_ID_BYTES],
                                           char ret_token[COF_KMS_GRANT_TOKEN_BYTES_MAX]);
/* grant_id or grantee NULL: all. The row's context points into the statement while visited. */
COFFER_MUST_CHECK int cof_kms_list_grants(
    struct cof_kms_call *call, const char *key, const char *grant_id, const char *grantee,
    struct cof_kms_page *page, int (*visit)(void *ctx, const struct cof_kms_grant_row *row),
    void *ctx);
COFFER_MUST_CHECK int cof_kms_list_retirable_grants(
    struct cof_kms_call *call, const char *retiring_principal, struct cof_kms_page *page,
    int (*visit)(void *ctx, const struct cof_kms_grant_row *row), void *ctx);
/* token, or else key and grant_id. */
COFFER_MUST_CHECK int cof_kms_retire_grant(struct cof_kms_call *call, const char *token,
                                           const char *key, const char *grant_id);
COFFER_MUST_CHECK int cof_kms_revoke_grant(struct cof_kms_call *call, const char *key,
                                           const char *grant_id);

/* ---- by the service itself (tick.c) ------------------------------------------------------ */

/* Do what is due at the clock's time: rotations, deletions, expiry of material, each with a record
 * of its own; and note in the ledger, when there is one, how far the audit trail goes. Every call
 * that writes does the first by itself. */
COFFER_MUST_CHECK int cof_kms_tick(struct coffer_keystore *ks, struct coffer_fault *fault);

/* What must not lose its key: asked before a key is disabled or its deletion scheduled; anything
 * but 0 stops that, with a sentence in fault. NULL takes it away. */
struct cof_kms_guard {
    int (*in_use)(void *ctx, const struct cof_kms_key_row *row, const char *event,
                  struct coffer_fault *fault);
    void *ctx;
};
void cof_kms_set_guard(struct coffer_keystore *ks, const struct cof_kms_guard *guard);

/* The condition keys that the caller's request has beside those of every call: name and value
 * outlive the call. */
void cof_kms_call_condition(struct cof_kms_call *call, const char *name, const char *value);

#endif
