/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/wire/wire.h - one request on its way through the service, and the rows of operations.
 *
 * An operation is a row: its name, whether it changes anything, the members that it takes, and the
 * function that does it. That function is called within a transaction (kms.h: begin has been done,
 * settle and leave will be), finds its parameters checked, calls work functions of the service, and
 * sets members of the answer. What it set is thrown away when the transaction isn't durable.
 *
 * A part adds its operations as an array of rows that ends with a NULL name, declared below and
 * named in table.c.
 */
#ifndef COF_KMS_WIRE_WIRE_H
#define COF_KMS_WIRE_WIRE_H

#include "verbs.h"
#include "wire/shape.h"

#include <coffer/kms.h>

enum cof_wire_flags {
    COF_WIRE_DRY_RUN = 1u << 0, /* takes DryRun                                */
    COF_WIRE_BY_ENTRY = 1u << 1, /* begins transactions of its own, one an entry */
    COF_WIRE_IDENTITY = 1u << 2  /* of the target prefix CofferIdentity.         */
};

struct cof_wire_block;

/* Of a call that came over a network: its answer leaves the machine, without inner faults. */
struct cof_wire_remote {
    bool *announced;     /* struct cof_kms_caller */
    uint64_t seen_batch; /* the same              */
    const char *request_id;
};

struct cof_wire {
    struct coffer_keystore *ks;
    const struct coffer_kms_request *request;
    const struct cof_wire_operation *operation;
    const struct cof_wire_remote *remote; /* NULL: the caller is on this machine */
    json_t *params;
    json_t *answer;
    const char *const *grant_tokens;
    unsigned grant_token_count;
    struct cof_kms_call call;
    struct coffer_fault fault;
    struct cof_wire_check check;
    struct cof_wire_block *blocks; /* wiped and freed with the request */
    struct cof_wire_blob *blobs;
    char request_id[COFFER_KMS_REQUEST_ID_BYTES];
};

struct cof_wire_operation {
    const char *name;
    enum cof_kms_access access;
    unsigned flags;
    const struct cof_wire_member *members;
    int (*run)(struct cof_wire *wire);
};

/* Just KeyId. */
extern const struct cof_wire_member cof_wire_id_members[];
/* A row of a key, which is too large for a stack, until the request ends; NULL: no memory. */
struct cof_kms_key_row *cof_wire_key_row(struct cof_wire *wire);

/* NULL when there is none. */
const struct cof_wire_operation *cof_wire_find(const char *name);
/* The number-th operation of all, or NULL: for listings and tests. */
const struct cof_wire_operation *cof_wire_at(unsigned number);

extern const struct cof_wire_operation cof_wire_identity_rows[];
extern const struct cof_wire_operation cof_wire_access_rows[];
extern const struct cof_wire_operation cof_wire_import_rows[];
extern const struct cof_wire_operation cof_wire_asymmetric_rows[];
extern const struct cof_wire_operation cof_wire_key_store_rows[];
extern const struct cof_wire_operation cof_wire_key_rows[];
extern const struct cof_wire_operation cof_wire_policy_rows[];
extern const struct cof_wire_operation cof_wire_alias_rows[];
extern const struct cof_wire_operation cof_wire_tag_rows[];
extern const struct cof_wire_operation cof_wire_crypt_rows[];
extern const struct cof_wire_operation cof_wire_batch_rows[];
extern const struct cof_wire_operation cof_wire_export_rows[];
extern const struct cof_wire_operation cof_wire_grant_rows[];
extern const struct cof_wire_operation cof_wire_rotation_rows[];
extern const struct cof_wire_operation cof_wire_replica_rows[];

/* ---- parameters (params.c); names are those of the row's members ------------------------- */

/* Memory until the request ends; NULL when there is none. give wipes and frees all of it. */
void *cof_wire_take(struct cof_wire *wire, size_t bytes);
void cof_wire_give(struct cof_wire *wire);

const char *cof_wire_text(const struct cof_wire *wire, const char *name); /* NULL: not given */
uint32_t cof_wire_number(const struct cof_wire *wire, const char *name, uint32_t fallback);
bool cof_wire_flag(const struct cof_wire *wire, const char *name);
bool cof_wire_given(const struct cof_wire *wire, const char *name);
/* Wall clock in nanoseconds; 0: not given. */
uint64_t cof_wire_time(const struct cof_wire *wire, const char *name);
/* Of length 0 when it was not given. */
struct cof_kms_bytes cof_wire_bytes(const struct cof_wire *wire, const char *name);
/* A list of texts. */
COFFER_MUST_CHECK int cof_wire_texts(struct cof_wire *wire, const char *name,
                                     const char *const **ret_texts, unsigned *ret_count);
