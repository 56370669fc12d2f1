/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/store.h - the rows of a key store, without SQL.
 *
 * A database handle is used under the key store's lock, by one thread at a time. Reads and writes
 * happen between begin and commit or rollback. Every row carries a MAC over all its columns: every
 * read checks it (TAMPER), every write makes it; cof_kms_db_unlock gives the key for that. Secrets
 * carry a seal besides and are handed out as sealed bytes.
 *
 * Every call that takes a fault fills it with a sentence.
 */
#ifndef COF_KMS_STORE_H
#define COF_KMS_STORE_H

#include "blob.h"
#include "env.h"
#include "name.h"
#include "root.h"

#include <coffer/keystore.h>
#include <stdbool.h>

#define COF_KMS_POLICY_BYTES_MAX 32768u
#define COF_KMS_PUBLIC_KEY_BYTES_MAX 1024u
#define COF_KMS_KEY_STORE_ID_BYTES_MAX 65u   /* with their NUL, as those below */
#define COF_KMS_KEY_STORE_NAME_BYTES_MAX 257u
#define COF_KMS_TOKEN_LABEL_BYTES_MAX 129u
#define COF_KMS_SEALED_SECRET_BYTES_MAX 512u /* of a PIN, of an access key's secret */

struct cof_kms_db;

/* ---- the file (store.c, store_schema.c) -------------------------------------------------- */

/* Build the file aside, whole, and put it at path; durable on return. EXISTS when path is taken;
 * nothing is left behind on failure. mac_key authenticates the header. */
COFFER_MUST_CHECK int cof_kms_db_create(struct cof_kms_env *env, const char *path,
                                        const struct cof_kms_header *header,
                                        const uint8_t *mac_key, struct coffer_fault *fault);

/* Sync the directory that path lies in. */
COFFER_MUST_CHECK int cof_kms_sync_directory_of(const char *path, struct coffer_fault *fault);

/* NOT_FOUND, NOT_A_STORE, TOO_NEW, ACCESS, BUSY, CORRUPT. */
COFFER_MUST_CHECK int cof_kms_db_open(struct cof_kms_env *env, const char *path, bool read_only,
                                      unsigned busy_ms, struct cof_kms_db **ret_db,
                                      struct coffer_fault *fault);
/* NULL is allowed. */
void cof_kms_db_close(struct cof_kms_db *db);
const char *cof_kms_db_path(const struct cof_kms_db *db);

/* The header as it stands, not yet authenticated: its key is not known before. */
COFFER_MUST_CHECK int cof_kms_db_header(struct cof_kms_db *db, struct cof_kms_header *ret_header,
                                        struct coffer_fault *fault);
/* From here rows are checked and made with mac_key, which must outlive db. Checks the header's.
 * Brings a file of an older schema up to this one: in the file, or, for a handle that only reads,
 * in a copy in memory. *ret_header is the header afterwards. */
COFFER_MUST_CHECK int cof_kms_db_unlock(struct cof_kms_db *db, const uint8_t *mac_key,
                                        const uint8_t *audit_key,
                                        struct cof_kms_header *ret_header,
                                        struct coffer_fault *fault);

/* Put the header, in a transaction. */
COFFER_MUST_CHECK int cof_kms_db_header_set(struct cof_kms_db *db,
                                            const struct cof_kms_header *header,
                                            struct coffer_fault *fault);

/* ---- copies (store_copy.c, store_file.c, store_check.c) ---------------------------------- */

/* A file is built under a name of its own, whole, and then put where it belongs. */
#define COF_KMS_BUILT_BYTES_MAX 1100u
/* Make an empty file beside path, mode 0600, and name it. */
COFFER_MUST_CHECK int cof_kms_file_begin(struct cof_kms_env *env, const char *path,
                                         char ret_built[COF_KMS_BUILT_BYTES_MAX],
                                         struct coffer_fault *fault);
/* Copy the store, as it stands at one moment, into the empty file built. from is only read. */
COFFER_MUST_CHECK int cof_kms_db_copy(struct cof_kms_db *from, const char *built,
                                      struct coffer_fault *fault);
/* Sync what was built and name it path; durable on return. EXISTS when path is taken, CONFLICT when
 * a log without a store lies there. */
