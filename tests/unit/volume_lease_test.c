/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key of an open volume is lent: it is asked for again, a silent key service is borne until the
 * lease ends, a refusal stops the volume at once, with all that was acknowledged on the device and
 * no key in memory; and what follows, for seven days and beyond.
 */
#include "unit/lease_fixture.h"

static struct lease_fixture l;

static int setup(void **state)
{
    (void)state;
    lease_make(&l, 7);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    lease_done(&l);
    return 0;
}

/* ---- the lease ---- */

static void it_is_asked_for_again_after_half_and_no_earlier(void **state)
{
    struct coffer_volume *volume = lease_open(&l, "v");
    unsigned before = l.asked;
    (void)state;
    lease_pass(&l, LEASE_NS / 2u - SECOND_NS);
    assert_int_equal(l.asked, before);
    lease_pass(&l, 2u * SECOND_NS);
    assert_int_equal(l.asked, before + 2u); /* describe, decrypt */
    lease_pass(&l, LEASE_NS / 4u);
    assert_int_equal(l.asked, before + 2u);
    for (unsigned i = 0; i < 20; i++) {
        lease_pass(&l, LEASE_NS / 2u + SECOND_NS);
        write_page(volume, i, 1);
    }
    assert_int_equal(l.asked, before + 42u);
    assert_true(volume_info(volume).lease_left_ns > LEASE_NS * 9u / 10u);
}

static void requests_ask_where_nobody_else_does(void **state)
{
    struct coffer_volume *volume = lease_open(&l, "v");
    unsigned before = l.asked;
    (void)state;
    det_env_advance(&l.f.env, LEASE_NS / 2u + SECOND_NS);
    write_page(volume, 1, 1);
    assert_int_equal(l.asked, before);
    det_env_advance(&l.f.env, LEASE_NS / 4u);
    write_page(volume, 2, 1);
    assert_int_equal(l.asked, before + 2u);
    det_env_advance(&l.f.env, LEASE_NS - SECOND_NS);
    write_page(volume, 3, 1);
    check_page(volume, 1, 1);
}

static void a_silent_service_is_borne_until_the_end(void **state)
{
    static const enum mood silent[] = {MOOD_HANG, MOOD_THROTTLE, MOOD_ERR, MOOD_CUT, MOOD_LIE};
    (void)state;
    for (unsigned i = 0; i < sizeof silent / sizeof silent[0]; i++) {
        struct coffer_volume *volume = lease_open(&l, "v");
        uint64_t left, borne = 0;
        unsigned before;
        l.mood = silent[i];
        lease_pass(&l, LEASE_NS / 2u + SECOND_NS);
        before = l.asked;
        while ((left = volume_info(volume).lease_left_ns) > 30u * SECOND_NS) {
            write_page(volume, i, ++borne);
            check_page(volume, i, borne);
            lease_pass(&l, 5u * SECOND_NS);
        }
        assert_true(borne > 3); /* 150 seconds; a call that hangs takes 20 */
        assert_in_range(l.asked - before, 1, 2u * borne); /* with back-off */
        lease_pass(&l, 40u * SECOND_NS);
        lease_is_stopped(&l, volume, COFFER_E_KEY_UNREACHABLE);
        l.mood = MOOD_WELL;
        lease_start(&l, 0);
        volume = lease_open(&l, "v");
        check_page(volume, i, borne);
        assert_int_equal(coffer_volume_close(volume), 0);
    }
}

static void a_short_outage_is_not_noticed(void **state)
{
    struct coffer_volume *volume = lease_open(&l, "v");
    (void)state;
    l.mood = MOOD_HANG;
    lease_pass(&l, LEASE_NS / 2u + SECOND_NS);
    lease_pass(&l, 20u * SECOND_NS);
    l.mood = MOOD_WELL;
    lease_pass(&l, 40u * SECOND_NS);
    assert_true(volume_info(volume).lease_left_ns > LEASE_NS * 9u / 10u);
    write_page(volume, 0, 9);
}

static void the_end_holds_without_anybody_to_help(void **state)
{
    struct coffer_volume *volume = lease_open(&l, "v");
    uint8_t page[PAGE];
    (void)state;
    memset(page, 0xee, sizeof page);
    l.mood = MOOD_ERR;
    det_env_advance(&l.f.env, LEASE_NS + SECOND_NS);
    assert_int_equal(coffer_volume_read(volume, page, 0, PAGE, &l.f.fault),
                     COFFER_E_INACCESSIBLE_CREDENTIALS);
    assert_string_equal(coffer_error_name(l.f.fault.error), "INACCESSIBLE_CREDENTIALS");
    assert_non_null(
        strstr(coffer_error_sentence(l.f.fault.error), "inaccessible-encryption-credentials"));
    assert_non_null(strstr(l.f.fault.detail, "inaccessible-encryption-credentials"));
    assert_int_equal(page[0], 0xee);
    lease_is_stopped(&l, volume, COFFER_E_KEY_UNREACHABLE); /* the read did that, too */
}

