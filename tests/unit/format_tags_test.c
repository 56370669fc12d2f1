/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists of tags, as they are sealed and as they lie, against vectors that were made without the
 * engine; and what the decoders refuse.
 */
#include "base/checksum.h"
#include "crypto/internal.h"
#include "format/taglist_format.h"
#include "unit/vector_fixture.h"

static struct cof_env env;
static struct cof_arena *arena;

static int fill_vk(void *ctx, uint8_t bytes[COF_SECRET_BYTES])
{
    fixed_of(ctx, "vk", bytes, COF_SECRET_BYTES);
    return 0;
}

static void put(struct cof_taglist *list, const char *key, const char *value)
{
    struct cof_tag tag = {key, value, (uint16_t)strlen(key), (uint16_t)strlen(value)};
    assert_int_equal(cof_tag_check(&tag), 0);
    assert_int_equal(cof_taglist_put(list, &tag), 0);
}

/* The longest list, from the last tag to the first. */
static void get_most(struct cof_taglist *list)
{
    static char keys[COF_TAGS_MAX][COF_TAG_KEY_BYTES_MAX], value[COF_TAG_VALUE_BYTES_MAX + 1u];
    for (unsigned i = 0; i < COF_TAG_VALUE_CHARACTERS_MAX; i++) {
        memcpy(value + 4u * i, "\xf0\x9f\x94\x91", 5);
    }
    for (unsigned i = COF_TAGS_MAX; i > 0; i--) {
        char *key = keys[i - 1u];
        snprintf(key, COF_TAG_KEY_BYTES_MAX, "%02u", i - 1u);
        memcpy(key + 2, value, 4u * 126u);
        put(list, key, value);
    }
}

static void get_list(const json_t *inputs, struct cof_taglist *list)
{
    const json_t *tags = member(inputs, "tags");
    size_t i;
    json_t *tag;
    list->count = 0;
    if (json_is_string(tags)) {
        get_most(list);
    }
    json_array_foreach(tags, i, tag)
    {
        put(list, text_of(tag, "Key"), text_of(tag, "Value"));
    }
}

/* Seal plain into part as the inputs say; the tag into the header. */
static void seal(const json_t *inputs, const uint8_t aad[COF_RECORD_AAD_BYTES],
                 const uint8_t *plain, struct cof_taglist_header *header, uint8_t *out)
{
    uint8_t info[COF_INFO_BYTES], uuid[16];
    struct cof_gcm_message message = {header->nonce,      aad, COF_RECORD_AAD_BYTES, plain,
                                      header->list_bytes, out};
    struct cof_vk *vk;
    fixed_of(inputs, "nonce", header->nonce, 12);
    if (header->encrypted) {
        assert_int_equal(cof_vk_new(&env, arena, fill_vk, (void *)(uintptr_t)inputs, &vk), 0);
        assert_int_equal(cof_gcm_seal_once(vk->root, &message, header->tag), 0);
        cof_vk_free(vk);
        return;
    }
    fixed_of(inputs, "volume_uuid", uuid, 16);
    cof_extent_info(uuid, number_of(inputs, "number"), uuid, info);
    memcpy(out, plain, header->list_bytes);
    cof_checksum128(cof_checksum64(info, sizeof info), aad, COF_RECORD_AAD_BYTES, out,
                    header->list_bytes, header->tag);
}

