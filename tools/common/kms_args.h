/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/kms_args.h - the options that name and open the key store, shared by coffer and cofferkms.
 *
 *   --kms file:PATH        COFFER_KMS              default file:$XDG_DATA_HOME/coffer/keys
 *   --kms https://HOST     the same                a service, as kms_remote.h has it; also
 *                                                  http://LOOPBACK and unix:/PATH
 *   --account, --region                            of a new store; checked against an old one
 *   --passphrase-file F    COFFER_PASSPHRASE_FILE  first line of F
 *   --passphrase-fd N                              what can be read from descriptor N
 *   --passphrase-command C                         first line that sh -c C prints
 *   --root-key-file F      COFFER_ROOT_KEY_FILE    32 raw bytes or 64 hex digits, mode 0600; or the
 *                                                  URI of a PKCS#11 token's key or of a TPM's file
 *   (none of these)                                a prompt on the terminal
 *
 * At most one source may be given as an option; an option wins over the environment. Secrets go
 * from the source straight into locked memory, never through stdio's buffers or argv. One thread.
 */
#ifndef COF_TOOLS_COMMON_KMS_ARGS_H
#define COF_TOOLS_COMMON_KMS_ARGS_H

#include "args.h"
#include <coffer/keystore.h>
#include <coffer/kms_client.h>
#include <jansson.h>

#define COF_KMS_ROWS                                                                               \
    {"kms", COF_TOOL_TEXT, "URI", "file:PATH ($XDG_DATA_HOME/coffer/keys) or https://HOST"},       \
    {"kms-ca-file", COF_TOOL_FILE, "FILE", "certificates that https:// is checked against"},       \
    {"account", COF_TOOL_TEXT, "DIGITS", "account of the key store, 12 digits (000000000000)"},    \
    {"region", COF_TOOL_TEXT, "NAME", "region of the key store (local-1)"},                        \
    {"passphrase-file", COF_TOOL_FILE, "FILE", "read the passphrase from the first line of FILE"}, \
    {"passphrase-fd", COF_TOOL_NUMBER, "N", "read the passphrase from file descriptor N"},         \
    {"passphrase-command", COF_TOOL_TEXT, "COMMAND", "first line it prints is the passphrase"},    \
    {"root-key-file", COF_TOOL_FILE, "FILE", "32 bytes or 64 hex digits; or pkcs11:..., tpm2:..."}
#define COF_KMS_NAMES                                                                              \
    "kms kms-ca-file account region passphrase-file passphrase-fd passphrase-command root-key-file"

/* A second key store, from which a verb reads what it copies: --source-kms (COFFER_SOURCE_KMS),
 * --source-passphrase-file (COFFER_SOURCE_PASSPHRASE_FILE), --source-root-key-file
 * (COFFER_SOURCE_ROOT_KEY_FILE). Without a secret of its own it is sealed by what the first one is
 * sealed by, a descriptor apart, which can be read once only. */
#define COF_KMS_SOURCE_ROWS                                                                        \
    {"source-kms", COF_TOOL_TEXT, "URI", "key service of the source, if another than --kms"},      \
    {"source-passphrase-file", COF_TOOL_FILE, "FILE", "passphrase of the source's key store"},     \
    {"source-root-key-file", COF_TOOL_FILE, "FILE", "root key of the source's key store"}
#define COF_KMS_SOURCE_NAMES "source-kms source-passphrase-file source-root-key-file"

/*
 * Who speaks, in programs that have volumes: who calls, and the engine, whose everyday calls need
 * no right but the grant that the caller makes. Without an engine the caller's rights do both.
 *
 *   --as WHO                  COFFER_AS                  the caller, of a key store in a file;
 *                                                        elsewhere AWS_ACCESS_KEY_ID says it
 *   --engine-as WHO           COFFER_ENGINE_AS           the engine: whom grants name
 *   --engine-credentials FILE COFFER_ENGINE_CREDENTIALS  what it signs with, at a service elsewhere
 */
#define COF_ENGINE_ROWS                                                                            \
    {"as", COF_TOOL_TEXT, "WHO", "call as user/NAME, role/NAME or an ARN (the account's root)"},   \
    {"engine-as", COF_TOOL_TEXT, "WHO", "who the engine is, to grants: role/coffer-engine"},       \
    {"engine-credentials", COF_TOOL_FILE, "FILE", "the engine's own, at a key service elsewhere"}
#define COF_ENGINE_NAMES "as engine-as engine-credentials"