static void a_refusal_stops_at_the_next_check(void **state)
{
    static const int refusals[] = {COFFER_E_KEY_ACCESS, COFFER_E_KEY_DISABLED,
                                   COFFER_E_KEY_NOT_FOUND, COFFER_E_KEY_STATE};
    (void)state;
    for (unsigned i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        struct coffer_volume *volume = lease_open(&l, "v");
        for (uint64_t page = 0; page < 40; page++) { /* acknowledged, and nothing flushed */
            write_page(volume, page, 100u + i);
        }
        l.mood = MOOD_REFUSE;
        l.refusal = refusals[i];
        lease_pass(&l, LEASE_NS / 2u + SECOND_NS);
        lease_is_stopped(&l, volume, refusals[i]);
        l.mood = MOOD_WELL;
        fixture_crash(&l.f, SIM_CUT_NONE, i);
        lease_start(&l, 0);
        volume = lease_open(&l, "v");
        for (uint64_t page = 0; page < 40; page++) {
            check_page(volume, page, 100u + i);
        }
        assert_int_equal(coffer_volume_close(volume), 0);
    }
}

/* What the key's state says, by describe and decrypt of the service itself. */
static void each_state_of_the_key_that_refuses_stops_it(void **state)
{
    static const enum coffer_key_state states[] = {
        COFFER_KEY_IS_DISABLED, COFFER_KEY_PENDING_DELETION, COFFER_KEY_PENDING_IMPORT};
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct coffer_volume *volume = lease_open(&l, "v");
        l.f.kms.keys[0].gone = i == 3;
        l.f.kms.keys[0].state = i < 3 ? states[i] : COFFER_KEY_ENABLED;
        lease_pass(&l, LEASE_NS / 2u + SECOND_NS);
        lease_is_stopped(&l, volume,
                         i == 0   ? COFFER_E_KEY_DISABLED
                         : i == 3 ? COFFER_E_KEY_NOT_FOUND
                                  : COFFER_E_KEY_STATE);
        l.f.kms.keys[0].state = COFFER_KEY_ENABLED;
        l.f.kms.keys[0].gone = false;
        lease_start(&l, 0);
    }
}

static void a_reader_and_a_snapshot_stop_too(void **state)
{
    struct coffer_volume_open_opts opts = open_opts(&l.f, "v@s");
    struct coffer_volume *volume = lease_open(&l, "v"), *snapshot;
    struct coffer_snapshot_opts take = {
        .size = sizeof take, .volume = "v", .name = "s", .provider = &l.api};
    uint8_t page[PAGE];
    (void)state;
    assert_int_equal(coffer_snapshot_create(volume, &take, NULL, &l.f.fault), 0);
    assert_int_equal(coffer_volume_close(volume), 0);
    opts.flags |= COFFER_VOLUME_READ_ONLY;
    opts.provider = &l.api;
    assert_int_equal(coffer_volume_open(l.f.store, &opts, &snapshot, &l.f.fault), 0);
    opts.name = "v";
    assert_int_equal(coffer_volume_open(l.f.store, &opts, &volume, &l.f.fault), 0);
    l.f.kms.keys[0].state = COFFER_KEY_IS_DISABLED;
    lease_pass(&l, LEASE_NS / 2u + SECOND_NS);
    assert_true(snapshot->stopped && snapshot->vk == NULL);
    assert_int_equal(coffer_volume_read(snapshot, page, 0, PAGE, NULL),
                     COFFER_E_INACCESSIBLE_CREDENTIALS);
    assert_int_equal(coffer_volume_close(snapshot), 0);
    lease_is_stopped(&l, volume, COFFER_E_KEY_DISABLED);
}

static void every_call_of_a_stopped_handle_says_so(void **state)
{
    struct coffer_volume *volume = lease_open(&l, "v");
    struct coffer_snapshot_opts take = {
        .size = sizeof take, .volume = "v", .name = "s", .provider = &l.f.kms.api};
    uint64_t offset = 0, length = 0;
    uint8_t page[PAGE] = {0};
    (void)state;
    l.f.kms.keys[0].state = COFFER_KEY_IS_DISABLED;
    lease_pass(&l, LEASE_NS / 2u + SECOND_NS);
#define SAYS_SO(call) assert_int_equal(call, COFFER_E_INACCESSIBLE_CREDENTIALS)
    SAYS_SO(coffer_volume_read(volume, page, 0, PAGE, NULL));
    SAYS_SO(coffer_volume_read(volume, page, 512, 512, NULL));
    SAYS_SO(coffer_volume_write(volume, page, 0, PAGE, 0, NULL));
    SAYS_SO(coffer_volume_write(volume, page, 512, 512, COFFER_IO_FUA, NULL));
    SAYS_SO(coffer_volume_flush(volume, NULL));
    SAYS_SO(coffer_volume_discard(volume, 0, PAGE, NULL));
    SAYS_SO(coffer_volume_write_zeroes(volume, 100 * 512, 512, 0, NULL));
    SAYS_SO(coffer_volume_next_data(volume, &offset, &length, NULL));
    SAYS_SO(coffer_volume_resize(volume, 8 * PAGE, NULL));
    SAYS_SO(coffer_snapshot_create(volume, &take, NULL, NULL));
    assert_int_equal(volume_info(volume).access, COFFER_VOLUME_RECOVERABLE);
    assert_int_equal(coffer_volume_close(volume), 0);
    SAYS_SO(lease_try_open(&l, "v", &volume));
}

