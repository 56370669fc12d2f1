/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoders of keyless structures against what an untrusted disk may hold: each bit flipped, each
 * truncation, random bytes, random bytes under a right checksum. Nothing out of bounds is read
 * (ASan watches: inputs have heap blocks of their own size), no descriptor leaves its segment, and
 * what is accepted can be encoded and decoded again.
 */
#include "base/checksum.h"
#include "common/prng.h"
#include "format/batch_format.h"
#include "format/catalogue_format.h"
#include "format/endian.h"
#include "format/group_format.h"
#include "format/place_format.h"
#include "format/vaddr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEGMENTS 64u
#define SEGMENT_BLOCKS 256u

static struct cof_env env;

static void random_bytes(struct prng *prng, uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bytes[i] = (uint8_t)prng_next(prng);
    }
}

/* Decode from a heap block of exactly length bytes; 0 when it was accepted. */
static int try_desc(const uint8_t *bytes, size_t length, struct cof_desc **ret_desc)
{
    uint8_t *copy = malloc(length > 0 ? length : 1);
    size_t used = 0;
    int err;
    assert_non_null(copy);
    memcpy(copy, bytes, length);
    err = cof_desc_decode(&env, copy, length, SEGMENTS, SEGMENT_BLOCKS, ret_desc, &used);
    assert_true(err != 0 || used <= length);
    free(copy);
    return err;
}

/* Stretches have all slots of references or pieces, once, and say what locate says. */
static void check_stretches(const struct cof_desc *desc)
{
    struct cof_stretch stretch;
    unsigned seen = 0, located = 0;
    for (unsigned at = 0; cof_desc_stretch(desc, at, &stretch); at = stretch.end_slot) {
        uint32_t segment, block, header, next = stretch.block;
        assert_true(stretch.first_slot >= at && stretch.end_slot > stretch.first_slot);
        for (unsigned slot = stretch.first_slot; slot < stretch.end_slot; slot++) {
            if (cof_desc_locate(desc, slot, &segment, &block, &header) == 0) {
                assert_true(segment == stretch.segment && block == next++);
                assert_true(header == stretch.header_block);
                seen++;
            }
        }
        assert_int_equal(next - stretch.block, stretch.pages);
    }
    for (unsigned slot = 0; slot < COF_BITMAP_BITS; slot++) {
        uint32_t segment, block, header;
        located += cof_desc_locate(desc, slot, &segment, &block, &header) == 0 ? 1u : 0u;
    }
    assert_int_equal(seen, located);
}

/* Every page that it places lies in its segment, behind a header that lies there too. */
static void check_desc(const struct cof_desc *desc)
{
    bool moved = cof_desc_moved(desc);
    assert_true(desc->piece_count >= 1 && desc->piece_count <= (moved ? COF_PIECES_MAX : 1u));
    assert_true(desc->ref_count <= COF_BATCH_REFS_MAX && (desc->ref_count == 0) == moved);
    assert_true(desc->slots_used <= COF_EXTENT_SLOTS);
    check_stretches(desc);
    for (unsigned slot = 0; slot < COF_BITMAP_BITS; slot++) {
        uint32_t segment = 0, block = 0, header = 0;
        if (cof_desc_locate(desc, slot, &segment, &block, &header) != 0) {
            continue;
        }
        assert_true(segment != COF_NO_SEGMENT && segment < SEGMENTS);
        assert_true(block < SEGMENT_BLOCKS && header >= (moved ? 0u : 1u) && header < block);
        assert_true(block - header - 1u < (moved ? COF_GROUP_PAGES : COF_BATCH_PAGES_MAX));
        assert_true(!moved || header % COF_GROUP_BLOCKS == 0);
        assert_true(cof_desc_in_segment(desc, segment));
        assert_true(cof_bitmap_get(&desc->present, slot));
    }
    for (unsigned i = 0; i < COF_BITMAP_WORDS; i++) {
        assert_true((desc->live.words[i] & ~desc->present.words[i]) == 0);
    }
}

