/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/volume_hostile_fuzz_test.c - a plain volume's record, and the descriptors of extents, with
 * any numbers in them and right checksums: whatever the engine makes of them, it ends and gives
 * back all memory. N rounds (60) from SEED (1).
 */
#include "hostile_fixture.h"

#define PAGES_WRITTEN 400u
#define BUCKETS_MAX 64u
#define REFS_MAX 64u

static struct hostile_fixture h;
static uint8_t page[PAGE];

static uint64_t number_of(const char *variable, uint64_t otherwise)
{
    const char *text = getenv(variable);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static uint64_t odd_number(struct prng *prng)
{
    static const uint64_t odd[] = {0,
                                   1,
                                   2,
                                   5,
                                   511,
                                   512,
                                   513,
                                   700,
                                   UINT64_C(1) << 10,
                                   UINT64_C(1) << 11,
                                   UINT64_C(1) << 18,
                                   (UINT64_C(1) << 18) + 1,
                                   UINT64_C(1) << 35,
                                   (UINT64_C(1) << 39) - 1,
                                   UINT64_C(1) << 39,
                                   (UINT64_C(1) << 44) - 1,
                                   UINT64_C(1) << 44,
                                   UINT64_C(1) << 63,
                                   UINT64_MAX - 1,
                                   UINT64_MAX};
    const unsigned count = sizeof odd / sizeof odd[0];
    uint64_t which = prng_next(prng) % (count + 4u);
    if (which < count) {
        return odd[which];
    }
    return which < count + 2u ? prng_next(prng) : prng_next(prng) % 4096;
}

/* Of a round: the sound image comes back, the store is closed. */
static void end_round(struct sim_image *sound)
{
    if (h.f.store != NULL) {
        (void)coffer_store_close(h.f.store); /* a hostile one may well not be closed cleanly */
        h.f.store = NULL;
    }
    det_env_check_leaks(&h.f.env);
    sim_image_free(h.image);
    h.image = sound;
}

/* ---- a plain volume's entry and record ---- */

static void mutate_record(struct cof_volume_entry *entry, struct cof_record *record,
                          struct prng *prng)
{
    uint64_t v = odd_number(prng);
    switch (prng_next(prng) % 16) {
    case 0:
        record->height = (uint32_t)(v % 6);
        break;
    case 1:
        record->size_pages = v % ((UINT64_C(1) << 44) + 1);
        break;
    case 2:
        record->root_address = v;
        break;
    case 3:
        record->mapped_pages = v;
        break;
    case 4:
        record->chain_extent = v;
        break;
    case 5:
        record->chain_slots = (uint16_t)v;
        break;
    case 6:
        record->cut = v;
        break;
    case 7:
        record->node_cut = v;
        break;
    case 8:
        record->own_cut = entry->own_cut = v;
        break;
    case 9:
        record->own_node_cut = entry->own_node_cut = v;
        break;
    case 10:
        entry->tail_first = v;
        break;
    case 11:
        entry->tail_last = v;
        break;
    case 12:
        entry->family = (uint32_t)v;
        break;
    case 13:
        record->key_uses = v;
        record->next_key_id = (uint32_t)v;
        break;
    case 14:
        memset(record->parent, 0, sizeof record->parent);
        entry->parent_number = 0;
        break;
    default:
        entry->kind = record->kind = (enum cof_entry_kind)(v % 3);
        break;
    }
}

static void forge_record(const uint8_t *sound_bytes, struct prng *prng)
{
    uint8_t bytes[2 * BLOCK], aad[56];
    static const uint8_t none[16];
    struct cof_volume_entry entry;
    struct cof_record record;
    memcpy(bytes, sound_bytes, sizeof bytes);
    assert_int_equal(cof_volume_entry_decode(bytes, &entry), 0);
    assert_int_equal(cof_record_decode(bytes + COF_VOLUME_ENTRY_BYTES, &record), 0);
    for (uint64_t n = 1 + prng_next(prng) % 3; n > 0; n--) {
        mutate_record(&entry, &record, prng);
    }
    cof_record_encode(&record, bytes + COF_VOLUME_ENTRY_BYTES);
    cof_record_aad(false, entry.uuid, none, entry.generation, entry.number, aad);
    cof_checksum128(cof_plain_seed(entry.uuid, entry.number, entry.uuid), aad, sizeof aad,
                    bytes + COF_VOLUME_ENTRY_BYTES, 1024, entry.tag);
    cof_volume_entry_encode(&entry, bytes);
    forge_write(h.image, h.entry.segment, h.entry.block, 0, bytes, BLOCK * h.entry.blocks);
    hostile_fix(&h);
    if (prng_next(prng) % 4 == 0) {
        h.root.next_extent = odd_number(prng) | 1u;
    }
}

/* Each call may succeed or not. */
static void use_volume(struct coffer_volume *volume)
{
    struct coffer_snapshot_opts take = {.size = sizeof take, .name = "t"};
    struct coffer_snapshot_opts gone = {.size = sizeof gone, .volume = "v", .name = "s"};
    struct coffer_snapshot_info info = {.size = sizeof info};
    struct coffer_volume_open_opts opts = open_opts(&h.f, "v");
    struct coffer_fault *fault = &h.f.fault;
    uint64_t offset = 0, length = 0;
    (void)!coffer_volume_next_data(volume, &offset, &length, fault);
    (void)!coffer_volume_read(volume, page, PAGE, PAGE, fault);
    (void)!coffer_volume_write(volume, page, 2 * PAGE, PAGE, 0, fault);
    (void)!coffer_volume_discard(volume, 0, PAGE * 600, fault);
    (void)!coffer_store_checkpoint(h.f.store, fault);
    if (!h.f.store->read_only) {
        (void)!coffer_snapshot_create(volume, &take, NULL, fault);
        (void)!coffer_volume_resize(volume, PAGE * 100, fault);
    }
    (void)coffer_volume_close(volume);
    (void)!coffer_snapshot_info_get(h.f.store, &gone, &info, fault);
    (void)!coffer_snapshot_delete(h.f.store, &gone, fault);
    (void)!coffer_volume_delete(h.f.store, &opts, fault);
}

static void any_plain_record_is_survived(void **state)
{
    struct prng prng = {number_of("SEED", 1)};
    uint64_t rounds = number_of("N", 60), opened = 0;
    uint8_t bytes[2 * BLOCK] = {0};
    struct sim_image *sound;
    (void)state;
    hostile_make(&h, SEGMENT_BYTES, HOSTILE_SNAPSHOT);
    sound = h.image;
    assert_true(BLOCK * h.entry.blocks <= sizeof bytes);
    forge_read(sound, h.entry.segment, h.entry.block, 0, bytes, BLOCK * h.entry.blocks);
    for (uint64_t round = 0; round < rounds; round++) {
        struct coffer_volume_open_opts opts = open_opts(&h.f, "v");
        unsigned flags = prng_next(&prng) % 2 != 0 ? COFFER_OPEN_READ_ONLY : 0;
        struct coffer_volume *volume;
        h.image = sim_image_clone(sound);
        forge_record(bytes, &prng);
        if (hostile_open(&h, flags) == 0) {
            (void)hostile_check(&h, 0);
            opts.flags |= flags != 0 ? COFFER_VOLUME_READ_ONLY : 0;
            if (coffer_volume_open(h.f.store, &opts, &volume, &h.f.fault) == 0) {
                opened++;
                use_volume(volume);
            }
        }
        end_round(sound);
    }
    assert_true(opened > 0 || rounds < 60); /* else nothing was tried */
    hostile_done(&h);
}

/* ---- descriptors of extents, and records of segments ---- */

static struct {
    struct cof_tree_pointer pointer;
    uint64_t key;
} buckets[BUCKETS_MAX];
static unsigned bucket_count;

static void note_bucket(void *ctx, uint64_t key, const struct cof_tree_pointer *record)
{
    (void)ctx;
    if (bucket_count < BUCKETS_MAX) {
        buckets[bucket_count].key = key;
        buckets[bucket_count++].pointer = *record;
    }
}

static void move_desc(struct cof_desc *desc, struct prng *prng)
{
    desc->ref_count = 0;
    desc->piece_count = (uint8_t)(1u + prng_next(prng) % 4u);
    for (unsigned i = 0; i < desc->piece_count; i++) {
        desc->pieces[i].segment = (uint32_t)(1 + prng_next(prng) % 6);
        desc->pieces[i].block = (uint16_t)(1 + prng_next(prng) % 127);
        desc->pieces[i].first_slot = (uint16_t)(i * (1 + prng_next(prng) % 120));
        desc->pieces[i].cleaner = true;
    }
}

static void mutate_desc(struct cof_desc *desc, struct prng *prng)
{
    uint64_t v = odd_number(prng);
    unsigned ref = desc->ref_count > 0 ? (unsigned)(prng_next(prng) % desc->ref_count) : 0;
    switch (prng_next(prng) % 14) {
    case 0:
        desc->refs[ref].first_slot = (uint16_t)(v & 511);
        break;
    case 1:
        desc->refs[ref].block = (uint16_t)(prng_next(prng) % 256);
        break;
    case 2:
        desc->refs[ref].distance = (uint8_t)(v & 127);
        break;
    case 3:
        desc->pieces[0].segment = (uint32_t)(prng_next(prng) % 12);
        break;
    case 4:
        desc->slots_used = (uint16_t)(v & 511);
        break;
    case 5:
        desc->summary = !desc->summary;
        break;
    case 6:
        desc->metadata = !desc->metadata;
        break;
    case 7:
        cof_bitmap_set(&desc->present, v & 511);
        cof_bitmap_set(&desc->live, v & 511);
        break;
    case 8:
        cof_bitmap_clear(&desc->present, v & 511);
        cof_bitmap_clear(&desc->live, v & 511);
        break;
    case 9:
        desc->volume = (uint32_t)(v % 4);
        break;
    case 10:
        desc->lineage = (uint32_t)(v % 2) << 28;
        break;
    case 11:
        cof_bitmap_fill(&desc->live, (unsigned)(v % 513));
        cof_bitmap_fill(&desc->present, (unsigned)(v % 513));
        break;
    case 12:
        move_desc(desc, prng);
        break;
    default:
        desc->pieces[0].first_slot = (uint16_t)(v & 511);
        break;
    }
}

/* A change of it that can still be decoded, or the same. */
static struct cof_desc *changed_desc(struct cof_env *env, struct cof_desc *desc, struct prng *prng)
{
    struct cof_desc *changed = cof_desc_new(env, REFS_MAX), *decoded = NULL;
    uint8_t probe[COF_DESC_BYTES_MAX] = {0};
    size_t length;
    assert_non_null(changed);
    memcpy(changed, desc, sizeof *desc + desc->ref_count * sizeof desc->refs[0]);
    changed->ref_capacity = REFS_MAX;
    mutate_desc(changed, prng);
    cof_desc_encode(changed, probe);
    if (cof_desc_decode(env, probe, sizeof probe, SEGMENTS, SEGMENT_BYTES / BLOCK, &decoded,
                        &length) != 0) {
        cof_free(env, changed);
        return desc;
    }
    cof_free(env, decoded);
    cof_free(env, desc);
    return changed;
}

static void forge_bucket(struct cof_env *env, const struct sim_image *sound, unsigned at,
                         struct prng *prng)
{
    const struct cof_tree_pointer *pointer = &buckets[at].pointer;
    uint8_t bytes[FORGE_BLOCKS_MAX * BLOCK] = {0};
    struct cof_desc *descs[COF_BUCKET_EXTENTS];
    size_t used = COF_BUCKET_HEADER_BYTES, room = (size_t)BLOCK * pointer->blocks;
    unsigned count = 0;
    forge_read(sound, pointer->segment, pointer->block, 0, bytes, (uint32_t)room);
    assert_int_equal(cof_bucket_decode(env, bytes, room, buckets[at].key, SEGMENTS,
                                       SEGMENT_BYTES / BLOCK, descs),
                     0);
    for (unsigned i = 0; i < COF_BUCKET_EXTENTS; i++) {
        if (descs[i] == NULL) {
            continue;
        }
        for (uint64_t n = prng_next(prng) % 3; n > 0; n--) {
            descs[i] = changed_desc(env, descs[i], prng);
        }
        if (used + COF_DESC_BYTES_MAX <= room) {
            used += cof_desc_encode(descs[i], bytes + used);
            count++;
        }
        cof_free(env, descs[i]);
    }
    memset(bytes + used, 0, sizeof bytes - used);
    cof_bucket_header_encode(bytes, count, pointer->blocks, buckets[at].key);
    forge_write(h.image, pointer->segment, pointer->block, 0, bytes, (uint32_t)room);
}

static void forge_places(struct cof_env *env, const struct sim_image *sound, struct prng *prng)
{
    const struct cof_tree_pointer *table = &h.map.root.segments;
    for (unsigned b = 0; b < bucket_count; b++) {
        forge_bucket(env, sound, b, prng);
    }
    assert_int_equal(table->height, 0);
    for (uint64_t n = prng_next(prng) % 4; n > 0; n--) {
        struct cof_segment_record record = {.sequence = odd_number(prng),
                                            .live = (uint32_t)odd_number(prng),
                                            .state = (uint8_t)(odd_number(prng) % 5),
                                            .lane = (uint8_t)(prng_next(prng) % 17)};
        uint8_t bytes[16];
        cof_segment_record_encode(&record, bytes);
        forge_write(h.image, table->segment, table->block, 16u * (uint32_t)(prng_next(prng) % 12),
                    bytes, sizeof bytes);
    }
    hostile_fix(&h);
    if (prng_next(prng) % 4 == 0) {
        h.root.placement_records = odd_number(prng);
    }
}

/* Reads, writes, and the cleaner over all that was written; each may succeed or not. */
static void use_places(struct coffer_volume *volume, struct prng *prng)
{
    struct coffer_store *store = h.f.store;
    struct coffer_fault *fault = &h.f.fault;
    for (unsigned i = 0; i < 60; i++) {
        uint64_t at = prng_next(prng) % PAGES_WRITTEN;
        (void)!coffer_volume_read(volume, page, at * PAGE, PAGE, fault);
        (void)!coffer_volume_write(volume, page, at * PAGE, PAGE, 0, fault);
    }
    (void)!coffer_store_checkpoint(store, fault);
    pthread_mutex_lock(&store->lock);
    for (uint32_t i = 1; i < 12 && store->error == 0; i++) {
        (void)!cof_clean_one(store, i);
    }
    if (store->error == 0) {
        (void)!cof_cleaner_drain(&store->cleaner);
    }
    pthread_mutex_unlock(&store->lock);
    (void)!coffer_store_checkpoint(store, fault);
    for (unsigned i = 0; i < 60; i++) {
        uint64_t at = prng_next(prng) % PAGES_WRITTEN;
        (void)!coffer_volume_read(volume, page, at * PAGE, PAGE, fault);
    }
    (void)coffer_volume_close(volume);
}

/* A store with many extents, from sound ones and a few checkpoints. */
static void make_places(void)
{
    struct coffer_volume *volume;
    hostile_make(&h, SEGMENT_BYTES, HOSTILE_SNAPSHOT);
    assert_int_equal(hostile_open(&h, 0), 0);
    volume = open_volume(&h.f, "v");
    for (unsigned i = 0; i < PAGES_WRITTEN; i++) {
        write_page(volume, i, 9);
        if (i % 40 == 39) {
            assert_int_equal(coffer_store_checkpoint(h.f.store, &h.f.fault), 0);
        }
    }
    assert_int_equal(coffer_volume_close(volume), 0);
    fixture_close_store(&h.f);
    sim_image_free(h.image);
    forge_map_done(&h.map);
    hostile_take_image(&h);
    bucket_count = 0;
    forge_tree_records(h.image, &h.root.placement, note_bucket, NULL);
    assert_true(bucket_count > 0);
}

static void any_descriptors_are_survived(void **state)
{
    struct prng prng = {number_of("SEED", 1)};
    uint64_t rounds = number_of("N", 60), opened = 0;
    struct sim_image *sound;
    struct cof_env env;
    (void)state;
    cof_env_init(&env, NULL);
    make_places();
    sound = h.image;
    for (uint64_t round = 0; round < rounds; round++) {
        struct coffer_volume_open_opts opts = open_opts(&h.f, "v");
        struct coffer_volume *volume;
        h.image = sim_image_clone(sound);
        forge_places(&env, sound, &prng);
        if (hostile_open(&h, 0) == 0) {
            (void)hostile_check(&h, 0);
            if (coffer_volume_open(h.f.store, &opts, &volume, &h.f.fault) == 0) {
                opened++;
                use_places(volume, &prng);
            }
            (void)hostile_check(&h, 0);
        }
        end_round(sound);
    }
    assert_true(opened > 0 || rounds < 60); /* else nothing was tried */
    assert_int_equal(env.heap_bytes, 0);
    hostile_done(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_plain_record_is_survived),
        cmocka_unit_test(any_descriptors_are_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
