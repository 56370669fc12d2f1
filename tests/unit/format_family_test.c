/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries of families and copies, and what stands behind them, against vectors that were made
 * without the engine; and what the decoders refuse: nothing of it is believed half.
 */
#include "format/batch_format.h"
#include "format/catalogue_format.h"
#include "format/endian.h"
#include "format/root_format.h"
#include "unit/vector_fixture.h"
#include "unit/volume_fixture.h"
#include "volume/store.h"

static struct volume_fixture f;

static void get_entry(const json_t *inputs, struct cof_volume_entry *entry)
{
    memset(entry, 0, sizeof *entry);
    entry->encrypted = truth_of(inputs, "encrypted");
    entry->kind = (enum cof_entry_kind)number_of(inputs, "kind");
    entry->number = (uint32_t)number_of(inputs, "number");
    entry->parent_number = (uint32_t)number_of(inputs, "parent");
    entry->family = (uint32_t)number_of(inputs, "family");
    entry->name_hint = (uint8_t)number_of(inputs, "name_hint");
    entry->ring_slots = (uint8_t)number_of(inputs, "ring_slots");
    fixed_of(inputs, "uuid", entry->uuid, 16);
    entry->tail_first = number_of(inputs, "tail_first");
    entry->tail_last = number_of(inputs, "tail_last");
    entry->ring_bytes = (uint32_t)number_of(inputs, "ring_bytes");
    entry->record_bytes = COF_RECORD_BYTES;
    entry->data_keys = (uint32_t)number_of(inputs, "data_keys");
    entry->generation = (uint32_t)number_of(inputs, "generation");
    fixed_of(inputs, "nonce", entry->nonce, 12);
    fixed_of(inputs, "tag", entry->tag, 16);
    fixed_of(inputs, "context_uuid", entry->context_uuid, 16);
    entry->own_cut = number_of(inputs, "own_cut");
    entry->own_node_cut = number_of(inputs, "own_node_cut");
    entry->verbatim = truth_of(inputs, "verbatim");
    entry->interim = json_is_true(json_object_get(inputs, "interim"));
    entry->tags_left =
        json_object_get(inputs, "tags_left") != NULL && truth_of(inputs, "tags_left");
    entry->clear_name_bytes = (uint16_t)strlen(text_of(inputs, "clear_name"));
    entry->sealed_number = (uint32_t)number_of(inputs, "sealed_number");
    entry->lineages = (uint32_t)json_array_size(member(inputs, "lineages"));
    entry->writers = (uint32_t)json_array_size(member(inputs, "writers"));
    fixed_of(inputs, "sealed_uuid", entry->sealed_uuid, 16);
    fixed_of(inputs, "origin_uuid", entry->origin_uuid, 16);
    entry->cut = number_of(inputs, "cut");
    entry->node_cut = number_of(inputs, "node_cut");
    entry->reencrypt = number_or_zero(inputs, "reencrypt");
    entry->unstoppable = json_is_true(json_object_get(inputs, "unstoppable"));
    entry->access = (enum cof_access)number_or_zero(inputs, "access");
    entry->access_cause = (uint16_t)number_or_zero(inputs, "cause");
    entry->access_since_ns = number_or_zero(inputs, "since");
    entry->access_seen_ns = number_or_zero(inputs, "seen");
    if (json_object_get(inputs, "grant") != NULL) {
        entry->grant_bytes = (uint8_t)strlen(text_of(inputs, "grant"));
    }
}

static void check_entry(const json_t *vector, const json_t *inputs)
{
    struct cof_volume_entry entry, seen;
    uint8_t bytes[COF_VOLUME_ENTRY_BYTES], again[COF_VOLUME_ENTRY_BYTES];
    get_entry(inputs, &entry);
    cof_volume_entry_encode(&entry, bytes);
    check_bytes(vector, bytes, sizeof bytes);
    assert_int_equal(cof_volume_entry_decode(bytes, &seen), 0);
    assert_true(seen.kind == entry.kind && seen.verbatim == entry.verbatim &&
                seen.tags_left == entry.tags_left && seen.interim == entry.interim &&
                seen.lineages == entry.lineages && seen.writers == entry.writers);
    cof_volume_entry_encode(&seen, again);
    assert_memory_equal(bytes, again, sizeof bytes);
}

