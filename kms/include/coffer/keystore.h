/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/keystore.h - the embedded key store: a key service in one SQLite file.
 *
 * CAVEATS, before the API:
 *
 * - The file holds no key in clear. Key material is sealed under a random store root key, which is
 *   itself sealed under a passphrase (Argon2id) or a root key file. Losing that loses every key.
 * - What was acknowledged is durable: each call is one transaction, synced before it returns, with
 *   its audit record. A call whose audit record can't be written fails.
 * - Any number of processes may have a store open; SQLite orders their writes. A call waits up to
 *   five seconds for its turn and gives COFFER_E_BUSY after that.
 * - READ_ONLY reads and decrypts, and writes nothing at all, so it leaves no audit record.
 * - Keys do not survive fork: a child gets COFFER_E_FORKED and must open the store again.
 * - Every row that a decision depends on is authenticated; an edited one gives COFFER_E_TAMPER. An
 *   older copy of the whole file can't be told from the newest by the file alone: the ledger beside
 *   it keeps destroyed keys destroyed.
 *
 * Threads: a key store may be shared by threads; calls are serialised inside.
 * `ret_` outputs are untouched on failure. A struct coffer_fault pointer may be NULL; its detail
 * holds a sentence that says what failed, why and what to do, and never a secret.
 *
 * A key argument is a key id, a key ARN, alias/NAME or an alias ARN. Calls marked "id or ARN" take
 * no alias. NULL stands for alias/coffer/default, the managed key that is made on first use.
 *
 * Errors common to all calls: KEY_NOT_FOUND, KEY_DISABLED, KEY_STATE, KEY_ACCESS (a managed or
 * reserved thing, or a blob of a foreign key), INVALID, TAMPER, BUSY, NO_SPACE, READ_ONLY, CORRUPT,
 * IO, ACCESS, NO_MEMORY, LOCKED_MEMORY, FORKED, CRYPTO.
 */
#ifndef COFFER_KEYSTORE_H
#define COFFER_KEYSTORE_H

#include <coffer/env.h>
#include <coffer/error.h>
#include <coffer/keys.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define COFFER_ACCOUNT_DEFAULT "000000000000"
#define COFFER_REGION_DEFAULT "local-1"
#define COFFER_ALIAS_DEFAULT "alias/coffer/default"
#define COFFER_KEY_MANAGER_CUSTOMER "CUSTOMER" /* spelled in KeyMetadata.KeyManager */
#define COFFER_KEY_MANAGER_MANAGED "COFFER"

#define COFFER_PASSPHRASE_BYTES_MAX 1024
#define COFFER_PLAINTEXT_BYTES_MAX 4096      /* Encrypt takes 1 to this many bytes           */
#define COFFER_DATA_KEY_BYTES_MAX 1024       /* GenerateDataKey makes 1 to this many bytes   */
#define COFFER_DESCRIPTION_BYTES_MAX 8192
#define COFFER_CONTEXT_BYTES_MAX 8192        /* an encryption context, in its canonical form */
#define COFFER_KEY_ID_BYTES 37               /* 8-4-4-4-12 lower-case hex, with its NUL      */
#define COFFER_MATERIAL_ID_BYTES 65          /* 64 hex digits, with its NUL                  */
#define COFFER_GRANT_ID_BYTES 65             /* 64 hex digits, with its NUL                  */
#define COFFER_ALIAS_BYTES_MAX 257           /* "alias/..." up to 256 bytes, with its NUL    */
#define COFFER_GRANT_NAME_BYTES_MAX 257      /* 0 to 256 bytes, with its NUL                 */
#define COFFER_MARKER_BYTES_MAX 620

struct coffer_keystore;

/* ---- memory for secrets ------------------------------------------------------------------ */

/* Zeroed pages that are locked in memory, kept out of core dumps, wiped on fork and fenced by
 * guard pages. LOCKED_MEMORY when they can't be locked (raise RLIMIT_MEMLOCK). */
COFFER_MUST_CHECK int coffer_keystore_secret_new(size_t bytes, uint8_t **ret_memory);
/* Wipe and release; NULL is allowed. */
void coffer_keystore_secret_free(uint8_t *memory);

