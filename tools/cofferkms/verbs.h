/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cofferkms/verbs.h - the verbs of cofferkms and what they share.
 *
 * A verb opens the key store through struct cof_key_run, does one call, prints what `aws kms` would
 * print, and returns an exit code. One thread.
 */
#ifndef COF_TOOLS_COFFERKMS_VERBS_H
#define COF_TOOLS_COFFERKMS_VERBS_H

#include "common/args.h"
#include "common/kms_args.h"
#include <jansson.h>

/* ---- run.c: one verb's key store --------------------------------------------------------- */

struct cof_key_run {
    struct cof_tool_call *call;
    struct cof_tool_kms kms;
    struct coffer_fault fault; /* for the verb's call */
};

/* Check that the options named in required (separated by blanks) were given and open the store.
 * Returns an exit code; when it isn't 0 nothing is open. */
int cof_key_run_begin(struct cof_key_run *run, struct cof_tool_call *call, unsigned flags,
                      const char *required);
/* Report error, unless it is 0, close, and return the exit code. what: "cannot encrypt". */
int cof_key_run_end(struct cof_key_run *run, int error, const char *what);

/* The time as `aws` prints it: 2026-11-22T01:02:03.456000+00:00. */
json_t *cof_key_time_json(uint64_t ns);
/* Bytes as base64; the memory that jansson and this function use is wiped when it is freed. */
json_t *cof_key_base64_json(const uint8_t *bytes, size_t count);
/* Make jansson wipe what it frees. */
void cof_key_wipe_json(void);

/* ---- input.c: contexts and bytes --------------------------------------------------------- */

struct cof_key_context_arg {
    struct coffer_context context;
    json_t *holder; /* owns the strings; NULL for an empty context */
    struct coffer_context_pair *pairs;
};

/* The option's k=v,k2=v2, JSON object, or file://F with a JSON object. 0 or an exit code. */
int cof_key_context_read(struct cof_tool_call *call, const char *option,
                         struct cof_key_context_arg *ret_arg);
void cof_key_context_done(struct cof_key_context_arg *arg);

enum cof_key_bytes_kind {
    COF_KEY_BYTES_SECRET, /* never from the command line itself */
    COF_KEY_BYTES_PUBLIC  /* base64 on the command line, too    */
};

/* fileb://F, - (standard input), file://F (base64). Into locked memory, freed by
 * coffer_keystore_secret_free, at most bytes_max. 0 or an exit code. */
int cof_key_bytes_read(struct cof_tool_call *call, const char *option,
                       enum cof_key_bytes_kind kind, size_t bytes_max, uint8_t **ret_bytes,
                       size_t *ret_count);

/* ---- verbs ------------------------------------------------------------------------------- */

int cof_key_create_key(struct cof_tool_call *call);
int cof_key_describe_key(struct cof_tool_call *call);
int cof_key_list_keys(struct cof_tool_call *call);
int cof_key_enable_key(struct cof_tool_call *call);
int cof_key_disable_key(struct cof_tool_call *call);
int cof_key_create_alias(struct cof_tool_call *call);
int cof_key_list_aliases(struct cof_tool_call *call);
int cof_key_encrypt(struct cof_tool_call *call);
int cof_key_decrypt(struct cof_tool_call *call);
int cof_key_re_encrypt(struct cof_tool_call *call);
int cof_key_generate_data_key(struct cof_tool_call *call);
int cof_key_generate_data_key_without_plaintext(struct cof_tool_call *call);
int cof_key_serve(struct cof_tool_call *call);

/* ---- audit.c ----------------------------------------------------------------------------- */

int cof_key_audit_query(struct cof_tool_call *call);
int cof_key_audit_verify(struct cof_tool_call *call);
int cof_key_audit_export(struct cof_tool_call *call);
int cof_key_usage(struct cof_tool_call *call);

#endif
