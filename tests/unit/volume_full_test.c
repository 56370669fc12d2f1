/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store that is full, or nearly: writes are refused with NO_SPACE and change nothing, the store
 * never fails for it, closes, opens again for writing, gives space back when snapshots and pages
 * go, and is found clean.
 */
#include "volume_fixture.h"

#define VOLUMES 3u
#define PAGES 4096u
#define SNAPSHOTS 8u
#define ROUNDS 150u
#define STORIES 12u

struct story {
    struct volume_fixture f;
    struct prng prng;
    struct coffer_volume *volumes[VOLUMES];
    uint64_t versions[VOLUMES][PAGES];
    uint64_t next_version, refused, segments;
    bool taken[SNAPSHOTS];
    uint64_t seed;
};

/* 0, or NO_SPACE; anything else ends the test. */
static bool allowed(struct story *story, const char *what, int err)
{
    if (err != 0 && err != COFFER_E_NO_SPACE) {
        fail_msg("seed %llu: %s: %s: %s", (unsigned long long)story->seed, what,
                 coffer_error_name(err), story->f.fault.detail);
    }
    story->refused += err != 0 ? 1u : 0u;
    return err == 0;
}

/* What always helps. */
static void grow(struct story *story)
{
    int err;
    story->segments += 4;
    err = coffer_store_resize(story->f.store, story->segments * SEGMENT_BYTES, &story->f.fault);
    if (err != 0) {
        fail_msg("seed %llu: a full store does not grow: %s: %s", (unsigned long long)story->seed,
                 coffer_error_name(err), story->f.fault.detail);
    }
}

static void open_all(struct story *story)
{
    for (unsigned i = 0; i < VOLUMES; i++) {
        char name[8];
        struct coffer_volume_open_opts opts;
        snprintf(name, sizeof name, "v%u", i);
        opts = open_opts(&story->f, name);
        while (!allowed(
            story, "open",
            coffer_volume_open(story->f.store, &opts, &story->volumes[i], &story->f.fault))) {
            grow(story);
        }
    }
}

static void close_all(struct story *story)
{
    for (unsigned i = 0; i < VOLUMES; i++) {
        while (!allowed(story, "close", coffer_volume_close(story->volumes[i]))) {
            grow(story);
        }
        story->volumes[i] = NULL;
    }
}

static void write_some(struct story *story, unsigned count)
{
    unsigned at = (unsigned)prng_below(&story->prng, VOLUMES);
    uint64_t first = prng_below(&story->prng, PAGES);
    bool run = prng_below(&story->prng, 2) == 0;
    for (unsigned i = 0; i < count; i++) {
        uint8_t page[PAGE];
        uint64_t number = run ? (first + i) % PAGES : prng_below(&story->prng, PAGES);
        uint64_t version = ++story->next_version;
        fill_page(page, number, version);
        if (!allowed(story, "write",
                     coffer_volume_write(story->volumes[at], page, number * PAGE, PAGE, 0,
                                         &story->f.fault))) {
            return;
        }
        story->versions[at][number] = version;
    }
}

static void discard_some(struct story *story)
{
    unsigned at = (unsigned)prng_below(&story->prng, VOLUMES);
    uint64_t first = prng_below(&story->prng, PAGES);
    uint64_t count = 1u + prng_below(&story->prng, PAGES - (uint32_t)first);
    if (allowed(story, "discard",
                coffer_volume_discard(story->volumes[at], first * PAGE, count * PAGE,
                                      &story->f.fault))) {
        memset(&story->versions[at][first], 0, count * sizeof story->versions[at][first]);
    }
}

static void toggle_snapshot(struct story *story, unsigned at)
{
    char name[8];
    struct coffer_snapshot_opts opts = {
        .size = sizeof opts, .volume = "v0", .name = name, .provider = &story->f.kms.api};
    snprintf(name, sizeof name, "s%u", at);
    if (story->taken[at]) {
        if (allowed(story, "delete",
                    coffer_snapshot_delete(story->f.store, &opts, &story->f.fault))) {
            story->taken[at] = false;
        }
    } else if (allowed(story, "snapshot",
                       coffer_snapshot_create(story->volumes[0], &opts, NULL, &story->f.fault))) {
        story->taken[at] = true;
    }
}