COFFER_MUST_CHECK int cof_kms_file_link(const char *built, const char *path,
                                        struct coffer_fault *fault);
/* The same in the place of the store at path, which is kept beside it as PATH.replaced-HEX. BUSY
 * when anyone has that open. */
COFFER_MUST_CHECK int cof_kms_file_replace(struct cof_kms_env *env, const char *built,
                                           const char *path, struct coffer_fault *fault);
/* Remove what was built, and what SQLite put beside it; nothing happens when it isn't there. */
void cof_kms_file_discard(const char *built);
/* Structure, the MAC of every row but the audit trail's, and what holds between rows: TAMPER, or
 * CORRUPT, with a sentence. */
COFFER_MUST_CHECK int cof_kms_db_check(struct cof_kms_db *db, uint64_t *ret_rows,
                                       struct coffer_fault *fault);

/* ---- transactions (store.c) -------------------------------------------------------------- */

/* writes: take the write lock now, waiting up to busy_ms. */
COFFER_MUST_CHECK int cof_kms_db_begin(struct cof_kms_db *db, bool writes,
                                       struct coffer_fault *fault);
/* Within a transaction that writes: begin a part that can be undone by itself; undo what was
 * written since, any number of times; end the part, whose work is then the transaction's. One at a
 * time. */
COFFER_MUST_CHECK int cof_kms_db_mark(struct cof_kms_db *db, struct coffer_fault *fault);
COFFER_MUST_CHECK int cof_kms_db_undo(struct cof_kms_db *db, struct coffer_fault *fault);
COFFER_MUST_CHECK int cof_kms_db_release(struct cof_kms_db *db, struct coffer_fault *fault);
/* Whether an error took back the transaction that writes: a full disk, or one that fails, may. From
 * then on each statement but rollback fails. */
bool cof_kms_db_is_lost(const struct cof_kms_db *db);
/* Durable on return. On failure nothing was written. */
COFFER_MUST_CHECK int cof_kms_db_commit(struct cof_kms_db *db, struct coffer_fault *fault);
void cof_kms_db_rollback(struct cof_kms_db *db);
/* Outside a transaction: move the write-ahead log into the file and empty it, so that no page that
 * was overwritten stays there. What readers hold up is left to the next one. */
void cof_kms_db_checkpoint(struct cof_kms_db *db);

/* ---- keys (store_key.c) ------------------------------------------------------------------ */

/* 45 KiB: never copied for nothing, and never cleared whole. */
struct cof_kms_key_row {
    char key_id[COFFER_KEY_ID_BYTES];
    char arn[COFFER_KEY_ARN_BYTES_MAX]; /* names the row: a multi-Region id may stand in more */
    struct cof_kms_owner owner;
    enum coffer_key_state state;
    bool managed;
    bool multi_region;
    bool has_material; /* material_id names the material that encrypts */
    char origin[20];
    char key_spec[32];
    char key_usage[32];
    uint64_t created_ns;
    uint64_t deletion_ns; /* 0: none */
    uint32_t pending_window_days;
    uint64_t valid_to_ns; /* 0: none */
    char expiration_model[32]; /* KEY_MATERIAL_EXPIRES, ..._DOES_NOT_EXPIRE, "" */
    uint32_t rotation_period_days; /* 0: no automatic rotation */
    uint64_t next_rotation_ns;     /* 0: none */
    uint8_t material_id[COF_KMS_MATERIAL_ID_BYTES];
    char primary_region[COF_KMS_REGION_BYTES_MAX]; /* of a multi-Region key */
    char key_store_id[COF_KMS_KEY_STORE_ID_BYTES_MAX]; /* "": the material is in this file */
    char token_label[COF_KMS_TOKEN_LABEL_BYTES_MAX];   /* of the object in that key store  */
    enum coffer_key_state resume_state; /* where an interrupted state ends: PendingDeletion,
                                           Unavailable */
    size_t public_key_bytes; /* 0: a symmetric key */
    uint8_t public_key[COF_KMS_PUBLIC_KEY_BYTES_MAX]; /* SubjectPublicKeyInfo */
    char description[COFFER_DESCRIPTION_BYTES_MAX + 1];
    char policy[COF_KMS_POLICY_BYTES_MAX + 1];
};

