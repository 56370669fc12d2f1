/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/vector_fixture.h - tests/vectors/format read with jansson: members by name, hexadecimal,
 * and the comparison of bytes with what a vector says of them.
 */
#ifndef COF_TEST_VECTOR_FIXTURE_H
#define COF_TEST_VECTOR_FIXTURE_H

#include "crypto/keys.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static inline json_t *vector_file(const char *name)
{
    char path[4096];
    const char *folder = getenv("COFFER_VECTORS");
    json_error_t error;
    json_t *file;
    if (folder == NULL) {
        fail_msg("COFFER_VECTORS is not set: run it through ctest");
    }
    snprintf(path, sizeof path, "%s/format/%s.json", folder, name);
    file = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (file == NULL) {
        fail_msg("%s:%d: %s", path, error.line, error.text);
    }
    return file;
}

static inline const json_t *member(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    if (value == NULL) {
        fail_msg("a vector without %s", name);
    }
    return value;
}

static inline uint64_t number_of(const json_t *object, const char *name)
{
    const json_t *value = member(object, name);
    assert_true(json_is_integer(value) && json_integer_value(value) >= 0);
    return (uint64_t)json_integer_value(value);
}

/* Members that vectors of before families and copies do not have are 0. */
static inline uint64_t number_or_zero(const json_t *object, const char *name)
{
    return json_object_get(object, name) == NULL ? 0 : number_of(object, name);
}

static inline bool truth_of(const json_t *object, const char *name)
{
    assert_true(json_is_boolean(member(object, name)));
    return json_is_true(member(object, name));
}

static inline const char *text_of(const json_t *object, const char *name)
{
    assert_true(json_is_string(member(object, name)));
    return json_string_value(member(object, name));
}

static inline size_t unhex(const char *text, uint8_t *bytes, size_t room)
{
    size_t count = strlen(text) / 2u;
    assert_true(strlen(text) % 2u == 0 && count <= room);
    for (size_t i = 0; i < count; i++) {
        char pair[3] = {text[2 * i], text[2 * i + 1], '\0'};
        char *end;
        bytes[i] = (uint8_t)strtoul(pair, &end, 16);
        assert_true(*end == '\0');
    }
    return count;
}

static inline size_t bytes_of(const json_t *object, const char *name, uint8_t *bytes, size_t room)
{
    return unhex(text_of(object, name), bytes, room);
}

/* Exactly count bytes. */
static inline void fixed_of(const json_t *object, const char *name, uint8_t *bytes, size_t count)
{
    assert_int_equal(bytes_of(object, name, bytes, count), count);
}

static inline uint64_t hex_of(const json_t *object, const char *name)
{
    return strtoull(text_of(object, name), NULL, 16);
}

/* The bytes are those of the vector: all of them, or by hash, beginning and end. */
static inline void check_bytes(const json_t *vector, const uint8_t *bytes, size_t count)
{
    uint8_t expected[4096], digest[32];
    size_t known;
    if (json_object_get(vector, "bytes") != NULL) {
        assert_int_equal(bytes_of(vector, "bytes", expected, sizeof expected), count);
        assert_memory_equal(bytes, expected, count);
        return;
    }
    assert_int_equal(number_of(vector, "length"), count);
    known = bytes_of(vector, "leading", expected, sizeof expected);
    assert_true(known > 0 && known <= count);
    assert_memory_equal(bytes, expected, known);
    fixed_of(vector, "trailing", expected, 8);
    assert_memory_equal(bytes + count - 8, expected, 8);
    assert_int_equal(cof_sha256(bytes, count, digest), 0);
    fixed_of(vector, "sha256", expected, 32);
    assert_memory_equal(digest, expected, 32);
}

/* Run check over all vectors of a structure; there are some. */
static inline void each_vector(const char *file, const char *structure,
                               void (*check)(const json_t *vector, const json_t *inputs))
{
    json_t *all = vector_file(file), *vector;
    const json_t *list = member(all, structure);
    size_t i;
    assert_true(json_array_size(list) > 0);
    json_array_foreach (list, i, vector) {
        check(vector, member(vector, "inputs"));
    }
    json_decref(all);
}

#endif
