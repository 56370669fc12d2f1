/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/policy/pattern.c - compiling and matching wildcards, ARNs part by part.
 *
 * A match costs at most pattern times value steps, a run at most COF_POLICY_STEPS_MAX: whoever
 * writes policies can't make a decision slow, only refused. Any thread, no state.
 */
#include "policy/pattern.h"

#include "policy/value.h"

#include <string.h>

struct cof_policy_text cof_policy_text_of(const char *text)
{
    struct cof_policy_text whole = {text, strlen(text)};

    return whole;
}

bool cof_policy_text_is(struct cof_policy_text text, const char *other)
{
    return text.bytes == strlen(other) && memcmp(text.at, other, text.bytes) == 0;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool cof_policy_same_fold(const char *left, const char *right)
{
    while (*left != '\0' && lower(*left) == lower(*right)) {
        left++;
        right++;
    }
    return *left == *right;
}

bool cof_policy_arn_split(struct cof_policy_text arn,
                          struct cof_policy_text ret_parts[COF_POLICY_ARN_PARTS])
{
    const char *at = arn.at, *end = arn.at + arn.bytes;
    struct cof_policy_text parts[COF_POLICY_ARN_PARTS];
    unsigned i;

    for (i = 0; i + 1 < COF_POLICY_ARN_PARTS; i++) {
        const char *colon = memchr(at, ':', (size_t)(end - at));

        if (colon == NULL) {
            return false;
        }
        parts[i].at = at;
        parts[i].bytes = (size_t)(colon - at);
        at = colon + 1;
    }
    parts[i].at = at;
    parts[i].bytes = (size_t)(end - at);
    memcpy(ret_parts, parts, sizeof(parts));
    return true;
}

/* ---- compiling ---------------------------------------------------------------------------- */

/* source stands at "${". Writes what it means to *out and steps over it. */
static const char *compile_variable(const char **source, char **out)
{
    const char *name = *source + 2, *close = strchr(name, '}');
    struct cof_policy_key key;
    char text[64];
    size_t bytes = close == NULL ? sizeof(text) : (size_t)(close - name);

    if (bytes >= sizeof(text)) {
        return "has a ${ without its }";
    }
    *source = close + 1;
    if (bytes == 1 && strchr("*?$", *name) != NULL) {
        *(*out)++ = *name;
        return NULL;
    }
    memcpy(text, name, bytes);
    text[bytes] = '\0';
    if (!cof_policy_key_find(text, &key) || !cof_policy_key_is_variable(&key)) {
        return "has a policy variable that isn't known here";
    }
    *(*out)++ = COF_PATTERN_VARIABLE;
    *(*out)++ = (char)(key.row + 1);
    return NULL;
}

const char *cof_policy_pattern_compile(const char *source, unsigned flags, char *ret_pattern,
                                       size_t room)
{
    char *out = ret_pattern;
    const char *wrong;

    if (strlen(source) + 4 > room) {
        return "is too long";
    }
    if ((flags & COF_PATTERN_ARN) != 0 && strncmp(source, "arn:aws:", 8) == 0) {
        memcpy(out, "arn:coffer:", 11);
        out += 11;
        source += 8;
    }
    while (*source != '\0') {
        if ((unsigned char)*source < 0x20) {
            return "has a control character";
        }
        if ((flags & COF_PATTERN_VARIABLES) != 0 && source[0] == '$' && source[1] == '{') {
            wrong = compile_variable(&source, &out);
            if (wrong != NULL) {
                return wrong;
            }
            continue;
        }
        *out = *source++;
        if ((flags & COF_PATTERN_WILDCARDS) != 0 && (*out == '*' || *out == '?')) {
            *out = *out == '*' ? COF_PATTERN_STAR : COF_PATTERN_ONE;
        }
        out++;
    }
    *out = '\0';
    return NULL;
}

/* ---- matching ----------------------------------------------------------------------------- */

static bool may_continue(struct cof_policy_run *run)
{
    if (run->steps_left == 0) {
        run->overrun = true;
        return false;
    }
    run->steps_left--;
    return true;
}

static bool continues_character(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* The bytes of value that the pattern's first character takes, or 0. */
static size_t takes(char pattern, const char *value, const char *end, bool fold)
{
    size_t bytes = 1;

    if (pattern != COF_PATTERN_ONE) {
        return pattern == *value || (fold && lower(pattern) == lower(*value)) ? 1 : 0;
    }
    while (value + bytes < end && continues_character(value[bytes])) {
        bytes++;
    }
    return bytes;
}

static bool match(struct cof_policy_run *run, struct cof_policy_text pattern,
                  struct cof_policy_text value, bool fold)
{
    const char *p = pattern.at, *p_end = p + pattern.bytes;
    const char *v = value.at, *v_end = v + value.bytes;
    const char *after_star = NULL, *star_took = NULL;

    while (v < v_end) {
        size_t taken = 0;

        if (!may_continue(run)) {
            return false;
        }
        if (p < p_end && *p == COF_PATTERN_STAR) {
            after_star = ++p;
            star_took = v;
            continue;
        }
        if (p < p_end) {
            taken = takes(*p, v, v_end, fold);
        }
        if (taken > 0) {
            p++;
            v += taken;
        } else if (after_star != NULL) {
            p = after_star;
            v = ++star_took;
        } else {
            return false;
        }
    }
    while (p < p_end && *p == COF_PATTERN_STAR) {
        p++;
    }
    return p == p_end;
}

/* Put the values of variables into pattern. False when one has none. */
static bool expand(struct cof_policy_run *run, const char *pattern)
{
    size_t used = 0;

    for (; *pattern != '\0'; pattern++) {
        char one[2] = {*pattern, '\0'};
        const char *piece = one;
        struct cof_policy_cursor cursor;
        size_t bytes;

        if (*pattern == COF_PATTERN_VARIABLE) {
            struct cof_policy_key key = {(unsigned)(unsigned char)*++pattern - 1, ""};

            cof_policy_values(run, &key, &cursor);
            piece = cof_policy_next_value(&cursor);
            if (piece == NULL || strpbrk(piece, "\x01\x02\x03") != NULL) {
                return false;
            }
        }
        bytes = strlen(piece);
        if (bytes >= sizeof(run->expanded) - used) {
            run->overrun = true;
            return false;
        }
        memcpy(run->expanded + used, piece, bytes);
        used += bytes;
    }
    run->expanded[used] = '\0';
    return true;
}

/* NULL when a variable of pattern has no value. */
static const char *resolve(struct cof_policy_run *run, const char *pattern)
{
    if (strchr(pattern, COF_PATTERN_VARIABLE) == NULL) {
        return pattern;
    }
    return expand(run, pattern) ? run->expanded : NULL;
}

bool cof_policy_pattern_matches(struct cof_policy_run *run, const char *pattern, const char *value,
                                bool fold)
{
    pattern = resolve(run, pattern);
    if (pattern == NULL) {
        return run->unresolved_matches;
    }
    return match(run, cof_policy_text_of(pattern), cof_policy_text_of(value), fold);
}

bool cof_policy_pattern_matches_arn(struct cof_policy_run *run, const char *pattern,
                                    const char *value)
{
    struct cof_policy_text wanted[COF_POLICY_ARN_PARTS], given[COF_POLICY_ARN_PARTS];
    unsigned i;

    pattern = resolve(run, pattern);
    if (pattern == NULL) {
        return run->unresolved_matches;
    }
    if (!cof_policy_arn_split(cof_policy_text_of(pattern), wanted) ||
        !cof_policy_arn_split(cof_policy_text_of(value), given)) {
        return false;
    }
    for (i = 0; i < COF_POLICY_ARN_PARTS; i++) {
        if (!match(run, wanted[i], given[i], false)) {
            return false;
        }
    }
    return true;
}
