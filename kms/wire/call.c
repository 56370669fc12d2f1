/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/wire/call.c - coffer_kms_call: one request, from its bytes to the bytes of its answer.
 *
 * Invariants
 * - What is parsed is checked against the operation's row before a transaction begins, so that no
 *   lock is held for a request that can't be one.
 * - The answer is written out before what it tells of is committed: what can be told only once, as
 *   the secret of an access key, isn't lost for want of memory.
 * - Each request for a known operation leaves an audit record, whatever came of it; without its
 *   record no result is handed out.
 * - The body, what was decoded from it, and the answer are wiped when they are given up.
 *
 * Any thread; the work is serialised by the key store's lock.
 */
#include "wire/wire.h"

#include "secret.h"
#include "wire/errors.h"

#include <stdio.h>
#include <string.h>

/* ---- bodies ------------------------------------------------------------------------------ */

/* Stands before each block, since that outlives what could say how to free it. */
struct block_head {
    size_t bytes;
    void *ctx;
    void (*dealloc)(void *ctx, void *memory);
    max_align_t block[];
};

void *cof_wire_block_new(struct cof_kms_env *env, size_t bytes)
{
    struct block_head *head = cof_kms_alloc(env, sizeof(*head) + bytes);

    if (head == NULL) {
        return NULL;
    }
    head->bytes = bytes;
    head->ctx = env->api.ctx;
    head->dealloc = env->api.dealloc;
    return head->block;
}

void cof_wire_block_free(void *block)
{
    if (block != NULL) {
        struct block_head *head =
            (struct block_head *)(void *)((char *)block - offsetof(struct block_head, block));

        cof_kms_wipe(head->block, head->bytes);
        head->dealloc(head->ctx, head);
    }
}

int cof_wire_body(struct coffer_keystore *ks, json_t *value, uint8_t **ret_body, size_t *ret_bytes)
{
    size_t bytes = value == NULL ? 0 : cof_wire_json_bytes(value);
    char *body = bytes == 0 ? NULL : cof_wire_block_new(&ks->env, bytes + 1);

    if (body != NULL) {
        cof_wire_json_write(value, body, bytes);
        body[bytes] = '\0';
        *ret_body = (uint8_t *)body;
        *ret_bytes = bytes;
    }
    json_decref(value);
    return body == NULL ? COFFER_E_NO_MEMORY : 0;
}

void coffer_kms_answer_done(struct coffer_kms_answer *answer)
{
    if (answer != NULL) {
        cof_wire_block_free(answer->body);
        answer->body = NULL;
        answer->body_bytes = 0;
    }
}

json_t *cof_wire_error_json(const char *name, const char *message)
{
    const char *member = strcmp(name, COF_WIRE_ACCESS_DENIED) == 0 ? "Message" : "message";

    return json_pack("{s:s, s:s}", "__type", name, member, message);
}

int cof_wire_request_id(struct coffer_keystore *ks, char ret_id[COFFER_KMS_REQUEST_ID_BYTES])
{
    uint8_t random[16];

    if (cof_kms_random(&ks->env, random, sizeof(random)) != 0) {
        return COFFER_E_CRYPTO;
    }
    cof_kms_uuid_text(random, ret_id);
    return 0;
}

/* ---- answers ----------------------------------------------------------------------------- */

struct refusal {
    int code;
    int status;
    const char *name;
};

static int give_error(struct cof_wire *wire, const struct refusal *why, const char *message,
                      struct coffer_kms_answer *answer)
{
    int error = cof_wire_body(wire->ks, cof_wire_error_json(why->name, message), &answer->body,
                              &answer->body_bytes);

    answer->status = why->status;
    answer->code = why->code;
    (void)snprintf(answer->error, sizeof(answer->error), "%s", why->name);
    return error;
}

const char *cof_wire_fault_text(struct cof_wire *wire, int error)
{
    const char *text =
        wire->fault.detail[0] != '\0' ? wire->fault.detail : coffer_error_sentence(error);

    if (cof_wire_error_of(error)->status == 500) {
        cof_kms_warn(&wire->ks->env, "request %s: %s failed: %s", wire->request_id,
                     wire->operation->name, text);
        if (wire->remote != NULL) {
            text = "the key service failed: its log has the reason under the request's id";
        }
    }
    return text;
}

