/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cofferkms/input.c - encryption contexts and bytes from the command line's sources.
 *
 * Invariants: a plaintext comes from a file or standard input, never from argv; it goes by read(2)
 * into locked memory; base64 is decoded in place. One thread.
 */
#include "common/error.h"
#include "verbs.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONTEXT_TEXT_MAX (256u << 10)

/* ---- contexts ---------------------------------------------------------------------------- */

static json_t *parse_shorthand(struct cof_tool_call *call, const char *option, const char *text)
{
    json_t *object = json_object();
    while (object != NULL) {
        size_t length = strcspn(text, ",");
        const char *equals = memchr(text, '=', length);
        if (equals == NULL || equals == text) {
            cof_tool_usage(call, NULL, "--%s: '%.60s' is not k=v: give k=v,k2=v2 or a JSON object",
                           option, text);
            break;
        }
        char *key = strndup(text, (size_t)(equals - text));
        json_t *value = json_stringn(equals + 1, length - (size_t)(equals + 1 - text));
        bool twice = key != NULL && json_object_get(object, key) != NULL;
        if (key == NULL || value == NULL || twice || json_object_set(object, key, value) != 0) {
            cof_tool_usage(call, NULL, twice ? "--%s: the key '%.60s' stands there twice"
                                             : "--%s: '%.60s' is not UTF-8", option, text);
            free(key);
            json_decref(value);
            break;
        }
        free(key);
        json_decref(value);
        if (text[length] == '\0') {
            return object;
        }
        text += length + 1;
    }
    json_decref(object);
    return NULL;
}

static json_t *parse_json(struct cof_tool_call *call, const char *option, const char *text)
{
    json_error_t why;
    bool is_file = strncmp(text, "file://", 7) == 0;
    json_t *object = is_file ? json_load_file(text + 7, JSON_REJECT_DUPLICATES, &why)
                             : json_loads(text, JSON_REJECT_DUPLICATES, &why);
    if (object == NULL) {
        cof_tool_usage(call, NULL, "--%s: not a JSON object: %s", option, why.text);
        return NULL;
    }
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) {
        if (!json_is_string(value) || strlen(json_string_value(value)) !=
                                          json_string_length(value)) {
            cof_tool_usage(call, NULL, "--%s: the value of '%.60s' is not a string", option, key);
            json_decref(object);
            return NULL;
        }
    }
    if (!json_is_object(object)) {
        cof_tool_usage(call, NULL, "--%s: give a JSON object of strings", option);
        json_decref(object);
        return NULL;
    }
    return object;
}

int cof_key_context_read(struct cof_tool_call *call, const char *option,
                         struct cof_key_context_arg *ret_arg)
{
    const char *text = cof_tool_text(call, option, NULL);
    memset(ret_arg, 0, sizeof *ret_arg);
    if (text == NULL || text[0] == '\0') {
        return 0;
    }
    if (strlen(text) > CONTEXT_TEXT_MAX) {
        return cof_tool_usage(call, NULL, "--%s is too long", option);
    }
    bool shorthand = text[strspn(text, " \t\n")] != '{' && strncmp(text, "file://", 7) != 0;
    ret_arg->holder = shorthand ? parse_shorthand(call, option, text)
                                : parse_json(call, option, text);
    if (ret_arg->holder == NULL) {
        return COF_EXIT_USAGE;
    }
    size_t count = json_object_size(ret_arg->holder);
    ret_arg->pairs = calloc(count + 1, sizeof *ret_arg->pairs);
    if (ret_arg->pairs == NULL) {
        cof_key_context_done(ret_arg);
        return cof_tool_fail(call, COFFER_E_NO_MEMORY, NULL, NULL, "cannot read --%s", option);
    }
    const char *key;
    json_t *value;
    unsigned i = 0;
    json_object_foreach(ret_arg->holder, key, value) {
        ret_arg->pairs[i].key = key;
        ret_arg->pairs[i].value = json_string_value(value);
        i++;
    }
    ret_arg->context.pairs = ret_arg->pairs;
    ret_arg->context.pair_count = i;
    return 0;
}

void cof_key_context_done(struct cof_key_context_arg *arg)
{
    free(arg->pairs);
    json_decref(arg->holder);
    memset(arg, 0, sizeof *arg);
}

/* ---- bytes ------------------------------------------------------------------------------- */