/* KEY_NOT_FOUND when there is none. */
COFFER_MUST_CHECK int cof_kms_db_key_get(struct cof_kms_db *db, const char *arn,
                                         struct cof_kms_key_row *ret_row,
                                         struct coffer_fault *fault);
COFFER_MUST_CHECK int cof_kms_db_key_add(struct cof_kms_db *db, const struct cof_kms_key_row *row,
                                         struct coffer_fault *fault);
/* Write all of a row that was read in this transaction. */
COFFER_MUST_CHECK int cof_kms_db_key_set(struct cof_kms_db *db, const struct cof_kms_key_row *row,
                                         struct coffer_fault *fault);
/* The key with its material, aliases, grants and tags. */
COFFER_MUST_CHECK int cof_kms_db_key_remove(struct cof_kms_db *db, const char *arn,
                                            struct coffer_fault *fault);
COFFER_MUST_CHECK int cof_kms_db_key_count(struct cof_kms_db *db,
                                           const struct cof_kms_owner *owner, uint64_t *ret_count,
                                           struct coffer_fault *fault);
/* Keys of owner in order of id, those after `after`, at most limit (0: all), until visit answers
 * non-zero, which is returned. */
COFFER_MUST_CHECK int cof_kms_db_key_each(
    struct cof_kms_db *db, const struct cof_kms_owner *owner, const char *after, unsigned limit,
    int (*visit)(void *ctx, const struct cof_kms_key_row *row), void *ctx,
    struct coffer_fault *fault);
/* The keys of one custom key store, whoever owns them. */
COFFER_MUST_CHECK int cof_kms_db_key_each_in_store(
    struct cof_kms_db *db, const char *key_store_id,
    int (*visit)(void *ctx, const struct cof_kms_key_row *row), void *ctx,
    struct coffer_fault *fault);
/* The rows of a multi-Region key, in all regions. */
COFFER_MUST_CHECK int cof_kms_db_key_each_kin(
    struct cof_kms_db *db, const char *account, const char *key_id,
    int (*visit)(void *ctx, const struct cof_kms_key_row *row), void *ctx,
    struct coffer_fault *fault);
/* The first key, in order of ARN and behind `after`, whose time has come at now_ns: of its
 * deletion, of its rotation, of expiry of its material. Altered rows are passed over. NOT_FOUND:
 * none. */
COFFER_MUST_CHECK int cof_kms_db_key_due(struct cof_kms_db *db, uint64_t now_ns, const char *after,
                                         struct cof_kms_key_row *ret_row,
                                         struct coffer_fault *fault);

/* ---- material (store_material.c) --------------------------------------------------------- */

enum cof_kms_material_state {
    COF_KMS_MATERIAL_CURRENT = 0,
    COF_KMS_MATERIAL_NON_CURRENT,
    COF_KMS_MATERIAL_PENDING_ROTATION
};

struct cof_kms_material_row {
    uint8_t id[COF_KMS_MATERIAL_ID_BYTES];
    char key_arn[COFFER_KEY_ARN_BYTES_MAX];
    uint32_t version; /* 1, 2, ... of one key */
    char source[20];  /* AWS_KMS, EXTERNAL     */
    char rotation[16]; /* "" (the first), AUTOMATIC, ON_DEMAND */
    enum cof_kms_material_state state;
    uint64_t created_ns;
    uint64_t rotated_ns;  /* when it took over; 0: the first, or not yet */
    uint64_t valid_to_ns; /* 0: it doesn't expire */
    char description[257];
    bool has_digest;
    uint8_t digest[COF_KMS_MAC_BYTES]; /* of imported material, so that only the same comes back */
    size_t sealed_bytes;               /* 0: deleted, or expired */
    uint8_t sealed[COF_KMS_SEALED_BYTES_MAX];
};

COFFER_MUST_CHECK int cof_kms_db_material_add(struct cof_kms_db *db,
                                              const struct cof_kms_material_row *row,
                                              struct coffer_fault *fault);
COFFER_MUST_CHECK int cof_kms_db_material_set(struct cof_kms_db *db,
                                              const struct cof_kms_material_row *row,
                                              struct coffer_fault *fault);
COFFER_MUST_CHECK int cof_kms_db_material_remove(struct cof_kms_db *db, const char *key_arn,
                                                 const uint8_t *material_id,
                                                 struct coffer_fault *fault);