/* ---- open and close ---------------------------------------------------------------------- */

enum coffer_keystore_flags {
    COFFER_KEYSTORE_CREATE = 1u << 0,   /* make the file when it isn't there                  */
    COFFER_KEYSTORE_READ_ONLY = 1u << 1 /* write nothing, the audit trail included            */
};

enum coffer_root_kind {
    COFFER_ROOT_PASSPHRASE = 1,
    COFFER_ROOT_KEY_FILE = 2,
    COFFER_ROOT_TOKEN = 3, /* a PKCS#11 token */
    COFFER_ROOT_TPM = 4    /* a TPM 2.0       */
};

/*
 * Write the passphrase, 1 to capacity bytes without terminator, into buffer, which lies in locked
 * memory, and its length into *ret_bytes. creating is 1 when a new store will be sealed with it (so
 * that a prompt can ask twice). Returns 0 or a negative enum coffer_error, which open passes on.
 */
typedef int (*coffer_passphrase_fn)(void *ctx, int creating, uint8_t *buffer, size_t capacity,
                                    size_t *ret_bytes);

struct coffer_keystore_opts {
    size_t size;
    const char *path;
    const char *account; /* 12 digits; NULL: the store's own, 000000000000 for a new one      */
    const char *region;  /* 1 to 32 of [a-z0-9-]; NULL: the store's own, local-1 for a new one */
    unsigned flags;      /* enum coffer_keystore_flags                                        */

    /* Where the root secret comes from; exactly one of the two. The key file holds 32 raw bytes
     * or 64 hex digits, belongs to the caller and has no right for group and others. In its place
     * may stand a token, pkcs11:module-path=...;token=...;object=LABEL?pin-source=file:PATH (RFC
     * 7512), or a TPM, tpm2:FILE?auth-source=file:PATH[&tcti=...]; for a new store, what LABEL or
     * FILE name is made when it isn't there. A file of such a name is written ./pkcs11:... */
    coffer_passphrase_fn passphrase;
    void *passphrase_ctx;
    const char *root_key_file;

    const struct coffer_env *env;

    /* Cost of Argon2id for a new store; 0 is the default in brackets. An existing store has its
     * own. Less than the default is for tests. */
    uint32_t argon2_memory_kib; /* [65536] at least 8                 */
    uint32_t argon2_passes;     /* [3]                                */
    uint32_t argon2_lanes;      /* [1]                                */
    uint32_t busy_timeout_ms;   /* [5000] longest wait for other processes */

    /* The file that says what an older copy of the store must not bring back: destroyed keys, and
     * how far the audit trail goes. NULL: path and ".ledger", which is made when the first key is
     * destroyed. On another medium, it holds even when the whole directory is put back. */
    const char *ledger_path;
};

/*
 * Open the store at path. NOT_FOUND when there is none and CREATE isn't set; nothing is left behind
 * when creation fails. PASSPHRASE when the passphrase or root key is wrong, or of the other kind;
 * INVALID when account or region is not the store's; TOO_NEW, NOT_A_STORE, TAMPER, CORRUPT.
 */
COFFER_MUST_CHECK int coffer_keystore_open(const struct coffer_keystore_opts *opts,
                                           struct coffer_keystore **ret_store,
                                           struct coffer_fault *fault);

/* Wipe the keys and close; NULL is allowed. No other call may be running. */
void coffer_keystore_close(struct coffer_keystore *store);

struct coffer_keystore_info {
    size_t size; /* set by the caller */
    uint8_t uuid[16];
    char account[13];
    char region[33];
    enum coffer_root_kind root_kind;
    uint32_t argon2_memory_kib, argon2_passes, argon2_lanes; /* 0 but for a passphrase        */
    uint64_t created_ns; /* wall clock                                                        */
    int created_now;     /* this open made the store                                          */
    uint32_t schema_version;
};

COFFER_MUST_CHECK int coffer_keystore_info_get(struct coffer_keystore *store,
                                               struct coffer_keystore_info *ret_info);

