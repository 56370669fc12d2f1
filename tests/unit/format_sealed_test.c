/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalogue's structures, associated data, and the way from the keys to the ciphertext against
 * vectors that were made without the engine: subkey, page, list, wrap and record of an encrypted
 * volume, and the checksums of a plain one.
 */
#include "base/checksum.h"
#include "crypto/internal.h"
#include "format/catalogue_format.h"
#include "format/endian.h"
#include "format/vaddr.h"
#include "unit/vector_fixture.h"

static struct cof_env env;
static struct cof_arena *arena;

static void check_volume_entry(const json_t *vector, const json_t *inputs)
{
    struct cof_volume_entry entry = {.encrypted = truth_of(inputs, "encrypted")}, seen;
    uint8_t bytes[COF_VOLUME_ENTRY_BYTES], again[COF_VOLUME_ENTRY_BYTES];
    entry.number = (uint32_t)number_of(inputs, "number");
    entry.name_hint = (uint8_t)number_of(inputs, "name_hint");
    entry.ring_slots = (uint8_t)number_of(inputs, "ring_slots");
    fixed_of(inputs, "uuid", entry.uuid, 16);
    entry.tail_first = number_of(inputs, "tail_first");
    entry.tail_last = number_of(inputs, "tail_last");
    entry.ring_bytes = (uint32_t)number_of(inputs, "ring_bytes");
    entry.record_bytes = COF_RECORD_BYTES;
    entry.data_keys = (uint32_t)number_of(inputs, "data_keys");
    entry.generation = (uint32_t)number_of(inputs, "generation");
    fixed_of(inputs, "nonce", entry.nonce, 12);
    fixed_of(inputs, "tag", entry.tag, 16);
    cof_volume_entry_encode(&entry, bytes);
    check_bytes(vector, bytes, sizeof bytes);
    assert_int_equal(cof_volume_entry_decode(bytes, &seen), 0);
    cof_volume_entry_encode(&seen, again);
    assert_memory_equal(bytes, again, sizeof bytes);
}

static void get_record(const json_t *inputs, struct cof_record *record)
{
    memset(record, 0, sizeof *record);
    record->height = (uint32_t)number_of(inputs, "height");
    strcpy(record->name, text_of(inputs, "name"));
    fixed_of(inputs, "uuid", record->uuid, 16);
    record->size_pages = number_of(inputs, "size_pages");
    record->root_address = number_of(inputs, "root_address");
    record->mapped_pages = number_of(inputs, "mapped_pages");
    record->chain_extent = number_of(inputs, "chain_extent");
    record->chain_slots = (uint16_t)number_of(inputs, "chain_slots");
    record->created_ns = number_of(inputs, "created_ns");
    record->modified_ns = number_of(inputs, "modified_ns");
    record->key_uses = number_of(inputs, "key_uses");
    record->next_key_id = (uint32_t)number_of(inputs, "next_key_id");
    record->data_keys = (uint32_t)number_of(inputs, "data_keys");
    fixed_of(inputs, "keys_digest", record->keys_digest, 32);
    strcpy(record->key_arn, text_of(inputs, "key_arn"));
    record->cut = number_of(inputs, "cut");
    record->node_cut = number_of(inputs, "node_cut");
    fixed_of(inputs, "parent", record->parent, 16);
    record->kind = (enum cof_entry_kind)number_or_zero(inputs, "kind");
    record->own_cut = number_or_zero(inputs, "own_cut");
    record->own_node_cut = number_or_zero(inputs, "own_node_cut");
    if (json_object_get(inputs, "volume_uuid") != NULL) {
        strcpy(record->volume_name, text_of(inputs, "volume_name"));
        fixed_of(inputs, "volume_uuid", record->volume_uuid, 16);
    }
    record->key_shared = json_is_true(json_object_get(inputs, "key_shared"));
    if (json_object_get(inputs, "tags_digest") != NULL) {
        fixed_of(inputs, "tags_digest", record->tags_digest, 32);
    }
    record->access = (enum cof_access)number_or_zero(inputs, "access");
    record->access_since_ns = number_or_zero(inputs, "since");
}

static void check_record(const json_t *vector, const json_t *inputs)
{
    struct cof_record record, seen;
    uint8_t bytes[COF_RECORD_BYTES];
    get_record(inputs, &record);
    cof_record_encode(&record, bytes);
    check_bytes(vector, bytes, sizeof bytes);
    assert_int_equal(cof_record_decode(bytes, &seen), 0);
    assert_memory_equal(&record, &seen, sizeof record);
}

