/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/hostile_fixture.h - a store that someone with the disk and docs/format.md has changed: what
 * carries only checksums without a key is anything, and every checksum is right.
 */
#ifndef COF_TEST_HOSTILE_FIXTURE_H
#define COF_TEST_HOSTILE_FIXTURE_H

#include "volume_fixture.h"

#include "base/checksum.h"
#include "common/disk_forge.h"
#include "format/endian.h"
#include "format/group_format.h"
#include "volume/store.h"

#define BLOCK 4096u
#define REQUESTS_MAX 1000000u /* of the device, by a store: far more than any case takes */

enum hostile_base {
    HOSTILE_PLAIN = 0,
    HOSTILE_ENCRYPTED = 1,
    HOSTILE_SNAPSHOT = 2 /* the volume has one, "s" */
};

struct hostile_fixture {
    struct volume_fixture f;
    struct sim_image *image;
    struct forge_map map; /* of the sound store */
    struct cof_root root; /* hostile_open puts it */
    uint32_t segment_bytes;
    struct cof_tree_pointer entry; /* of volume 1, in the sound catalogue */
    uint64_t findings;
};

static inline void hostile_note_entry(void *ctx, uint64_t key,
                                      const struct cof_tree_pointer *record)
{
    struct hostile_fixture *h = ctx;
    if (key == 1024) {
        h->entry = *record;
    }
}

/* The store is closed: its image, and what is in it. */
static inline void hostile_take_image(struct hostile_fixture *h)
{
    h->image = sim_disk_image_live(h->f.disk);
    forge_map_init(&h->map, h->image);
    h->root = h->map.root;
    forge_tree_records(h->image, &h->root.catalogue, hostile_note_entry, h);
    assert_true(h->entry.blocks > 0);
}

static inline void hostile_make_store(struct volume_fixture *f, uint32_t segment_bytes,
                                      uint64_t env_seed)
{
    struct sim_disk_options options = {.seed = 2, .record = true};
    struct coffer_store_create_opts opts = {.size = sizeof opts, .segment_bytes = segment_bytes};
    memset(f, 0, sizeof *f);
    f->env_seed = env_seed;
    det_env_init(&f->env, f->env_seed, 0);
    fake_kms_init(&f->kms, 5);
    f->disk = sim_disk_new(segment_bytes, SEGMENTS, 2 * SEGMENTS, &options);
    opts.device = sim_disk_open(f->disk);
    opts.env = &f->env.api;
    assert_int_equal(coffer_store_create(&opts, &f->fault), 0);
    assert_int_equal(fixture_open_store(f, 0), 0);
}

/* A sound store with a volume "v" of one page, closed cleanly. */
static inline void hostile_make(struct hostile_fixture *h, uint32_t segment_bytes, unsigned base)
{
    struct coffer_volume *volume;
    memset(h, 0, sizeof *h);
    h->segment_bytes = segment_bytes;
    hostile_make_store(&h->f, segment_bytes, fixture_env_seed);
    make_volume(&h->f, "v", 700, (base & HOSTILE_ENCRYPTED) == 0);
    volume = open_volume(&h->f, "v");
    write_page(volume, 1, 7);
    if ((base & HOSTILE_SNAPSHOT) != 0) {
        struct coffer_snapshot_opts take = {.size = sizeof take, .name = "s"};
        assert_int_equal(coffer_snapshot_create(volume, &take, NULL, &h->f.fault), 0);
    }
    assert_int_equal(coffer_volume_close(volume), 0);
    fixture_close_store(&h->f);
    hostile_take_image(h);
}

/* Every checksum of the image is made right, and the root read again. */
static inline void hostile_fix(struct hostile_fixture *h)
{
    struct forge_map again;
    forge_fix_all(h->image, &h->map);
    forge_map_init(&again, h->image);
    h->root = again.root;
    forge_map_done(&again);
}

static inline int hostile_open(struct hostile_fixture *h, unsigned flags)
{
    struct sim_disk_options options = {.seed = 2, .record = true};
    forge_root_put(h->image, &h->root);
    sim_disk_free(h->f.disk);
    h->f.disk = sim_disk_from_image(h->image, &options);
    sim_disk_allow(h->f.disk, REQUESTS_MAX);
    h->f.store = NULL;
    return fixture_open_store(&h->f, flags);
}

static inline void hostile_done(struct hostile_fixture *h)
{
    fixture_done(&h->f);
    sim_image_free(h->image);
    forge_map_done(&h->map);
}

