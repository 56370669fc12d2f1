/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/kms.h - an open key store, and one call on it.
 *
 * Every verb is: begin (lock, transaction), its work, settle (audit record, commit), handing out of
 * results, leave. Results are handed out after settle only: nothing is that is not on the record.
 *
 * The lock is held from begin into settle and guards everything below. Settle wipes the scratch and
 * gives up the lock, since calls share commits (batch.h): what is handed out lies in memory of the
 * caller's by then. Of a call that is alone (COF_KMS_ALONE) leave gives it up.
 */
#ifndef COF_KMS_KMS_H
#define COF_KMS_KMS_H

#include "batch.h"
#include "blob.h"
#include "context.h"
#include "env.h"
#include "secret.h"
#include "store.h"
#include "throttle.h"

#include <coffer/keystore.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>

#define COF_KMS_KEYS_MAX 100000u
#define COF_KMS_ALIASES_MAX 50u
#define COF_KMS_GRANTS_MAX 50000u
#define COF_KMS_OPERATIONS_MAX 32u /* named by one grant */
#define COF_KMS_PRINCIPAL_BYTES 64u
#define COF_KMS_CANARY 0x636f66666572ULL

/* Lives in locked pages (coffer_keystore_secret_new). */
struct cof_kms_secrets {
    uint64_t canary; /* zero in a forked child */
    uint8_t root_key[COF_KMS_KEY_BYTES];
    uint8_t mac_key[COF_KMS_KEY_BYTES];
    uint8_t audit_key[COF_KMS_KEY_BYTES];
    uint8_t ledger_key[COF_KMS_KEY_BYTES];
    /* Scratch of the call at hand, wiped by leave. */
    uint8_t material[COF_KMS_MATERIAL_BYTES_MAX];
    uint8_t subkey[3 * COF_KMS_KEY_BYTES];
    uint8_t plaintext[COFFER_PLAINTEXT_BYTES_MAX];
};

#define COF_KMS_TOKEN_SLOTS 10u

/* An open token of a custom key store; id "": none. */
struct cof_kms_token_slot {
    char id[COF_KMS_KEY_STORE_ID_BYTES_MAX];
    struct cof_token *token;
};

/* Who a provider speaks as (provider.c); principal "": the root of the store's account. */
struct cof_kms_speaker {
    struct coffer_keystore *ks;
    struct cof_kms_speaker *next;
    char principal[COFFER_PRINCIPAL_BYTES_MAX];
};

struct coffer_keystore {
    struct cof_kms_env env;
    pthread_mutex_t lock;
    bool read_only;
    bool created_now;
    struct cof_kms_header header;
    char principal[COF_KMS_PRINCIPAL_BYTES];
    struct cof_kms_db *db;
    struct cof_kms_secrets *secrets;
    struct cof_kms_batch batch;
    struct cof_kms_spares spares;
    uint8_t *contexts[2]; /* COFFER_CONTEXT_BYTES_MAX each: packed contexts of the call at hand */

    struct cof_kms_ledger *ledger; /* ledger.h */
    bool keeps_heads; /* the ledger was asked for: it has heads of the audit trail from the start */
    struct cof_kms_token_slot tokens[COF_KMS_TOKEN_SLOTS]; /* token_key.h */
    unsigned token_turn; /* the slot that is given up next */
    int (*guard)(void *ctx, const struct cof_kms_key_row *row, const char *event,
                 struct coffer_fault *fault); /* may be NULL; verbs.h */
    void *guard_ctx;

    pthread_mutex_t provider_lock; /* guards these two; taken last */
    struct coffer_fault provider_fault;
    struct cof_kms_speaker *speakers; /* one for each principal, until close */

    struct cof_throttle throttle; /* has a lock of its own */
};

#define COF_KMS_GRANT_TOKENS_MAX 10u
#define COF_KMS_CONDITIONS_MAX 6u

/* Who calls, and how. Texts outlive the call; NULL is what the comment says. */
struct cof_kms_caller {
    const char *principal;      /* ARN; NULL: the root of the store's account                  */
    const char *region;         /* NULL: the store's                                           */
    const char *source_ip;      /* NULL: not over a network                                    */
    const char *user_agent;     /* NULL: unknown                                               */
    const char *via_service;    /* NULL: called by itself                                      */
    const char *source_arn;     /* of what via_service calls for; NULL: unknown                 */
    const char *session_policy; /* a document that bounds a session of a role; NULL: none      */
    uint64_t session_ends_ns;   /* of temporary credentials; 0: a key without an end           */
    const char *request_id;     /* for the record; NULL: one is drawn                          */
    const char *const *grant_tokens;
    unsigned grant_token_count;
    bool dry_run; /* check everything, change nothing, and end in DRY_RUN                      */
    bool *announced;     /* the thread's announcement (batch.h), which begin takes; NULL: none  */
    uint64_t seen_batch; /* what the caller was authenticated by; 0: committed by then          */
};

