/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cofferkms/input.c - maps, documents and bytes from the command line's sources.
 *
 * Invariants: a plaintext comes from a file or standard input, never from argv; it goes by read(2)
 * into locked memory; base64 is decoded in place. One thread.
 */
#include "common/error.h"
#include "verbs.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DOCUMENT_BYTES_MAX (128u << 10)

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

/* ---- maps -------------------------------------------------------------------------------- */

/* k=v,k2=v2 up to length. */
static json_t *parse_pairs(struct cof_tool_call *call, const char *option, const char *text,
                           size_t length)
{
    json_t *object = json_object();
    const char *end = text + length;
    while (object != NULL) {
        const char *comma = memchr(text, ',', (size_t)(end - text));
        const char *stop = comma != NULL ? comma : end;
        const char *equals = memchr(text, '=', (size_t)(stop - text));
        if (equals == NULL || equals == text) {
            cof_tool_usage(call, NULL, "--%s: '%.60s' is not k=v: give k=v,k2=v2 or a JSON object",
                           option, text);
            break;
        }
        char *key = strndup(text, (size_t)(equals - text));
        json_t *value = json_stringn(equals + 1, (size_t)(stop - equals - 1));
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
        if (comma == NULL) {
            return object;
        }
        text = comma + 1;
    }
    json_decref(object);
    return NULL;
}

/* NAME={k=v,...},NAME2={...} */
static json_t *parse_maps(struct cof_tool_call *call, const char *option, const char *text)
{
    json_t *object = json_object();
    while (object != NULL) {
        const char *brace = strstr(text, "={");
        const char *close = brace != NULL ? strchr(brace, '}') : NULL;
        char name[64];
        if (close == NULL || (close[1] != '\0' && close[1] != ',') ||
            (size_t)(brace - text) >= sizeof name) {
            cof_tool_usage(call, NULL, "--%s: give NAME={k=v,k2=v2} or a JSON object", option);
            break;
        }
        snprintf(name, sizeof name, "%.*s", (int)(brace - text), text);
        json_t *map = parse_pairs(call, option, brace + 2, (size_t)(close - brace - 2));
        if (map == NULL || json_object_set_new(object, name, map) != 0) {
            break;
        }
        if (close[1] == '\0') {
            return object;
        }
        text = close + 2;
    }
    json_decref(object);
    return NULL;
}

static json_t *parse_json(struct cof_tool_call *call, const char *option, const char *text)
{
    json_error_t why;
    bool is_file = strncmp(text, "file://", 7) == 0;
    json_t *value = is_file ? json_load_file(text + 7, JSON_REJECT_DUPLICATES, &why)
                            : json_loads(text, JSON_REJECT_DUPLICATES, &why);
    if (value == NULL) {
        cof_tool_usage(call, NULL, "--%s: not JSON: %s", option, why.text);
    }
    return value;
}

/* Whether text is JSON, or names a file of it. */
static bool is_json(const char *text)
{
    char first = text[strspn(text, " \t\n")];
    return first == '{' || first == '[' || strncmp(text, "file://", 7) == 0;
}

static bool holds_texts(json_t *object)
{
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) {
        if (!json_is_string(value)) {
            return false;
        }
    }
    return json_is_object(object);
}

json_t *cof_key_map_read(struct cof_tool_call *call, const char *option)
{
    const char *text = cof_tool_text(call, option, "");
    if (text[0] == '\0') {
        return json_object();
    }
    if (!is_json(text)) {
        return parse_pairs(call, option, text, strlen(text));
    }
    json_t *object = parse_json(call, option, text);
    if (object != NULL && !holds_texts(object)) {
        cof_tool_usage(call, NULL, "--%s: give a JSON object of strings", option);
        json_decref(object);
        return NULL;
    }
    return object;
}

json_t *cof_key_json_read(struct cof_tool_call *call, const char *option)
{
    const char *text = cof_tool_text(call, option, "");
    return is_json(text) ? parse_json(call, option, text) : parse_maps(call, option, text);
}

json_t *cof_key_maps_read(struct cof_tool_call *call, const char *option)
{
    const char *const *words;
    unsigned count = cof_tool_list(call, option, &words);
    if (count == 1 && is_json(words[0])) {
        return parse_json(call, option, words[0]);
    }
    json_t *list = json_array();
    for (unsigned i = 0; list != NULL && i < count; i++) {
        json_t *map = parse_pairs(call, option, words[i], strlen(words[i]));
        if (map == NULL || json_array_append_new(list, map) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

int cof_key_document_read(struct cof_tool_call *call, const char *option, json_t **ret_value)
{
    const char *text = cof_tool_text(call, option, "");
    static char bytes[DOCUMENT_BYTES_MAX + 1];
    size_t length = strlen(text);
    if (strncmp(text, "file://", 7) == 0) {
        int fd = open(text + 7, O_RDONLY | O_CLOEXEC);
        ssize_t count = fd < 0 ? -1 : read_all(fd, (uint8_t *)bytes, sizeof bytes);
        int saved = errno;
        if (fd >= 0) {
            close(fd);
        }
        if (count < 0) {
            return cof_tool_fail_errno(call, saved, NULL, "cannot read --%s", option);
        }
        text = bytes;
        length = (size_t)count;
    }
    json_t *value = length > DOCUMENT_BYTES_MAX ? NULL : json_stringn(text, length);
    if (value == NULL) {
        return cof_tool_usage(call, NULL, "--%s is longer than %u bytes, or not UTF-8", option,
                              DOCUMENT_BYTES_MAX);
    }
    *ret_value = value;
    return 0;
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