static inline int hostile_count_finding(void *ctx, const struct coffer_finding *finding)
{
    struct hostile_fixture *h = ctx;
    (void)finding;
    h->findings++;
    return 0;
}

static inline int hostile_check(struct hostile_fixture *h, unsigned flags)
{
    struct coffer_check_opts opts = {.size = sizeof opts,
                                     .flags = flags,
                                     .on_finding = hostile_count_finding,
                                     .ctx = h,
                                     .provider = &h->f.kms.api};
    struct coffer_check_summary summary = {0};
    h->findings = 0;
    return coffer_store_check(h->f.store, &opts, &summary, &h->f.fault);
}

static inline void hostile_put(struct hostile_fixture *h, uint32_t segment, uint32_t block,
                               const void *bytes)
{
    struct sim_block *b = sim_block_new(bytes);
    sim_image_put(h->image, segment, block, b);
    sim_block_put(b);
}

/* A pointer to one block, that has these bytes. */
static inline struct cof_tree_pointer hostile_pointer(uint32_t segment, uint32_t block,
                                                      unsigned height, const uint8_t *bytes)
{
    struct cof_tree_pointer pointer = {.segment = segment,
                                       .block = (uint16_t)block,
                                       .blocks = 1,
                                       .height = (uint8_t)height,
                                       .sum = cof_checksum64(bytes, BLOCK)};
    return pointer;
}

/* A batch header with those runs; the pages behind it are zeros, and so are its lists. */
static inline void hostile_put_batch(struct hostile_fixture *h, uint32_t segment, uint32_t block,
                                     uint64_t number, uint64_t durable, const struct cof_run *runs,
                                     unsigned count)
{
    static const uint8_t zeros[BLOCK];
    uint8_t bytes[BLOCK] = {0};
    struct cof_batch_header header = {.number = number,
                                      .durable_upto = durable,
                                      .block = block,
                                      .segment = segment,
                                      .runs = (uint16_t)count,
                                      .epoch = h->root.epoch & ~1u};
    size_t at;
    memcpy(header.store_uuid, h->root.store_uuid, 16);
    memcpy(header.session, h->root.session, 16);
    for (unsigned i = 0; i < count; i++) {
        cof_run_encode(&runs[i], bytes + COF_BATCH_HEADER_BYTES + i * COF_RUN_BYTES);
        header.pages = (uint16_t)(header.pages + cof_run_pages(&runs[i]));
    }
    cof_batch_header_encode(&header, bytes); /* for the offset */
    at = cof_batch_entries_offset(bytes, &header);
    for (unsigned i = 0; i < header.pages; i++) {
        cof_le64_put(bytes + at + 24u * i + 16, cof_checksum64(zeros, BLOCK));
    }
    cof_batch_header_encode(&header, bytes);
    hostile_put(h, segment, block, bytes);
}

/* A footer of these batches, with one descriptor or none. */
static inline void hostile_put_footer(struct hostile_fixture *h, uint32_t segment, uint64_t first,
                                      uint64_t last, uint32_t next, const struct cof_desc *desc)
{
    uint8_t bytes[COF_FOOTER_BYTES] = {0};
    struct cof_footer footer = {.first_batch = first,
                                .last_batch = last,
                                .durable_upto = first,
                                .segment = segment,
                                .next_segment = next,
                                .first_block = 1,
                                .complete = true};
    uint32_t blocks = h->segment_bytes / BLOCK;
    memcpy(footer.store_uuid, h->root.store_uuid, 16);
    memcpy(footer.session, h->root.session, 16);
    if (desc != NULL) {
        cof_desc_encode(desc, bytes + COF_FOOTER_HEADER_BYTES);
        footer.descriptors = 1;
    }
    cof_footer_encode(&footer, bytes);
    hostile_put(h, segment, blocks - 2u, bytes);
    hostile_put(h, segment, blocks - 1u, bytes + BLOCK);
}

/* The store was not closed; its log goes on there. */
static inline void hostile_log_at(struct hostile_fixture *h, uint32_t segment, uint32_t block,
                                  uint32_t next, uint64_t number)
{
    struct cof_lane_head *head = &h->root.lanes[0];
    h->root.clean = false;
    head->used = true;
    head->segment = segment;
    head->block = block;
    head->next_segment = next;
    head->batch_no = number;
    head->durable_upto = 0;
}

#endif
