/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/place - placement descriptors, their buckets, segment footers, records of the segment table.
 */
#include "fuzz/fuzz_driver.h"

#include "base/checksum.h"
#include "format/endian.h"
#include "place/place.h"

#define SEGMENT_COUNT 64u
#define SEGMENT_BLOCKS 256u

static struct cof_env *environment(void)
{
    static struct cof_env env;
    if (env.api.alloc == NULL) {
        cof_env_init(&env, NULL);
    }
    return &env;
}

/* Every slot lies inside the device or nowhere, and every stretch has an end. */
static void locate_all(const struct cof_desc *desc)
{
    struct cof_stretch stretch;
    for (unsigned at = 0; cof_desc_stretch(desc, at, &stretch); at = stretch.end_slot) {
        harness_require(stretch.end_slot > at && stretch.segment < SEGMENT_COUNT &&
                            stretch.header_block < SEGMENT_BLOCKS &&
                            stretch.block + stretch.pages <= SEGMENT_BLOCKS,
                        "the stretch of slot %u lies at block %u", at, stretch.block);
    }
    for (unsigned slot = 0; slot < COF_BITMAP_BITS; slot++) {
        uint32_t segment = 0, block = 0, header = 0;
        if (cof_desc_locate(desc, slot, &segment, &block, &header) == 0) {
            harness_require(
                segment < SEGMENT_COUNT && block < SEGMENT_BLOCKS && header < SEGMENT_BLOCKS,
                "slot %u lies at segment %u block %u header %u", slot, segment, block, header);
        }
    }
}

static int try_descriptor(const uint8_t *data, size_t size)
{
    struct cof_desc *desc = NULL;
    uint8_t bytes[COF_DESC_BYTES_MAX];
    size_t length = 0;
    if (cof_desc_decode(environment(), data, size, SEGMENT_COUNT, SEGMENT_BLOCKS, &desc, &length) !=
        0) {
        return 0;
    }
    harness_require(length <= size && length <= COF_DESC_BYTES_MAX, "a descriptor of %zu bytes",
                    length);
    locate_all(desc);
    harness_require(cof_desc_encode(desc, bytes) <= COF_DESC_BYTES_MAX, "encode is too long");
    cof_desc_drop_dead_pieces(desc);
    locate_all(desc);
    cof_free(environment(), desc);
    return 1;
}

static int try_bucket(const uint8_t *data, size_t size)
{
    struct cof_desc *descs[COF_BUCKET_EXTENTS] = {NULL};
    uint8_t bytes[8192] = {0};
    size_t length = size <= 4096 ? 4096 : 8192;
    memcpy(bytes, data, size < length ? size : length);
    if (cof_bucket_decode(environment(), bytes, length, cof_le64_get(bytes + 8), SEGMENT_COUNT,
                          SEGMENT_BLOCKS, descs) != 0) {
        return 0;
    }
    for (unsigned i = 0; i < COF_BUCKET_EXTENTS; i++) {
        if (descs[i] != NULL) {
            locate_all(descs[i]);
            cof_free(environment(), descs[i]);
        }
    }
    return 1;
}

static int try_footer(const uint8_t *data, size_t size)
{
    uint8_t bytes[COF_FOOTER_BYTES] = {0};
    struct cof_footer footer;
    memcpy(bytes, data, size < sizeof bytes ? size : sizeof bytes);
    cof_le64_put(bytes + COF_FOOTER_BYTES - 8, cof_checksum64(bytes, COF_FOOTER_BYTES - 8));
    return cof_footer_decode(bytes, &footer) == 0 ? 1 : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int accepted = try_descriptor(data, size);
    accepted |= try_bucket(data, size);
    return accepted | try_footer(data, size);
}

static size_t seed_descriptor(unsigned number, uint8_t *bytes, uint64_t extent)
{
    struct cof_desc *desc = cof_desc_new(environment(), COF_BATCH_REFS_MAX);
    size_t length;
    if (desc == NULL) {
        return 0;
    }
    desc->extent = extent;
    desc->slots_used = (uint16_t)(20 + number * 60);
    desc->summary = number % 2 == 1;
    for (unsigned i = 0; i < desc->slots_used; i++) {
        cof_bitmap_set(&desc->present, i);
        if (number != 2 || i % 3 == 0) {
            cof_bitmap_set(&desc->live, i);
        }
    }
    if (desc->summary) {
        cof_bitmap_set(&desc->present, 511);
        cof_bitmap_set(&desc->live, 511);
    }
    desc->piece_count = 1;
    desc->pieces[0] = (struct cof_piece){.segment = 3, .block = 0, .first_slot = 0};
    desc->ref_count = 1;
    desc->refs[0] = (struct cof_batch_ref){.first_slot = 0, .block = 2, .distance = 1};
    if (number >= 2) {
        desc->ref_count = 0;
        desc->piece_count = 2;
        desc->pieces[0] = (struct cof_piece){3, 120, 0, true};
        desc->pieces[1] = (struct cof_piece){4, 1, 13, true};
    }
    length = cof_desc_encode(desc, bytes);
    cof_free(environment(), desc);
    return length;
}

size_t fuzz_seed(unsigned number, uint8_t *bytes, size_t room)
{
    size_t length = COF_BUCKET_HEADER_BYTES;
    if (room < COF_FOOTER_BYTES || number > 5) {
        return 0;
    }
    if (number < 4) {
        return seed_descriptor(number, bytes, 7);
    }
    memset(bytes, 0, COF_FOOTER_BYTES);
    if (number == 5) {
        struct cof_footer footer = {
            .first_batch = 3, .last_batch = 9, .segment = 2, .first_block = 1};
        cof_footer_encode(&footer, bytes);
        return COF_FOOTER_BYTES;
    }
    for (unsigned i = 0; i < 4; i++) {
        length += seed_descriptor(i, bytes + length, 32 + i);
    }
    cof_bucket_header_encode(bytes, 4, 1, 2);
    return 4096;
}

FUZZ_MAIN("fuzz_place", 300000)
