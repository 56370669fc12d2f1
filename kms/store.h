/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/store.h - the rows of a key store, without SQL.
 *
 * A database handle is used under the key store's lock, by one thread at a time. Reads and writes
 * happen between begin and commit or rollback. Rows of key, alias, key_grant and store carry a MAC
 * over all their columns: every read checks it (TAMPER), every write makes it; cof_kms_db_unlock
 * gives the key for that. Material carries its own seal and is handed out as bytes.
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

struct cof_kms_db;

/* ---- the file (store.c, store_schema.c) -------------------------------------------------- */

/* Build the file aside, whole, and put it at path; durable on return. EXISTS when path is taken;
 * nothing is left behind on failure. mac_key authenticates the header. */
COFFER_MUST_CHECK int cof_kms_db_create(struct cof_kms_env *env, const char *path,
                                        const struct cof_kms_header *header,
                                        const uint8_t *mac_key, struct coffer_fault *fault);

/* NOT_FOUND, NOT_A_STORE, TOO_NEW, ACCESS, BUSY, CORRUPT. */
COFFER_MUST_CHECK int cof_kms_db_open(struct cof_kms_env *env, const char *path, bool read_only,
                                      unsigned busy_ms, struct cof_kms_db **ret_db,
                                      struct coffer_fault *fault);
/* NULL is allowed. */
void cof_kms_db_close(struct cof_kms_db *db);

/* The header as it stands, not yet authenticated: its key is not known before. */
COFFER_MUST_CHECK int cof_kms_db_header(struct cof_kms_db *db, struct cof_kms_header *ret_header,
                                        struct coffer_fault *fault);
/* From here rows are checked and made with mac_key, which must outlive db. Checks the header's. */
COFFER_MUST_CHECK int cof_kms_db_unlock(struct cof_kms_db *db, const uint8_t *mac_key,
                                        const uint8_t *audit_key, struct coffer_fault *fault);

/* ---- transactions (store.c) -------------------------------------------------------------- */

/* writes: take the write lock now, waiting up to busy_ms. */
COFFER_MUST_CHECK int cof_kms_db_begin(struct cof_kms_db *db, bool writes,
                                       struct coffer_fault *fault);
/* Undo what was written since begin and go on in the same transaction. */
COFFER_MUST_CHECK int cof_kms_db_undo(struct cof_kms_db *db, struct coffer_fault *fault);
/* Durable on return. On failure nothing was written. */
COFFER_MUST_CHECK int cof_kms_db_commit(struct cof_kms_db *db, struct coffer_fault *fault);
void cof_kms_db_rollback(struct cof_kms_db *db);

/* ---- keys and material (store_key.c) ----------------------------------------------------- */

struct cof_kms_key_row {
    char key_id[COFFER_KEY_ID_BYTES];
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    struct cof_kms_owner owner;
    enum coffer_key_state state;
    bool managed;
    char origin[16];
    char key_spec[32];
    char key_usage[32];
    bool multi_region;
    uint64_t created_ns;
    uint64_t deletion_ns; /* 0: none */
    uint64_t valid_to_ns; /* 0: none */
    uint8_t material_id[COF_KMS_MATERIAL_ID_BYTES];
    char description[COFFER_DESCRIPTION_BYTES_MAX + 1];
};

struct cof_kms_material_row {
    uint8_t id[COF_KMS_MATERIAL_ID_BYTES];
    char key_id[COFFER_KEY_ID_BYTES];
    uint32_t version;
    char source[16];
    uint64_t created_ns;
    uint8_t sealed[COF_KMS_SEALED_BYTES];
};

/* KEY_NOT_FOUND when there is none. */
COFFER_MUST_CHECK int cof_kms_db_key_get(struct cof_kms_db *db, const char *key_id,
                                         struct cof_kms_key_row *ret_row,
                                         struct coffer_fault *fault);
COFFER_MUST_CHECK int cof_kms_db_key_add(struct cof_kms_db *db, const struct cof_kms_key_row *row,
                                         struct coffer_fault *fault);
COFFER_MUST_CHECK int cof_kms_db_key_set_state(struct cof_kms_db *db, const char *key_id,
                                               enum coffer_key_state state,
                                               struct coffer_fault *fault);
COFFER_MUST_CHECK int cof_kms_db_key_count(struct cof_kms_db *db, uint64_t *ret_count,
                                           struct coffer_fault *fault);