/* NOT_FOUND when the key has no such material. */
COFFER_MUST_CHECK int cof_kms_db_material_get(struct cof_kms_db *db, const char *key_arn,
                                              const uint8_t *material_id,
                                              struct cof_kms_material_row *ret_row,
                                              struct coffer_fault *fault);
/* In order of version, those after it. */
COFFER_MUST_CHECK int cof_kms_db_material_each(
    struct cof_kms_db *db, const char *key_arn, uint32_t after, unsigned limit,
    int (*visit)(void *ctx, const struct cof_kms_material_row *row), void *ctx,
    struct coffer_fault *fault);
/* How many, and the greatest version. */
COFFER_MUST_CHECK int cof_kms_db_material_count(struct cof_kms_db *db, const char *key_arn,
                                                uint64_t *ret_count, struct coffer_fault *fault);

/* ---- aliases (store_alias.c) ------------------------------------------------------------- */

struct cof_kms_alias_row {
    struct cof_kms_owner owner;
    char name[COFFER_ALIAS_BYTES_MAX];
    char key_arn[COFFER_KEY_ARN_BYTES_MAX];
    uint64_t created_ns;
    uint64_t updated_ns;
};

/* NOT_FOUND when there is none. */
COFFER_MUST_CHECK int cof_kms_db_alias_get(struct cof_kms_db *db,
                                           const struct cof_kms_owner *owner, const char *name,
                                           struct cof_kms_alias_row *ret_row,
                                           struct coffer_fault *fault);
COFFER_MUST_CHECK int cof_kms_db_alias_add(struct cof_kms_db *db,
                                           const struct cof_kms_alias_row *row,
                                           struct coffer_fault *fault);
COFFER_MUST_CHECK int cof_kms_db_alias_set(struct cof_kms_db *db,
                                           const struct cof_kms_alias_row *row,
                                           struct coffer_fault *fault);
/* NOT_FOUND when there is none. */
COFFER_MUST_CHECK int cof_kms_db_alias_remove(struct cof_kms_db *db,
                                              const struct cof_kms_owner *owner, const char *name,
                                              struct coffer_fault *fault);
COFFER_MUST_CHECK int cof_kms_db_alias_count(struct cof_kms_db *db, const char *key_arn,
                                             uint64_t *ret_count, struct coffer_fault *fault);
/* In order of name; key_arn "" is all keys. */
COFFER_MUST_CHECK int cof_kms_db_alias_each(
    struct cof_kms_db *db, const struct cof_kms_owner *owner, const char *key_arn,
    const char *after, unsigned limit, int (*visit)(void *ctx, const struct cof_kms_alias_row *row),
    void *ctx, struct coffer_fault *fault);

/* ---- grants (store_grant.c) -------------------------------------------------------------- */

struct cof_kms_grant_row {
    char grant_id[COFFER_GRANT_ID_BYTES];
    char key_arn[COFFER_KEY_ARN_BYTES_MAX];
    char name[COFFER_GRANT_NAME_BYTES_MAX];
    char grantee[COFFER_PRINCIPAL_BYTES_MAX];
    char retiring_principal[COFFER_PRINCIPAL_BYTES_MAX];
    char operations[512]; /* names separated by commas, sorted, each once */
    enum coffer_grant_constraint constraint;
    struct cof_kms_bytes context; /* packed; points into the statement while visited */
    uint64_t created_ns;
    char issuing_account[COFFER_PRINCIPAL_BYTES_MAX]; /* arn:coffer:iam::ACCOUNT:root */
    char source_arn[COFFER_PRINCIPAL_BYTES_MAX];      /* of the constraint; "": none */
};

COFFER_MUST_CHECK int cof_kms_db_grant_add(struct cof_kms_db *db,
                                           const struct cof_kms_grant_row *row,
                                           struct coffer_fault *fault);
/* NOT_FOUND when the key has no such grant. */
COFFER_MUST_CHECK int cof_kms_db_grant_remove(struct cof_kms_db *db, const char *key_arn,
                                              const char *grant_id, struct coffer_fault *fault);
COFFER_MUST_CHECK int cof_kms_db_grant_count(struct cof_kms_db *db, const char *key_arn,
                                             uint64_t *ret_count, struct coffer_fault *fault);
