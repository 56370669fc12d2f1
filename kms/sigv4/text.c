/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/sigv4/text.c - texts that grow, and the two ways in which Signature Version 4 spells bytes.
 *
 * Invariant: at is NUL-terminated whenever it isn't NULL; a text that failed stays as it was.
 */
#include "internal.h"

#include <string.h>

#define FIRST_BYTES 512u

void cof_sigv4_text_init(struct cof_sigv4_text *text, struct cof_kms_env *env)
{
    memset(text, 0, sizeof(*text));
    text->env = env;
}

void cof_sigv4_text_done(struct cof_sigv4_text *text)
{
    cof_kms_free(text->env, text->at);
    cof_sigv4_text_init(text, text->env);
}

static bool make_room(struct cof_sigv4_text *text, size_t count)
{
    size_t capacity = text->capacity_bytes == 0 ? FIRST_BYTES : text->capacity_bytes;
    char *at;

    if (text->failed || count >= SIZE_MAX / 4 - text->length_bytes) {
        text->failed = true;
        return false;
    }
    while (capacity - text->length_bytes <= count) {
        capacity *= 2;
    }
    if (capacity == text->capacity_bytes) {
        return true;
    }
    at = cof_kms_alloc(text->env, capacity);
    if (at == NULL) {
        text->failed = true;
        return false;
    }
    if (text->length_bytes > 0) {
        memcpy(at, text->at, text->length_bytes);
    }
    cof_kms_free(text->env, text->at);
    text->at = at;
    text->capacity_bytes = capacity;
    return true;
}

void cof_sigv4_put(struct cof_sigv4_text *text, const char *bytes, size_t count)
{
    if (make_room(text, count)) {
        memcpy(text->at + text->length_bytes, bytes, count);
        text->length_bytes += count;
        text->at[text->length_bytes] = '\0';
    }
}

void cof_sigv4_put_text(struct cof_sigv4_text *text, const char *more)
{
    cof_sigv4_put(text, more, strlen(more));
}

static bool stands_as_it_is(unsigned char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

void cof_sigv4_put_escaped(struct cof_sigv4_text *text, const char *bytes, size_t count,
                           bool keep_slash)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t i;

    for (i = 0; i < count; i++) {
        unsigned char c = (unsigned char)bytes[i];
        char escaped[3] = {'%', digits[c >> 4], digits[c & 15]};

        if (stands_as_it_is(c) || (keep_slash && c == '/')) {
            cof_sigv4_put(text, &bytes[i], 1);
        } else {
            cof_sigv4_put(text, escaped, sizeof(escaped));
        }
    }
}

void cof_sigv4_put_trimmed(struct cof_sigv4_text *text, const char *value)
{
    static const char blanks[] = " \t\r\n";
    size_t word;

    value += strspn(value, blanks);
    while (*value != '\0') {
        word = strcspn(value, blanks);
        cof_sigv4_put(text, value, word);
        value += word;
        value += strspn(value, blanks);
        if (*value != '\0') {
            cof_sigv4_put(text, " ", 1);
        }
    }
}