/* A record of the catalogue as the next root has it on disk. */
static void catalogue_bytes(uint64_t key, uint8_t bytes[4096])
{
    unsigned blocks;
    pthread_mutex_lock(&f.store->lock);
    assert_int_equal(cof_checkpoint_light(f.store), 0);
    assert_int_equal(cof_ptree_read(&f.store->catalogue_tree, key, bytes, 1, &blocks), 0);
    pthread_mutex_unlock(&f.store->lock);
}

/* An unencrypted volume's entry with these behind its record. */
static void check_annex(const json_t *vector, const json_t *inputs)
{
    struct cof_catalogue_item *item;
    uint8_t bytes[4096], expected[4096] = {0};
    const char *name = text_of(inputs, "clear_name");
    size_t behind = COF_VOLUME_ENTRY_BYTES + COF_RECORD_BYTES, i;
    json_t *member_item;
    fixture_make(&f, 31);
    make_volume(&f, "v", 8, 1);
    item = f.store->items;
    json_array_foreach(member(inputs, "lineages"), i, member_item)
    {
        uint32_t number = (uint32_t)json_integer_value(member_item);
        assert_int_equal(cof_item_add_lineage(f.store, item, number), 0);
    }
    json_array_foreach(member(inputs, "writers"), i, member_item)
    {
        struct cof_writer writer = {
            (uint32_t)number_of(member_item, "number"), (uint32_t)number_of(member_item, "index"),
            number_of(member_item, "last_data"), number_of(member_item, "last_metadata")};
        assert_int_equal(cof_item_add_writer(f.store, item, &writer), 0);
    }
    memcpy(item->clear_name, name, strlen(name));
    item->entry.clear_name_bytes = (uint16_t)strlen(name);
    if (json_object_get(inputs, "grant") != NULL) {
        const char *grant = text_of(inputs, "grant");
        memcpy(item->grant_id, grant, strlen(grant));
        item->entry.grant_bytes = (uint8_t)strlen(grant);
    }
    item->dirty = true;
    catalogue_bytes(cof_catalogue_key(item->entry.number, COF_CATALOGUE_ENTRY_PART), bytes);
    bytes_of(vector, "bytes", expected, sizeof expected);
    assert_memory_equal(bytes + behind, expected, sizeof expected - behind);
    fixture_done(&f);
}

/* Record 0 is made of the lineages that a store learns, and a store learns them from it. */
static void check_lineages(const json_t *vector, const json_t *inputs)
{
    const json_t *uuids = member(inputs, "uuids");
    uint8_t uuid[16], bytes[4096];
    uint32_t number;
    size_t i;
    json_t *text;
    fixture_make(&f, 32);
    json_array_foreach(uuids, i, text)
    {
        assert_int_equal(unhex(json_string_value(text), uuid, 16), 16);
        assert_int_equal(cof_lineage_add(f.store, uuid, &number), 0);
        assert_int_equal(number, i + 1);
    }
    catalogue_bytes(0, bytes);
    check_bytes(vector, bytes, sizeof bytes);
    fixture_reopen(&f);
    assert_int_equal(f.store->lineage_count, json_array_size(uuids));
    json_array_foreach(uuids, i, text)
    {
        assert_int_equal(unhex(json_string_value(text), uuid, 16), 16);
        assert_memory_equal(cof_lineage_uuid(f.store, (uint32_t)i + 1u), uuid, 16);
    }
    fixture_done(&f);
}

