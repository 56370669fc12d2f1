/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire_fixture.h - calls to a key store by coffer_kms_call, and looks into their answers.
 *
 * In bodies %K is the fixture's key id, %A its ARN.
 */
#ifndef WIRE_FIXTURE_H
#define WIRE_FIXTURE_H

#include "kms_fixture.h"

#include <coffer/kms.h>
#include <jansson.h>

struct wire_fixture {
    struct kms_fixture kms;
    char key_id[COFFER_KEY_ID_BYTES];
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    struct coffer_kms_answer answer;
    json_t *value; /* of the answer's body; NULL when it is empty */
};

static inline int wire_setup(void **state)
{
    struct wire_fixture *f = calloc(1, sizeof(*f));
    const struct coffer_key_metadata *key;

    assert_non_null(f);
    fixture_init(&f->kms);
    assert_int_equal(fixture_open(&f->kms), 0);
    key = fixture_key(&f->kms);
    memcpy(f->key_id, key->key_id, sizeof(f->key_id));
    memcpy(f->arn, key->arn, sizeof(f->arn));
    *state = f;
    return 0;
}

static inline void forget(struct wire_fixture *f)
{
    json_decref(f->value);
    f->value = NULL;
    coffer_kms_answer_done(&f->answer);
}

static inline int wire_teardown(void **state)
{
    struct wire_fixture *f = *state;

    forget(f);
    fixture_done(&f->kms);
    free(f);
    return 0;
}

static inline void fill_in(const struct wire_fixture *f, const char *pattern, char *text,
                           size_t room)
{
    size_t length = 0;

    for (; *pattern != '\0' && length + 300 < room; pattern++) {
        if (pattern[0] == '%' && (pattern[1] == 'K' || pattern[1] == 'A')) {
            length += (size_t)snprintf(text + length, room - length, "%s",
                                       pattern[1] == 'K' ? f->key_id : f->arn);
            pattern++;
        } else {
            text[length++] = *pattern;
        }
    }
    text[length] = '\0';
}

/* One call; its answer stays until the next. */
static inline const char *call(struct wire_fixture *f, const char *operation, const char *pattern)
{
    static char body[16384];
    struct coffer_kms_request request = {.size = sizeof(request), .operation = operation};

    forget(f);
    fill_in(f, pattern, body, sizeof(body));
    request.body = (const uint8_t *)body;
    request.body_bytes = strlen(body);
    f->answer.size = sizeof(f->answer);
    assert_int_equal(coffer_kms_call(f->kms.store, &request, &f->answer), 0);
    assert_int_equal(strlen(f->answer.request_id), 36);
    if (f->answer.body_bytes > 0) {
        f->value = json_loadb((const char *)f->answer.body, f->answer.body_bytes, 0, NULL);
        assert_non_null(f->value);
        assert_int_equal(f->answer.body[f->answer.body_bytes], '\0');
    }
    if (f->answer.error[0] != '\0') {
        assert_string_equal(json_string_value(json_object_get(f->value, "__type")),
                            f->answer.error);
        assert_int_not_equal(f->answer.code, 0);
    } else {
        assert_int_equal(f->answer.status, 200);
        assert_int_equal(f->answer.code, 0);
    }
    return f->answer.error;
}

static inline const char *message(const struct wire_fixture *f)
{
    const char *text = json_string_value(json_object_get(f->value, "message"));

    return text != NULL ? text : json_string_value(json_object_get(f->value, "Message"));
}

static inline void good(struct wire_fixture *f, const char *operation, const char *body)
{
    if (call(f, operation, body)[0] != '\0') {
        fail_msg("%s %s: %s: %s", operation, body, f->answer.error, message(f));
    }
}

static inline void bad(struct wire_fixture *f, const char *operation, const char *body,
                       const char *error)
{
    const char *got = call(f, operation, body);

    if (strcmp(got, error) != 0) {
        fail_msg("%s %s: %s: %s, not %s", operation, body, got, message(f), error);
    }
}

/* A member of the answer by its path, "Keys.0.KeyId". */
static inline const json_t *at(const struct wire_fixture *f, const char *path)
{
    const json_t *value = f->value;
    char name[64];

    while (*path != '\0' && value != NULL) {
        size_t length = strcspn(path, ".");

        snprintf(name, sizeof(name), "%.*s", (int)length, path);
        value = json_is_array(value) ? json_array_get(value, (size_t)atoi(name))
                                     : json_object_get(value, name);
        path += length + (path[length] == '.');
    }
    return value;
}

static inline const char *text_at(const struct wire_fixture *f, const char *path)
{
    const char *text = json_string_value(at(f, path));

    if (text == NULL) {
        fail_msg("the answer has no %s: %.400s", path, (const char *)f->answer.body);
    }
    return text;
}

#endif
