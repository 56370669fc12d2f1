/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/policy/reader.c - what all readers of a document use: the policy's memory, faults, values.
 *
 * A document's words that stand in a fault are cut to ASCII, so that any log and answer can hold
 * them. Any thread, no state.
 */
#include "policy/parts.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define BLOCK_BYTES 4096u

struct cof_policy_block {
    struct cof_policy_block *next;
    size_t used, room;
    max_align_t bytes[];
};

void *cof_policy_keep(struct cof_policy *policy, size_t bytes)
{
    struct cof_policy_block *block = policy->blocks;
    size_t rounded = (bytes + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    uint8_t *at;

    if (block == NULL || rounded > block->room - block->used) {
        size_t room = rounded > BLOCK_BYTES ? rounded : BLOCK_BYTES;

        block = cof_kms_alloc(policy->env, sizeof(*block) + room);
        if (block == NULL) {
            return NULL;
        }
        block->room = room;
        block->next = policy->blocks;
        policy->blocks = block;
    }
    at = (uint8_t *)block->bytes + block->used;
    block->used += rounded;
    return at;
}

void cof_policy_free(struct cof_policy *policy)
{
    if (policy == NULL) {
        return;
    }
    while (policy->blocks != NULL) {
        struct cof_policy_block *block = policy->blocks;

        policy->blocks = block->next;
        cof_kms_free(policy->env, block);
    }
    cof_kms_free(policy->env, policy);
}

/* ---- faults ------------------------------------------------------------------------------- */

int cof_policy_malformed(const struct cof_policy_reader *reader, const char *format, ...)
{
    char what[128], where[32] = "";
    va_list arguments;
    char *at;

    va_start(arguments, format);
    (void)vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    /* The document's own words may be cut inside a character, or be none that a log should hold. */
    for (at = what; *at != '\0'; at++) {
        *at = (unsigned char)*at < 0x20 || (unsigned char)*at >= 0x7f ? '?' : *at;
    }
    if (reader->statement > 0) {
        (void)snprintf(where, sizeof(where), ", statement %u", reader->statement);
    }
    return cof_kms_fault(reader->fault, COFFER_E_POLICY, "malformed policy%s: %s", where, what);
}

int cof_policy_no_memory(const struct cof_policy_reader *reader)
{
    return cof_kms_fault(reader->fault, COFFER_E_NO_MEMORY, NULL);
}

/* ---- values ------------------------------------------------------------------------------- */

int cof_policy_count_values(const struct cof_policy_reader *reader, const char *element,
                            json_t *value, unsigned *ret_count)
{
    size_t count = json_is_array(value) ? json_array_size(value) : 1;

    if (count == 0) {
        return cof_policy_malformed(reader, "%.60s is empty", element);
    }
    if (count > COF_POLICY_VALUES_MAX) {
        return cof_policy_malformed(reader, "%.60s has more than %u entries", element,
                                    COF_POLICY_VALUES_MAX);
    }
    *ret_count = (unsigned)count;
    return 0;
}

json_t *cof_policy_item(json_t *value, unsigned at)
{
    return json_is_array(value) ? json_array_get(value, at) : value;
}

int cof_policy_text_item(const struct cof_policy_reader *reader, const char *element, json_t *value,
                         unsigned at, const char **ret_text)
{
    const char *text = json_string_value(cof_policy_item(value, at));

    if (text == NULL || text[0] == '\0') {
        return cof_policy_malformed(reader, "%.60s is neither a text nor a list of texts", element);
    }
    *ret_text = text;
    return 0;
}

int cof_policy_keep_pattern(const struct cof_policy_reader *reader, const char *element,
                            const char *source, unsigned flags, const char **ret_pattern)
{
    size_t room = strlen(source) + 4;
    const char *wrong;
    char *pattern;

    if (room > COF_POLICY_PATTERN_BYTES_MAX + 4) {
        return cof_policy_malformed(reader, "a value of %.60s has more than %u bytes", element,
                                    COF_POLICY_PATTERN_BYTES_MAX);
    }
    pattern = cof_policy_keep(reader->policy, room);
    if (pattern == NULL) {
        return cof_policy_no_memory(reader);
    }
    wrong = cof_policy_pattern_compile(source, flags, pattern, room);
    if (wrong != NULL) {
        return cof_policy_malformed(reader, "'%.40s' of %.30s %s", source, element, wrong);
    }
    *ret_pattern = pattern;
    return 0;
}