/* Which grants: every text that isn't "" must equal. */
struct cof_kms_grant_filter {
    const char *key_arn, *grant_id, *name, *grantee, *retiring_principal;
};
/* In order of grant id, those after `after`. */
COFFER_MUST_CHECK int cof_kms_db_grant_each(
    struct cof_kms_db *db, const struct cof_kms_grant_filter *filter, const char *after,
    unsigned limit, int (*visit)(void *ctx, const struct cof_kms_grant_row *row), void *ctx,
    struct coffer_fault *fault);

/* ---- tags and tombstones (store_tag.c) --------------------------------------------------- */

struct cof_kms_tag_row {
    char key_arn[COFFER_KEY_ARN_BYTES_MAX];
    char name[4 * 128 + 1];  /* 128 characters of UTF-8 */
    char value[4 * 256 + 1];
};

/* Add it, or give it another value. */
COFFER_MUST_CHECK int cof_kms_db_tag_set(struct cof_kms_db *db, const struct cof_kms_tag_row *row,
                                         struct coffer_fault *fault);
/* Nothing happens when there is none. */
COFFER_MUST_CHECK int cof_kms_db_tag_remove(struct cof_kms_db *db, const char *key_arn,
                                            const char *name, struct coffer_fault *fault);
COFFER_MUST_CHECK int cof_kms_db_tag_count(struct cof_kms_db *db, const char *key_arn,
                                           uint64_t *ret_count, struct coffer_fault *fault);
/* In order of name. */
COFFER_MUST_CHECK int cof_kms_db_tag_each(
    struct cof_kms_db *db, const char *key_arn, const char *after, unsigned limit,
    int (*visit)(void *ctx, const struct cof_kms_tag_row *row), void *ctx,
    struct coffer_fault *fault);

/* What was destroyed: a key, or material of one (material_id of zeros: the key). */
struct cof_kms_tombstone_row {
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    uint8_t material_id[COF_KMS_MATERIAL_ID_BYTES];
    char key_id[COFFER_KEY_ID_BYTES];
    uint64_t deleted_ns;
};

COFFER_MUST_CHECK int cof_kms_db_tombstone_set(struct cof_kms_db *db,
                                               const struct cof_kms_tombstone_row *row,
                                               struct coffer_fault *fault);
/* Of material that was imported again. */
COFFER_MUST_CHECK int cof_kms_db_tombstone_remove(struct cof_kms_db *db, const char *arn,
                                                  const uint8_t *material_id,
                                                  struct coffer_fault *fault);
/* In order of ARN. */
COFFER_MUST_CHECK int cof_kms_db_tombstone_each(
    struct cof_kms_db *db, int (*visit)(void *ctx, const struct cof_kms_tombstone_row *row),
    void *ctx, struct coffer_fault *fault);
/* NOT_FOUND when it isn't dead. */
COFFER_MUST_CHECK int cof_kms_db_tombstone_get(struct cof_kms_db *db, const char *arn,
                                               const uint8_t *material_id,
                                               struct cof_kms_tombstone_row *ret_row,
                                               struct coffer_fault *fault);

/* Each that there is, until visit answers non-zero, which is returned. */
COFFER_MUST_CHECK int cof_kms_db_tombstone_each(
    struct cof_kms_db *db, int (*visit)(void *ctx, const struct cof_kms_tombstone_row *row),
    void *ctx, struct coffer_fault *fault);

/* ---- custom key stores (store_token.c) --------------------------------------------------- */

struct cof_kms_key_store_row {
    char id[COF_KMS_KEY_STORE_ID_BYTES_MAX];
    struct cof_kms_owner owner;
    char name[COF_KMS_KEY_STORE_NAME_BYTES_MAX];
    char type[32];
    char uri[1025];      /* of the token: pkcs11:... */
    char state[16];      /* CONNECTED, CONNECTING, FAILED, DISCONNECTED, DISCONNECTING */
    char error_code[64]; /* why it FAILED; else "" */
    size_t sealed_pin_bytes;
    uint8_t sealed_pin[COF_KMS_SEALED_SECRET_BYTES_MAX];
    uint64_t created_ns;
};

