/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cofferkms/json.c - JSON that may hold a plaintext, and times as people read them.
 *
 * Invariant: memory that held a plaintext in JSON is wiped when it is freed. One thread.
 */
#include "verbs.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Blocks begin with their size, so that free knows what to wipe. */
union block_head {
    size_t bytes;
    max_align_t align;
};

static void *take(size_t bytes)
{
    if (bytes > SIZE_MAX - sizeof(union block_head)) {
        return NULL;
    }
    union block_head *head = malloc(sizeof *head + bytes);
    if (head == NULL) {
        return NULL;
    }
    head->bytes = bytes;
    return head + 1;
}

static void give(void *memory)
{
    if (memory != NULL) {
        union block_head *head = (union block_head *)memory - 1;
        explicit_bzero(memory, head->bytes);
        free(head);
    }
}

void cof_key_wipe_json(void)
{
    json_set_alloc_funcs(take, give);
}

json_t *cof_key_base64_json(const uint8_t *bytes, size_t count)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *text = take((count + 2) / 3 * 4 + 1);
    if (text == NULL) {
        return NULL;
    }
    char *out = text;
    for (size_t at = 0; at < count; at += 3) {
        size_t left = count - at;
        uint32_t group = (uint32_t)bytes[at] << 16;
        group |= left > 1 ? (uint32_t)bytes[at + 1] << 8 : 0;
        group |= left > 2 ? (uint32_t)bytes[at + 2] : 0;
        *out++ = digits[group >> 18];
        *out++ = digits[group >> 12 & 63];
        *out++ = left > 1 ? digits[group >> 6 & 63] : '=';
        *out++ = left > 2 ? digits[group & 63] : '=';
    }
    json_t *value = json_stringn(text, (size_t)(out - text));
    give(text);
    return value;
}

json_t *cof_key_time_json(uint64_t ns)
{
    time_t seconds = (time_t)(ns / 1000000000u);
    struct tm parts;
    char day[32];
    if (gmtime_r(&seconds, &parts) == NULL ||
        strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &parts) == 0) {
        return json_null();
    }
    return json_sprintf("%s.%06u+00:00", day, (unsigned)(ns % 1000000000u / 1000u));
}