static void check_part(const json_t *vector, const json_t *inputs)
{
    static uint8_t plain[COF_TAGLIST_BYTES_MAX], part[COF_TAGLIST_BLOCKS_MAX * 4096u];
    static struct cof_taglist list, again;
    struct cof_taglist_header header = {.encrypted = truth_of(inputs, "encrypted")}, seen;
    uint8_t uuid[16], vk_uuid[16], aad[COF_RECORD_AAD_BYTES], expected[COF_RECORD_AAD_BYTES];
    uint8_t digest[32];
    get_list(inputs, &list);
    header.list_bytes = (uint32_t)cof_taglist_bytes(&list);
    assert_true(header.list_bytes <= sizeof plain);
    cof_taglist_encode(&list, plain);
    fixed_of(inputs, "volume_uuid", uuid, 16);
    fixed_of(inputs, "vk_uuid", vk_uuid, 16);
    cof_taglist_aad(header.encrypted, uuid, vk_uuid, (uint32_t)number_of(inputs, "generation"),
                    (uint32_t)number_of(inputs, "number"), aad);
    fixed_of(vector, "aad", expected, sizeof expected);
    assert_memory_equal(aad, expected, sizeof aad);
    memset(part, 0, sizeof part);
    seal(inputs, aad, plain, &header, part + COF_TAGLIST_HEADER_BYTES);
    cof_taglist_header_encode(&header, part);
    check_bytes(vector, part,
                (COF_TAGLIST_HEADER_BYTES + header.list_bytes + 4095u) / 4096u * 4096u);
    fixed_of(vector, "tag", expected, 16);
    assert_memory_equal(header.tag, expected, 16);
    fixed_of(vector, "digest", expected, 32);
    assert_int_equal(cof_sha256(plain, header.list_bytes, digest), 0);
    assert_memory_equal(digest, expected, 32);
    assert_int_equal(cof_taglist_header_decode(part, &seen), 0);
    assert_true(seen.encrypted == header.encrypted && seen.list_bytes == header.list_bytes);
    assert_memory_equal(seen.nonce, header.nonce, 12);
    assert_int_equal(cof_taglist_decode(plain, header.list_bytes, &again), 0);
    assert_int_equal(again.count, list.count);
    for (unsigned i = 0; i < list.count; i++) {
        assert_true(again.tags[i].key_bytes == list.tags[i].key_bytes &&
                    again.tags[i].value_bytes == list.tags[i].value_bytes);
        assert_memory_equal(again.tags[i].key, list.tags[i].key, list.tags[i].key_bytes);
    }
}

static void check_refused_header(const json_t *vector, const json_t *inputs)
{
    uint8_t bytes[COF_TAGLIST_HEADER_BYTES];
    struct cof_taglist_header header;
    (void)inputs;
    fixed_of(vector, "bytes", bytes, sizeof bytes);
    if (cof_taglist_header_decode(bytes, &header) != COFFER_E_CORRUPT) {
        fail_msg("not refused: %s", text_of(vector, "name"));
    }
}

static void check_refused_list(const json_t *vector, const json_t *inputs)
{
    uint8_t bytes[2048];
    struct cof_taglist list;
    size_t length = bytes_of(vector, "bytes", bytes, sizeof bytes);
    (void)inputs;
    if (cof_taglist_decode(bytes, length, &list) != COFFER_E_CORRUPT) {
        fail_msg("not refused: %s", text_of(vector, "name"));
    }
}

static void lists_are_those_of_the_vectors(void **state)
{
    (void)state;
    each_vector("tags", "part", check_part);
}

static void what_no_writer_makes_is_refused(void **state)
{
    (void)state;
    each_vector("tags", "refused_header", check_refused_header);
    each_vector("tags", "refused_list", check_refused_list);
}

/* Whatever the order in which they come and go. */
static void a_list_is_in_order(void **state)
{
    struct cof_taglist list = {.count = 0};
    (void)state;
    put(&list, "b", "1");
    put(&list, "ab", "2");
    put(&list, "a", "3");
    put(&list, "B", "4");
    put(&list, "ab", "5");
    assert_int_equal(list.count, 4);
    assert_memory_equal(list.tags[0].key, "B", 1);
    assert_memory_equal(list.tags[1].key, "a", 2);
    assert_memory_equal(list.tags[2].value, "5", 2);
    assert_memory_equal(list.tags[3].key, "b", 2);
    cof_taglist_drop(&list, "a", 1);
    cof_taglist_drop(&list, "a", 1);
    cof_taglist_drop(&list, "abc", 3);
    assert_int_equal(list.count, 3);
    assert_memory_equal(list.tags[1].key, "ab", 3);
}

static int begin(void **state)
{
    (void)state;
    cof_env_init(&env, NULL);
    return cof_arena_new(&env, 1u << 16, &arena);
}

static int end(void **state)
{
    (void)state;
    cof_arena_free(arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_are_those_of_the_vectors),
        cmocka_unit_test(what_no_writer_makes_is_refused),
        cmocka_unit_test(a_list_is_in_order),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
