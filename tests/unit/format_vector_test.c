/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every structure of the format against vectors that were made without the engine: the inputs
 * encode to exactly these bytes, and the bytes decode to what encodes to them again.
 */
#include "format/batch_format.h"
#include "format/catalogue_format.h"
#include "format/endian.h"
#include "format/group_format.h"
#include "format/place_format.h"
#include "format/vaddr.h"
#include "unit/vector_fixture.h"

static struct cof_env env;

static void get_pointer(const json_t *inputs, struct cof_tree_pointer *pointer)
{
    pointer->segment = (uint32_t)number_of(inputs, "segment");
    pointer->block = (uint16_t)number_of(inputs, "block");
    pointer->blocks = (uint16_t)number_of(inputs, "blocks");
    pointer->height = (uint8_t)number_of(inputs, "height");
    pointer->sum = hex_of(inputs, "sum");
}

static void get_root(const json_t *inputs, struct cof_root *root)
{
    const char *key;
    json_t *head;
    memset(root, 0, sizeof *root);
    root->epoch = number_of(inputs, "epoch");
    root->major = (uint16_t)number_of(inputs, "major");
    root->minor = (uint16_t)number_of(inputs, "minor");
    root->clean = truth_of(inputs, "clean");
    root->compat = number_of(inputs, "compat");
    root->ro_compat = number_of(inputs, "ro_compat");
    root->incompat = number_or_zero(inputs, "incompat");
    root->next_number = (uint32_t)number_or_zero(inputs, "next_number");
    fixed_of(inputs, "store_uuid", root->store_uuid, 16);
    fixed_of(inputs, "session", root->session, 16);
    root->segment_bytes = (uint32_t)number_of(inputs, "segment_bytes");
    root->segment_count = (uint32_t)number_of(inputs, "segment_count");
    root->conditioned = (uint32_t)number_of(inputs, "conditioned");
    root->next_extent = number_of(inputs, "next_extent");
    root->created_ns = number_of(inputs, "created_ns");
    root->next_sequence = number_of(inputs, "next_sequence");
    get_pointer(member(inputs, "catalogue"), &root->catalogue);
    get_pointer(member(inputs, "placement"), &root->placement);
    get_pointer(member(inputs, "segments"), &root->segments);
    json_object_foreach(json_object_get(inputs, "lanes"), key, head)
    {
        struct cof_lane_head *lane = &root->lanes[atoi(key)];
        lane->used = true;
        lane->segment = (uint32_t)number_of(head, "segment");
        lane->next_segment = (uint32_t)number_of(head, "next_segment");
        lane->block = (uint32_t)number_of(head, "block");
        lane->batch_no = number_of(head, "batch_no");
        lane->durable_upto = number_of(head, "durable_upto");
    }
}

static void check_root(const json_t *vector, const json_t *inputs)
{
    struct cof_root root, seen;
    uint8_t block[4096], again[4096];
    get_root(inputs, &root);
    cof_root_encode(&root, block);
    check_bytes(vector, block, sizeof block);
    assert_int_equal(cof_root_decode(block, &seen), 0);
    cof_root_encode(&seen, again);
    assert_memory_equal(block, again, sizeof block);
}

static void check_segment_header(const json_t *vector, const json_t *inputs)
{
    struct cof_segment_header header = {.lane = (uint16_t)number_of(inputs, "lane")}, seen;
    uint8_t block[4096], again[4096];
    fixed_of(inputs, "store_uuid", header.store_uuid, 16);
    fixed_of(inputs, "session", header.session, 16);
    header.sequence = number_of(inputs, "sequence");
    header.first_batch = number_of(inputs, "first_batch");
    header.segment = (uint32_t)number_of(inputs, "segment");
    header.previous = (uint32_t)number_of(inputs, "previous");
    cof_segment_header_encode(&header, block);
    check_bytes(vector, block, sizeof block);
    assert_int_equal(cof_segment_header_decode(block, &seen), 0);
    cof_segment_header_encode(&seen, again);
    assert_memory_equal(block, again, sizeof block);
}