/* A record of the audit trail: a call, allowed or refused, or an act of the service itself. */
struct coffer_audit_record {
    size_t size;
    uint64_t sequence;          /* from 1, without gaps                                        */
    uint64_t time_ns;           /* wall clock                                                  */
    const char *event;          /* CreateKey, Decrypt, ...                                     */
    const char *request_id;
    const char *principal;
    const char *key_arn;        /* "": the call named no key that exists                       */
    const char *source_key_arn; /* of ReEncrypt, else ""                                       */
    const char *context;        /* JSON object                                                 */
    const char *source_context; /* JSON object, of ReEncrypt                                   */
    const char *detail;         /* JSON object: other parameters that are no secret            */
    const char *error;          /* "": it was done; else the name of an enum coffer_error      */
};

/* Must not call the store. Its answer, unless 0, ends the walk and is returned. */
typedef int (*coffer_audit_visit_fn)(void *ctx, const struct coffer_audit_record *record);

#define COFFER_AUDIT_DIGEST_BYTES 32
#define COFFER_AUDIT_SIGNATURE_BYTES 64

/* How far the trail goes. Who keeps a head sees later whether the trail still has all of it. */
struct coffer_audit_head {
    size_t size; /* set by the caller */
    uint64_t records;
    uint8_t digest[COFFER_AUDIT_DIGEST_BYTES]; /* of the last record, and so of all before it  */
    /* Ed25519 over "coffer/kms/audit/head/1", 00, the store's uuid, records (u64, little endian)
     * and digest; the key pair derives from the root key. */
    uint8_t signature[COFFER_AUDIT_SIGNATURE_BYTES];
    uint8_t public_key[32];
};

/*
 * Follow the audit trail's chain from its first record, without that of this call: visit (may be
 * NULL) sees each record that fits, in order. TAMPER, with a sentence that names the first that was
 * altered, dropped or moved. Records cut off at the end show only against a head that was kept:
 * kept (NULL: the newest that the ledger has, if any) gives TAMPER when the trail has not its
 * digest at its record. ret_head may be NULL.
 */
COFFER_MUST_CHECK int coffer_keystore_audit_walk(struct coffer_keystore *store,
                                                 coffer_audit_visit_fn visit, void *ctx,
                                                 const struct coffer_audit_head *kept,
                                                 struct coffer_audit_head *ret_head,
                                                 struct coffer_fault *fault);

/* That alone: the number of records. */
COFFER_MUST_CHECK int coffer_keystore_audit_verify(struct coffer_keystore *store,
                                                   uint64_t *ret_records,
                                                   struct coffer_fault *fault);

/* Look through all of the store: the file's structure, the MAC of every row, what must hold between
 * rows, and the audit trail's chain. The number of rows, or TAMPER or CORRUPT. It reads everything,
 * and other calls wait meanwhile. */
COFFER_MUST_CHECK int coffer_keystore_check(struct coffer_keystore *store, uint64_t *ret_rows,
                                            struct coffer_fault *fault);

/* ---- copies and the root secret ---------------------------------------------------------- */

/* PASSPHRASE, ROOT_KEY_FILE, PKCS11_TOKEN, TPM; UNKNOWN for any other; never NULL. */
const char *coffer_keystore_root_kind_name(enum coffer_root_kind kind);

/* What a file says of itself without any secret, and so without proof: nobody vouches for it. */
struct coffer_keystore_summary {
    size_t size; /* set by the caller */
    struct coffer_keystore_info info;
    uint64_t root_since_ns; /* since when this passphrase or root key file seals it; wall clock */
    uint64_t root_changes;  /* how many there were before it                                  */
    uint64_t keys;
    uint64_t audit_records;
};

/* NOT_FOUND, NOT_A_STORE, TOO_NEW, TAMPER, ACCESS. */
COFFER_MUST_CHECK int coffer_keystore_inspect(const char *path,
                                              struct coffer_keystore_summary *ret_summary,
                                              struct coffer_fault *fault);

/*
 * Copy the store to the new file `to` (EXISTS when it is there), as it stands at one moment, while
 * others go on using it. The copy is sealed as the store is, has mode 0600, and is durable, whole
 * and checked row by row when this returns; on failure there is none. The audit trail, and the
 * copy's, has a record of it (event BackupKeyStore), except on a store that was opened READ_ONLY.
 */