/* Add it, or change all of it. */
COFFER_MUST_CHECK int cof_kms_db_key_store_set(struct cof_kms_db *db,
                                               const struct cof_kms_key_store_row *row,
                                               struct coffer_fault *fault);
/* KEY_STORE_NOT_FOUND. */
COFFER_MUST_CHECK int cof_kms_db_key_store_get(struct cof_kms_db *db, const char *id,
                                               struct cof_kms_key_store_row *ret_row,
                                               struct coffer_fault *fault);
COFFER_MUST_CHECK int cof_kms_db_key_store_remove(struct cof_kms_db *db, const char *id,
                                                  struct coffer_fault *fault);
/* In order of id; name "" is all. */
COFFER_MUST_CHECK int cof_kms_db_key_store_each(
    struct cof_kms_db *db, const struct cof_kms_owner *owner, const char *name, const char *after,
    unsigned limit, int (*visit)(void *ctx, const struct cof_kms_key_store_row *row), void *ctx,
    struct coffer_fault *fault);

/* ---- audit (store_audit.c) --------------------------------------------------------------- */

struct cof_kms_audit_entry {
    const char *event;          /* CreateKey, Decrypt, ...                              */
    const char *principal;
    const char *request_id;     /* NULL: one is drawn                                 */
    const char *key_arn;        /* "" when the call named none that exists              */
    const char *source_key_arn; /* of ReEncrypt, else ""                                */
    const char *context;        /* JSON                                                 */
    const char *source_context; /* JSON, of ReEncrypt, else "{}"                        */
    const char *detail;         /* JSON: other parameters that are no secret            */
    const char *error;          /* "" or the name of an enum coffer_error               */
};

COFFER_MUST_CHECK int cof_kms_db_audit_add(struct cof_kms_db *db,
                                           const struct cof_kms_audit_entry *entry,
                                           struct coffer_fault *fault);
/* How far the trail goes: its records, and the MAC of the last, which all before it are in. */
struct cof_kms_audit_head {
    uint64_t records;
    uint8_t mac[COF_KMS_MAC_BYTES];
};

/* The head as the newest record has it, unchecked. */
COFFER_MUST_CHECK int cof_kms_db_audit_head(struct cof_kms_db *db,
                                            struct cof_kms_audit_head *ret_head,
                                            struct coffer_fault *fault);

/* Follow the chain of MACs from the first record; TAMPER names the first that doesn't fit, or that
 * is not as kept (NULL: no matter) has it. visit, which may be NULL, sees each record after it was
 * checked; its answer, unless 0, ends the walk and is returned. */
COFFER_MUST_CHECK int cof_kms_db_audit_walk(struct cof_kms_db *db, coffer_audit_visit_fn visit,
                                            void *ctx, const struct cof_kms_audit_head *kept,
                                            struct cof_kms_audit_head *ret_head,
                                            struct coffer_fault *fault);

/* How often the secret that seals the root key was changed, and when last (0: never): from the
 * audit trail, not authenticated. */
COFFER_MUST_CHECK int cof_kms_db_root_changes(struct cof_kms_db *db, uint64_t *ret_changes,
                                              uint64_t *ret_last_ns, struct coffer_fault *fault);
/* Whether record head->records has the head's MAC, as it stands there; records 0 is in every trail.
 * Which of several heads to hold the trail against: the walk checks it. */
COFFER_MUST_CHECK int cof_kms_db_audit_has(struct cof_kms_db *db,
                                           const struct cof_kms_audit_head *head, bool *ret_has,
                                           struct coffer_fault *fault);
/* The last record of a key that was used, itself or as the source of a ReEncrypt; its MAC is
 * checked against the record before it. */
struct cof_kms_audit_use {
    uint64_t seq; /* 0: none */
    uint64_t time_ns;
    char event[48];
    char request_id[COFFER_KEY_ID_BYTES];
};
COFFER_MUST_CHECK int cof_kms_db_audit_last_use(struct cof_kms_db *db, const char *key_arn,
                                                struct cof_kms_audit_use *ret_use,
                                                struct coffer_fault *fault);
/* How many keys and audit records there are; not authenticated. */
COFFER_MUST_CHECK int cof_kms_db_tally(struct cof_kms_db *db, uint64_t *ret_keys,
                                       uint64_t *ret_records, struct coffer_fault *fault);

#endif