static void get_run(const json_t *inputs, struct cof_run *run)
{
    run->volume = (uint32_t)number_of(inputs, "volume");
    run->lineage = (uint32_t)number_of(inputs, "lineage");
    run->extent = number_of(inputs, "extent");
    fixed_of(inputs, "uuid", run->uuid, 16);
    run->key_id = (uint32_t)number_of(inputs, "key_id");
    run->first_slot = (uint16_t)number_of(inputs, "first_slot");
    run->slots = (uint16_t)number_of(inputs, "slots");
    run->no_pages = truth_of(inputs, "no_pages");
    run->metadata = truth_of(inputs, "metadata");
    fixed_of(inputs, "tag", run->tag, 16);
}

static void check_run(const json_t *vector, const json_t *inputs)
{
    struct cof_run run, seen;
    uint8_t bytes[COF_RUN_BYTES], again[COF_RUN_BYTES];
    get_run(inputs, &run);
    cof_run_encode(&run, bytes);
    check_bytes(vector, bytes, sizeof bytes);
    cof_run_decode(bytes, &seen);
    cof_run_encode(&seen, again);
    assert_memory_equal(bytes, again, sizeof bytes);
}

/* Runs, lists and entries behind the header, as a lane puts them there. */
static void put_parts(const json_t *inputs, uint8_t block[4096], struct cof_batch_header *header)
{
    const json_t *runs = member(inputs, "run_list"), *entries = member(inputs, "entries");
    size_t at, i;
    json_t *item;
    header->runs = (uint16_t)json_array_size(runs);
    header->pages = (uint16_t)json_array_size(entries);
    at = cof_batch_lists_offset(header);
    json_array_foreach(runs, i, item)
    {
        struct cof_run run;
        get_run(item, &run);
        cof_run_encode(&run, block + COF_BATCH_HEADER_BYTES + i * COF_RUN_BYTES);
        assert_int_equal(bytes_of(item, "list", block + at, 4096u - at), cof_run_list_bytes(&run));
        at += cof_run_list_bytes(&run);
    }
    assert_int_equal(cof_batch_entries_offset(block, header), at);
    json_array_foreach(entries, i, item)
    {
        fixed_of(item, "tag", block + at, 16);
        cof_le64_put(block + at + 16, hex_of(item, "sum"));
        at += COF_ENTRY_BYTES;
    }
}

static void check_batch_header(const json_t *vector, const json_t *inputs)
{
    struct cof_batch_header header = {.lane = (uint16_t)number_of(inputs, "lane")}, seen;
    uint8_t block[4096] = {0}, again[4096];
    fixed_of(inputs, "store_uuid", header.store_uuid, 16);
    fixed_of(inputs, "session", header.session, 16);
    header.epoch = number_of(inputs, "epoch");
    header.number = number_of(inputs, "number");
    header.durable_upto = number_of(inputs, "durable_upto");
    header.next_segment = (uint32_t)number_of(inputs, "next_segment");
    header.block = (uint32_t)number_of(inputs, "block");
    header.segment = (uint32_t)number_of(inputs, "segment");
    put_parts(inputs, block, &header);
    cof_batch_header_encode(&header, block);
    check_bytes(vector, block, sizeof block);
    assert_int_equal(cof_batch_header_decode(block, &seen), 0);
    memcpy(again, block, sizeof again);
    cof_batch_header_encode(&seen, again);
    assert_memory_equal(block, again, sizeof block);
}

static void check_group_header(const json_t *vector, const json_t *inputs)
{
    struct cof_group_header header = {.lane = (uint16_t)number_of(inputs, "lane")}, seen;
    uint8_t block[4096], again[4096];
    size_t i;
    json_t *item;
    memset(block, 0x5a, sizeof block); /* what a group before left there */
    fixed_of(inputs, "store_uuid", header.store_uuid, 16);
    header.segment = (uint32_t)number_of(inputs, "segment");
    header.block = (uint32_t)number_of(inputs, "block");
    json_array_foreach(member(inputs, "entries"), i, item)
    {
        uint8_t *at = block + COF_GROUP_ENTRIES_OFFSET + i * COF_ENTRY_BYTES;
        fixed_of(item, "tag", at, 16);
        cof_le64_put(at + 16, hex_of(item, "sum"));
        header.pages++;
    }
    json_array_foreach(member(inputs, "run_list"), i, item)
    {
        uint32_t lineage = (uint32_t)number_of(item, "lineage");
        uint64_t extent = number_of(item, "extent");
        cof_group_run_put(block, (unsigned)i, lineage, extent);
        cof_group_run(block, (unsigned)i, &lineage, &extent);
        assert_true(lineage == number_of(item, "lineage") && extent == number_of(item, "extent"));
        header.runs++;
    }
    cof_group_header_encode(&header, block);
    check_bytes(vector, block, sizeof block);
    assert_int_equal(cof_group_header_decode(block, &seen), 0);
    memcpy(again, block, sizeof again);
    cof_group_header_encode(&seen, again);
    assert_memory_equal(block, again, sizeof block);
}