static void accept_desc(struct cof_desc *desc)
{
    uint8_t again[COF_DESC_BYTES_MAX];
    struct cof_desc *other = NULL;
    size_t bytes;
    check_desc(desc);
    bytes = cof_desc_encode(desc, again);
    assert_true(bytes <= COF_DESC_BYTES_MAX);
    assert_int_equal(try_desc(again, bytes, &other), 0);
    assert_true(cof_bitmap_equal(&desc->live, &other->live));
    assert_true(cof_bitmap_equal(&desc->present, &other->present));
    cof_free(&env, other);
    cof_free(&env, desc);
}

/* Pieces of a moved extent: some may have no page. Returns the slots used. */
static unsigned give_pieces(struct prng *prng, struct cof_desc *desc)
{
    unsigned slot = 0;
    desc->piece_count = (uint8_t)(1u + prng_below(prng, COF_PIECES_MAX));
    for (unsigned i = 0; i < desc->piece_count; i++) {
        unsigned slots = 1u + prng_below(prng, 100);
        uint32_t room = SEGMENT_BLOCKS / COF_GROUP_BLOCKS * COF_GROUP_PAGES - slots;
        desc->pieces[i] = (struct cof_piece){1u + prng_below(prng, SEGMENTS - 1u),
                                             (uint16_t)cof_group_page_block(prng_below(prng, room)),
                                             (uint16_t)slot, true};
        for (unsigned k = 0; k < slots; k++) {
            if (prng_chance(prng, 3, 4)) {
                cof_bitmap_set(&desc->present, slot + k);
            }
        }
        slot += slots;
    }
    return slot;
}

static unsigned give_refs(struct prng *prng, struct cof_desc *desc, unsigned refs)
{
    unsigned block = 2, slot = 0;
    desc->piece_count = 1;
    desc->pieces[0].segment = 1u + prng_below(prng, SEGMENTS - 1u);
    desc->pieces[0].block = 2;
    desc->ref_count = (uint8_t)refs;
    for (unsigned i = 0; i < refs; i++) {
        unsigned pages = 1u + prng_below(prng, 30);
        desc->refs[i] = (struct cof_batch_ref){(uint16_t)slot, (uint16_t)block, 1};
        for (unsigned k = 0; k < pages; k++) {
            cof_bitmap_set(&desc->present, slot + k);
        }
        slot += pages;
        block += pages + 1u;
    }
    return slot;
}

/* A descriptor of random shape that is right. */
static size_t make_desc(struct prng *prng, uint8_t bytes[COF_DESC_BYTES_MAX])
{
    unsigned refs = prng_chance(prng, 1, 3) ? 0u : 1u + prng_below(prng, 6), slot;
    struct cof_desc *desc = cof_desc_new(&env, refs);
    size_t used;
    assert_non_null(desc);
    desc->extent = 1u + prng_below(prng, 1000);
    desc->lineage = 1;
    desc->volume = 1u + prng_below(prng, 9);
    desc->key_id = prng_below(prng, 9);
    random_bytes(prng, desc->uuid, 16);
    slot = refs == 0 ? give_pieces(prng, desc) : give_refs(prng, desc, refs);
    desc->slots_used = (uint16_t)slot;
    if (prng_chance(prng, 1, 2)) {
        cof_bitmap_clear(&desc->present, prng_below(prng, slot));
    }
    desc->live = desc->present;
    for (unsigned i = prng_below(prng, slot + 1u); i > 0; i--) {
        cof_bitmap_clear(&desc->live, prng_below(prng, slot));
    }
    used = cof_desc_encode(desc, bytes);
    cof_free(&env, desc);
    return used;
}

static void a_right_descriptor_is_accepted(void **state)
{
    struct prng prng = {1};
    (void)state;
    for (unsigned i = 0; i < 3000; i++) {
        uint8_t bytes[COF_DESC_BYTES_MAX];
        struct cof_desc *desc = NULL;
        size_t used = make_desc(&prng, bytes);
        assert_int_equal(try_desc(bytes, used, &desc), 0);
        accept_desc(desc);
    }
}