static int base64_digit(uint8_t c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Decode in place, line ends and blanks left out; -1 when it is not base64. */
static ssize_t decode_base64(uint8_t *bytes, size_t count)
{
    size_t out = 0, digits = 0, padding = 0;
    uint32_t group = 0;
    for (size_t at = 0; at < count; at++) {
        uint8_t c = bytes[at];
        if (c == '\n' || c == '\r' || c == ' ') {
            continue;
        }
        int value = c == '=' ? 0 : base64_digit(c);
        if (value < 0 || (c != '=' && padding > 0)) {
            return -1;
        }
        padding += c == '=';
        group = group << 6 | (uint32_t)value;
        if (++digits % 4 == 0) {
            bytes[out++] = (uint8_t)(group >> 16);
            bytes[out++] = (uint8_t)(group >> 8);
            bytes[out++] = (uint8_t)group;
        }
    }
    if (digits % 4 != 0 || padding > 2) {
        return -1;
    }
    return (ssize_t)(out - padding);
}

/* Read fd to its end, at most room bytes; -1 with errno. */
static ssize_t read_all(int fd, uint8_t *bytes, size_t room)
{
    size_t have = 0;
    while (have < room) {
        ssize_t got = read(fd, bytes + have, room - have);
        if (got < 0 && errno == EINTR && !cof_tool_interrupted()) {
            continue;
        }
        if (got < 0) {
            return -1;
        }
        if (got == 0) {
            break;
        }
        have += (size_t)got;
    }
    return (ssize_t)have;
}

struct source {
    const char *path; /* NULL: standard input, or text */
    const char *text; /* base64 itself                 */
    bool is_base64;
};

static int find_source(struct cof_tool_call *call, const char *option,
                       enum cof_key_bytes_kind kind, struct source *ret_source)
{
    const char *value = cof_tool_text(call, option, "");
    struct source source = {NULL, NULL, false};
    if (strncmp(value, "fileb://", 8) == 0 && value[8] != '\0') {
        source.path = value + 8;
    } else if (strncmp(value, "file://", 7) == 0 && value[7] != '\0') {
        source.path = value + 7;
        source.is_base64 = true;
    } else if (strcmp(value, "-") != 0) {
        if (kind == COF_KEY_BYTES_SECRET) {
            return cof_tool_usage(call, NULL,
                                  "--%s is never taken from the command line, where others see "
                                  "it: give fileb://FILE, or - for standard input", option);
        }
        source.text = value;
        source.is_base64 = true;
    }
    *ret_source = source;
    return 0;
}

static int fill(struct cof_tool_call *call, const char *option, const struct source *source,
                uint8_t *bytes, size_t room, ssize_t *ret_count)
{
    if (source->text != NULL) {
        size_t length = strlen(source->text);
        length = length < room ? length : room;
        memcpy(bytes, source->text, length);
        *ret_count = (ssize_t)length;
        return 0;
    }
    int fd = source->path != NULL ? open(source->path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
    *ret_count = fd < 0 ? -1 : read_all(fd, bytes, room);
    int saved = errno;
    if (source->path != NULL && fd >= 0) {
        close(fd);
    }
    if (*ret_count < 0) {
        return cof_tool_fail_errno(call, saved, NULL, "cannot read --%s from %s", option,
                                   source->path != NULL ? source->path : "standard input");
    }
    return 0;
}

int cof_key_bytes_read(struct cof_tool_call *call, const char *option,
                       enum cof_key_bytes_kind kind, size_t bytes_max, uint8_t **ret_bytes,
                       size_t *ret_count)
{
    struct source source = {NULL, NULL, false};
    int exit_code = find_source(call, option, kind, &source);
    if (exit_code != 0) {
        return exit_code;
    }
    /* Room for base64 with line ends, and one byte more, which shows that there is too much. */
    size_t room = source.is_base64 ? bytes_max * 2 + 64 : bytes_max + 1;
    uint8_t *bytes = NULL;
    ssize_t count = 0;
    int error = coffer_keystore_secret_new(room, &bytes);
    if (error != 0) {
        return cof_tool_fail(call, error, NULL, NULL, "cannot read --%s", option);
    }
    exit_code = fill(call, option, &source, bytes, room, &count);
    if (exit_code == 0 && source.is_base64) {
        count = decode_base64(bytes, (size_t)count);
    }
    if (exit_code == 0 && count < 0) {
        exit_code = cof_tool_usage(call, NULL,
                                   "--%s: not base64: give fileb://FILE for bytes as they are",
                                   option);
    } else if (exit_code == 0 && (count == 0 || (size_t)count > bytes_max)) {
        exit_code = cof_tool_usage(call, NULL, "--%s has %s: 1 to %zu bytes are taken", option,
                                   count == 0 ? "no bytes" : "too many bytes", bytes_max);
    }
    if (exit_code != 0) {
        coffer_keystore_secret_free(bytes);
        return exit_code;
    }
    *ret_bytes = bytes;
    *ret_count = (size_t)count;
    return 0;
}