/* What an administrator does; none of it may begin without room for its root. */
static void administer(struct story *story)
{
    char text[2048], name[16];
    struct coffer_tag tag = {"k", text};
    struct coffer_tags_opts tags = {
        .size = sizeof tags, .name = "v1", .provider = &story->f.kms.api};
    struct coffer_volume_create_opts create = {
        .size = sizeof create, .name = name, .size_bytes = PAGE, .provider = &story->f.kms.api};
    struct coffer_snapshot_restore_opts restore = {
        .size = sizeof restore,
        .snapshot = {.volume = "v0", .name = "s0", .provider = &story->f.kms.api},
        .new_name = name};
    snprintf(text, sizeof text, "%llu", (unsigned long long)story->next_version++);
    snprintf(name, sizeof name, "n%llu", (unsigned long long)story->next_version);
    for (unsigned i = 0; i < 40; i++) {
        (void)allowed(story, "tag",
                      coffer_tags_set(story->f.store, &tags, &tag, 1, &story->f.fault));
        tag.value = i % 2 == 0 ? "other" : text;
    }
    (void)allowed(story, "create", coffer_volume_create(story->f.store, &create, &story->f.fault));
    snprintf(name, sizeof name, "c%llu", (unsigned long long)story->next_version);
    if (story->taken[0]) {
        (void)allowed(story, "restore",
                      coffer_snapshot_restore(story->f.store, &restore, &story->f.fault));
    }
}

static void one_round(struct story *story)
{
    switch (prng_below(&story->prng, 10)) {
    case 0:
        discard_some(story);
        break;
    case 1:
    case 2:
        toggle_snapshot(story, prng_below(&story->prng, SNAPSHOTS));
        break;
    case 3:
        (void)allowed(story, "checkpoint",
                      coffer_store_checkpoint(story->f.store, &story->f.fault));
        break;
    case 4: /* volumes are closed by the store's close */
        fixture_reopen(&story->f);
        open_all(story);
        break;
    case 5:
        (void)allowed(story, "resize",
                      coffer_volume_resize(story->volumes[2],
                                           (PAGES + prng_below(&story->prng, 2) * PAGES) * PAGE,
                                           &story->f.fault));
        break;
    case 6:
        assert_int_equal(coffer_volume_flush(story->volumes[1], &story->f.fault), 0);
        fixture_crash(&story->f, SIM_CUT_NONE, prng_next(&story->prng));
        open_all(story);
        break;
    case 7:
        administer(story);
        break;
    default:
        write_some(story, 1u + (unsigned)prng_below(&story->prng, 6000));
        break;
    }
}

static void look(struct story *story)
{
    struct coffer_check_opts check = {.size = sizeof check, .provider = &story->f.kms.api};
    struct coffer_check_summary summary;
    for (unsigned at = 0; at < VOLUMES; at++) {
        for (uint64_t number = 0; number < PAGES; number += 1 + prng_below(&story->prng, 16)) {
            check_page(story->volumes[at], number, story->versions[at][number]);
        }
    }
    close_all(story);
    assert_int_equal(coffer_store_check(story->f.store, &check, &summary, &story->f.fault), 0);
    assert_int_equal(summary.findings, 0);
    open_all(story);
}

/* Larger, and without snapshots and data, there is room again. */
static void empty_and_fill(struct story *story)
{
    for (unsigned at = 0; at < SNAPSHOTS; at++) {
        while (story->taken[at]) {
            toggle_snapshot(story, at);
            if (story->taken[at]) {
                grow(story);
            }
        }
    }
    for (unsigned at = 0; at < VOLUMES; at++) {
        while (
            !allowed(story, "discard",
                     coffer_volume_discard(story->volumes[at], 0, PAGES * PAGE, &story->f.fault))) {
            grow(story);
        }
        memset(story->versions[at], 0, sizeof story->versions[at]);
    }
    assert_int_equal(coffer_store_checkpoint(story->f.store, &story->f.fault), 0);
    for (uint64_t number = 0; number < 1000; number++) {
        uint8_t page[PAGE];
        fill_page(page, number, story->next_version + 1u);
        while (!allowed(story, "write", /* clones may hold what is left */
                        coffer_volume_write(story->volumes[1], page, number * PAGE, PAGE, 0,
                                            &story->f.fault))) {
            grow(story);
        }
        story->versions[1][number] = ++story->next_version;
    }
    look(story);
}

static void one_story(uint64_t seed, uint64_t *refused)
{
    struct story *story = calloc(1, sizeof *story);
    assert_non_null(story);
    story->seed = seed;
    story->segments = SEGMENTS;
    story->prng.state = prng_mix(seed, 0x66756c6c);
    fixture_make(&story->f, seed);
    for (unsigned i = 0; i < VOLUMES; i++) {
        char name[8];
        snprintf(name, sizeof name, "v%u", i);
        make_volume(&story->f, name, i == 2 ? PAGES * 2 : PAGES, i == 1);
    }
    open_all(story);
    for (unsigned round = 0; round < ROUNDS; round++) {
        one_round(story);
    }
    look(story);
    empty_and_fill(story);
    close_all(story);
    fixture_done(&story->f);
    *refused += story->refused;
    free(story);
}

static void a_full_store_refuses_and_lives(void **state)
{
    const char *seed = getenv("COFFER_TEST_SEED"), *stories = getenv("COFFER_TEST_STORIES");
    uint64_t first = seed != NULL ? strtoull(seed, NULL, 0) : 1;
    uint64_t count = stories != NULL ? strtoull(stories, NULL, 0) : STORIES;
    uint64_t refused = 0;
    (void)state;
    for (uint64_t i = 0; i < count; i++) {
        one_story(first + i, &refused);
    }
    assert_true(refused > 0); /* they do get full */
}