static void no_bit_flip_takes_a_descriptor_out_of_bounds(void **state)
{
    struct prng prng = {2};
    unsigned accepted = 0, refused = 0;
    (void)state;
    for (unsigned i = 0; i < 60; i++) {
        uint8_t bytes[COF_DESC_BYTES_MAX];
        size_t used = make_desc(&prng, bytes);
        for (size_t bit = 0; bit < 8u * used; bit++) {
            struct cof_desc *desc = NULL;
            bytes[bit / 8u] ^= (uint8_t)(1u << (bit % 8u));
            if (try_desc(bytes, used, &desc) == 0) {
                accept_desc(desc);
                accepted++;
            } else {
                refused++;
            }
            bytes[bit / 8u] ^= (uint8_t)(1u << (bit % 8u));
        }
    }
    assert_true(accepted > 1000 && refused > 1000);
}

static void every_truncation_of_a_descriptor_is_refused(void **state)
{
    struct prng prng = {3};
    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        uint8_t bytes[COF_DESC_BYTES_MAX];
        size_t used = make_desc(&prng, bytes);
        for (size_t length = 0; length < used; length++) {
            struct cof_desc *desc = NULL;
            assert_int_equal(try_desc(bytes, length, &desc), COFFER_E_CORRUPT);
            assert_null(desc);
        }
    }
}

static void random_descriptors_stay_in_bounds(void **state)
{
    struct prng prng = {4};
    unsigned accepted = 0;
    (void)state;
    for (unsigned i = 0; i < 200000; i++) {
        uint8_t bytes[COF_DESC_BYTES_MAX];
        struct cof_desc *desc = NULL;
        size_t used = make_desc(&prng, bytes);
        for (unsigned k = 1u + prng_below(&prng, 4); k > 0; k--) {
            bytes[prng_below(&prng, (uint32_t)used)] = (uint8_t)prng_next(&prng);
        }
        if (i % 4 == 0) {
            random_bytes(&prng, bytes + 48, used - 48u);
        }
        if (try_desc(bytes, used, &desc) == 0) {
            accept_desc(desc);
            accepted++;
        }
    }
    assert_true(accepted > 100);
}

static void a_descriptor_outside_its_segment_is_refused(void **state)
{
    struct cof_desc *desc = cof_desc_new(&env, 2);
    struct cof_desc *out = NULL;
    uint8_t bytes[COF_DESC_BYTES_MAX];
    (void)state;
    assert_non_null(desc);
    desc->extent = 7;
    desc->slots_used = 10;
    desc->piece_count = 1;
    desc->pieces[0].segment = SEGMENTS - 1u;
    desc->ref_count = 1;
    desc->refs[0] = (struct cof_batch_ref){0, SEGMENT_BLOCKS - 10u, 1};
    for (unsigned i = 0; i < 10; i++) {
        cof_bitmap_set(&desc->present, i);
    }
    desc->live = desc->present;
    assert_int_equal(try_desc(bytes, cof_desc_encode(desc, bytes), &out), 0);
    accept_desc(out);
    desc->refs[0].block++; /* the last page would be one block too far */
    assert_int_equal(try_desc(bytes, cof_desc_encode(desc, bytes), &out), COFFER_E_CORRUPT);
    desc->refs[0].block--;
    desc->refs[0].distance = 0; /* pages, but no header before them */
    assert_int_equal(try_desc(bytes, cof_desc_encode(desc, bytes), &out), COFFER_E_CORRUPT);
    desc->refs[0].block = 5;
    desc->refs[0].distance = 5; /* a header in block 0 */
    assert_int_equal(try_desc(bytes, cof_desc_encode(desc, bytes), &out), COFFER_E_CORRUPT);
    desc->refs[0].distance = 1;
    desc->pieces[0].segment = SEGMENTS;
    assert_int_equal(try_desc(bytes, cof_desc_encode(desc, bytes), &out), COFFER_E_CORRUPT);
    desc->pieces[0].segment = COF_NO_SEGMENT;
    assert_int_equal(try_desc(bytes, cof_desc_encode(desc, bytes), &out), COFFER_E_CORRUPT);
    desc->pieces[0].segment = 1;
    desc->refs[1] = desc->refs[0]; /* refs that do not ascend */
    desc->ref_count = 2;
    assert_int_equal(try_desc(bytes, cof_desc_encode(desc, bytes), &out), COFFER_E_CORRUPT);
    desc->ref_count = 1;
    cof_bitmap_set(&desc->live, 10); /* alive, but not present */
    assert_int_equal(try_desc(bytes, cof_desc_encode(desc, bytes), &out), COFFER_E_CORRUPT);
    cof_bitmap_clear(&desc->live, 10);
    desc->extent = 0;
    assert_int_equal(try_desc(bytes, cof_desc_encode(desc, bytes), &out), COFFER_E_CORRUPT);
    cof_free(&env, desc);
}