static int give_fault(struct cof_wire *wire, int code, struct coffer_kms_answer *answer)
{
    const struct cof_wire_error *known = cof_wire_error_of(code);
    struct refusal why = {code, known->status, known->name};

    return give_error(wire, &why, cof_wire_fault_text(wire, code), answer);
}

static int give_answer(struct cof_wire *wire, struct coffer_kms_answer *answer)
{
    json_t *value = wire->answer;

    wire->answer = NULL;
    answer->status = 200;
    answer->code = 0;
    answer->error[0] = '\0';
    /* An operation without results has an empty body, as AWS has it. */
    if (json_object_size(value) == 0) {
        json_decref(value);
        return 0;
    }
    return cof_wire_body(wire->ks, value, &answer->body, &answer->body_bytes);
}

/* ---- the request ------------------------------------------------------------------------- */

int cof_wire_begin(struct cof_wire *wire, const char *event, enum cof_kms_access access,
                   struct coffer_fault *fault)
{
    const struct coffer_kms_request *request = wire->request;
    struct cof_kms_caller caller = {
        .principal = request->principal,
        .region = request->region,
        .source_ip = request->source_ip,
        .user_agent = request->user_agent,
        .via_service = request->via_service,
        .session_policy = request->session_policy,
        .session_ends_ns = request->session_ends_ns,
        .request_id = wire->request_id,
        .grant_tokens = wire->grant_tokens,
        .grant_token_count = wire->grant_token_count,
        .dry_run =
            (wire->operation->flags & COF_WIRE_DRY_RUN) != 0 && cof_wire_flag(wire, "DryRun"),
        .announced = wire->remote != NULL ? wire->remote->announced : NULL,
        .seen_batch = wire->remote != NULL ? wire->remote->seen_batch : 0,
    };

    return cof_kms_call_begin_as(&wire->call, wire->ks, event, access, &caller, fault);
}

/* Put a request that was refused before its transaction on the record. A trail that can't be
 * written leaves the refusal as it is: nothing was done and nothing is handed out. */
static void record_refusal(struct cof_wire *wire, int code)
{
    struct coffer_fault fault;

    if (cof_wire_begin(wire, wire->operation->name, wire->operation->access, &fault) == 0) {
        if (cof_kms_call_settle(&wire->call, code) != code) {
            cof_kms_warn(&wire->ks->env, "request %s: its refusal could not be recorded",
                         wire->request_id);
        }
        cof_kms_call_leave(&wire->call);
    }
}

/* Parse and check. 0: go on; 1: refused, the answer stands; negative: no answer. */
static int read_params(struct cof_wire *wire, struct coffer_kms_answer *answer)
{
    static const struct refusal serialization = {COFFER_E_INVALID, 400, COF_WIRE_SERIALIZATION};
    static const struct refusal validation = {COFFER_E_INVALID, 400, COF_WIRE_VALIDATION};
    const struct coffer_kms_request *request = wire->request;
    char text[COF_WIRE_MESSAGE_BYTES + 64] = "the body is not a JSON object";
    const struct refusal *why = &serialization;
    int error = 0;

    wire->params = request->body_bytes == 0
                       ? json_object()
                       : cof_wire_json_parse(request->body, request->body_bytes, text);
    if (json_is_object(wire->params)) {
        error = cof_wire_check_params(&wire->check, wire->params, wire->operation->members);
        if (error == 0 && wire->check.errors == 0) {
            return cof_wire_texts(wire, "GrantTokens", &wire->grant_tokens,
                                  &wire->grant_token_count);
        }
        if (wire->check.malformed) {
            (void)snprintf(text, sizeof(text), "%s", wire->check.message);
        } else if (error != 0) {
            return error;
        } else {
            why = &validation;
            cof_wire_check_text(&wire->check, text, sizeof(text));
        }
    }
    record_refusal(wire, why->code);
    error = give_error(wire, why, text, answer);
    return error == 0 ? 1 : error;
}