static void check_refused_group(const json_t *vector, const json_t *inputs)
{
    struct cof_group_header header;
    uint8_t block[4096];
    (void)inputs;
    assert_int_equal(bytes_of(vector, "bytes", block, sizeof block), sizeof block);
    assert_int_equal(cof_group_header_decode(block, &header), COFFER_E_CORRUPT);
}

static void get_bits(const json_t *inputs, const char *name, struct cof_bitmap *map)
{
    size_t i;
    json_t *slot;
    json_array_foreach(json_object_get(inputs, name), i, slot)
    {
        cof_bitmap_set(map, (unsigned)json_integer_value(slot));
    }
}

static struct cof_desc *get_desc(const json_t *inputs)
{
    const json_t *refs = member(inputs, "refs"), *pieces = member(inputs, "pieces");
    struct cof_desc *desc = cof_desc_new(&env, (unsigned)json_array_size(refs));
    json_t *item;
    size_t i;
    assert_non_null(desc);
    desc->extent = number_of(inputs, "extent");
    fixed_of(inputs, "uuid", desc->uuid, 16);
    desc->key_id = (uint32_t)number_of(inputs, "key_id");
    desc->volume = (uint32_t)number_of(inputs, "volume");
    desc->lineage = (uint32_t)number_of(inputs, "lineage");
    desc->slots_used = (uint16_t)number_of(inputs, "slots_used");
    desc->metadata = truth_of(inputs, "metadata");
    desc->summary = truth_of(inputs, "summary");
    desc->piece_count = (uint8_t)json_array_size(pieces);
    desc->ref_count = (uint8_t)json_array_size(refs);
    json_array_foreach(pieces, i, item)
    {
        desc->pieces[i].segment = (uint32_t)number_of(item, "segment");
        desc->pieces[i].block = (uint16_t)number_of(item, "block");
        desc->pieces[i].first_slot = (uint16_t)number_of(item, "first_slot");
        desc->pieces[i].cleaner = truth_of(item, "cleaner");
    }
    json_array_foreach(refs, i, item)
    {
        desc->refs[i].first_slot = (uint16_t)number_of(item, "first_slot");
        desc->refs[i].block = (uint16_t)number_of(item, "block");
        desc->refs[i].distance = (uint8_t)number_of(item, "distance");
    }
    get_bits(inputs, "present", &desc->present);
    get_bits(inputs, "live", &desc->live);
    return desc;
}

/* The page of each slot, and of no other slot; and the same by stretches. */
static void check_places(const json_t *vector, const struct cof_desc *desc)
{
    const json_t *pages = json_object_get(vector, "pages");
    uint32_t segment, block, header;
    struct cof_stretch stretch = {.end_slot = 0};
    unsigned at = 0, slot;
    size_t i;
    json_t *page;
    json_array_foreach(pages, i, page)
    {
        slot = (unsigned)number_of(page, "slot");
        assert_int_equal(cof_desc_locate(desc, slot, &segment, &block, &header), 0);
        assert_int_equal(segment, number_of(page, "segment"));
        assert_int_equal(block, number_of(page, "block"));
        assert_int_equal(header, number_of(page, "header_block"));
        while (slot >= stretch.end_slot) {
            assert_true(cof_desc_stretch(desc, stretch.end_slot, &stretch));
            at = 0;
        }
        assert_true(slot >= stretch.first_slot && stretch.segment == segment);
        assert_true(stretch.header_block == header && stretch.block + at++ == block);
        assert_true(at <= stretch.pages);
    }
    for (slot = 0; pages != NULL && slot < COF_BITMAP_BITS; slot++) {
        i -= cof_desc_locate(desc, slot, &segment, &block, &header) == 0 ? 1u : 0u;
    }
    assert_true(pages == NULL || i == 0);
}