struct cof_kms_call {
    struct coffer_keystore *ks;
    struct coffer_fault *fault; /* the caller's, or own */
    struct coffer_fault own;
    const char *event;
    struct cof_kms_caller caller; /* principal and region are never NULL */
    struct cof_kms_owner owner;   /* whose keys an id means: the caller's account, the region */
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    char source_arn[COFFER_KEY_ARN_BYTES_MAX];
    struct cof_kms_bytes context;        /* packed; length 0 until given */
    struct cof_kms_bytes source_context;
    struct cof_token *token; /* of the key that was opened, when a token has it */
    unsigned long token_key;
    char detail[768];                    /* JSON of parameters that are no secret; "" is {} */

    /* What the caller's request has for conditions of policies, beside what every request has. */
    const char *condition_names[COF_KMS_CONDITIONS_MAX];
    const char *condition_values[COF_KMS_CONDITIONS_MAX];
    unsigned condition_count;
    char number[24];                           /* the one that a request has, spelled          */
    const struct cof_kms_grant_row *new_grant; /* of CreateGrant: what a parent grant must cover */
    const char *resource;                      /* of an action on no key; NULL: "*"            */
    const char *re_encrypt_to;                 /* of ReEncrypt: the destination's ARN          */

    bool alone; /* in its batch */
    bool holds; /* the lock     */
    int error;  /* once settled */
    struct cof_kms_call *next;
    sem_t settled;
};

enum cof_kms_access {
    COF_KMS_READS, /* also on a read-only store   */
    COF_KMS_CHANGES,
    COF_KMS_ALONE /* changes the file, and the ledger or memory as well */
};

/* As the root of the store's account, in its region. On failure nothing is held. */
COFFER_MUST_CHECK int cof_kms_call_begin(struct cof_kms_call *call, struct coffer_keystore *ks,
                                         const char *event, enum cof_kms_access access,
                                         struct coffer_fault *fault);
/* As caller, which may be NULL. INVALID for a principal that is no ARN of one, or no region. */
COFFER_MUST_CHECK int cof_kms_call_begin_as(struct cof_kms_call *call, struct coffer_keystore *ks,
                                            const char *event, enum cof_kms_access access,
                                            const struct cof_kms_caller *caller,
                                            struct coffer_fault *fault);
/* Undo the work when error isn't 0, write the record, commit. Returns the call's error; durable
 * then, and the scratch is wiped. */
COFFER_MUST_CHECK int cof_kms_call_settle(struct cof_kms_call *call, int error);
void cof_kms_call_leave(struct cof_kms_call *call);
/* A record of its own, for what the service does by itself; detail is JSON, NULL for none. */
COFFER_MUST_CHECK int cof_kms_call_note(struct cof_kms_call *call, const char *event,
                                        const char *key_arn, const char *detail);

/* Pack the call's context (which: 0), or its source context (1), and keep it for the record. */
COFFER_MUST_CHECK int cof_kms_call_context(struct cof_kms_call *call, unsigned which,
                                           const struct coffer_context *context);

/* authorize.c: whether the caller may do action ("kms:Decrypt") to the key: 0, or KEY_ACCESS with a
 * sentence. The one place where that is decided; row NULL is for actions on no key. */
COFFER_MUST_CHECK int cof_kms_authorize(struct cof_kms_call *call,
                                        const struct cof_kms_key_row *row, const char *action);

/* material.c: draw material for row, whose spec and material_id are set, and put it; the public
 * half of a pair goes into the row, which is there already. Seconds for large RSA keys. */
COFFER_MUST_CHECK int cof_kms_key_draw(struct cof_kms_call *call, struct cof_kms_key_row *row);
/* material.c: seal secret_bytes of secrets->material into material, whose other fields are set. */
COFFER_MUST_CHECK int cof_kms_key_seal(struct cof_kms_call *call, const struct cof_kms_key_row *row,
                                       size_t secret_bytes, struct cof_kms_material_row *material);
/* keys.c: find the key; its ARN goes into ret_arn and the record. An alias is followed, unless
 * only_id, which refuses it (INVALID). The default key is made when it is asked for and absent. */
COFFER_MUST_CHECK int cof_kms_key_find(struct cof_kms_call *call, const char *key, bool only_id,
                                       struct cof_kms_key_row *ret_row);