static void other_volumes_of_the_store_go_on(void **state)
{
    struct coffer_volume *volume = lease_open(&l, "v"), *other, *plain;
    (void)state;
    lease_make_volume(&l, "w", "alias/k1", 0);
    make_volume(&l.f, "p", 64, 1);
    other = lease_open(&l, "w");
    plain = open_volume(&l.f, "p");
    l.f.kms.keys[0].state = COFFER_KEY_IS_DISABLED;
    lease_pass(&l, LEASE_NS / 2u + SECOND_NS);
    lease_is_stopped(&l, volume, COFFER_E_KEY_DISABLED);
    lease_pass(&l, LEASE_NS / 2u);
    lease_pass(&l, LEASE_NS / 2u);
    write_page(other, 3, 3);
    write_page(plain, 4, 4);
    assert_int_equal(coffer_store_checkpoint(l.f.store, &l.f.fault), 0);
    assert_int_equal(coffer_volume_close(other), 0);
    assert_int_equal(coffer_volume_close(plain), 0);
}

/* What is kept for checkpoints is there for the last one of a volume, too. */
static void a_full_store_does_not_keep_it(void **state)
{
    struct coffer_volume *volume, *filler;
    struct coffer_volume_create_opts big = {.size = sizeof big,
                                            .name = "big",
                                            .size_bytes = 32768u * PAGE,
                                            .not_encrypted = 1,
                                            .provider = &l.f.kms.api};
    uint64_t pages = 0;
    uint8_t page[PAGE];
    (void)state;
    assert_int_equal(coffer_volume_create(l.f.store, &big, &l.f.fault), 0);
    filler = open_volume(&l.f, "big");
    volume = lease_open(&l, "v");
    write_page(volume, 5, 5);
    memset(page, 7, sizeof page);
    while (coffer_volume_write(filler, page, pages * PAGE, PAGE, 0, NULL) == 0) {
        pages++;
    }
    l.f.kms.keys[0].state = COFFER_KEY_IS_DISABLED;
    lease_pass(&l, LEASE_NS / 2u + SECOND_NS);
    assert_true(pages > 8192);
    lease_is_stopped(&l, volume, COFFER_E_KEY_DISABLED);
    l.f.kms.keys[0].state = COFFER_KEY_ENABLED;
    lease_start(&l, 0);
    volume = lease_open(&l, "v");
    check_page(volume, 5, 5);
    assert_int_equal(coffer_volume_close(volume), 0);
}

static void leases_are_a_second_to_a_day(void **state)
{
    struct coffer_volume_open_opts opts = open_opts(&l.f, "v");
    struct coffer_volume *volume;
    (void)state;
    opts.lease_ns = COFFER_LEASE_NS_MIN - 1u;
    assert_int_equal(coffer_volume_open(l.f.store, &opts, &volume, &l.f.fault), COFFER_E_INVALID);
    opts.lease_ns = COFFER_LEASE_NS_MAX + 1u;
    assert_int_equal(coffer_volume_open(l.f.store, &opts, &volume, &l.f.fault), COFFER_E_INVALID);
    opts.lease_ns = COFFER_LEASE_NS_MAX;
    assert_int_equal(coffer_volume_open(l.f.store, &opts, &volume, &l.f.fault), 0);
    assert_int_equal(volume_info(volume).lease_ns, COFFER_LEASE_NS_MAX);
    assert_int_equal(coffer_volume_close(volume), 0);
    opts.size = offsetof(struct coffer_volume_open_opts, lease_ns); /* a caller of before */
    assert_int_equal(coffer_volume_open(l.f.store, &opts, &volume, &l.f.fault), 0);
    assert_int_equal(volume_info(volume).lease_ns, COFFER_LEASE_NS_DEFAULT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_is_asked_for_again_after_half_and_no_earlier, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(requests_ask_where_nobody_else_does, setup, teardown),
        cmocka_unit_test_setup_teardown(a_silent_service_is_borne_until_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(a_short_outage_is_not_noticed, setup, teardown),
        cmocka_unit_test_setup_teardown(the_end_holds_without_anybody_to_help, setup, teardown),
        cmocka_unit_test_setup_teardown(a_refusal_stops_at_the_next_check, setup, teardown),
        cmocka_unit_test_setup_teardown(each_state_of_the_key_that_refuses_stops_it, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_reader_and_a_snapshot_stop_too, setup, teardown),
        cmocka_unit_test_setup_teardown(every_call_of_a_stopped_handle_says_so, setup, teardown),
        cmocka_unit_test_setup_teardown(other_volumes_of_the_store_go_on, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_store_does_not_keep_it, setup, teardown),
        cmocka_unit_test_setup_teardown(leases_are_a_second_to_a_day, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