/*
 * A key store that is opened at the first call that needs it, so that a verb which touches plain
 * volumes only asks for no passphrase. The call must take COF_KMS_NAMES and outlive the session.
 */
struct cof_tool_kms;
struct cof_tool_kms_side {
    struct cof_tool_kms *kms;
    bool engine;
};

struct cof_tool_kms {
    const struct cof_tool_call *call;
    unsigned flags;                /* enum coffer_keystore_flags           */
    bool source;                   /* it is the one of COF_KMS_SOURCE_ROWS */
    struct coffer_keystore *store; /* NULL until it is needed; or          */
    struct coffer_kms_client *client; /* of a service elsewhere            */
    struct coffer_fault fault;     /* of the last failure to open          */
    int open_error;                /* a failed open isn't tried again      */
    struct cof_tool_kms_side sides[2];  /* the caller, and the engine       */
    struct coffer_kms_client *engine_client;
    bool engine_failed; /* whose call failed last */
};

/* ret_provider (may be NULL) is good until cof_tool_kms_done: the engine's, or who there is. Opens
 * nothing. */
void cof_tool_kms_init(struct cof_tool_kms *kms, const struct cof_tool_call *call, unsigned flags,
                       struct coffer_key_provider *ret_provider);

/* The same for the second one. The call must take COF_KMS_SOURCE_NAMES, too. */
void cof_tool_kms_init_source(struct cof_tool_kms *kms, const struct cof_tool_call *call,
                              unsigned flags, struct coffer_key_provider *ret_provider);
/* The caller's provider or, with engine, the engine's. The call must take COF_ENGINE_NAMES. */
void cof_tool_kms_provider(struct cof_tool_kms *kms, bool engine,
                           struct coffer_key_provider *ret_provider);
/* Whether the engine has an identity of its own. False in a program without COF_ENGINE_ROWS. */
bool cof_tool_kms_has_engine(const struct cof_tool_kms *kms);

/* Whether the line or the environment names a second key store that is another file than the first,
 * or one that is not there. An error in either is reported when it is opened. */
bool cof_tool_kms_two(const struct cof_tool_call *call);

/*
 * Open the store now, once. flags CREATE makes the default directory and the store when they
 * aren't there, and says on standard error where the store is and how it is sealed. INVALID for
 * options that contradict each other or an unknown URI; PASSPHRASE when there is no source and no
 * terminal; kms->fault.detail has the sentence. The coffer program can leave it to the provider.
 */
int cof_tool_kms_open(struct cof_tool_kms *kms);

/* For what isn't done with an open store: call use with the options of an open, the secret's source
 * among them, and return its error. use leaves the sentence in fault; a source's own goes before.
 *  */
typedef int (*cof_tool_kms_use_fn)(void *ctx, const struct coffer_keystore_opts *opts,
                                   struct coffer_fault *fault);
int cof_tool_kms_use(struct cof_tool_kms *kms, cof_tool_kms_use_fn use, void *ctx);

/* A client of the service that the session names. kms->fault has the sentence. */
struct cof_tool_engine;
int cof_tool_kms_connect_as(struct cof_tool_kms *kms, struct cof_tool_engine *engine,
                            struct coffer_kms_client **ret_client);

/* One operation of the service, open by then. 0 with an answer, which may be a refusal; else
 * kms->fault has the sentence. */
int cof_tool_kms_call(struct cof_tool_kms *kms, const struct coffer_kms_request *request,
                      struct coffer_kms_answer *ret_answer);

/* The region of the service, open by then. */
int cof_tool_kms_region(struct cof_tool_kms *kms, char ret_region[33]);

/* One operation, as the caller; params, which hold no secret, are stolen. ret_value may be NULL. A
 * refusal is its error, with its name in fault; UNSUPPORTED: the service does not know the
 * operation. */
int cof_tool_kms_ask(struct cof_tool_kms *kms, const char *operation, json_t *params,
                     json_t **ret_value, struct coffer_fault *fault);

/* Put on the service's record, as the caller, that plaintext which the key protects is about to be
 * given out. UNSUPPORTED: a service that has no such record (AWS's). */
int cof_tool_kms_record_export(struct cof_tool_kms *kms, const char *key_arn,
                               const struct coffer_context *context, struct coffer_fault *fault);

/* The sentence of the last failed call through the provider, or of the open; error 0 when none. */
void cof_tool_kms_fault(struct cof_tool_kms *kms, struct coffer_fault *ret_fault);

/* Close; also when never opened. */
void cof_tool_kms_done(struct cof_tool_kms *kms);

#endif