/* Within its transaction, in which the answer is made as well. */
static int run_operation(struct cof_wire *wire, struct coffer_kms_answer *answer)
{
    const struct cof_wire_operation *operation = wire->operation;
    int error;

    if (operation->flags & COF_WIRE_BY_ENTRY) {
        /* It may take long until the first one begins. */
        if (wire->remote != NULL && *wire->remote->announced) {
            *wire->remote->announced = false;
            cof_kms_batch_withdraw(wire->ks);
        }
        error = operation->run(wire);
        return error == 0 ? give_answer(wire, answer) : error;
    }
    error = cof_wire_begin(wire, operation->name, operation->access, &wire->fault);
    if (error != 0) {
        return error;
    }
    error = operation->run(wire);
    if (error == 0) {
        error = give_answer(wire, answer);
    }
    error = cof_kms_call_settle(&wire->call, error);
    cof_kms_call_leave(&wire->call);
    if (error != 0) {
        coffer_kms_answer_done(answer);
    }
    return error;
}

static int serve(struct cof_wire *wire, struct coffer_kms_answer *answer)
{
    static const struct refusal unknown = {COFFER_E_UNSUPPORTED, 400, COF_WIRE_UNKNOWN_OPERATION};
    static const struct refusal large = {COFFER_E_RANGE, 413, COF_WIRE_TOO_LARGE};
    int error;

    if (wire->operation == NULL) {
        return give_error(wire, &unknown, "there is no operation of this name", answer);
    }
    if (wire->request->body_bytes > COFFER_KMS_BODY_BYTES_MAX) {
        record_refusal(wire, COFFER_E_RANGE);
        return give_error(wire, &large, "a request has at most 1 MiB", answer);
    }
    error = read_params(wire, answer);
    if (error != 0) {
        return error > 0 ? 0 : error;
    }
    wire->answer = json_object();
    error = run_operation(wire, answer);
    return error == 0 || error == COFFER_E_NO_MEMORY || error == COFFER_E_FORKED
               ? error
               : give_fault(wire, error, answer);
}

int cof_wire_call(struct coffer_keystore *ks, const struct coffer_kms_request *request,
                  const struct cof_wire_remote *remote, struct coffer_kms_answer *ret_answer)
{
    struct coffer_kms_answer answer = {.size = sizeof(answer)};
    struct cof_wire *wire = cof_kms_alloc(&ks->env, sizeof(*wire));
    int error;

    cof_wire_json_init();
    if (wire == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    wire->ks = ks;
    wire->request = request;
    wire->remote = remote;
    wire->operation = cof_wire_find(request->operation);
    wire->check.on_blob = cof_wire_keep_blob;
    wire->check.ctx = wire;
    error = 0;
    if (remote != NULL) {
        memcpy(wire->request_id, remote->request_id, sizeof(wire->request_id));
    } else {
        error = cof_wire_request_id(ks, wire->request_id);
    }
    if (error == 0) {
        memcpy(answer.request_id, wire->request_id, sizeof(answer.request_id));
        error = serve(wire, &answer);
    }
    json_decref(wire->params);
    json_decref(wire->answer);
    cof_wire_give(wire);
    cof_kms_wipe(wire, sizeof(*wire));
    cof_kms_free(&ks->env, wire);
    if (error == 0) {
        *ret_answer = answer;
    } else {
        coffer_kms_answer_done(&answer);
    }
    return error;
}

int coffer_kms_call(struct coffer_keystore *store, const struct coffer_kms_request *request,
                    struct coffer_kms_answer *ret_answer)
{
    if (store == NULL || request == NULL || request->size != sizeof(*request) ||
        request->operation == NULL || (request->body == NULL && request->body_bytes > 0) ||
        ret_answer == NULL || ret_answer->size != sizeof(*ret_answer)) {
        return COFFER_E_INVALID;
    }
    return cof_wire_call(store, request, NULL, ret_answer);
}