/* TagKey and TagValue of each. */
COFFER_MUST_CHECK int cof_wire_tags(struct cof_wire *wire, const char *name,
                                    const struct cof_kms_tag **ret_tags, unsigned *ret_count);
/* A map of texts, as a context. */
COFFER_MUST_CHECK int cof_wire_context(struct cof_wire *wire, const char *name,
                                       struct coffer_context *ret_context);
COFFER_MUST_CHECK int cof_wire_context_of(struct cof_wire *wire, const json_t *map,
                                          struct coffer_context *ret_context);
/* Decode the value's base64 and keep it for cof_wire_bytes; wire/shape.h. */
int cof_wire_keep_blob(void *ctx, const json_t *value, const struct cof_wire_shape *shape,
                       size_t *ret_bytes);
struct cof_kms_bytes cof_wire_bytes_of(const struct cof_wire *wire, const json_t *value);

/* UNSUPPORTED when the request has a Recipient. */
COFFER_MUST_CHECK int cof_wire_refuse_recipient(struct cof_wire *wire);

/* ---- the answer (params.c): 0 or NO_MEMORY ----------------------------------------------- */

COFFER_MUST_CHECK int cof_wire_set(struct cof_wire *wire, const char *name, json_t *value);
COFFER_MUST_CHECK int cof_wire_set_text(struct cof_wire *wire, const char *name, const char *text);
COFFER_MUST_CHECK int cof_wire_set_blob(struct cof_wire *wire, const char *name,
                                        struct cof_kms_bytes bytes);
/* KeyMetadata under that name (op_replica.c). */
COFFER_MUST_CHECK int cof_wire_set_key(struct cof_wire *wire, const char *name,
                                       const struct cof_kms_key_row *row);
/* An array of that name in the answer, to append to; NULL when there is no memory, which appending
 * to it reports. */
json_t *cof_wire_list(struct cof_wire *wire, const char *name);
/* From Limit and Marker. */
struct cof_kms_page cof_wire_page(const struct cof_wire *wire, unsigned limit);
/* Truncated, and NextMarker when there is one. */
COFFER_MUST_CHECK int cof_wire_set_page(struct cof_wire *wire, const struct cof_kms_page *page);

/* ---- the request (call.c) ---------------------------------------------------------------- */

/* coffer_kms_call, for a caller on this machine (NULL) or beyond it. */
COFFER_MUST_CHECK int cof_wire_call(struct coffer_keystore *ks,
                                    const struct coffer_kms_request *request,
                                    const struct cof_wire_remote *remote,
                                    struct coffer_kms_answer *ret_answer);
/* Begin a transaction of the request's principal for event. */
COFFER_MUST_CHECK int cof_wire_begin(struct cof_wire *wire, const char *event,
                                     enum cof_kms_access access, struct coffer_fault *fault);

/* The sentence of the request's fault as the caller may read it: an inner fault is told to one on
 * this machine; one beyond gets the request id, under which it stands in the log. */
const char *cof_wire_fault_text(struct cof_wire *wire, int error);
/* A ReEncrypt within its transaction, its result into the answer (op_crypt.c). */
COFFER_MUST_CHECK int cof_wire_re_encrypt(struct cof_wire *wire,
                                          const struct cof_kms_re_encrypt *params);
/* {"__type": name, "message": ...} */
json_t *cof_wire_error_json(const char *name, const char *message);
/* An answer's body, in memory that coffer_kms_answer_done wipes. value is stolen; NULL of it is
 * no memory. */
COFFER_MUST_CHECK int cof_wire_body(struct coffer_keystore *ks, json_t *value, uint8_t **ret_body,
                                    size_t *ret_bytes);
/* Memory that outlives the request, and maybe the store; NULL when there is none. free wipes. */
void *cof_wire_block_new(struct cof_kms_env *env, size_t bytes);
void cof_wire_block_free(void *block);
COFFER_MUST_CHECK int cof_wire_request_id(struct coffer_keystore *ks,
                                          char ret_id[COFFER_KMS_REQUEST_ID_BYTES]);

#endif