static void get_data_key(const json_t *inputs, struct cof_ek_entry *entry)
{
    memset(entry, 0, sizeof *entry);
    entry->key_id = (uint32_t)number_of(inputs, "key_id");
    entry->index = (uint32_t)number_of(inputs, "index");
    entry->generation = (uint32_t)number_of(inputs, "generation");
    entry->flags = (uint32_t)number_of(inputs, "flags");
    fixed_of(inputs, "nonce", entry->nonce, 12);
    fixed_of(inputs, "wrapped", entry->wrapped, 48);
    fixed_of(inputs, "commitment", entry->commitment, 32);
    fixed_of(inputs, "lineage", entry->lineage, 16);
    entry->first_extent = number_of(inputs, "first_extent");
    entry->last_extent = number_of(inputs, "last_extent");
    entry->extents = number_of(inputs, "extents");
    entry->turn = (uint32_t)number_or_zero(inputs, "turn");
}

static void check_data_key(const json_t *vector, const json_t *inputs)
{
    struct cof_ek_entry entry, seen;
    uint8_t bytes[COF_EK_ENTRY_BYTES], again[COF_EK_ENTRY_BYTES];
    uint8_t vk_uuid[16], aad[COF_EK_AAD_BYTES], expected[COF_EK_AAD_BYTES];
    get_data_key(inputs, &entry);
    cof_ek_entry_encode(&entry, bytes);
    check_bytes(vector, bytes, sizeof bytes);
    cof_ek_entry_decode(bytes, &seen);
    cof_ek_entry_encode(&seen, again);
    assert_memory_equal(bytes, again, sizeof bytes);
    fixed_of(vector, "vk_uuid", vk_uuid, 16);
    fixed_of(vector, "aad", expected, sizeof expected);
    cof_ek_aad(&entry, vk_uuid, aad);
    assert_memory_equal(aad, expected, sizeof aad);
}

static void check_page_aad(const json_t *vector, const json_t *inputs)
{
    uint8_t aad[COF_PAGE_AAD_BYTES];
    cof_page_aad(truth_of(inputs, "encrypted"), (enum cof_page_kind)number_of(inputs, "kind"),
                 (unsigned)number_of(inputs, "slot"), number_of(inputs, "word"), aad);
    check_bytes(vector, aad, sizeof aad);
}

static void check_list_aad(const json_t *vector, const json_t *inputs)
{
    uint8_t aad[COF_PAGE_AAD_BYTES], session[16];
    fixed_of(inputs, "session", session, 16);
    cof_list_aad(truth_of(inputs, "encrypted"), (unsigned)number_of(inputs, "first_slot"),
                 (unsigned)number_of(inputs, "slots"), truth_of(inputs, "no_pages"), session,
                 number_of(inputs, "batch_no"), aad);
    check_bytes(vector, aad, sizeof aad);
}

static void check_record_aad(const json_t *vector, const json_t *inputs)
{
    uint8_t aad[COF_RECORD_AAD_BYTES], volume[16], key[16];
    fixed_of(inputs, "volume_uuid", volume, 16);
    fixed_of(inputs, "vk_uuid", key, 16);
    cof_record_aad(truth_of(inputs, "encrypted"), volume, key,
                   (uint32_t)number_of(inputs, "generation"),
                   (uint32_t)number_of(inputs, "number"), aad);
    check_bytes(vector, aad, sizeof aad);
}

static void check_info(const json_t *vector, const json_t *inputs)
{
    uint8_t info[COF_INFO_BYTES], lineage[16], uuid[16];
    fixed_of(inputs, "lineage", lineage, 16);
    fixed_of(inputs, "uuid", uuid, 16);
    cof_extent_info(lineage, number_of(inputs, "extent"), uuid, info);
    check_bytes(vector, info, sizeof info);
}

static void catalogue_and_associated_data(void **state)
{
    (void)state;
    each_vector("catalogue", "volume_entry", check_volume_entry);
    each_vector("catalogue", "record", check_record);
    each_vector("access", "record", check_record);
    each_vector("catalogue", "data_key", check_data_key);
    each_vector("families", "record", check_record);
    each_vector("families", "data_key", check_data_key);
    each_vector("reencrypt", "data_key", check_data_key);
    each_vector("tags", "record", check_record);
    each_vector("aad", "page_aad", check_page_aad);
    each_vector("aad", "list_aad", check_list_aad);
    each_vector("aad", "record_aad", check_record_aad);
    each_vector("aad", "subkey_info", check_info);
}