/* material.c: unseal material of key into secrets->material. */
COFFER_MUST_CHECK int cof_kms_key_material(struct cof_kms_call *call,
                                           const struct cof_kms_key_row *row,
                                           const uint8_t *material_id);
/* key_make.c: the managed key and its alias, in the transaction of who asked for it first. */
COFFER_MUST_CHECK int cof_kms_key_make_default(struct cof_kms_call *call,
                                               struct cof_kms_key_row *ret_row);
/* material.c: make material ready to seal or open blobs of key; it uses secrets->material, to be
 * wiped after that. */
COFFER_MUST_CHECK int cof_kms_key_open(struct cof_kms_call *call, const struct cof_kms_key_row *row,
                                       const uint8_t *material_id,
                                       struct cof_kms_material *ret_material);
/* keys.c: the key of that ARN, unless the ledger knows that it was destroyed. */
COFFER_MUST_CHECK int cof_kms_key_get(struct cof_kms_call *call, const char *arn,
                                      struct cof_kms_key_row *ret_row);
#define COF_KMS_ORIGIN_OWN "AWS_KMS"
#define COF_KMS_ORIGIN_IMPORT "EXTERNAL"
#define COF_KMS_ORIGIN_TOKEN "PKCS11"
#define COF_KMS_SPEC_DEFAULT "SYMMETRIC_DEFAULT"

/* keys.c: 0 when the key may be changed: it isn't managed, and not about to be deleted. */
COFFER_MUST_CHECK int cof_kms_key_changeable(struct cof_kms_call *call,
                                             const struct cof_kms_key_row *row);
/* 0 when the key's state lets it encrypt and decrypt. */
COFFER_MUST_CHECK int cof_kms_key_usable(struct cof_kms_call *call,
                                         const struct cof_kms_key_row *row);
/* tick.c: destroy a key: tombstone, ledger, rows; the write-ahead log is the caller's to empty. */
COFFER_MUST_CHECK int cof_kms_key_destroy(struct cof_kms_call *call,
                                          const struct cof_kms_key_row *row);
/* burial.c: note material of a key as destroyed, or as back: in the store and in its ledger. */
COFFER_MUST_CHECK int cof_kms_material_bury(struct cof_kms_call *call,
                                            const struct cof_kms_material_row *material);
COFFER_MUST_CHECK int cof_kms_material_raise(struct cof_kms_call *call,
                                             const struct cof_kms_material_row *material);
/* burial.c: after the store was opened: what the ledger has as destroyed is destroyed again when an
 * older copy of the store brought it back; and a ledger that isn't there is written anew. */
COFFER_MUST_CHECK int cof_kms_ledger_apply(struct coffer_keystore *ks, struct coffer_fault *fault);
/* burial.c: note in the ledger, when there is one, how far the audit trail goes by now. */
COFFER_MUST_CHECK int cof_kms_ledger_note(struct coffer_keystore *ks, struct coffer_fault *fault);
/* tick.c: do what is due, in a batch that nobody else is in, which is opened again after it. */
COFFER_MUST_CHECK int cof_kms_call_catch_up(struct cof_kms_call *call);

/* grant_token.c: a grant's token, and back; GRANT_TOKEN for what is none. */
COFFER_MUST_CHECK int cof_kms_grant_token_make(struct cof_kms_call *call, const char *key_arn,
                                               const char *grant_id, char *ret_token,
                                               size_t capacity);
COFFER_MUST_CHECK int cof_kms_grant_token_open(struct cof_kms_call *call, const char *token,
                                               char ret_key_arn[COFFER_KEY_ARN_BYTES_MAX],
                                               char ret_grant_id[COFFER_GRANT_ID_BYTES]);

/* grant_match.c: whether a grant of the key lets the caller do it ("Decrypt") in this call. */
COFFER_MUST_CHECK int cof_kms_grant_allows(struct cof_kms_call *call,
                                           const struct cof_kms_key_row *row,
                                           const char *operation, bool *ret_allows);
/* authorize.c: POLICY for a document that is none; and, unless bypass, when it would leave the
 * caller without the right to put another. */
COFFER_MUST_CHECK int cof_kms_policy_check(struct cof_kms_call *call,
                                           const struct cof_kms_key_row *row, const char *policy,
                                           bool bypass);
/* provider.c: when the store is closed. */
void cof_kms_speakers_free(struct coffer_keystore *store);
/* keystore.c: the options of an open: INVALID with a sentence. */
COFFER_MUST_CHECK int cof_kms_opts_check(const struct coffer_keystore_opts *opts,
                                         struct coffer_fault *fault);
/* What info_get gives, of a header. */
void cof_kms_info_of(const struct cof_kms_header *header, struct coffer_keystore_info *ret_info);

#endif