/* Keys in order of id, those after `after`, at most limit (0: all), until visit answers non-zero,
 * which is returned. */
COFFER_MUST_CHECK int cof_kms_db_key_each(struct cof_kms_db *db, const char *after, unsigned limit,
                                          int (*visit)(void *ctx,
                                                       const struct cof_kms_key_row *row),
                                          void *ctx, struct coffer_fault *fault);

COFFER_MUST_CHECK int cof_kms_db_material_add(struct cof_kms_db *db,
                                              const struct cof_kms_material_row *row,
                                              struct coffer_fault *fault);
/* NOT_FOUND when the key has no such material. */
COFFER_MUST_CHECK int cof_kms_db_material_get(struct cof_kms_db *db, const char *key_id,
                                              const uint8_t *material_id,
                                              struct cof_kms_material_row *ret_row,
                                              struct coffer_fault *fault);

/* ---- aliases (store_alias.c) ------------------------------------------------------------- */

struct cof_kms_alias_row {
    char name[COFFER_ALIAS_BYTES_MAX];
    char key_id[COFFER_KEY_ID_BYTES];
    uint64_t created_ns;
    uint64_t updated_ns;
};

/* NOT_FOUND when there is none. */
COFFER_MUST_CHECK int cof_kms_db_alias_get(struct cof_kms_db *db, const char *name,
                                           struct cof_kms_alias_row *ret_row,
                                           struct coffer_fault *fault);
COFFER_MUST_CHECK int cof_kms_db_alias_add(struct cof_kms_db *db,
                                           const struct cof_kms_alias_row *row,
                                           struct coffer_fault *fault);
COFFER_MUST_CHECK int cof_kms_db_alias_count(struct cof_kms_db *db, const char *key_id,
                                             uint64_t *ret_count, struct coffer_fault *fault);
/* In order of name; key_id "" is all keys. */
COFFER_MUST_CHECK int cof_kms_db_alias_each(
    struct cof_kms_db *db, const char *key_id, const char *after, unsigned limit,
    int (*visit)(void *ctx, const struct cof_kms_alias_row *row), void *ctx,
    struct coffer_fault *fault);

/* ---- grants (store_grant.c) -------------------------------------------------------------- */

struct cof_kms_grant_row {
    char grant_id[COFFER_GRANT_ID_BYTES];
    char key_id[COFFER_KEY_ID_BYTES];
    char name[COFFER_GRANT_NAME_BYTES_MAX];
    char grantee[COFFER_PRINCIPAL_BYTES_MAX];
    char retiring_principal[COFFER_PRINCIPAL_BYTES_MAX];
    char operations[512]; /* names separated by commas, sorted, each once */
    enum coffer_grant_constraint constraint;
    struct cof_kms_bytes context; /* packed; points into the statement while visited */
    uint64_t created_ns;
};

COFFER_MUST_CHECK int cof_kms_db_grant_add(struct cof_kms_db *db,
                                           const struct cof_kms_grant_row *row,
                                           struct coffer_fault *fault);
/* NOT_FOUND when the key has no such grant. */
COFFER_MUST_CHECK int cof_kms_db_grant_remove(struct cof_kms_db *db, const char *key_id,
                                              const char *grant_id, struct coffer_fault *fault);
COFFER_MUST_CHECK int cof_kms_db_grant_count(struct cof_kms_db *db, const char *key_id,
                                             uint64_t *ret_count, struct coffer_fault *fault);
/* In order of grant id; name "" is all of the key's. */
COFFER_MUST_CHECK int cof_kms_db_grant_each(
    struct cof_kms_db *db, const char *key_id, const char *name, const char *after, unsigned limit,
    int (*visit)(void *ctx, const struct cof_kms_grant_row *row), void *ctx,
    struct coffer_fault *fault);

/* ---- audit (store_audit.c) --------------------------------------------------------------- */

struct cof_kms_audit_entry {
    const char *event;          /* CreateKey, Decrypt, ...                              */
    const char *principal;
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
/* Follow the chain of MACs from the first record; TAMPER names the first that doesn't fit. */
COFFER_MUST_CHECK int cof_kms_db_audit_verify(struct cof_kms_db *db, uint64_t *ret_records,
                                              struct coffer_fault *fault);

#endif
