/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/answer.c - what came back: its bytes, wiped wherever they are given up, and what it says.
 *
 * Invariant: nothing of the other side's answer is believed before it has the form of one, and no
 * more of it is kept than the caller allowed.
 */
#include "client/client.h"

#include "secret.h"
#include "wire/errors.h"
#include "wire/json.h"
#include "wire/wire.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* ---- bytes ------------------------------------------------------------------------------- */

int cof_client_body_add(struct cof_client_body *body, const void *bytes, size_t count)
{
    size_t room = body->room;
    uint8_t *grown;

    if (count > body->max - body->count) {
        body->too_long = true;
        return COFFER_E_RANGE;
    }
    while (body->count + count + 1 > room) {
        room = room == 0 ? 4096 : 2 * room;
    }
    if (room != body->room) {
        grown = cof_wire_block_new(body->env, room);
        if (grown == NULL) {
            return COFFER_E_NO_MEMORY;
        }
        if (body->count > 0) {
            memcpy(grown, body->bytes, body->count);
        }
        cof_wire_block_free(body->bytes);
        body->bytes = grown;
        body->room = room;
    }
    memcpy(body->bytes + body->count, bytes, count);
    body->count += count;
    body->bytes[body->count] = '\0';
    return 0;
}

void cof_client_body_done(struct cof_client_body *body)
{
    cof_wire_block_free(body->bytes);
    body->bytes = NULL;
    body->count = 0;
    body->room = 0;
}

/* ---- refusals ---------------------------------------------------------------------------- */

/* What AWS's own services call the same; the names of ours are the wire's. */
static const struct {
    const char *name;
    int code;
} elsewhere[] = {{"InvalidSignatureException", COFFER_E_AUTH_SIGNATURE},
                 {"UnrecognizedClientException", COFFER_E_AUTH_UNKNOWN},
                 {"MissingAuthenticationTokenException", COFFER_E_AUTH_MISSING},
                 {"IncompleteSignatureException", COFFER_E_AUTH_INCOMPLETE},
                 {"RequestExpired", COFFER_E_AUTH_EXPIRED},
                 {"NotAuthorizedException", COFFER_E_KEY_ACCESS},
                 {"RequestLimitExceeded", COFFER_E_THROTTLED},
                 {"TooManyRequestsException", COFFER_E_THROTTLED}};

static int code_of(const char *name, int status)
{
    int code = cof_wire_code_of(name);

    for (size_t i = 0; code == 0 && i < sizeof(elsewhere) / sizeof(elsewhere[0]); i++) {
        if (strcmp(elsewhere[i].name, name) == 0) {
            code = elsewhere[i].code;
        }
    }
    if (code == 0) {
        code = status >= 500 ? COFFER_E_KEY_UNREACHABLE : COFFER_E_KEY_ACCESS;
    }
    return code;
}

/* "com.amazonaws.kms#NotFoundException" and the bare name, of letters and digits only. */
static const char *error_name(const json_t *value)
{
    const char *name = json_string_value(json_object_get(value, "__type"));
    const char *hash = name == NULL ? NULL : strrchr(name, '#');

    if (hash != NULL) {
        name = hash + 1;
    }
    if (name == NULL || name[0] == '\0' || strlen(name) >= COFFER_KMS_ERROR_BYTES_MAX) {
        return NULL;
    }
    for (const char *at = name; *at != '\0'; at++) {
        if (!isalnum((unsigned char)*at)) {
            return NULL;
        }
    }
    return name;
}

int cof_client_answer_read(struct coffer_kms_answer *answer, struct coffer_fault *fault)
{
    char why[160];
    const char *name;
    json_t *value;

    if (answer->status == 200) {
        bool object = answer->body_bytes == 0 || (answer->body[0] == '{' &&
                                                  answer->body[answer->body_bytes - 1] == '}');
        return object ? 0
                      : cof_kms_fault(fault, COFFER_E_KEY_UNREACHABLE,
                                      "the key service's answer is no JSON object: is the URL that "
                                      "of a key service?");
    }
    value = cof_wire_json_parse(answer->body, answer->body_bytes, why);
    name = error_name(value);
    if (name == NULL) {
        json_decref(value);
        return cof_kms_fault(fault, COFFER_E_KEY_UNREACHABLE,
                             "the key service answered HTTP %d without the name of an error: is "
                             "the URL that of a key service?",
                             answer->status);
    }
    (void)snprintf(answer->error, sizeof(answer->error), "%s", name);
    answer->code = code_of(name, answer->status);
    json_decref(value);
    return 0;
}

void cof_client_answer_message(const struct coffer_kms_answer *answer, char *ret_text,
                               size_t text_bytes)
{
    char why[160];
    json_t *value = cof_wire_json_parse(answer->body, answer->body_bytes, why);
    const char *message = json_string_value(json_object_get(value, "message"));

    if (message == NULL) {
        message = json_string_value(json_object_get(value, "Message"));
    }
    (void)snprintf(ret_text, text_bytes, "%s", message == NULL ? "" : message);
    for (char *at = ret_text; *at != '\0'; at++) {
        if (iscntrl((unsigned char)*at)) {
            *at = ' ';
        }
    }
    json_decref(value);
}
