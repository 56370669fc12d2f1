/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pins: a volume that differs from what the caller knows of it is refused, member by member, and
 * nothing is handed out; what agrees opens.
 */
#include "unit/volume_fixture.h"

static struct volume_fixture f;
static struct coffer_uuid secret_uuid, plain_uuid;
static char arn[COFFER_KEY_ARN_BYTES_MAX];

static int setup(void **state)
{
    struct coffer_volume *volume;
    (void)state;
    fixture_make(&f, 1);
    make_volume(&f, "secret", 16, 0);
    make_volume(&f, "plain", 16, 1);
    volume = open_volume(&f, "secret");
    secret_uuid = volume_info(volume).uuid;
    memcpy(arn, volume_info(volume).key_arn, sizeof arn);
    assert_int_equal(coffer_volume_close(volume), 0);
    volume = open_volume(&f, "plain");
    plain_uuid = volume_info(volume).uuid;
    assert_int_equal(coffer_volume_close(volume), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fixture_done(&f);
    return 0;
}

static void expect(const char *name, const struct coffer_pin *pin, int error)
{
    struct coffer_volume_open_opts opts = open_opts(&f, name);
    struct coffer_volume *volume = NULL;
    opts.pin = *pin;
    for (unsigned round = 0; round < 2; round++) {
        assert_int_equal(coffer_volume_open(f.store, &opts, &volume, &f.fault), error);
        if (error == 0) {
            assert_int_equal(coffer_volume_close(volume), 0);
            volume = NULL;
        } else {
            assert_null(volume);
            assert_int_equal(f.fault.error, error);
            assert_string_equal(f.fault.volume, name);
        }
        opts.flags |= COFFER_VOLUME_READ_ONLY; /* whatever it is opened for */
    }
}

static void no_pin_accepts_what_is_there(void **state)
{
    struct coffer_pin pin = {0};
    (void)state;
    expect("secret", &pin, 0);
    expect("plain", &pin, 0);
}

static void the_right_pin_opens(void **state)
{
    struct coffer_pin pin = {.use_uuid = 1, .use_encrypted = 1, .encrypted = 1, .key_arn = arn};
    (void)state;
    pin.volume_uuid = secret_uuid;
    expect("secret", &pin, 0);
    pin = (struct coffer_pin){.use_uuid = 1, .use_encrypted = 1, .encrypted = 0};
    pin.volume_uuid = plain_uuid;
    expect("plain", &pin, 0);
}

static void another_volume_of_the_name_is_refused(void **state)
{
    struct coffer_pin pin = {.use_uuid = 1};
    (void)state;
    pin.volume_uuid = plain_uuid;
    expect("secret", &pin, COFFER_E_PIN);
    pin.volume_uuid = secret_uuid;
    expect("plain", &pin, COFFER_E_PIN);
    for (unsigned bit = 0; bit < 128; bit++) {
        pin.volume_uuid = secret_uuid;
        pin.volume_uuid.bytes[bit / 8u] ^= (uint8_t)(1u << (bit % 8u));
        if (bit % 16 == 0) {
            expect("secret", &pin, COFFER_E_PIN);
        }
    }
}

static void a_volume_made_anew_under_the_name_is_refused(void **state)
{
    struct coffer_volume_open_opts opts = open_opts(&f, "secret");
    struct coffer_pin pin = {.use_uuid = 1, .use_encrypted = 1, .encrypted = 1, .key_arn = arn};
    (void)state;
    pin.volume_uuid = secret_uuid;
    assert_int_equal(coffer_volume_delete(f.store, &opts, &f.fault), 0);
    make_volume(&f, "secret", 16, 0);
    expect("secret", &pin, COFFER_E_PIN);
}

static void encryption_is_pinned_both_ways(void **state)
{
    struct coffer_pin pin = {.use_encrypted = 1, .encrypted = 0};
    (void)state;
    expect("secret", &pin, COFFER_E_PIN);
    pin.encrypted = 1;
    expect("plain", &pin, COFFER_E_PIN);
}

static void another_key_is_refused(void **state)
{
    struct coffer_pin pin = {.key_arn = "arn:coffer:kms:test:000000000000:key/3"};
    (void)state;
    expect("secret", &pin, COFFER_E_PIN);
    expect("plain", &pin, COFFER_E_PIN);
    pin.key_arn = "";
    expect("secret", &pin, COFFER_E_PIN);
}

/* A pin that fails costs no key service: what it names is looked at first where it can be. */
static void a_plain_volume_in_an_encrypted_ones_place_asks_no_key(void **state)
{
    struct coffer_pin pin = {.use_encrypted = 1, .encrypted = 1};
    uint64_t calls = f.kms.calls;
    (void)state;
    expect("plain", &pin, COFFER_E_PIN);
    assert_int_equal(f.kms.calls, calls);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(no_pin_accepts_what_is_there),
        CASE(the_right_pin_opens),
        CASE(another_volume_of_the_name_is_refused),
        CASE(a_volume_made_anew_under_the_name_is_refused),
        CASE(encryption_is_pinned_both_ways),
        CASE(another_key_is_refused),
        CASE(a_plain_volume_in_an_encrypted_ones_place_asks_no_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
