/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/volume_fixture.h - a store on the simulated device with a key service in memory, through the
 * public API: opened, closed, crashed and opened again. One thread.
 */
#ifndef COF_TEST_VOLUME_FIXTURE_H
#define COF_TEST_VOLUME_FIXTURE_H

#include "common/det_env.h"
#include "common/fake_kms.h"
#include "common/prng.h"
#include "common/sim_segdev.h"

#include <coffer/coffer.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEGMENT_BYTES (1u << 20)
#define SEGMENTS 64u
#define PAGE 4096u

struct volume_fixture {
    struct det_env env;
    struct fake_kms kms;
    struct sim_disk *disk;
    struct coffer_store *store;
    struct coffer_fault fault;
    uint64_t incarnation;
    uint64_t env_seed;
};

/* Of the environment's randomness, for the fixtures that are made from here on: stores that are
 * made with the same one have the same uuid, as copies of one file have. */
static uint64_t fixture_env_seed = 99;

static inline int fixture_open_store(struct volume_fixture *f, unsigned flags)
{
    struct coffer_store_opts opts = {.size = sizeof opts,
                                     .device = sim_disk_open(f->disk),
                                     .flags = flags,
                                     .env = &f->env.api,
                                     .staging_bytes = 1u << 20,
                                     .node_cache_bytes = 1u << 18,
                                     .tag_cache_bytes = 1u << 18,
                                     .placement_bytes = 1u << 18,
                                     .key_arena_bytes = 1u << 16};
    det_env_incarnate(&f->env, f->env_seed, ++f->incarnation);
    return coffer_store_open(&opts, &f->store, &f->fault);
}

static inline void fixture_make(struct volume_fixture *f, uint64_t seed)
{
    struct sim_disk_options options = {.seed = seed, .record = true};
    struct coffer_store_create_opts opts = {.size = sizeof opts, .segment_bytes = SEGMENT_BYTES};
    memset(f, 0, sizeof *f);
    f->env_seed = fixture_env_seed;
    det_env_init(&f->env, f->env_seed, 0);
    fake_kms_init(&f->kms, seed);
    f->disk = sim_disk_new(SEGMENT_BYTES, SEGMENTS, 2 * SEGMENTS, &options);
    opts.device = sim_disk_open(f->disk);
    opts.env = &f->env.api;
    assert_int_equal(coffer_store_create(&opts, &f->fault), 0);
    assert_int_equal(fixture_open_store(f, 0), 0);
}

static inline void fixture_close_store(struct volume_fixture *f)
{
    assert_int_equal(coffer_store_close(f->store), 0);
    f->store = NULL;
}

static inline void fixture_reopen(struct volume_fixture *f)
{
    fixture_close_store(f);
    assert_int_equal(fixture_open_store(f, 0), 0);
}

/* The power goes: what no sync covered may be gone (all of it, or by the seed a part of it). At an
 * event since the crash before, or since the store was made. */
static inline void fixture_crash_at(struct volume_fixture *f, uint64_t event,
                                    enum sim_variant variant, uint64_t seed)
{
    struct sim_disk_options options = {.seed = seed, .record = true};
    struct sim_image *image = sim_disk_image_at(f->disk, event, variant, seed);
    sim_disk_power_off(f->disk);
    (void)coffer_store_close(f->store);
    f->store = NULL;
    sim_disk_free(f->disk);
    f->disk = sim_disk_from_image(image, &options);
    sim_image_free(image);
    assert_int_equal(fixture_open_store(f, 0), 0);
}

static inline void fixture_crash(struct volume_fixture *f, enum sim_variant variant, uint64_t seed)
{
    fixture_crash_at(f, sim_disk_events(f->disk), variant, seed);
}

static inline void fixture_done(struct volume_fixture *f)
{
    if (f->store != NULL) {
        fixture_close_store(f);
    }
    sim_disk_free(f->disk);
    det_env_check_leaks(&f->env);
}

static inline void make_volume(struct volume_fixture *f, const char *name, uint64_t pages,
                               int plain)
{
    struct coffer_volume_create_opts opts = {.size = sizeof opts,
                                             .name = name,
                                             .size_bytes = pages * PAGE,
                                             .not_encrypted = plain,
                                             .provider = &f->kms.api};
    int err = coffer_volume_create(f->store, &opts, &f->fault);
    if (err != 0) {
        fail_msg("create: %s: %s", coffer_error_name(err), f->fault.detail);
    }
}

static inline struct coffer_volume_open_opts open_opts(struct volume_fixture *f, const char *name)
{
    struct coffer_volume_open_opts opts = {.size = sizeof opts,
                                           .name = name,
                                           .flags = COFFER_VOLUME_ALLOW_PLAIN,
                                           .provider = &f->kms.api};
    return opts;
}

static inline struct coffer_volume *open_volume(struct volume_fixture *f, const char *name)
{
    struct coffer_volume_open_opts opts = open_opts(f, name);
    struct coffer_volume *volume = NULL;
    int err = coffer_volume_open(f->store, &opts, &volume, &f->fault);
    if (err != 0) {
        fail_msg("open: %s: %s", coffer_error_name(err), f->fault.detail);
    }
    return volume;
}

static inline void fill_page(uint8_t *page, uint64_t number, uint64_t version)
{
    struct prng prng = {prng_mix(number, version)};
    for (unsigned i = 0; i < PAGE; i += 8) {
        uint64_t word = version == 0 ? 0 : prng_next(&prng);
        memcpy(page + i, &word, 8);
    }
}

static inline void write_page(struct coffer_volume *volume, uint64_t number, uint64_t version)
{
    uint8_t page[PAGE];
    struct coffer_fault fault;
    int err;
    fill_page(page, number, version);
    err = coffer_volume_write(volume, page, number * PAGE, PAGE, 0, &fault);
    if (err != 0) {
        fail_msg("write: %s: %s", coffer_error_name(err), fault.detail);
    }
}

static inline void check_page(struct coffer_volume *volume, uint64_t number, uint64_t version)
{
    uint8_t page[PAGE], expected[PAGE];
    struct coffer_fault fault;
    int err = coffer_volume_read(volume, page, number * PAGE, PAGE, &fault);
    if (err != 0) {
        fail_msg("read of page %llu: %s: %s", (unsigned long long)number, coffer_error_name(err),
                 fault.detail);
    }
    fill_page(expected, number, version);
    assert_memory_equal(page, expected, PAGE);
}

static inline struct coffer_volume_info volume_info(struct coffer_volume *volume)
{
    struct coffer_volume_info info = {.size = sizeof info};
    assert_int_equal(coffer_volume_info_get(volume, &info), 0);
    return info;
}

#endif