/* ---- pieces in which nothing lives ---- */

static void dead_pieces_go_and_what_stays_keeps_its_place(void **state)
{
    struct prng prng = {9};
    unsigned gone = 0, last = 0;
    (void)state;
    for (unsigned round = 0; round < 3000; round++) {
        struct cof_desc *desc = cof_desc_new(&env, 0), *before = cof_desc_new(&env, 0);
        uint8_t bytes[COF_DESC_BYTES_MAX];
        struct cof_desc *again = NULL;
        assert_true(desc != NULL && before != NULL);
        desc->extent = 1;
        desc->slots_used = (uint16_t)give_pieces(&prng, desc);
        for (unsigned i = 0; i < desc->piece_count; i++) {
            bool dies = prng_chance(&prng, 1, 2);
            for (unsigned slot = desc->pieces[i].first_slot; slot < cof_desc_piece_end(desc, i);
                 slot++) {
                if (!dies && cof_bitmap_get(&desc->present, slot) && prng_chance(&prng, 1, 9)) {
                    cof_bitmap_set(&desc->live, slot);
                }
            }
        }
        *before = *desc;
        cof_desc_drop_dead_pieces(desc);
        gone += before->piece_count - desc->piece_count;
        last += cof_bitmap_count(&desc->live) == 0 ? 1u : 0u;
        for (unsigned slot = 0; slot < COF_BITMAP_BITS; slot++) {
            uint32_t a[3], b[3];
            if (cof_bitmap_get(&desc->live, slot)) {
                assert_int_equal(cof_desc_locate(before, slot, &a[0], &a[1], &a[2]), 0);
                assert_int_equal(cof_desc_locate(desc, slot, &b[0], &b[1], &b[2]), 0);
                assert_memory_equal(a, b, sizeof a);
            }
        }
        for (unsigned i = 0; desc->piece_count > 1 && i < desc->piece_count; i++) {
            assert_true(cof_bitmap_between(&desc->live, 0, cof_desc_piece_end(desc, i)) >
                        cof_bitmap_between(&desc->live, 0, desc->pieces[i].first_slot));
        }
        assert_int_equal(try_desc(bytes, cof_desc_encode(desc, bytes), &again), 0);
        accept_desc(again);
        cof_free(&env, desc);
        cof_free(&env, before);
    }
    assert_true(gone > 1000 && last > 100);
}

/* ---- structures of whole blocks, all under a checksum ---- */

static void make_group(uint8_t block[4096])
{
    struct cof_group_header header = {
        .lane = 2, .pages = 3, .runs = 2, .segment = 9, .block = COF_GROUP_BLOCKS};
    memset(block, 0, 4096);
    cof_group_run_put(block, 0, 1, 77);
    cof_group_run_put(block, 1, 0, COF_EXTENT_MAX);
    cof_group_header_encode(&header, block);
}

static int decode_group(const uint8_t *block)
{
    struct cof_group_header header;
    return cof_group_header_decode(block, &header);
}

static void make_batch(uint8_t block[4096])
{
    struct cof_batch_header header = {.number = 9, .runs = 2, .pages = 5, .block = 3, .segment = 4};
    struct cof_run run = {.volume = 1, .lineage = 1, .extent = 5, .slots = 5, .first_slot = 506};
    memset(block, 0, 4096);
    cof_run_encode(&run, block + COF_BATCH_HEADER_BYTES);
    run.no_pages = true;
    run.first_slot = 7;
    run.slots = 2;
    cof_run_encode(&run, block + COF_BATCH_HEADER_BYTES + COF_RUN_BYTES);
    cof_batch_header_encode(&header, block);
}