COFFER_MUST_CHECK int coffer_keystore_backup(struct coffer_keystore *store, const char *to,
                                             struct coffer_fault *fault);

enum coffer_restore_flags {
    COFFER_RESTORE_REPLACE = 1u << 0 /* also where a store is: that is kept as PATH.replaced-HEX */
};

/*
 * Put the copy `from` at opts->path; opts has the secret that opens the copy, and no flags. Every
 * row and the audit trail of the copy are checked first; it appears at the path whole or not at
 * all. EXISTS when the path is taken and REPLACE isn't set; BUSY when a process has the store open
 * that is replaced.
 *
 * What was deleted stays deleted: keys and material that the store which is replaced had destroyed
 * are destroyed in the copy, too, as long as that store can be read. Calls that came after the copy
 * was made are lost otherwise; the copy's audit trail has a record of its return (RestoreKeyStore).
 */
COFFER_MUST_CHECK int coffer_keystore_restore(const struct coffer_keystore_opts *opts,
                                              const char *from, unsigned flags,
                                              struct coffer_fault *fault);

/* The secret that seals the root key from now on: exactly one of the two, as in
 * coffer_keystore_opts, with the cost of Argon2id (0: the default, not the one that it had). */
struct coffer_keystore_root_opts {
    size_t size;
    coffer_passphrase_fn passphrase;
    void *passphrase_ctx;
    const char *root_key_file;
    uint32_t argon2_memory_kib, argon2_passes, argon2_lanes;
};

/*
 * Seal the store's root key by another secret, in one transaction: after a crash it is sealed by
 * the old one or by the new one. The root key stays, so that handles which are open, and everything
 * that it sealed, go on: copies that were made before open by the old secret still. Whoever may
 * have had the old secret and a copy has the root key: make new keys in a new store then.
 */
COFFER_MUST_CHECK int coffer_keystore_root_change(struct coffer_keystore *store,
                                                  const struct coffer_keystore_root_opts *opts,
                                                  struct coffer_fault *fault);

/* Record in the audit trail that plaintext which key protects is about to be given out (event
 * ExportPlaintext); durable on return. context says what and where to, NULL for nothing. No key is
 * used. On a store opened READ_ONLY: READ_ONLY. */
COFFER_MUST_CHECK int coffer_keystore_export_plaintext(struct coffer_keystore *store,
                                                       const char *key,
                                                       const struct coffer_context *context,
                                                       struct coffer_fault *fault);

/* Fill ret_provider, which is good until the store is closed. It speaks as the root of the store's
 * account, and grants name arn:...:role/coffer-engine. */
COFFER_MUST_CHECK int coffer_keystore_provider(struct coffer_keystore *store,
                                               struct coffer_key_provider *ret_provider);

/*
 * The same, speaking as principal: the ARN of a root, a user, a role or a role's session, with that
 * one's rights and no others. Grants for this provider name it (of a session: its role). The role
 * of an engine need not have been made: grants are all it needs. A person's provider as `caller`
 * and the engine's as `provider` make the two that coffer/keys.h tells of. principal NULL is
 * coffer_keystore_provider. INVALID for what is no principal; NO_MEMORY.
 */
COFFER_MUST_CHECK int coffer_keystore_provider_as(struct coffer_keystore *store,
                                                  const char *principal,
                                                  struct coffer_key_provider *ret_provider);

/* A provider's calls take no fault: this copies that of the last one that failed, whichever thread
 * made it, or a fault with error 0. */
void coffer_keystore_provider_fault(struct coffer_keystore *store, struct coffer_fault *ret_fault);

/* ---- keys -------------------------------------------------------------------------------- */

struct coffer_key_metadata {
    size_t size; /* set by the caller */
    char key_id[COFFER_KEY_ID_BYTES];
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    char account[13];
    enum coffer_key_state state;
    int managed;              /* KeyManager                                                   */
    int multi_region;
    char origin[16];          /* AWS_KMS: the store made the material; EXTERNAL: imported     */
    char key_spec[32];        /* SYMMETRIC_DEFAULT                                            */
    char key_usage[32];       /* ENCRYPT_DECRYPT                                              */
    char material_id[COFFER_MATERIAL_ID_BYTES]; /* of the material that encrypts now          */
    uint64_t created_ns;      /* wall clock                                                   */
    uint64_t deletion_ns;     /* 0: not scheduled                                             */
    uint64_t valid_to_ns;     /* 0: imported material doesn't expire                          */
    char description[COFFER_DESCRIPTION_BYTES_MAX + 1];
};