static void check_refused_descriptor(const json_t *vector, const uint8_t *bytes, size_t length)
{
    struct cof_desc *none = NULL;
    size_t read = 0;
    assert_int_equal(cof_desc_decode(&env, bytes, length,
                                     (uint32_t)number_of(vector, "segment_count"),
                                     (uint32_t)number_of(vector, "segment_blocks"), &none, &read),
                     COFFER_E_CORRUPT);
    assert_null(none);
}

static void check_descriptor(const json_t *vector, const json_t *inputs)
{
    struct cof_desc *desc = get_desc(inputs), *seen = NULL;
    uint8_t bytes[COF_DESC_BYTES_MAX], again[COF_DESC_BYTES_MAX];
    size_t used = cof_desc_encode(desc, bytes), read = 0;
    check_bytes(vector, bytes, used);
    if (desc->piece_count > 1 && desc->ref_count > 0) { /* older than moved extents: refused */
        check_refused_descriptor(vector, bytes, used);
        cof_free(&env, desc);
        return;
    }
    assert_int_equal(cof_desc_decode(&env, bytes, used,
                                     (uint32_t)number_of(vector, "segment_count"),
                                     (uint32_t)number_of(vector, "segment_blocks"), &seen, &read),
                     0);
    assert_int_equal(read, used);
    assert_int_equal(cof_desc_encode(seen, again), used);
    assert_memory_equal(bytes, again, used);
    assert_true(cof_bitmap_equal(&seen->present, &desc->present));
    assert_true(cof_bitmap_equal(&seen->live, &desc->live));
    check_places(vector, seen);
    cof_free(&env, desc);
    cof_free(&env, seen);
}

static void check_refused(const json_t *vector, const json_t *inputs)
{
    uint8_t bytes[COF_DESC_BYTES_MAX];
    (void)inputs;
    check_refused_descriptor(vector, bytes, bytes_of(vector, "bytes", bytes, sizeof bytes));
}

static void check_footer(const json_t *vector, const json_t *inputs)
{
    struct cof_footer footer = {.lane = (uint16_t)number_of(inputs, "lane")}, seen;
    uint8_t bytes[COF_FOOTER_BYTES] = {0}, again[COF_FOOTER_BYTES];
    const json_t *descs = member(inputs, "descriptors");
    size_t at = COF_FOOTER_HEADER_BYTES, i;
    json_t *desc;
    fixed_of(inputs, "store_uuid", footer.store_uuid, 16);
    fixed_of(inputs, "session", footer.session, 16);
    footer.first_batch = number_of(inputs, "first_batch");
    footer.last_batch = number_of(inputs, "last_batch");
    footer.durable_upto = number_of(inputs, "durable_upto");
    footer.segment = (uint32_t)number_of(inputs, "segment");
    footer.next_segment = (uint32_t)number_of(inputs, "next_segment");
    footer.first_block = (uint32_t)number_of(inputs, "first_block");
    footer.complete = truth_of(inputs, "complete");
    footer.descriptors = (uint16_t)json_array_size(descs);
    json_array_foreach(descs, i, desc)
    {
        at += unhex(json_string_value(desc), bytes + at, sizeof bytes - at);
    }
    cof_footer_encode(&footer, bytes);
    check_bytes(vector, bytes, sizeof bytes);
    assert_int_equal(cof_footer_decode(bytes, &seen), 0);
    memcpy(again, bytes, sizeof again);
    cof_footer_encode(&seen, again);
    assert_memory_equal(bytes, again, sizeof bytes);
}

static void check_bucket(const json_t *vector, const json_t *inputs)
{
    uint8_t bytes[COF_BUCKET_HEADER_BYTES];
    unsigned count = 0;
    cof_bucket_header_encode(bytes, (unsigned)number_of(inputs, "descriptors"),
                             (unsigned)number_of(inputs, "blocks"), number_of(inputs, "key"));
    check_bytes(vector, bytes, sizeof bytes);
    assert_int_equal(cof_bucket_header_decode(bytes, number_of(inputs, "key"), &count), 0);
    assert_int_equal(count, number_of(inputs, "descriptors"));
}

