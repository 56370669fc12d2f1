/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cofferkms/ask.c - a request to the key service, and what came of it.
 *
 * Invariant: what may hold a secret is wiped when it is freed: the request's text and the answer
 * here, JSON values by cof_key_wipe_json. One thread.
 */
#include "ask.h"
#include "common/error.h"
#include "verbs.h"
#include <coffer/kms.h>
#include <stdlib.h>
#include <string.h>

char *cof_key_text(const json_t *value, size_t *ret_bytes)
{
    size_t bytes = json_dumpb(value, NULL, 0, JSON_COMPACT);
    char *text = bytes == 0 ? NULL : malloc(bytes + 1);
    if (text != NULL) {
        json_dumpb(value, text, bytes, JSON_COMPACT);
        text[bytes] = '\0';
        *ret_bytes = bytes;
    }
    return text;
}

void cof_key_text_free(char *text, size_t bytes)
{
    if (text != NULL) {
        explicit_bzero(text, bytes);
        free(text);
    }
}

static bool is_time(const char *name)
{
    static const char *const endings[] = {"Date", "Expiration", "ValidTo", "Timestamp"};
    size_t length = strlen(name);
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        size_t tail = strlen(endings[i]);
        if (length >= tail && strcmp(name + length - tail, endings[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void show_times(json_t *value)
{
    const char *name;
    json_t *member;
    size_t i;
    void *next;
    json_array_foreach(value, i, member)
    {
        show_times(member);
    }
    json_object_foreach_safe(value, next, name, member)
    {
        if (json_is_number(member) && is_time(name)) {
            double seconds = json_number_value(member);
            json_object_set_new(value, name,
                                cof_key_time_json((uint64_t)(seconds * 1e3 + 0.5) * 1000000u));
        } else {
            show_times(member);
        }
    }
}

static int report(struct cof_tool_call *call, const struct coffer_kms_answer *answer)
{
    json_t *body = json_loadb((const char *)answer->body, answer->body_bytes, 0, NULL);
    const char *message = json_string_value(json_object_get(body, "message"));
    if (message == NULL) {
        message = json_string_value(json_object_get(body, "Message"));
    }
    int exit_code = cof_tool_fail_named(
        call, answer->error, coffer_error_class_name(coffer_error_class_of(answer->code)),
        cof_tool_exit_of(answer->code), message, NULL, "%s", answer->error);
    json_decref(body);
    return exit_code;
}

int cof_key_open(struct cof_key_session *session, struct cof_tool_call *call, bool creates)
{
    session->call = call;
    session->principal = NULL;
    cof_tool_kms_init(&session->kms, call, creates ? COFFER_KEYSTORE_CREATE : 0, NULL);
    int error = cof_tool_kms_open(&session->kms);
    if (error != 0) {
        session->kms.fault.stage = COFFER_STAGE_NONE;
        return cof_tool_fail(call, error, &session->kms.fault, NULL, "cannot open the key service");
    }
    return 0;
}

void cof_key_close(struct cof_key_session *session)
{
    cof_tool_kms_done(&session->kms);
}

int cof_key_ask(struct cof_key_session *session, const char *operation, const json_t *params,
                json_t **ret_answer)
{
    struct coffer_kms_answer answer = {.size = sizeof answer};
    size_t bytes = 0;
    char *body = cof_key_text(params, &bytes);
    struct coffer_kms_request request = {.size = sizeof request,
                                         .operation = operation,
                                         .principal = session->principal,
                                         .user_agent = session->call->program->name,
                                         .body = (const uint8_t *)body,
                                         .body_bytes = bytes};
    int exit_code = 0;
    int error =
        body == NULL ? COFFER_E_NO_MEMORY : cof_tool_kms_call(&session->kms, &request, &answer);
    cof_key_text_free(body, bytes);
    if (error != 0) {
        session->kms.fault.stage = COFFER_STAGE_NONE;
        return cof_tool_fail(session->call, error, &session->kms.fault, NULL,
                             "cannot ask the key service");
    }
    if (answer.error[0] != '\0') {
        exit_code = report(session->call, &answer);
    } else {
        *ret_answer = answer.body_bytes == 0
                          ? json_object()
                          : json_loadb((const char *)answer.body, answer.body_bytes, 0, NULL);
        show_times(*ret_answer);
    }
    coffer_kms_answer_done(&answer);
    return exit_code;
}
