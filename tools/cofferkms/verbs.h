/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cofferkms/verbs.h - how the verbs of cofferkms become requests to the key service.
 *
 * A verb is an operation in other letters: re-encrypt is ReEncrypt, --key-id is KeyId. Its row of
 * the verb table says which options there are; what kind of value an option has stands in one table
 * of request.c. One thread.
 */
#ifndef COF_TOOLS_COFFERKMS_VERBS_H
#define COF_TOOLS_COFFERKMS_VERBS_H

#include "common/args.h"
#include "common/kms_args.h"
#include <coffer/kms.h>
#include <jansson.h>

/* ---- run.c: one verb's key store --------------------------------------------------------- */

struct cof_key_run {
    struct cof_tool_call *call;
    struct cof_tool_kms kms;
    struct coffer_fault fault; /* for the verb's call */
};

/* Whether the options named in required were given: 0, or an exit code. */
int cof_key_required(const struct cof_tool_call *call, const char *required);
/* Check that the options named in required (separated by blanks) were given and open the store.
 * Returns an exit code; when it isn't 0 nothing is open. */
int cof_key_run_begin(struct cof_key_run *run, struct cof_tool_call *call, unsigned flags,
                      const char *required);
/* Report error, unless it is 0, close, and return the exit code. what: "cannot encrypt". */
int cof_key_run_end(struct cof_key_run *run, int error, const char *what);

/* ---- service.c: verbs that are operations of the service --------------------------------- */

/* Any of them: one request, its answer printed. Returns an exit code. */
int cof_key_verb(struct cof_tool_call *call);
/* The same, when no store that the line names needs the key. */
/* Options of create-key that are for EnableKeyRotation. */
#define COF_ROTATION_NAMES "enable-rotation rotation-period-in-days"
int cof_key_create_key(struct cof_tool_call *call);
int cof_key_disable_key(struct cof_tool_call *call);
int cof_key_schedule_key_deletion(struct cof_tool_call *call);

/* ---- request.c: options to the parameters of an operation -------------------------------- */

/* "re-encrypt" to "ReEncrypt"; the room that name has suffices for every option and verb. */
#define COF_KEY_NAME_BYTES 64
void cof_key_name(const char *kebab, char ret_name[COF_KEY_NAME_BYTES]);

/* The parameters as a JSON object, in wiped memory; without the options named in not_these. 0 or
 * an exit code. */
int cof_key_request(struct cof_tool_call *call, const char *not_these, json_t **ret_params);

/* ---- input.c: values; NULL after a complaint --------------------------------------------- */

/* k=v,k2=v2, a JSON object of strings, or file://F with one. */
json_t *cof_key_map_read(struct cof_tool_call *call, const char *option);
/* The same more than once, or a JSON list. */
json_t *cof_key_maps_read(struct cof_tool_call *call, const char *option);
/* NAME={k=v,k2=v2}, JSON, or file://F with JSON. */
json_t *cof_key_json_read(struct cof_tool_call *call, const char *option);
/* The text itself, or file://F; 0 or an exit code. */
int cof_key_document_read(struct cof_tool_call *call, const char *option, json_t **ret_value);

enum cof_key_bytes_kind {
    COF_KEY_BYTES_SECRET, /* never from the command line itself */
    COF_KEY_BYTES_PUBLIC  /* base64 on the command line, too    */
};

/* fileb://F, - (standard input), file://F (base64). Into locked memory, freed by
 * coffer_keystore_secret_free, at most bytes_max. 0 or an exit code. */
int cof_key_bytes_read(struct cof_tool_call *call, const char *option, enum cof_key_bytes_kind kind,
                       size_t bytes_max, uint8_t **ret_bytes, size_t *ret_count);

/* ---- json.c ------------------------------------------------------------------------------ */

/* The time as `aws` prints it: 2026-11-22T01:02:03.456000+00:00. */
json_t *cof_key_time_json(uint64_t ns);
/* Bytes as base64; the memory that jansson and this function use is wiped when it is freed. */
json_t *cof_key_base64_json(const uint8_t *bytes, size_t count);
/* Make jansson wipe what it frees. */
void cof_key_wipe_json(void);

/* ---- verbs of ours ----------------------------------------------------------------------- */

int cof_key_serve(struct cof_tool_call *call);
int cof_key_audit_query(struct cof_tool_call *call);
int cof_key_audit_verify(struct cof_tool_call *call);
int cof_key_audit_export(struct cof_tool_call *call);
int cof_key_usage(struct cof_tool_call *call);

/* store.c: the key store's file as a whole. */
int cof_key_store_backup(struct cof_tool_call *call);
int cof_key_store_restore(struct cof_tool_call *call);
int cof_key_store_rekey_root(struct cof_tool_call *call);
int cof_key_store_check(struct cof_tool_call *call);
int cof_key_store_describe(struct cof_tool_call *call);

#endif
