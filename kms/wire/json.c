/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/wire/json.c - parsing and printing. Any thread.
 *
 * Invariant: what jansson frees is wiped first (json.h says where that ends).
 */
#include "wire/json.h"

#include "base64.h"
#include "secret.h"

#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A time of this century has 10 digits before the point and gets 3 behind it. */
#define DUMP_FLAGS (JSON_COMPACT | JSON_REAL_PRECISION(13))

/* ---- memory ------------------------------------------------------------------------------ */

static void wipe_and_free(void *memory)
{
    if (memory != NULL) {
        cof_kms_wipe(memory, malloc_usable_size(memory));
        free(memory);
    }
}

static void take_over(void)
{
    json_malloc_t take = NULL;
    json_free_t give = NULL;

    json_get_alloc_funcs(&take, &give);
    if (take == malloc && give == free) {
        json_set_alloc_funcs(malloc, wipe_and_free);
    }
}

void cof_wire_json_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, take_over);
}

/* ---- text to values and back ------------------------------------------------------------- */

json_t *cof_wire_json_parse(const uint8_t *bytes, size_t count, char *ret_why)
{
    json_error_t why;
    json_t *value =
        json_loadb((const char *)bytes, count, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);

    if (value == NULL) {
        (void)snprintf(ret_why, 160,
                       "the body is not JSON without doubled names: line %d, column %d", why.line,
                       why.column);
    }
    return value;
}

size_t cof_wire_json_bytes(const json_t *value)
{
    return json_dumpb(value, NULL, 0, DUMP_FLAGS);
}

void cof_wire_json_write(const json_t *value, char *buffer, size_t room)
{
    (void)json_dumpb(value, buffer, room, DUMP_FLAGS);
}

json_t *cof_wire_json_time(uint64_t ns)
{
    return json_real((double)(ns / 1000000u) / 1000.0);
}

json_t *cof_wire_json_blob(struct cof_kms_bytes bytes)
{
    char *text = malloc(COF_KMS_BASE64_ROOM(bytes.length_bytes));
    json_t *value;

    if (text == NULL) {
        return NULL;
    }
    value = json_stringn(text, cof_kms_base64_encode(bytes, text));
    wipe_and_free(text);
    return value;
}
