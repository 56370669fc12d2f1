/* SPDX-License-Identifier: Apache-2.0 */
/* Encryption contexts: the canonical form, its vectors, its bounds, and back again. */
#include "kms/context.h"
#include "kms/env.h"
#include "kms_fixture.h"

static struct cof_kms_env env;

static int pack(const struct coffer_context_pair *pairs, unsigned count, uint8_t *buffer,
                size_t *ret_bytes)
{
    struct coffer_context context = {pairs, count};
    struct cof_kms_bytes packed = {NULL, 0};
    struct coffer_fault fault;
    int error;

    memset(&fault, 0, sizeof(fault));
    cof_kms_env_init(&env, NULL);
    error = cof_kms_context_pack(&env, &context, buffer, &packed, &fault);
    if (error != 0) {
        assert_int_equal(fault.error, error);
        assert_true(strlen(fault.detail) > 10);
    }
    *ret_bytes = packed.length_bytes;
    return error;
}

/* The vectors of docs/kms.md. */
static void canonical_form_is_as_documented(void **state)
{
    static const uint8_t empty[] = {0, 0, 0, 0};
    static const uint8_t one[] = {1, 0, 0, 0, 1, 0, 0, 0, 'a', 2, 0, 0, 0, 'b', 'c'};
    static const uint8_t two[] = {2, 0, 0,   0, 1, 0, 0,   0,   'a', 0, 0, 0, 0,
                                  2, 0, 0,   0, 'a', 'b', 1, 0, 0, 0, 'c'};
    struct coffer_context_pair a_bc[] = {{"a", "bc"}};
    struct coffer_context_pair ab_c[] = {{"ab", "c"}, {"a", ""}};
    uint8_t buffer[COFFER_CONTEXT_BYTES_MAX];
    size_t bytes;

    (void)state;
    assert_int_equal(pack(NULL, 0, buffer, &bytes), 0);
    assert_int_equal(bytes, sizeof(empty));
    assert_memory_equal(buffer, empty, sizeof(empty));
    assert_int_equal(pack(a_bc, 1, buffer, &bytes), 0);
    assert_int_equal(bytes, sizeof(one));
    assert_memory_equal(buffer, one, sizeof(one));
    assert_int_equal(pack(ab_c, 2, buffer, &bytes), 0);
    assert_int_equal(bytes, sizeof(two));
    assert_memory_equal(buffer, two, sizeof(two));
}

static void null_equals_the_empty_context(void **state)
{
    uint8_t buffer[COFFER_CONTEXT_BYTES_MAX];
    struct cof_kms_bytes packed = {NULL, 0};

    (void)state;
    cof_kms_env_init(&env, NULL);
    assert_int_equal(cof_kms_context_pack(&env, NULL, buffer, &packed, NULL), 0);
    assert_int_equal(packed.length_bytes, 4);
}

static void order_does_not_matter(void **state)
{
    struct coffer_context_pair forth[] = {{"b", "2"}, {"a", "1"}, {"aa", "3"}, {"\xc3\xa9", "4"}};
    struct coffer_context_pair back[] = {{"\xc3\xa9", "4"}, {"aa", "3"}, {"a", "1"}, {"b", "2"}};
    uint8_t left[COFFER_CONTEXT_BYTES_MAX], right[COFFER_CONTEXT_BYTES_MAX];
    size_t left_bytes, right_bytes;

    (void)state;
    assert_int_equal(pack(forth, 4, left, &left_bytes), 0);
    assert_int_equal(pack(back, 4, right, &right_bytes), 0);
    assert_int_equal(left_bytes, right_bytes);
    assert_memory_equal(left, right, left_bytes);
}

static void shifted_boundaries_differ(void **state)
{
    struct coffer_context_pair left_pair[] = {{"a", "bc"}};
    struct coffer_context_pair right_pair[] = {{"ab", "c"}};
    uint8_t left[COFFER_CONTEXT_BYTES_MAX], right[COFFER_CONTEXT_BYTES_MAX];
    size_t left_bytes, right_bytes;

    (void)state;
    assert_int_equal(pack(left_pair, 1, left, &left_bytes), 0);
    assert_int_equal(pack(right_pair, 1, right, &right_bytes), 0);
    assert_int_equal(left_bytes, right_bytes);
    assert_memory_not_equal(left, right, left_bytes);
}