static int decode_batch(const uint8_t *block)
{
    struct cof_batch_header header;
    memset(&header, 0x5c, sizeof header);
    return cof_batch_header_decode(block, &header);
}

static void make_segment(uint8_t block[4096])
{
    struct cof_segment_header header = {.lane = 15, .sequence = 7, .first_batch = 3, .segment = 9};
    cof_segment_header_encode(&header, block);
}

static int decode_segment(const uint8_t *block)
{
    struct cof_segment_header header;
    return cof_segment_header_decode(block, &header);
}

static void make_root(uint8_t block[4096])
{
    struct cof_root root;
    memset(&root, 0, sizeof root);
    root.major = COF_FORMAT_MAJOR;
    root.segment_bytes = 1u << 20;
    root.segment_count = SEGMENTS;
    root.next_extent = 1;
    root.lanes[0] = (struct cof_lane_head){3, 4, 9, true, 8, 7};
    cof_root_encode(&root, block);
}

static int decode_root(const uint8_t *block)
{
    struct cof_root root;
    return cof_root_decode(block, &root);
}

static void make_footer(uint8_t bytes[COF_FOOTER_BYTES])
{
    struct cof_footer footer = {.first_batch = 1, .last_batch = 9, .segment = 4, .complete = true};
    memset(bytes, 0, COF_FOOTER_BYTES);
    cof_footer_encode(&footer, bytes);
}

static int decode_footer(const uint8_t *bytes)
{
    struct cof_footer footer;
    return cof_footer_decode(bytes, &footer);
}

struct whole {
    void (*make)(uint8_t *bytes);
    int (*decode)(const uint8_t *bytes);
    size_t bytes, magic_bytes;
};

static const struct whole wholes[] = {
    {make_batch, decode_batch, 4096, 4},
    {make_segment, decode_segment, 4096, 4},
    {make_group, decode_group, 4096, 4},
    {make_root, decode_root, 4096, 8},
    {make_footer, decode_footer, COF_FOOTER_BYTES, 4},
};

static void every_bit_flip_of_a_whole_structure_is_seen(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof wholes / sizeof wholes[0]; i++) {
        const struct whole *whole = &wholes[i];
        uint8_t *bytes = malloc(whole->bytes);
        assert_non_null(bytes);
        whole->make(bytes);
        assert_int_equal(whole->decode(bytes), 0);
        for (size_t bit = 0; bit < 8u * whole->bytes; bit++) {
            int expected = bit / 8u < whole->magic_bytes ? COFFER_E_NOT_A_STORE : COFFER_E_CORRUPT;
            bytes[bit / 8u] ^= (uint8_t)(1u << (bit % 8u));
            assert_int_equal(whole->decode(bytes), expected);
            bytes[bit / 8u] ^= (uint8_t)(1u << (bit % 8u));
        }
        free(bytes);
    }
}

static void random_bytes_are_no_structure(void **state)
{
    struct prng prng = {5};
    (void)state;
    for (unsigned i = 0; i < sizeof wholes / sizeof wholes[0]; i++) {
        const struct whole *whole = &wholes[i];
        uint8_t *bytes = malloc(whole->bytes);
        assert_non_null(bytes);
        for (unsigned round = 0; round < 500; round++) {
            uint8_t magic[8];
            whole->make(bytes);
            memcpy(magic, bytes, sizeof magic);
            random_bytes(&prng, bytes, whole->bytes);
            if (round % 2 == 0) {
                memcpy(bytes, magic, whole->magic_bytes);
            }
            assert_int_not_equal(whole->decode(bytes), 0);
        }
        free(bytes);
    }
}

