/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/sigv4/target.c - the canonical forms of a request's path and of its query.
 *
 * The path is escaped as it stands on the line, so that an escape in it is escaped again, as all
 * services but S3 do. The query is unescaped and escaped anew, in the one spelling. A plus is a
 * plus. An escape that is none is refused: two readers could take it for two things.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- path -------------------------------------------------------------------------------- */

/* Drop the last segment of the path that begins at `from` in text, and its slash. */
static void drop_segment(struct cof_sigv4_text *text, size_t from)
{
    while (text->length_bytes > from && text->at[text->length_bytes - 1] != '/') {
        text->length_bytes--;
    }
    if (text->length_bytes > from) {
        text->length_bytes--;
    }
}

void cof_sigv4_put_path(struct cof_sigv4_text *text, const char *target, bool as_is)
{
    size_t path_bytes = strcspn(target, "?");
    size_t from = text->length_bytes, at = 0;

    if (as_is) {
        cof_sigv4_put_escaped(text, target, path_bytes, true);
        return;
    }
    while (at < path_bytes) {
        size_t segment = strcspn(target + at, "/?");

        if (segment == 2 && memcmp(target + at, "..", 2) == 0) {
            drop_segment(text, from);
        } else if (segment > 0 && !(segment == 1 && target[at] == '.')) {
            cof_sigv4_put(text, "/", 1);
            cof_sigv4_put_escaped(text, target + at, segment, false);
        }
        at += segment + 1;
    }
    if (text->length_bytes == from || target[path_bytes - 1] == '/') {
        cof_sigv4_put(text, "/", 1);
    }
}

/* ---- query ------------------------------------------------------------------------------- */

static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdefABCDEF";
    const char *at = c == '\0' ? NULL : strchr(digits, c);

    if (at == NULL) {
        return -1;
    }
    return at - digits < 16 ? (int)(at - digits) : (int)(at - digits) - 6;
}

/* Unescape count bytes at from into *out, which moves behind the NUL. */
static bool unescape(const char *from, size_t count, char **out)
{
    size_t i;

    for (i = 0; i < count; i++) {
        int high, low;

        if (from[i] != '%') {
            *(*out)++ = from[i];
            continue;
        }
        high = count - i > 2 ? hex_digit(from[i + 1]) : -1;
        low = high >= 0 ? hex_digit(from[i + 2]) : -1;
        if (low < 0 || (high == 0 && low == 0)) {
            return false;
        }
        *(*out)++ = (char)(high << 4 | low);
        i += 2;
    }
    *(*out)++ = '\0';
    return true;
}

static bool take_parameter(struct cof_sigv4_query *query, const char *piece, size_t bytes,
                           char **out)
{
    const char *equals = memchr(piece, '=', bytes);
    size_t name_bytes = equals == NULL ? bytes : (size_t)(equals - piece);
    struct cof_sigv4_parameter *parameter = &query->all[query->count];

    if (query->count == COF_SIGV4_PARAMETERS_MAX) {
        return false;
    }
    parameter->name = *out;
    if (!unescape(piece, name_bytes, out)) {
        return false;
    }
    parameter->value = *out;
    if (equals == NULL) {
        *(*out)++ = '\0';
    } else if (!unescape(equals + 1, bytes - name_bytes - 1, out)) {
        return false;
    }
    query->count++;
    return true;
}

int cof_sigv4_query_parse(struct cof_kms_env *env, const char *target,
                          struct cof_sigv4_query *ret_query)
{
    size_t target_bytes = strlen(target);
    const char *at = strchr(target, '?');
    struct cof_sigv4_query query;
    char *out;
    bool good = true;

    if (target[0] != '/' || target_bytes > COF_SIGV4_TARGET_BYTES_MAX) {
        return COFFER_E_INVALID;
    }
    memset(&query, 0, sizeof(query));
    /* A parameter gives two NULs: one for its '=' or want of one, one for its '&' or the end. */
    query.memory = cof_kms_alloc(env, 2 * target_bytes + 2);
    if (query.memory == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    out = query.memory;
    at = at == NULL ? target + target_bytes : at + 1;
    while (*at != '\0' && good) {
        size_t bytes = strcspn(at, "&");

        good = bytes == 0 || take_parameter(&query, at, bytes, &out);
        at += bytes + (at[bytes] == '&');
    }
    if (!good) {
        cof_kms_free(env, query.memory);
        return COFFER_E_INVALID;
    }
    *ret_query = query;
    return 0;
}

void cof_sigv4_query_done(struct cof_kms_env *env, struct cof_sigv4_query *query)
{
    cof_kms_free(env, query->memory);
    query->memory = NULL;
    query->count = 0;
}

const char *cof_sigv4_query_find(const struct cof_sigv4_query *query, const char *name,
                                 bool *ret_twice)
{
    const char *value = NULL;
    unsigned i;

    for (i = 0; i < query->count; i++) {
        if (strcmp(query->all[i].name, name) == 0) {
            *ret_twice = *ret_twice || value != NULL;
            value = query->all[i].value;
        }
    }
    return value;
}

static int compare_parameters(const void *left, const void *right)
{
    const struct cof_sigv4_parameter *a = left;
    const struct cof_sigv4_parameter *b = right;
    int order = strcmp(a->name, b->name);

    return order != 0 ? order : strcmp(a->value, b->value);
}

/* Escaped names and values, each with its NUL, one behind the other. */
static unsigned put_spelled(struct cof_sigv4_text *text, const struct cof_sigv4_query *query,
                            bool token_after)
{
    unsigned count = 0, i;

    for (i = 0; i < query->count; i++) {
        const struct cof_sigv4_parameter *parameter = &query->all[i];

        if (strcmp(parameter->name, "X-Amz-Signature") == 0 ||
            (token_after && strcmp(parameter->name, "X-Amz-Security-Token") == 0)) {
            continue;
        }
        cof_sigv4_put_escaped(text, parameter->name, strlen(parameter->name), false);
        cof_sigv4_put(text, "", 1);
        cof_sigv4_put_escaped(text, parameter->value, strlen(parameter->value), false);
        cof_sigv4_put(text, "", 1);
        count++;
    }
    return count;
}

void cof_sigv4_put_query(struct cof_sigv4_text *text, const struct cof_sigv4_query *query,
                         bool token_after)
{
    struct cof_sigv4_parameter sorted[COF_SIGV4_PARAMETERS_MAX];
    struct cof_sigv4_text spelled;
    unsigned count, i;
    const char *at;

    cof_sigv4_text_init(&spelled, text->env);
    count = put_spelled(&spelled, query, token_after);
    text->failed = text->failed || spelled.failed;
    at = spelled.at;
    for (i = 0; i < count && !spelled.failed; i++) {
        sorted[i].name = at;
        sorted[i].value = at + strlen(at) + 1;
        at = sorted[i].value + strlen(sorted[i].value) + 1;
    }
    if (!spelled.failed && count > 1) {
        qsort(sorted, count, sizeof(sorted[0]), compare_parameters);
    }
    for (i = 0; i < count && !spelled.failed; i++) {
        cof_sigv4_put(text, "&", i > 0);
        cof_sigv4_put_text(text, sorted[i].name);
        cof_sigv4_put(text, "=", 1);
        cof_sigv4_put_text(text, sorted[i].value);
    }
    cof_sigv4_text_done(&spelled);
}
