/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plain volumes: whole, never taken for encrypted ones nor the reverse, opened beside a key service
 * only where that was allowed; and what is encrypted never stands on the device in the clear.
 */
#include "unit/volume_fixture.h"

static struct volume_fixture f;

static int setup(void **state)
{
    (void)state;
    fixture_make(&f, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fixture_done(&f);
    return 0;
}

static int try_open(const char *name, unsigned flags, bool provider, struct coffer_volume **ret)
{
    struct coffer_volume_open_opts opts = open_opts(&f, name);
    opts.flags = flags;
    opts.provider = provider ? &f.kms.api : NULL;
    return coffer_volume_open(f.store, &opts, ret, &f.fault);
}

static void a_plain_volume_opens_without_a_provider_or_when_allowed(void **state)
{
    struct coffer_volume *volume = NULL;
    (void)state;
    make_volume(&f, "plain", 16, 1);
    assert_int_equal(try_open("plain", 0, true, &volume), COFFER_E_PLAIN_REFUSED);
    assert_int_equal(coffer_error_class_of(COFFER_E_PLAIN_REFUSED), COFFER_CLASS_TAMPER);
    assert_null(volume);
    assert_int_equal(try_open("plain", COFFER_VOLUME_ALLOW_PLAIN, true, &volume), 0);
    assert_int_equal(volume_info(volume).encrypted, 0);
    assert_int_equal(volume_info(volume).key_arn[0], '\0');
    assert_int_equal(coffer_volume_close(volume), 0);
    assert_int_equal(try_open("plain", 0, false, &volume), 0);
    assert_int_equal(coffer_volume_close(volume), 0);
}

static void an_encrypted_volume_never_opens_without_its_key(void **state)
{
    struct coffer_volume *volume = NULL;
    (void)state;
    make_volume(&f, "secret", 16, 0);
    assert_int_equal(try_open("secret", COFFER_VOLUME_ALLOW_PLAIN, false, &volume),
                     COFFER_E_NO_PROVIDER);
    assert_null(volume);
    f.kms.keys[0].state = COFFER_KEY_IS_DISABLED;
    assert_int_equal(try_open("secret", COFFER_VOLUME_ALLOW_PLAIN, true, &volume),
                     COFFER_E_KEY_DISABLED);
    assert_null(volume);
    f.kms.keys[0].state = COFFER_KEY_ENABLED;
    assert_int_equal(try_open("secret", 0, true, &volume), 0);
    assert_int_equal(coffer_volume_close(volume), 0);
}

static void pages_come_back_after_crash_and_close(void **state)
{
    struct coffer_volume *volume;
    (void)state;
    make_volume(&f, "plain", 300, 1);
    volume = open_volume(&f, "plain");
    for (uint64_t page = 0; page < 300; page += 2) {
        write_page(volume, page, page + 1u);
    }
    assert_int_equal(coffer_volume_flush(volume, &f.fault), 0);
    fixture_crash(&f, SIM_CUT_NONE, 3);
    volume = open_volume(&f, "plain");
    for (unsigned round = 0; round < 2; round++) {
        for (uint64_t page = 0; page < 300; page++) {
            check_page(volume, page, page % 2 == 0 ? page + 1u : 0);
        }
        fixture_reopen(&f);
        volume = open_volume(&f, "plain");
    }
}

/* Count pages of the medium that hold a marker that every page written carries. */
static unsigned marked_blocks(const uint8_t marker[32])
{
    struct sim_image *image = sim_disk_image_live(f.disk);
    unsigned found = 0;
    for (uint32_t segment = 0; segment < SEGMENTS; segment++) {
        for (uint32_t block = 0; block < SEGMENT_BYTES / PAGE; block++) {
            const uint8_t *bytes = sim_image_bytes(image, segment, block);
            found += memmem(bytes, PAGE, marker, 32) != NULL ? 1u : 0u;
        }
    }
    sim_image_free(image);
    return found;
}

static void write_marked(const char *name, const uint8_t marker[32])
{
    struct coffer_volume *volume = open_volume(&f, name);
    uint8_t page[PAGE];
    memset(page, 0x11, sizeof page);
    memcpy(page + 1000, marker, 32);
    for (uint64_t at = 0; at < 16; at++) {
        assert_int_equal(coffer_volume_write(volume, page, at * PAGE, PAGE, 0, &f.fault), 0);
    }
    assert_int_equal(coffer_volume_flush(volume, &f.fault), 0);
    assert_int_equal(coffer_volume_close(volume), 0);
}

static void only_what_is_plain_stands_in_the_clear(void **state)
{
    static const uint8_t open_marker[32] = "marker of the plain volume -----";
    static const uint8_t secret_marker[32] = "marker of the encrypted volume -";
    (void)state;
    make_volume(&f, "plain", 16, 1);
    make_volume(&f, "secret", 16, 0);
    write_marked("plain", open_marker);
    write_marked("secret", secret_marker);
    assert_int_equal(marked_blocks(open_marker), 16);
    assert_int_equal(marked_blocks(secret_marker), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_plain_volume_opens_without_a_provider_or_when_allowed),
        CASE(an_encrypted_volume_never_opens_without_its_key),
        CASE(pages_come_back_after_crash_and_close),
        CASE(only_what_is_plain_stands_in_the_clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