/* Whoever edits the disk can put the checksum right: counts and places still have to fit. */
static void a_right_checksum_does_not_excuse_a_batch(void **state)
{
    struct prng prng = {6};
    uint8_t *block = malloc(4096);
    unsigned accepted = 0, refused = 0;
    (void)state;
    assert_non_null(block);
    for (unsigned round = 0; round < 100000; round++) {
        struct cof_batch_header header;
        make_batch(block);
        for (unsigned k = 1u + prng_below(&prng, 3); k > 0; k--) {
            block[64u + prng_below(&prng, 160)] = (uint8_t)prng_next(&prng);
        }
        memset(block + 88, 0, 8);
        cof_le64_put(block + 88, cof_checksum64(block, 4096));
        if (cof_batch_header_decode(block, &header) != 0) {
            refused++;
            continue;
        }
        accepted++;
        assert_true(header.pages <= COF_BATCH_PAGES_MAX && header.runs <= COF_BATCH_RUNS_MAX);
        assert_true(cof_batch_entries_offset(block, &header) +
                        (size_t)header.pages * COF_ENTRY_BYTES <=
                    4096u);
    }
    assert_true(accepted > 1000 && refused > 1000);
    free(block);
}

static void a_right_checksum_does_not_excuse_a_group(void **state)
{
    struct prng prng = {10};
    uint8_t block[4096];
    unsigned accepted = 0, refused = 0;
    (void)state;
    for (unsigned round = 0; round < 100000; round++) {
        struct cof_group_header header;
        make_group(block);
        for (unsigned k = 1u + prng_below(&prng, 2); k > 0; k--) {
            unsigned at = prng_chance(&prng, 1, 4) ? COF_GROUP_RUNS_OFFSET : 6u;
            block[at + prng_below(&prng, 32)] = (uint8_t)prng_below(&prng, 200);
        }
        memset(block + 56, 0, 8);
        cof_le64_put(block + 56, cof_checksum64(block, 4096));
        if (cof_group_header_decode(block, &header) != 0) {
            refused++;
            continue;
        }
        accepted++;
        assert_true(header.lane >= 1 && header.lane <= 3 && header.block % 128u == 0);
        assert_true(header.pages >= 1 && header.pages <= 127u && header.runs <= header.pages);
        assert_true(header.runs >= 1 && header.runs <= 123u);
    }
    assert_true(accepted > 1000 && refused > 1000);
}

static void a_right_checksum_does_not_excuse_a_root(void **state)
{
    struct prng prng = {7};
    uint8_t block[4096];
    unsigned accepted = 0, refused = 0;
    (void)state;
    for (unsigned round = 0; round < 100000; round++) {
        struct cof_root root;
        int err;
        make_root(block);
        for (unsigned k = 1u + prng_below(&prng, 3); k > 0; k--) {
            block[16u + prng_below(&prng, 300)] = (uint8_t)prng_next(&prng);
        }
        cof_le64_put(block + 4088, cof_checksum64(block, 4088));
        err = cof_root_decode(block, &root);
        refused += err != 0 ? 1u : 0u;
        if (err != 0) {
            continue;
        }
        accepted++;
        assert_true(root.segment_count >= COF_SEGMENTS_MIN);
        assert_true((root.incompat & ~COF_INCOMPAT_KNOWN) == 0);
        assert_true(root.placement.segment < root.segment_count && root.placement.height <= 8);
        assert_true(!root.lanes[0].used || root.lanes[0].segment < root.segment_count);
    }
    assert_true(accepted > 1000 && refused > 1000);
}

static void a_newer_format_is_told_from_damage(void **state)
{
    uint8_t block[4096];
    struct cof_root root;
    (void)state;
    make_root(block);
    cof_le16_put(block + 16, COF_FORMAT_MAJOR + 1u);
    cof_le64_put(block + 4088, cof_checksum64(block, 4088));
    assert_int_equal(cof_root_decode(block, &root), COFFER_E_TOO_NEW);
    assert_int_equal(root.major, COF_FORMAT_MAJOR + 1u);
    make_root(block);
    block[47] = 0x80; /* an incompat bit that nobody knows yet */
    cof_le64_put(block + 4088, cof_checksum64(block, 4088));
    assert_int_equal(cof_root_decode(block, &root), COFFER_E_TOO_NEW);
}

/* ---- catalogue ---- */