static void check_tree_entry(const json_t *vector, const json_t *inputs)
{
    struct cof_tree_pointer entry, seen;
    uint8_t bytes[16];
    get_pointer(inputs, &entry);
    cof_tree_entry_encode(&entry, bytes);
    check_bytes(vector, bytes, sizeof bytes);
    cof_tree_entry_decode(bytes, &seen);
    assert_true(seen.segment == entry.segment && seen.block == entry.block &&
                seen.blocks == entry.blocks && seen.sum == entry.sum);
}

static void check_segment_record(const json_t *vector, const json_t *inputs)
{
    struct cof_segment_record record = {
        number_of(inputs, "sequence"), (uint32_t)number_of(inputs, "live"),
        (uint8_t)number_of(inputs, "state"), (uint8_t)number_of(inputs, "lane")};
    struct cof_segment_record seen;
    uint8_t bytes[16];
    cof_segment_record_encode(&record, bytes);
    check_bytes(vector, bytes, sizeof bytes);
    cof_segment_record_decode(bytes, &seen);
    assert_true(seen.sequence == record.sequence && seen.live == record.live &&
                seen.state == record.state && seen.lane == record.lane);
}

static void check_address(const json_t *vector, const json_t *inputs)
{
    struct cof_vaddr addr =
        cof_vaddr_make((unsigned)number_of(inputs, "index"), number_of(inputs, "extent"),
                       (unsigned)number_of(inputs, "slot"), truth_of(inputs, "hole"));
    assert_true(addr.bits == hex_of(vector, "bytes"));
    assert_int_equal(cof_vaddr_index(addr), number_of(inputs, "index"));
    assert_int_equal(cof_vaddr_extent(addr), number_of(inputs, "extent"));
    assert_int_equal(cof_vaddr_slot(addr), number_of(inputs, "slot"));
    assert_int_equal(cof_vaddr_hole(addr), truth_of(inputs, "hole"));
}

static void check_slot_word(const json_t *vector, const json_t *inputs)
{
    uint64_t word =
        cof_word((enum cof_word_type)number_of(inputs, "type"), number_of(inputs, "value"));
    assert_true(word == hex_of(vector, "bytes"));
    assert_int_equal(cof_word_type(word), number_of(inputs, "type"));
    assert_int_equal(cof_word_value(word), number_of(inputs, "value"));
}

static void check_chain_word(const json_t *vector, const json_t *inputs)
{
    assert_true(cof_chain_word(number_of(inputs, "extent"), (unsigned)number_of(inputs, "slots")) ==
                hex_of(vector, "bytes"));
}

static void root_slots(void **state)
{
    (void)state;
    each_vector("root", "root", check_root);
    each_vector("families", "root", check_root);
    each_vector("tags", "root", check_root);
    each_vector("groups", "root", check_root);
    each_vector("reencrypt", "root", check_root);
    each_vector("access", "root", check_root);
}

static void the_log(void **state)
{
    (void)state;
    each_vector("log", "segment_header", check_segment_header);
    each_vector("log", "run", check_run);
    each_vector("log", "batch_header", check_batch_header);
    each_vector("families", "run", check_run);
    each_vector("families", "batch_header", check_batch_header);
}

static void placement(void **state)
{
    (void)state;
    each_vector("place", "descriptor", check_descriptor);
    each_vector("place", "footer", check_footer);
    each_vector("place", "bucket", check_bucket);
    each_vector("place", "tree_entry", check_tree_entry);
    each_vector("place", "segment_record", check_segment_record);
    each_vector("groups", "group_header", check_group_header);
    each_vector("groups", "refused_group", check_refused_group);
    each_vector("groups", "descriptor", check_descriptor);
    each_vector("groups", "refused_descriptor", check_refused);
}

static void words(void **state)
{
    (void)state;
    each_vector("words", "address", check_address);
    each_vector("words", "slot_word", check_slot_word);
    each_vector("words", "chain_word", check_chain_word);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(root_slots),
        cmocka_unit_test(the_log),
        cmocka_unit_test(placement),
        cmocka_unit_test(words),
    };
    cof_env_init(&env, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