/* ---- written over, at 99 % ---- */

#define MIB (1u << 20)
#define IN_FLIGHT 4u

/* Of the first `count` MiB; what the requests came to. */
static int write_mib(struct volume_fixture *f, struct coffer_volume *volume, unsigned count)
{
    struct coffer_queue_opts opts = {.size = sizeof opts, .depth = IN_FLIGHT};
    static uint8_t bytes[MIB];
    struct iovec iov = {bytes, sizeof bytes};
    struct coffer_queue *queue;
    unsigned begun = 0, done = 0;
    int err = 0;
    assert_int_equal(coffer_queue_create(f->store, &opts, &queue), 0);
    while (done < count) {
        struct coffer_cqe cqe;
        struct coffer_io io = {.op = COFFER_IO_WRITE,
                               .volume = volume,
                               .offset_bytes = (uint64_t)begun * MIB,
                               .length_bytes = MIB,
                               .iov = &iov,
                               .iov_count = 1};
        if (begun < count && begun - done < IN_FLIGHT) {
            assert_int_equal(coffer_submit(queue, &io, 1), 1);
            begun++;
            continue;
        }
        assert_int_equal(coffer_reap(queue, &cqe, 1, 1), 1);
        err = err != 0 ? err : cqe.result;
        done++;
    }
    coffer_queue_destroy(queue);
    return err;
}

/* Each of an administrator's calls opens the store anew, as the tools do. */
static int import(struct volume_fixture *f, const char *name, unsigned mib)
{
    struct coffer_volume *volume = open_volume(f, name);
    int err = write_mib(f, volume, mib);
    assert_int_equal(coffer_volume_close(volume), 0);
    fixture_reopen(f);
    return err;
}

/* Pages that take the place of a volume's own find room in a full store, in any order of what the
 * cleaner and checkpoints do. */
static void what_is_written_over_finds_room_in_a_full_store(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct volume_fixture f;
        fixture_make(&f, seed);
        make_volume(&f, "plain", 60u * 256u, 1);
        make_volume(&f, "v", 80u * 256u, 0);
        assert_int_equal(import(&f, "v", 34), 0);
        assert_int_equal(import(&f, "plain", 5), 0);
        assert_int_equal(import(&f, "plain", 20), COFFER_E_NO_SPACE);
        for (unsigned i = 0; i < 3; i++) {
            int err = import(&f, "v", 34);
            if (err != 0) {
                fail_msg("seed %llu: %s", (unsigned long long)seed, coffer_error_name(err));
            }
        }
        fixture_done(&f);
    }
}

/* ---- opened after one crash and the next ---- */

#define CRASHES 600u
#define OPENED 12u

/* A crash costs a store the rest of the segments that its lanes were in, and openings, which write
 * roots, are all that it does; half of them are cut short. It opens each time, those of its volumes
 * do that are wanted, and it takes what is written over. */
static void openings_after_crashes_do_not_fill_a_store(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct prng prng = {prng_mix(seed, 0x6f70656e)};
        struct volume_fixture f;
        char name[8];
        fixture_make(&f, seed);
        make_volume(&f, "v", 80u * 256u, 0);
        for (unsigned i = 0; i < OPENED; i++) {
            snprintf(name, sizeof name, "n%u", i);
            make_volume(&f, name, 2u * 256u, i % 2u);
        }
        assert_int_equal(import(&f, "v", 34), 0);
        for (unsigned i = 0; i < OPENED; i++) {
            snprintf(name, sizeof name, "n%u", i);
            (void)import(&f, name, 2);
        }
        assert_int_equal(import(&f, "v", 34), 0);
        fixture_crash(&f, SIM_CUT_NONE, seed); /* from here on only openings are cut short */
        for (unsigned i = 0; i < CRASHES; i++) {
            uint64_t events = sim_disk_events(f.disk);
            uint64_t event = i % 2 == 0 ? events : prng_below(&prng, (uint32_t)events + 1u);
            fixture_crash_at(&f, event, (enum sim_variant)prng_below(&prng, SIM_VARIANTS),
                             prng_next(&prng));
            for (unsigned k = (unsigned)prng_below(&prng, 3); k > 0; k--) {
                snprintf(name, sizeof name, "n%u", (i * 5u + k) % OPENED);
                (void)open_volume(&f, name);
            }
        }
        fixture_crash(&f, SIM_CUT_NONE, seed);
        assert_int_equal(import(&f, "v", 34), 0);
        fixture_done(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_store_refuses_and_lives),
        cmocka_unit_test(what_is_written_over_finds_room_in_a_full_store),
        cmocka_unit_test(openings_after_crashes_do_not_fill_a_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