static void check_writer(const json_t *vector, const json_t *inputs)
{
    size_t i;
    json_t *item;
    (void)vector;
    json_array_foreach(member(inputs, "writers"), i, item)
    {
        struct cof_writer writer = {(uint32_t)number_of(item, "number"),
                                    (uint32_t)number_of(item, "index"),
                                    number_of(item, "last_data"), number_of(item, "last_metadata")};
        struct cof_writer seen;
        uint8_t bytes[COF_WRITER_BYTES];
        cof_writer_encode(&writer, bytes);
        cof_writer_decode(bytes, &seen);
        assert_true(seen.number == writer.number && seen.index == writer.index &&
                    seen.last_data == writer.last_data &&
                    seen.last_metadata == writer.last_metadata);
    }
}

static void check_import_key(const json_t *vector, const json_t *inputs)
{
    uint64_t extent = number_of(inputs, "extent");
    assert_int_equal(extent >> 56, COF_RAW_IMPORT);
    assert_int_equal(extent >> COF_EXTENT_BITS & 0x1ffffu, number_of(vector, "of_lineage"));
    assert_int_equal(extent & ((UINT64_C(1) << COF_EXTENT_BITS) - 1u),
                     number_of(vector, "of_extent"));
}

static void check_name_hint(const json_t *vector, const json_t *inputs)
{
    struct coffer_store store;
    uint8_t hint, expected;
    memset(&store, 0, sizeof store);
    cof_env_init(&store.env, NULL);
    fixed_of(inputs, "store_uuid", store.root.store_uuid, 16);
    assert_int_equal(cof_name_hint(&store, text_of(inputs, "name"), &hint), 0);
    fixed_of(vector, "bytes", &expected, 1);
    assert_int_equal(hint, expected);
}

static void check_refused_entry(const json_t *vector, const json_t *inputs)
{
    struct cof_volume_entry entry;
    uint8_t bytes[COF_VOLUME_ENTRY_BYTES];
    (void)inputs;
    fixed_of(vector, "bytes", bytes, sizeof bytes);
    if (cof_volume_entry_decode(bytes, &entry) != COFFER_E_CORRUPT) {
        fail_msg("not refused: %s", text_of(vector, "name"));
    }
}

static void check_refused_record(const json_t *vector, const json_t *inputs)
{
    struct cof_record record;
    uint8_t bytes[COF_RECORD_BYTES];
    (void)inputs;
    fixed_of(vector, "bytes", bytes, sizeof bytes);
    assert_int_equal(cof_record_decode(bytes, &record), COFFER_E_TOO_NEW);
}

static void check_refused_root(const json_t *vector, const json_t *inputs)
{
    struct cof_root root;
    uint8_t block[4096];
    (void)inputs;
    fixed_of(vector, "bytes", block, sizeof block);
    assert_int_equal(cof_root_decode(block, &root), COFFER_E_TOO_NEW);
}

static void entries_and_what_stands_behind_them(void **state)
{
    (void)state;
    each_vector("families", "volume_entry", check_entry);
    each_vector("tags", "volume_entry", check_entry);
    each_vector("reencrypt", "volume_entry", check_entry);
    each_vector("access", "volume_entry", check_entry);
    each_vector("families", "annex", check_annex);
    each_vector("access", "annex", check_annex);
    each_vector("families", "annex", check_writer);
    each_vector("families", "name_hint", check_name_hint);
    each_vector("families", "run", check_import_key);
    each_vector("families", "lineages", check_lineages);
}

static void what_no_writer_makes_is_refused(void **state)
{
    (void)state;
    each_vector("families", "refused_entry", check_refused_entry);
    each_vector("tags", "refused_entry", check_refused_entry);
    each_vector("access", "refused_entry", check_refused_entry);
    each_vector("families", "refused_record", check_refused_record);
    each_vector("families", "refused_root", check_refused_root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_and_what_stands_behind_them),
        cmocka_unit_test(what_no_writer_makes_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
