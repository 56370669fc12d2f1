/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cofferkms/request.c - the options of a verb as the parameters of its operation.
 *
 * Invariant: every option that the verb's row names becomes one member, of the kind that stands
 * here or that the option table gives; options of the program itself never do. One thread.
 */
#include "common/error.h"
#include "verbs.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum kind { PLAIN, SECRET_BYTES, PUBLIC_BYTES, MAP, MAPS, JSON, DOCUMENT, TIME, NO_FLAG };

struct option_kind {
    const char *name;
    enum kind kind;
    unsigned bytes_max; /* of BYTES */
};

static const struct option_kind kinds[] = {
    {"plaintext", SECRET_BYTES, COFFER_PLAINTEXT_BYTES_MAX},
    {"message", SECRET_BYTES, COFFER_PLAINTEXT_BYTES_MAX},
    {"ciphertext-blob", PUBLIC_BYTES, COFFER_KEY_BLOB_BYTES_MAX},
    {"signature", PUBLIC_BYTES, COFFER_KEY_BLOB_BYTES_MAX},
    {"mac", PUBLIC_BYTES, COFFER_KEY_BLOB_BYTES_MAX},
    {"public-key", PUBLIC_BYTES, COFFER_KEY_BLOB_BYTES_MAX},
    {"import-token", PUBLIC_BYTES, COFFER_KEY_BLOB_BYTES_MAX},
    {"encrypted-key-material", PUBLIC_BYTES, COFFER_KEY_BLOB_BYTES_MAX},
    {"encryption-context", MAP, 0},
    {"source-encryption-context", MAP, 0},
    {"destination-encryption-context", MAP, 0},
    {"constraints", JSON, 0},
    {"entries", JSON, 0},
    {"tags", MAPS, 0},
    {"policy", DOCUMENT, 0},
    {"valid-to", TIME, 0},
    {"no-dry-run", NO_FLAG, 0},
    {"no-multi-region", NO_FLAG, 0},
    {"no-bypass-policy-lockout-safety-check", NO_FLAG, 0},
};

static const struct option_kind *kind_of(const char *name)
{
    static const struct option_kind plain = {NULL, PLAIN, 0};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kinds[i].name, name) == 0) {
            return &kinds[i];
        }
    }
    return &plain;
}

void cof_key_name(const char *kebab, char ret_name[COF_KEY_NAME_BYTES])
{
    size_t length = 0;
    bool upper = true;
    for (; *kebab != '\0' && length < COF_KEY_NAME_BYTES - 1; kebab++) {
        if (*kebab == '-') {
            upper = true;
            continue;
        }
        char letter = *kebab;
        if (upper && letter >= 'a' && letter <= 'z') {
            letter = (char)(letter - 'a' + 'A');
        }
        ret_name[length++] = letter;
        upper = false;
    }
    ret_name[length] = '\0';
}

static json_t *words_json(const struct cof_tool_call *call, const char *name)
{
    const char *const *words;
    unsigned count = cof_tool_list(call, name, &words);
    json_t *list = json_array();
    for (unsigned i = 0; list != NULL && i < count; i++) {
        json_array_append_new(list, json_string(words[i]));
    }
    return list;
}

/* 2026-11-22T01:02:03Z, or seconds since 1970; NULL when it is neither. */
static json_t *time_json(const char *text)
{
    struct tm parts = {.tm_mday = 1};
    char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    if (end != NULL && *end == '\0') {
        return json_integer(timegm(&parts));
    }
    double seconds = strtod(text, &end);
    return end != text && *end == '\0' && seconds >= 0 ? json_real(seconds) : NULL;
}

static json_t *plain_json(const struct cof_tool_call *call, const struct cof_tool_option *option)
{
    switch (option->kind) {
    case COF_TOOL_FLAG:
        return json_true();
    case COF_TOOL_NUMBER: {
        uint64_t number = cof_tool_number(call, option->name, 0);
        return json_integer(number > INT32_MAX ? INT32_MAX : (json_int_t)number);
    }
    case COF_TOOL_WORDS:
        return words_json(call, option->name);
    default:
        return json_string(cof_tool_text(call, option->name, ""));
    }
}

static int bytes_json(struct cof_tool_call *call, const struct option_kind *kind,
                      json_t **ret_value)
{
    uint8_t *bytes = NULL;
    size_t count = 0;
    int exit_code = cof_key_bytes_read(
        call, kind->name, kind->kind == SECRET_BYTES ? COF_KEY_BYTES_SECRET : COF_KEY_BYTES_PUBLIC,
        kind->bytes_max, &bytes, &count);
    if (exit_code == 0) {
        *ret_value = cof_key_base64_json(bytes, count);
        coffer_keystore_secret_free(bytes);
    }
    return exit_code;
}

/* One option's value; 0 or an exit code, after a complaint. */
static int value_json(struct cof_tool_call *call, const struct cof_tool_option *option,
                      json_t **ret_value)
{
    const struct option_kind *kind = kind_of(option->name);
    switch (kind->kind) {
    case SECRET_BYTES:
    case PUBLIC_BYTES:
        return bytes_json(call, kind, ret_value);
    case MAP:
        *ret_value = cof_key_map_read(call, option->name);
        break;
    case MAPS:
        *ret_value = cof_key_maps_read(call, option->name);
        break;
    case JSON:
        *ret_value = cof_key_json_read(call, option->name);
        break;
    case DOCUMENT:
        return cof_key_document_read(call, option->name, ret_value);
    case TIME:
        *ret_value = time_json(cof_tool_text(call, option->name, ""));
        return *ret_value != NULL
                   ? 0
                   : cof_tool_usage(call, NULL, "--%s: give 2026-11-22T01:02:03Z, or seconds",
                                    option->name);
    case NO_FLAG:
        *ret_value = json_false();
        return 0;
    default:
        *ret_value = plain_json(call, option);
        return *ret_value != NULL ? 0
                                  : cof_tool_usage(call, NULL, "--%s is not UTF-8", option->name);
    }
    return *ret_value != NULL ? 0 : COF_EXIT_USAGE;
}

/* Add the option's member to params, if it was given. */
static int add_member(struct cof_tool_call *call, const char *name, json_t *params)
{
    const struct cof_tool_option *option = cof_tool_option_find(call->program, name, strlen(name));
    char member[COF_KEY_NAME_BYTES];
    json_t *value = NULL;
    if (!cof_tool_given(call, name)) {
        return 0;
    }
    int exit_code = value_json(call, option, &value);
    cof_key_name(kind_of(name)->kind == NO_FLAG ? name + 3 : name, member);
    if (exit_code == 0 && json_object_set_new(params, member, value) != 0) {
        exit_code = cof_tool_fail(call, COFFER_E_NO_MEMORY, NULL, NULL, "cannot read --%s", name);
    }
    return exit_code;
}

int cof_key_request(struct cof_tool_call *call, const char *not_these, json_t **ret_params)
{
    const char *at = call->verb->options;
    json_t *params = json_object();
    int exit_code = 0;
    while (exit_code == 0 && *at != '\0') {
        char name[COF_KEY_NAME_BYTES];
        size_t length = strcspn(at, " ");
        snprintf(name, sizeof name, "%.*s", (int)length, at);
        exit_code = strstr(not_these, name) != NULL ? 0 : add_member(call, name, params);
        at += length + (at[length] == ' ');
    }
    if (exit_code != 0) {
        json_decref(params);
        return exit_code;
    }
    *ret_params = params;
    return 0;
}
