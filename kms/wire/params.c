/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/wire/params.c - the values of a request that was checked, and the members of its answer.
 *
 * Invariants: a value is asked for by a name and type of the operation's row, so nothing here can
 * meet another; bytes of blobs lie in memory that is wiped with the request. One thread a request.
 */
#include "wire/wire.h"

#include "base64.h"
#include "secret.h"

#include <string.h>

/* ---- memory of a request ----------------------------------------------------------------- */

struct cof_wire_block {
    struct cof_wire_block *next;
    size_t bytes;
    max_align_t memory[];
};

struct cof_wire_blob {
    struct cof_wire_blob *next;
    const json_t *value;
    struct cof_kms_bytes bytes;
};

void *cof_wire_take(struct cof_wire *wire, size_t bytes)
{
    struct cof_wire_block *block = cof_kms_alloc(&wire->ks->env, sizeof(*block) + bytes);

    if (block == NULL) {
        return NULL;
    }
    block->bytes = bytes;
    block->next = wire->blocks;
    wire->blocks = block;
    return block->memory;
}

void cof_wire_give(struct cof_wire *wire)
{
    while (wire->blocks != NULL) {
        struct cof_wire_block *block = wire->blocks;

        wire->blocks = block->next;
        cof_kms_wipe(block->memory, block->bytes);
        cof_kms_free(&wire->ks->env, block);
    }
    wire->blobs = NULL;
}

/* ---- values ------------------------------------------------------------------------------ */

const char *cof_wire_text(const struct cof_wire *wire, const char *name)
{
    return json_string_value(json_object_get(wire->params, name));
}

uint32_t cof_wire_number(const struct cof_wire *wire, const char *name, uint32_t fallback)
{
    const json_t *value = json_object_get(wire->params, name);

    return json_is_integer(value) ? (uint32_t)json_integer_value(value) : fallback;
}

bool cof_wire_flag(const struct cof_wire *wire, const char *name)
{
    return json_is_true(json_object_get(wire->params, name));
}

bool cof_wire_given(const struct cof_wire *wire, const char *name)
{
    const json_t *value = json_object_get(wire->params, name);

    return value != NULL && !json_is_null(value);
}

uint64_t cof_wire_time(const struct cof_wire *wire, const char *name)
{
    double seconds = json_number_value(json_object_get(wire->params, name));

    /* The nearest millisecond, within what a uint64_t of nanoseconds reaches. */
    return seconds > 0 && seconds < 1.8e10 ? (uint64_t)(seconds * 1000.0 + 0.5) * 1000000u : 0;
}

int cof_wire_keep_blob(void *ctx, const json_t *value, const struct cof_wire_shape *shape,
                       size_t *ret_bytes)
{
    struct cof_wire *wire = ctx;
    size_t length = json_string_length(value);
    struct cof_wire_blob *blob = cof_wire_take(wire, sizeof(*blob));
    uint8_t *bytes = cof_wire_take(wire, length / 4 * 3 + 1);
    int error;

    (void)shape;
    if (blob == NULL || bytes == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    error = cof_kms_base64_decode(json_string_value(value), length, bytes, ret_bytes);
    if (error == 0) {
        blob->value = value;
        blob->bytes = (struct cof_kms_bytes){bytes, *ret_bytes};
        blob->next = wire->blobs;
        wire->blobs = blob;
    }
    return error;
}

struct cof_kms_bytes cof_wire_bytes_of(const struct cof_wire *wire, const json_t *value)
{
    const struct cof_wire_blob *blob;

    for (blob = wire->blobs; blob != NULL; blob = blob->next) {
        if (blob->value == value) {
            return blob->bytes;
        }
    }
    return (struct cof_kms_bytes){NULL, 0};
}

struct cof_kms_bytes cof_wire_bytes(const struct cof_wire *wire, const char *name)
{
    return cof_wire_bytes_of(wire, json_object_get(wire->params, name));
}

int cof_wire_texts(struct cof_wire *wire, const char *name, const char *const **ret_texts,
                   unsigned *ret_count)
{
    const json_t *list = json_object_get(wire->params, name);
    size_t i, count = json_array_size(list);
    const char **texts = cof_wire_take(wire, (count + 1) * sizeof(*texts));

    if (texts == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    for (i = 0; i < count; i++) {
        texts[i] = json_string_value(json_array_get(list, i));
    }
    *ret_texts = texts;
    *ret_count = (unsigned)count;
    return 0;
}

int cof_wire_tags(struct cof_wire *wire, const char *name, const struct cof_kms_tag **ret_tags,
                  unsigned *ret_count)
{
    const json_t *list = json_object_get(wire->params, name);
    size_t i, count = json_array_size(list);
    struct cof_kms_tag *tags = cof_wire_take(wire, (count + 1) * sizeof(*tags));

    if (tags == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    for (i = 0; i < count; i++) {
        const json_t *tag = json_array_get(list, i);

        tags[i].name = json_string_value(json_object_get(tag, "TagKey"));
        tags[i].value = json_string_value(json_object_get(tag, "TagValue"));
    }
    *ret_tags = tags;
    *ret_count = (unsigned)count;
    return 0;
}

int cof_wire_context_of(struct cof_wire *wire, const json_t *map,
                        struct coffer_context *ret_context)
{
    struct coffer_context_pair *pairs =
        cof_wire_take(wire, (json_object_size(map) + 1) * sizeof(*pairs));
    const char *key;
    json_t *value;
    unsigned count = 0;

    if (pairs == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    json_object_foreach((json_t *)map, key, value)
    {
        pairs[count++] = (struct coffer_context_pair){key, json_string_value(value)};
    }
    *ret_context = (struct coffer_context){pairs, count};
    return 0;
}

int cof_wire_context(struct cof_wire *wire, const char *name, struct coffer_context *ret_context)
{
    return cof_wire_context_of(wire, json_object_get(wire->params, name), ret_context);
}

int cof_wire_refuse_recipient(struct cof_wire *wire)
{
    return cof_wire_given(wire, "Recipient")
               ? cof_kms_fault(&wire->fault, COFFER_E_UNSUPPORTED,
                               "Recipient is for enclaves, which this service does not serve")
               : 0;
}

/* ---- the answer -------------------------------------------------------------------------- */

int cof_wire_set(struct cof_wire *wire, const char *name, json_t *value)
{
    return json_object_set_new(wire->answer, name, value) == 0 ? 0 : COFFER_E_NO_MEMORY;
}

int cof_wire_set_text(struct cof_wire *wire, const char *name, const char *text)
{
    return cof_wire_set(wire, name, json_string(text));
}

int cof_wire_set_blob(struct cof_wire *wire, const char *name, struct cof_kms_bytes bytes)
{
    return cof_wire_set(wire, name, cof_wire_json_blob(bytes));
}

json_t *cof_wire_list(struct cof_wire *wire, const char *name)
{
    json_t *list = json_array();

    return json_object_set_new(wire->answer, name, list) == 0 ? list : NULL;
}

struct cof_kms_page cof_wire_page(const struct cof_wire *wire, unsigned limit)
{
    return (struct cof_kms_page){.limit = cof_wire_number(wire, "Limit", limit),
                                 .marker = cof_wire_text(wire, "Marker")};
}

int cof_wire_set_page(struct cof_wire *wire, const struct cof_kms_page *page)
{
    int error = cof_wire_set(wire, "Truncated", json_boolean(page->next[0] != '\0'));

    return error == 0 && page->next[0] != '\0' ? cof_wire_set_text(wire, "NextMarker", page->next)
                                               : error;
}