static void bad_contexts_are_refused(void **state)
{
    struct coffer_context_pair doubled[] = {{"k", "1"}, {"x", "2"}, {"k", "1"}};
    struct coffer_context_pair keyless[] = {{"", "1"}};
    struct coffer_context_pair missing[] = {{"a", NULL}};
    struct coffer_context_pair broken[] = {{"a", "\xff"}};
    struct coffer_context_pair overlong[] = {{"a", "\xc0\x80"}};
    struct coffer_context_pair surrogate[] = {{"\xed\xa0\x80", "1"}};
    uint8_t buffer[COFFER_CONTEXT_BYTES_MAX];
    size_t bytes;

    (void)state;
    assert_int_equal(pack(doubled, 3, buffer, &bytes), COFFER_E_INVALID);
    assert_int_equal(pack(keyless, 1, buffer, &bytes), COFFER_E_INVALID);
    assert_int_equal(pack(missing, 1, buffer, &bytes), COFFER_E_INVALID);
    assert_int_equal(pack(broken, 1, buffer, &bytes), COFFER_E_INVALID);
    assert_int_equal(pack(overlong, 1, buffer, &bytes), COFFER_E_INVALID);
    assert_int_equal(pack(surrogate, 1, buffer, &bytes), COFFER_E_INVALID);
    assert_int_equal(pack(NULL, 1, buffer, &bytes), COFFER_E_INVALID);
    assert_int_equal(pack(doubled, UINT32_MAX, buffer, &bytes), COFFER_E_INVALID);
}

static void longest_context_fits_and_one_byte_more_does_not(void **state)
{
    static char value[COFFER_CONTEXT_BYTES_MAX];
    struct coffer_context_pair pairs[] = {{"k", value}};
    uint8_t buffer[COFFER_CONTEXT_BYTES_MAX];
    size_t room = COFFER_CONTEXT_BYTES_MAX - 4 - 4 - 1 - 4, bytes;

    (void)state;
    memset(value, 'v', room);
    value[room] = '\0';
    assert_int_equal(pack(pairs, 1, buffer, &bytes), 0);
    assert_int_equal(bytes, COFFER_CONTEXT_BYTES_MAX);
    value[room] = 'v';
    value[room + 1] = '\0';
    assert_int_equal(pack(pairs, 1, buffer, &bytes), COFFER_E_INVALID);
}

static void unpacked_contexts_equal_what_was_packed(void **state)
{
    struct coffer_context_pair pairs[] = {{"a", ""}, {"ab", "c"}, {"z", "\"\\\n\x7f"}};
    uint8_t buffer[COFFER_CONTEXT_BYTES_MAX];
    struct cof_kms_context context;
    struct cof_kms_bytes packed;
    char *json = NULL;
    size_t bytes, cut;
    unsigned i;

    (void)state;
    assert_int_equal(pack(pairs, 3, buffer, &bytes), 0);
    packed.at = buffer;
    packed.length_bytes = bytes;
    assert_int_equal(cof_kms_context_unpack(&env, packed, &context), 0);
    assert_int_equal(context.pair_count, 3);
    for (i = 0; i < 3; i++) {
        assert_string_equal(context.pairs[i].key, pairs[i].key);
        assert_string_equal(context.pairs[i].value, pairs[i].value);
    }
    cof_kms_context_free(&env, &context);
    assert_int_equal(cof_kms_context_json(&env, packed, &json), 0);
    assert_string_equal(json, "{\"a\":\"\",\"ab\":\"c\",\"z\":\"\\\"\\\\\\u000a\\u007f\"}");
    cof_kms_free(&env, json);
    for (cut = 0; cut < bytes; cut++) {
        packed.length_bytes = cut;
        assert_int_equal(cof_kms_context_unpack(&env, packed, &context), COFFER_E_CORRUPT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(canonical_form_is_as_documented),
        cmocka_unit_test(null_equals_the_empty_context),
        cmocka_unit_test(order_does_not_matter),
        cmocka_unit_test(shifted_boundaries_differ),
        cmocka_unit_test(bad_contexts_are_refused),
        cmocka_unit_test(longest_context_fits_and_one_byte_more_does_not),
        cmocka_unit_test(unpacked_contexts_equal_what_was_packed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