/* ---- sealed.json ---- */

struct sealed {
    json_t *file;
    const json_t *in;
    struct cof_vk *vk;
    struct cof_ek_seal *ek;
    uint8_t info[COF_INFO_BYTES], vk_uuid[16], volume_uuid[16], session[16];
    uint8_t page[4096], list[16], record[COF_RECORD_BYTES];
    unsigned slot;
    uint64_t word, batch_no;
};

static struct sealed s;

static int fill_vk(void *ctx, uint8_t bytes[COF_SECRET_BYTES])
{
    fixed_of(ctx, "vk", bytes, COF_SECRET_BYTES);
    return 0;
}

static int setup(void **state)
{
    struct cof_record record;
    uint8_t lineage[16], uuid[16];
    (void)state;
    s.file = vector_file("sealed");
    s.in = member(s.file, "inputs");
    assert_int_equal(cof_vk_new(&env, arena, fill_vk, (void *)(uintptr_t)s.in, &s.vk), 0);
    assert_int_equal(cof_ek_draw(&env, arena, &s.ek), 0);
    fixed_of(s.in, "ek", s.ek->key.secret->bytes, COF_SECRET_BYTES);
    fixed_of(s.in, "lineage", lineage, 16);
    fixed_of(s.in, "extent_uuid", uuid, 16);
    cof_extent_info(lineage, number_of(s.in, "extent"), uuid, s.info);
    fixed_of(s.in, "vk_uuid", s.vk_uuid, 16);
    fixed_of(s.in, "volume_uuid", s.volume_uuid, 16);
    fixed_of(s.in, "session", s.session, 16);
    fixed_of(s.in, "list", s.list, sizeof s.list);
    for (unsigned i = 0; i < sizeof s.page; i++) {
        s.page[i] = (uint8_t)(i * 7u + (i >> 8) * 13u + 3u);
    }
    get_record(member(s.in, "record"), &record);
    cof_record_encode(&record, s.record);
    s.slot = (unsigned)number_of(s.in, "slot");
    s.word = number_of(s.in, "word");
    s.batch_no = number_of(s.in, "batch_no");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cof_vk_free(s.vk);
    cof_ek_seal_free(s.ek);
    json_decref(s.file);
    return 0;
}

static void expect(const char *name, const uint8_t *bytes, size_t count)
{
    uint8_t expected[128];
    fixed_of(s.file, name, expected, count);
    assert_memory_equal(bytes, expected, count);
}

static void keys_derive_as_in_the_vectors(void **state)
{
    uint8_t commitment[COF_COMMITMENT_BYTES], subkey[COF_SECRET_BYTES];
    (void)state;
    expect("vk_wrap_key", s.vk->wrap->bytes, 32);
    expect("vk_root_key", s.vk->root->bytes, 32);
    cof_vk_commitment(s.vk, commitment);
    expect("vk_commitment", commitment, 32);
    assert_int_equal(
        cof_kdf_expand(s.ek->key.secret, "coffer/x1", s.info, sizeof s.info, subkey), 0);
    expect("subkey", subkey, 32);
}

static void pages_and_lists_seal_as_in_the_vectors(void **state)
{
    struct cof_subkey_seal *subkey;
    struct cof_aead *aead;
    uint8_t aad[COF_PAGE_AAD_BYTES], out[4096], tag[16], digest[32];
    (void)state;
    assert_int_equal(cof_aead_new(&env, arena, &aead), 0);
    assert_int_equal(cof_subkey_seal_new(s.ek, s.info, &subkey), 0);
    cof_page_aad(true, COF_PAGE_DATA, s.slot, s.word, aad);
    assert_int_equal(cof_page_seal(aead, subkey, 0, s.slot, aad, s.page, 4096, out, tag), 0);
    expect("page_leading", out, 64);
    assert_int_equal(cof_sha256(out, sizeof out, digest), 0);
    expect("page_sha256", digest, 32);
    expect("page_tag", tag, 16);
    assert_true(cof_checksum64(out, sizeof out) == hex_of(s.file, "page_sum"));
    cof_list_aad(true, s.slot, 1, false, s.session, s.batch_no, aad);
    assert_int_equal(
        cof_page_seal(aead, subkey, 1, s.slot, aad, s.list, sizeof s.list, out, tag), 0);
    expect("list_cipher", out, sizeof s.list);
    expect("list_tag", tag, 16);
    cof_subkey_seal_free(subkey);
    cof_aead_free(aead);
}