/* "Enabled", "Disabled", "PendingDeletion", ... as in KeyMetadata.KeyState; never NULL. */
const char *coffer_keystore_state_name(enum coffer_key_state state);

/* Make an AES-256 key with fresh material; durable on return. description NULL is empty. LIMIT at
 * 100,000 keys. */
COFFER_MUST_CHECK int coffer_keystore_create_key(struct coffer_keystore *store,
                                                 const char *description,
                                                 struct coffer_key_metadata *ret_key,
                                                 struct coffer_fault *fault);

COFFER_MUST_CHECK int coffer_keystore_describe_key(struct coffer_keystore *store, const char *key,
                                                   struct coffer_key_metadata *ret_key,
                                                   struct coffer_fault *fault);

/* id or ARN. The managed key can't be disabled: KEY_ACCESS. */
COFFER_MUST_CHECK int coffer_keystore_enable_key(struct coffer_keystore *store, const char *key,
                                                 struct coffer_fault *fault);
COFFER_MUST_CHECK int coffer_keystore_disable_key(struct coffer_keystore *store, const char *key,
                                                  struct coffer_fault *fault);

/*
 * A page of a listing. visit is called for each entry, at most limit times (0: all), and must not
 * call the store; a non-zero answer ends the listing and is returned. Begin with marker NULL; when
 * more follows, ret_marker gets the marker of the next page, else an empty string. ret_marker may
 * be NULL. MARKER for a marker that no listing gave.
 */
struct coffer_key_entry {
    const char *key_id;
    const char *arn;
};

COFFER_MUST_CHECK int coffer_keystore_list_keys(
    struct coffer_keystore *store, unsigned limit, const char *marker,
    int (*visit)(void *ctx, const struct coffer_key_entry *entry), void *ctx,
    char ret_marker[COFFER_MARKER_BYTES_MAX], struct coffer_fault *fault);

/* ---- aliases ----------------------------------------------------------------------------- */

/* Name target (id or ARN) "alias/NAME": 1 to 256 bytes of [a-zA-Z0-9/_-] in all, not under
 * alias/coffer/ or alias/aws/. EXISTS when the name is taken; LIMIT at 50 a key. */
COFFER_MUST_CHECK int coffer_keystore_create_alias(struct coffer_keystore *store, const char *name,
                                                   const char *target, struct coffer_fault *fault);

struct coffer_alias_entry {
    const char *name;
    const char *arn;
    const char *target_key_id;
    uint64_t created_ns;
    uint64_t updated_ns;
};

/* key NULL: the aliases of all keys; else id or ARN. */
COFFER_MUST_CHECK int coffer_keystore_list_aliases(
    struct coffer_keystore *store, const char *key, unsigned limit, const char *marker,
    int (*visit)(void *ctx, const struct coffer_alias_entry *entry), void *ctx,
    char ret_marker[COFFER_MARKER_BYTES_MAX], struct coffer_fault *fault);

/* ---- cryptographic calls ----------------------------------------------------------------- */

/* What a call used. */
struct coffer_key_used {
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    char material_id[COFFER_MATERIAL_ID_BYTES];
};

/*
 * Contexts: NULL equals the empty one. Keys are 1 byte or more, keys and values UTF-8, no key
 * twice, COFFER_CONTEXT_BYTES_MAX in canonical form; else INVALID. Order doesn't matter.
 * ret_used may be NULL.
 */

/* Encrypt 1 to 4096 bytes. */
COFFER_MUST_CHECK int coffer_keystore_encrypt(struct coffer_keystore *store, const char *key,
                                              const uint8_t *plaintext, size_t plaintext_bytes,
                                              const struct coffer_context *context,
                                              struct coffer_key_blob *ret_blob,
                                              struct coffer_key_used *ret_used,
                                              struct coffer_fault *fault);