static void volume_entries_and_records_are_bounded(void **state)
{
    struct prng prng = {8};
    unsigned entries = 0, records = 0;
    (void)state;
    for (unsigned round = 0; round < 100000; round++) {
        struct cof_volume_entry entry = {.number = 3, .record_bytes = COF_RECORD_BYTES};
        struct cof_record record;
        uint8_t at[COF_VOLUME_ENTRY_BYTES], plain[COF_RECORD_BYTES];
        cof_volume_entry_encode(&entry, at);
        at[prng_below(&prng, sizeof at)] = (uint8_t)prng_next(&prng);
        at[prng_below(&prng, sizeof at)] = (uint8_t)prng_next(&prng);
        at[216 + prng_below(&prng, 2)] = (uint8_t)prng_below(&prng, 6);
        if (cof_volume_entry_decode(at, &entry) == 0) {
            assert_true(entry.access <= COF_ACCESS_TERMINAL &&
                        entry.grant_bytes <= COF_GRANT_ID_MAX);
            assert_true(entry.access == COF_ACCESS_AVAILABLE || entry.kind == COF_KIND_VOLUME);
            assert_true(entry.number != 0 && entry.record_bytes == COF_RECORD_BYTES);
            assert_true(entry.ring_bytes <= COF_RING_BYTES_MAX);
            assert_true(entry.data_keys <= COF_EK_PER_PART * COF_EK_PARTS_MAX);
            entries++;
        }
        random_bytes(&prng, plain, sizeof plain);
        cof_le16_put(plain, 1);
        cof_le16_put(plain + 2, (uint16_t)prng_below(&prng, COF_KIND_HIDDEN + 2u));
        cof_le32_put(plain + 4, prng_below(&prng, 7));
        cof_le64_put(plain + 88, prng_next(&prng) >> prng_below(&prng, 64));
        plain[616] = (uint8_t)prng_below(&prng, COF_ACCESS_TERMINAL + 2u);
        if (cof_record_decode(plain, &record) == 0) {
            assert_true(record.height <= COF_MAP_LEVELS_MAX);
            assert_true(record.access <= COF_ACCESS_TERMINAL);
            assert_true(record.size_pages <= UINT64_C(1) << 44);
            assert_true(strlen(record.name) < 64 && strlen(record.key_arn) < 256);
            records++;
        }
    }
    assert_true(entries > 1000 && records > 1000);
}

static void buckets_of_a_foreign_key_are_refused(void **state)
{
    uint8_t at[COF_BUCKET_HEADER_BYTES];
    unsigned count = 77;
    (void)state;
    cof_bucket_header_encode(at, 3, 1, 55);
    assert_int_equal(cof_bucket_header_decode(at, 55, &count), 0);
    assert_int_equal(count, 3);
    assert_int_equal(cof_bucket_header_decode(at, 56, &count), COFFER_E_CORRUPT);
    cof_bucket_header_encode(at, COF_BUCKET_EXTENTS + 1u, 1, 55);
    assert_int_equal(cof_bucket_header_decode(at, 55, &count), COFFER_E_CORRUPT);
    at[0] ^= 1;
    assert_int_equal(cof_bucket_header_decode(at, 55, &count), COFFER_E_CORRUPT);
    assert_int_equal(count, 3);
}

static int no_leaks(void **state)
{
    (void)state;
    return env.heap_bytes == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_right_descriptor_is_accepted),
        cmocka_unit_test(no_bit_flip_takes_a_descriptor_out_of_bounds),
        cmocka_unit_test(every_truncation_of_a_descriptor_is_refused),
        cmocka_unit_test(random_descriptors_stay_in_bounds),
        cmocka_unit_test(a_descriptor_outside_its_segment_is_refused),
        cmocka_unit_test(every_bit_flip_of_a_whole_structure_is_seen),
        cmocka_unit_test(random_bytes_are_no_structure),
        cmocka_unit_test(a_right_checksum_does_not_excuse_a_batch),
        cmocka_unit_test(dead_pieces_go_and_what_stays_keeps_its_place),
        cmocka_unit_test(a_right_checksum_does_not_excuse_a_group),
        cmocka_unit_test(a_right_checksum_does_not_excuse_a_root),
        cmocka_unit_test(a_newer_format_is_told_from_damage),
        cmocka_unit_test(volume_entries_and_records_are_bounded),
        cmocka_unit_test(buckets_of_a_foreign_key_are_refused),
    };
    cof_env_init(&env, NULL);
    return cmocka_run_group_tests(tests, NULL, no_leaks);
}
