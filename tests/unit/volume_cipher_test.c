/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/volume_cipher_test - the back end of AES-GCM is chosen at each open, and leaves no mark:
 * what was written with one is read, written over and recovered with the other.
 */
#include "volume_fixture.h"

#include "crypto/internal.h"

#define PAGES 1500u /* three extents */

static struct volume_fixture f;
static uint64_t versions[PAGES];

static int open_with(uint32_t backend)
{
    struct coffer_store_opts opts = {.size = sizeof opts,
                                     .device = sim_disk_open(f.disk),
                                     .env = &f.env.api,
                                     .key_arena_bytes = 1u << 16,
                                     .cipher_backend = backend};
    det_env_incarnate(&f.env, f.env_seed, ++f.incarnation);
    return coffer_store_open(&opts, &f.store, &f.fault);
}

static uint32_t backend_in_use(void)
{
    struct coffer_store_info info = {.size = sizeof info};
    assert_int_equal(coffer_store_info_get(f.store, &info), 0);
    return info.cipher_backend;
}

/* What a wish for ipsec-mb comes to here. */
static uint32_t other_backend(void)
{
    struct cof_env env;
    enum cof_ipsec_mb found = COF_IPSEC_MB_NONE;
    cof_env_init(&env, NULL);
    assert_int_equal(cof_ipsec_mb_find(&env, &found), 0);
    return found != COF_IPSEC_MB_NONE ? COFFER_CIPHER_IPSEC_MB : COFFER_CIPHER_EVP;
}

static void write_each(struct coffer_volume *volume, unsigned step, uint64_t version)
{
    uint8_t bytes[PAGE];
    for (uint64_t page = 0; page < PAGES; page += step) {
        fill_page(bytes, page, version);
        assert_int_equal(coffer_volume_write(volume, bytes, page * PAGE, PAGE, 0, &f.fault), 0);
        versions[page] = version;
    }
    assert_int_equal(coffer_volume_flush(volume, &f.fault), 0);
}

static void check_all(struct coffer_volume *volume)
{
    for (uint64_t page = 0; page < PAGES; page++) {
        check_page(volume, page, versions[page]);
    }
}

static void each_round_has_another_back_end(void **state)
{
    (void)state;
    memset(versions, 0, sizeof versions);
    fixture_make(&f, 31);
    make_volume(&f, "v", PAGES, 0);
    for (unsigned round = 0; round < 4; round++) {
        uint32_t wanted = round % 2 == 0 ? COFFER_CIPHER_IPSEC_MB : COFFER_CIPHER_EVP;
        struct coffer_volume *volume;
        fixture_close_store(&f);
        assert_int_equal(open_with(wanted), 0);
        assert_int_equal(backend_in_use(),
                         wanted == COFFER_CIPHER_EVP ? COFFER_CIPHER_EVP : other_backend());
        volume = open_volume(&f, "v");
        check_all(volume);
        write_each(volume, round + 1u, round + 1u);
        check_all(volume);
        if (round == 2) {
            fixture_crash(&f, SIM_CUT_NONE, 5);
        } else {
            assert_int_equal(coffer_volume_close(volume), 0);
        }
    }
    fixture_done(&f);
}

static void an_unknown_back_end_is_refused(void **state)
{
    (void)state;
    fixture_make(&f, 32);
    fixture_close_store(&f);
    assert_int_equal(open_with(COFFER_CIPHER_IPSEC_MB + 1u), COFFER_E_INVALID);
    assert_non_null(strstr(f.fault.detail, "ipsec-mb"));
    f.store = NULL;
    fixture_done(&f);
}

/* A budget is rounded up to whole pages, for expanded keys too. */
static void the_smallest_arena_serves(void **state)
{
    (void)state;
    struct coffer_store_opts opts = {.size = sizeof opts,
                                     .env = &f.env.api,
                                     .key_arena_bytes = 1,
                                     .cipher_backend = COFFER_CIPHER_IPSEC_MB};
    struct coffer_volume *volume;
    fixture_make(&f, 33);
    fixture_close_store(&f);
    opts.device = sim_disk_open(f.disk);
    assert_int_equal(coffer_store_open(&opts, &f.store, &f.fault), 0);
    assert_int_equal(backend_in_use(), other_backend());
    make_volume(&f, "v", 8, 0);
    volume = open_volume(&f, "v");
    write_page(volume, 3, 7);
    check_page(volume, 3, 7);
    assert_int_equal(coffer_volume_close(volume), 0);
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_round_has_another_back_end),
        cmocka_unit_test(an_unknown_back_end_is_refused),
        cmocka_unit_test(the_smallest_arena_serves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