/*
 * Decrypt into plaintext (capacity bytes, RANGE when that is too little; 4096 always suffice), to
 * lie in locked memory. The blob names its key; key NULL takes that one, any other key than the
 * blob's gives KEY_INCORRECT; a damaged blob and a wrong context give KEY_CIPHERTEXT. A blob of a
 * key that isn't in this store gives KEY_ACCESS.
 */
COFFER_MUST_CHECK int coffer_keystore_decrypt(struct coffer_keystore *store, const char *key,
                                              const uint8_t *blob, size_t blob_bytes,
                                              const struct coffer_context *context,
                                              uint8_t *plaintext, size_t capacity,
                                              size_t *ret_plaintext_bytes,
                                              struct coffer_key_used *ret_used,
                                              struct coffer_fault *fault);

/* Decrypt and encrypt again under destination_key, without handing out the plaintext. source_key
 * as in decrypt. */
COFFER_MUST_CHECK int coffer_keystore_re_encrypt(
    struct coffer_keystore *store, const char *source_key, const uint8_t *blob, size_t blob_bytes,
    const struct coffer_context *source_context, const char *destination_key,
    const struct coffer_context *destination_context, struct coffer_key_blob *ret_blob,
    struct coffer_key_used *ret_source, struct coffer_key_used *ret_destination,
    struct coffer_fault *fault);

/* Draw data_key_bytes (1 to 1024) random bytes and return them encrypted, and in clear in plaintext
 * (data_key_bytes of locked memory) unless that is NULL. */
COFFER_MUST_CHECK int coffer_keystore_generate_data_key(
    struct coffer_keystore *store, const char *key, size_t data_key_bytes,
    const struct coffer_context *context, uint8_t *plaintext, struct coffer_key_blob *ret_blob,
    struct coffer_key_used *ret_used, struct coffer_fault *fault);

/* ---- grants ------------------------------------------------------------------------------ */

enum coffer_grant_constraint {
    COFFER_GRANT_NO_CONSTRAINT = 0,
    COFFER_GRANT_CONTEXT_EQUALS,
    COFFER_GRANT_CONTEXT_SUBSET
};

struct coffer_grant_opts {
    size_t size;
    const char *key;                /* id or ARN                                              */
    const char *grantee;            /* 1 to 256 bytes                                         */
    const char *retiring_principal; /* or NULL                                                */
    const char *name;               /* or NULL; the same grant under the same name: same id   */
    const char *const *operations;  /* "Decrypt", "ReEncryptFrom", ... : 1 or more            */
    unsigned operation_count;
    enum coffer_grant_constraint constraint;
    const struct coffer_context *context; /* of the constraint: at most 8 pairs               */
};

/* Record a grant; durable on return. LIMIT at 50,000 a key. EXISTS when name is taken by another
 * grant of the key. */
COFFER_MUST_CHECK int coffer_keystore_create_grant(struct coffer_keystore *store,
                                                   const struct coffer_grant_opts *opts,
                                                   char ret_grant_id[COFFER_GRANT_ID_BYTES],
                                                   struct coffer_fault *fault);

/* id or ARN. NOT_FOUND when the key has no such grant, GRANT_ID for what is no id of one. */
COFFER_MUST_CHECK int coffer_keystore_retire_grant(struct coffer_keystore *store, const char *key,
                                                   const char *grant_id,
                                                   struct coffer_fault *fault);

struct coffer_grant_entry {
    const char *grant_id;
    const char *key_arn;
    const char *grantee;
    const char *retiring_principal; /* empty: none */
    const char *name;               /* empty: none */
    const char *const *operations;
    unsigned operation_count;
    enum coffer_grant_constraint constraint;
    struct coffer_context context;
    uint64_t created_ns;
};

/* id or ARN. */
COFFER_MUST_CHECK int coffer_keystore_list_grants(
    struct coffer_keystore *store, const char *key, unsigned limit, const char *marker,
    int (*visit)(void *ctx, const struct coffer_grant_entry *entry), void *ctx,
    char ret_marker[COFFER_MARKER_BYTES_MAX], struct coffer_fault *fault);

#ifdef __cplusplus
}
#endif
#endif