/* The wrap of the vectors opens, and the key in it opens what was sealed under it. */
static void the_wrap_of_the_vectors_opens(void **state)
{
    struct cof_ek_entry entry;
    struct cof_ek_open *open = NULL;
    uint8_t aad[COF_EK_AAD_BYTES], wrapped[48], commitment[32], nonce[12];
    (void)state;
    get_data_key(member(s.in, "data_key"), &entry);
    cof_ek_aad(&entry, s.vk_uuid, aad);
    fixed_of(s.file, "wrapped", wrapped, sizeof wrapped);
    fixed_of(s.file, "ek_commitment", commitment, sizeof commitment);
    fixed_of(s.in, "nonce", nonce, sizeof nonce);
    assert_int_equal(cof_ek_unwrap(&env, arena, s.vk, aad, sizeof aad, nonce, wrapped, commitment,
                                   &open),
                     0);
    assert_memory_equal(open->key.secret->bytes, s.ek->key.secret->bytes, COF_SECRET_BYTES);
    cof_ek_open_free(open);
    aad[48] ^= 1; /* another range */
    assert_int_equal(cof_ek_unwrap(&env, arena, s.vk, aad, sizeof aad, nonce, wrapped, commitment,
                                   &open),
                     COFFER_E_TAMPER);
}

static void the_record_seals_as_in_the_vectors(void **state)
{
    uint8_t aad[COF_RECORD_AAD_BYTES], nonce[12], out[COF_RECORD_BYTES], tag[16], digest[32];
    struct cof_gcm_message message = {nonce, aad, sizeof aad, s.record, sizeof s.record, out};
    uint8_t plain[COF_RECORD_BYTES];
    (void)state;
    fixed_of(s.in, "nonce", nonce, sizeof nonce);
    cof_record_aad(true, s.volume_uuid, s.vk_uuid, (uint32_t)number_of(s.in, "generation"),
                   (uint32_t)number_of(s.in, "number"), aad);
    assert_int_equal(cof_gcm_seal_once(s.vk->root, &message, tag), 0);
    expect("record_tag", tag, 16);
    assert_int_equal(cof_sha256(out, sizeof out, digest), 0);
    expect("record_sha256", digest, 32);
    assert_int_equal(
        cof_vk_open_record(s.vk, aad, sizeof aad, nonce, tag, out, sizeof out, plain), 0);
    assert_memory_equal(plain, s.record, sizeof plain);
}

/* A plain volume: XXH3 of the subkey's info seeds XXH3-128 over AAD and bytes. */
static void plain_volumes_sum_as_in_the_vectors(void **state)
{
    static const uint8_t no_key[16];
    uint8_t aad[COF_RECORD_AAD_BYTES], sum[16], info[COF_INFO_BYTES];
    uint64_t seed = cof_checksum64(s.info, sizeof s.info);
    (void)state;
    assert_true(seed == hex_of(s.file, "plain_seed"));
    cof_page_aad(false, COF_PAGE_DATA, s.slot, s.word, aad);
    cof_checksum128(seed, aad, COF_PAGE_AAD_BYTES, s.page, sizeof s.page, sum);
    expect("plain_page_tag", sum, 16);
    assert_true(cof_checksum64(s.page, sizeof s.page) == hex_of(s.file, "plain_page_sum"));
    cof_list_aad(false, s.slot, 1, false, s.session, s.batch_no, aad);
    cof_checksum128(seed, aad, COF_PAGE_AAD_BYTES, s.list, sizeof s.list, sum);
    expect("plain_list_tag", sum, 16);
    cof_extent_info(s.volume_uuid, number_of(s.in, "number"), s.volume_uuid, info);
    cof_record_aad(false, s.volume_uuid, no_key, 0, (uint32_t)number_of(s.in, "number"), aad);
    cof_checksum128(cof_checksum64(info, sizeof info), aad, sizeof aad, s.record, sizeof s.record,
                    sum);
    expect("plain_record_tag", sum, 16);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(catalogue_and_associated_data),
        CASE(keys_derive_as_in_the_vectors),
        CASE(pages_and_lists_seal_as_in_the_vectors),
        CASE(the_wrap_of_the_vectors_opens),
        CASE(the_record_seals_as_in_the_vectors),
        CASE(plain_volumes_sum_as_in_the_vectors),
    };
    int failed;
    cof_env_init(&env, NULL);
    if (cof_arena_new(&env, 16384, &arena) != 0) {
        return 1;
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    cof_arena_free(arena);
    return failed;
}
