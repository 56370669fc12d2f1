/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The states of a volume whose key was lost: recoverable for seven days of a clock that can't be
 * put back, then gone for good, over restarts; what stands in clear only ever makes it stricter;
 * and what still works: describing, restoring a snapshot, deleting, without a key where need be.
 */
#include "unit/lease_fixture.h"

static struct lease_fixture l;

static int setup(void **state)
{
    (void)state;
    lease_make(&l, 11);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    lease_done(&l);
    return 0;
}

static void set_key(enum coffer_key_state state)
{
    l.f.kms.keys[0].state = state;
}

static int stop(const char *name, unsigned flags)
{
    struct coffer_volume_open_opts opts = open_opts(&l.f, name);
    opts.provider = &l.api;
    opts.flags |= flags;
    return coffer_volume_stop(l.f.store, &opts, &l.f.fault);
}

/* Written to, with a snapshot; then its key is disabled while it is open. */
static void lose(void)
{
    struct coffer_snapshot_opts take = {
        .size = sizeof take, .volume = "v", .name = "s", .provider = &l.api};
    struct coffer_volume *volume = lease_open(&l, "v");
    write_page(volume, 1, 1);
    assert_int_equal(coffer_snapshot_create(volume, &take, NULL, &l.f.fault), 0);
    write_page(volume, 1, 2);
    set_key(COFFER_KEY_IS_DISABLED);
    lease_pass(&l, LEASE_NS / 2u + SECOND_NS);
    lease_is_stopped(&l, volume, COFFER_E_KEY_DISABLED);
}

static void check_after_start(void)
{
    struct coffer_volume *volume = lease_open(&l, "v");
    check_page(volume, 1, 2);
    write_page(volume, 2, 2);
    assert_int_equal(coffer_volume_close(volume), 0);
}

static void enabling_the_key_alone_does_not_resume(void **state)
{
    struct coffer_volume *volume;
    (void)state;
    lose();
    lease_start(&l, COFFER_E_KEY_DISABLED);
    set_key(COFFER_KEY_ENABLED);
    assert_int_equal(lease_try_open(&l, "v", &volume), COFFER_E_INACCESSIBLE_CREDENTIALS);
    fixture_reopen(&l.f);
    assert_int_equal(lease_try_open(&l, "v", &volume), COFFER_E_INACCESSIBLE_CREDENTIALS);
    fixture_crash(&l.f, SIM_CUT_NONE, 3);
    assert_int_equal(lease_try_open(&l, "v", &volume), COFFER_E_INACCESSIBLE_CREDENTIALS);
    lease_start(&l, 0);
    lease_start(&l, 0);
    check_after_start();
    assert_int_equal(lease_listed(&l).access, COFFER_VOLUME_AVAILABLE);
    assert_true(lease_listed(&l).access_since_ns == 0);
}

static void it_can_be_started_until_the_seventh_day_ends(void **state)
{
    (void)state;
    lose();
    fixture_close_store(&l.f);
    det_env_advance(&l.f.env, 7u * DAY_NS - 60u * SECOND_NS);
    assert_int_equal(fixture_open_store(&l.f, 0), 0);
    assert_int_equal(lease_listed(&l).access, COFFER_VOLUME_RECOVERABLE);
    set_key(COFFER_KEY_ENABLED);
    lease_start(&l, 0);
    check_after_start();
}

static void then_it_is_gone_for_good_whatever_the_clock_says(void **state)
{
    struct coffer_volume *volume;
    uint64_t then;
    (void)state;
    lose();
    then = l.f.env.now_ns;
    fixture_close_store(&l.f);
    det_env_advance(&l.f.env, 7u * DAY_NS + 60u * SECOND_NS);
    assert_int_equal(fixture_open_store(&l.f, 0), 0); /* nobody has to ask */
    set_key(COFFER_KEY_ENABLED);
    for (unsigned round = 0; round < 3; round++) {
        lease_start(&l, COFFER_E_INACCESSIBLE_CREDENTIALS);
        assert_int_equal(lease_listed(&l).access, COFFER_VOLUME_INACCESSIBLE);
        assert_string_equal(coffer_volume_access_name(lease_listed(&l).access),
                            "inaccessible-encryption-credentials");
        assert_int_equal(lease_try_open(&l, "v", &volume), COFFER_E_INACCESSIBLE_CREDENTIALS);
        fixture_close_store(&l.f);
        l.f.env.now_ns = then; /* put back */
        assert_int_equal(fixture_open_store(&l.f, 0), 0);
    }
}

static void time_that_was_seen_is_not_given_back(void **state)
{
    (void)state;
    lose();
    for (unsigned day = 0; day < 8; day++) { /* each day it is opened, and the clock put back */
        uint64_t then = l.f.env.now_ns;
        fixture_close_store(&l.f);
        det_env_advance(&l.f.env, (day + 1u) * DAY_NS);
        assert_int_equal(fixture_open_store(&l.f, 0), 0);
        fixture_close_store(&l.f);
        l.f.env.now_ns = then;
        assert_int_equal(fixture_open_store(&l.f, 0), 0);
    }
    set_key(COFFER_KEY_ENABLED);
    lease_start(&l, COFFER_E_INACCESSIBLE_CREDENTIALS);
}

static void time_is_up_while_the_store_is_open_too(void **state)
{
    uint64_t then;
    (void)state;
    lose();
    then = l.f.env.now_ns;
    det_env_advance(&l.f.env, 7u * DAY_NS);
    set_key(COFFER_KEY_ENABLED);
    lease_start(&l, COFFER_E_INACCESSIBLE_CREDENTIALS);
    l.f.env.now_ns = then;
    lease_start(&l, COFFER_E_INACCESSIBLE_CREDENTIALS);
    fixture_crash(&l.f, SIM_CUT_NONE, 1);
    lease_start(&l, COFFER_E_INACCESSIBLE_CREDENTIALS);
}

/* What is written in clear is the attacker's to change. */
static void forge(unsigned access, uint64_t since_ns)
{
    struct cof_volume_entry *entry = &l.f.store->items->entry;
    assert_int_equal(entry->kind, COF_KIND_VOLUME);
    entry->access = (enum cof_access)access;
    entry->access_cause = 0;
    entry->access_since_ns = since_ns;
    entry->access_seen_ns = since_ns;
}

static void what_is_sealed_is_not_taken_back_in_clear(void **state)
{
    struct coffer_volume *volume;
    uint64_t since;
    (void)state;
    lose();
    set_key(COFFER_KEY_ENABLED);
    since = lease_listed(&l).access_since_ns;
    forge(COF_ACCESS_AVAILABLE, 0);
    assert_int_equal(lease_try_open(&l, "v", &volume), COFFER_E_INACCESSIBLE_CREDENTIALS);
    assert_int_equal(lease_listed(&l).access, COFFER_VOLUME_RECOVERABLE);
    assert_true(lease_listed(&l).access_since_ns == since);
    forge(COF_ACCESS_RECOVERABLE, since + 5u * DAY_NS); /* later */
    assert_true(lease_listed(&l).access_since_ns == since);
    forge(COF_ACCESS_AVAILABLE, 0);
    det_env_advance(&l.f.env, 7u * DAY_NS);
    lease_start(&l, COFFER_E_INACCESSIBLE_CREDENTIALS);
    assert_int_equal(lease_try_open(&l, "v", &volume), COFFER_E_INACCESSIBLE_CREDENTIALS);
}

static void one_that_cannot_stop_has_no_seven_days(void **state)
{
    struct coffer_volume *volume = lease_open(&l, "v");
    (void)state;
    volume->item->entry.unstoppable = true;
    write_page(volume, 0, 1);
    set_key(COFFER_KEY_PENDING_DELETION);
    lease_pass(&l, LEASE_NS / 2u + SECOND_NS);
    assert_int_equal(volume_info(volume).access, COFFER_VOLUME_INACCESSIBLE);
    assert_int_equal(coffer_volume_close(volume), 0);
    set_key(COFFER_KEY_ENABLED);
    fixture_reopen(&l.f);
    lease_start(&l, COFFER_E_INACCESSIBLE_CREDENTIALS);
}

static void a_snapshot_restores_into_a_new_volume(void **state)
{
    struct coffer_snapshot_restore_opts restore = {
        .size = sizeof restore,
        .snapshot = {.size = sizeof restore.snapshot, .volume = "v", .name = "s"},
        .new_name = "w"};
    struct coffer_volume *volume;
    (void)state;
    restore.snapshot.provider = &l.api;
    lose();
    det_env_advance(&l.f.env, 8u * DAY_NS);
    fixture_reopen(&l.f);
    assert_int_equal(coffer_snapshot_restore(l.f.store, &restore, &l.f.fault),
                     COFFER_E_KEY_DISABLED);
    set_key(COFFER_KEY_ENABLED);
    assert_int_equal(coffer_snapshot_restore(l.f.store, &restore, &l.f.fault), 0);
    volume = lease_open(&l, "w");
    check_page(volume, 1, 1);
    assert_int_equal(coffer_volume_close(volume), 0);
    lease_start(&l, COFFER_E_INACCESSIBLE_CREDENTIALS);
}

static uint64_t live_bytes(void)
{
    struct coffer_store_info info = {.size = sizeof info};
    assert_int_equal(coffer_store_checkpoint(l.f.store, &l.f.fault), 0);
    assert_int_equal(coffer_store_info_get(l.f.store, &info), 0);
    return info.live_bytes;
}

/* With the key, and without it; by name and by id; alone and with a snapshot that stays. */
static void deleting_works_always(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 8; round++) {
        struct coffer_volume_open_opts opts = open_opts(&l.f, "v");
        struct coffer_volume_info info;
        struct coffer_volume *volume;
        uint64_t before;
        opts.provider = &l.api;
        set_key(COFFER_KEY_ENABLED);
        if (round > 0) {
            lease_make_volume(&l, "v", NULL, 0);
        }
        before = live_bytes();
        volume = lease_open(&l, "v");
        for (uint64_t page = 0; page < VOLUME_PAGES; page++) {
            write_page(volume, page, round);
        }
        set_key(COFFER_KEY_IS_DISABLED);
        lease_pass(&l, LEASE_NS / 2u + SECOND_NS);
        lease_is_stopped(&l, volume, COFFER_E_KEY_DISABLED);
        if ((round & 1u) != 0) {
            det_env_advance(&l.f.env, 8u * DAY_NS);
            fixture_reopen(&l.f);
        }
        info = lease_listed(&l);
        assert_int_equal(info.name_known, 0);
        if ((round & 2u) != 0) {
            opts.name = info.resource_id;
        }
        set_key((round & 4u) != 0 ? COFFER_KEY_ENABLED : COFFER_KEY_IS_DISABLED);
        assert_int_equal(coffer_volume_delete(l.f.store, &opts, &l.f.fault), 0);
        assert_true(live_bytes() <= before);
        if (round % 3 == 0) {
            fixture_crash(&l.f, SIM_CUT_NONE, round);
        }
        assert_int_equal(coffer_volume_list(l.f.store, NULL, lease_see, &info, NULL), 0);
        assert_int_equal(fake_kms_grants(&l.f.kms, FAKE_KMS_KEYS), 0);
    }
}

static void what_a_snapshot_holds_survives_the_deletion_without_a_key(void **state)
{
    struct coffer_snapshot_opts take = {
        .size = sizeof take, .volume = "v", .name = "s", .provider = &l.api};
    struct coffer_volume_open_opts opts = open_opts(&l.f, "v");
    struct coffer_check_opts check = {
        .size = sizeof check, .flags = COFFER_CHECK_SCRUB, .provider = &l.f.kms.api};
    struct coffer_check_summary summary;
    struct coffer_volume *snapshot;
    (void)state;
    lose();
    opts.provider = &l.api;
    assert_int_equal(fake_kms_grants(&l.f.kms, 0), 1);
    assert_int_equal(coffer_volume_delete(l.f.store, &opts, &l.f.fault), 0);
    assert_int_equal(fake_kms_grants(&l.f.kms, 0), 1); /* the snapshot has the volume's wrap */
    set_key(COFFER_KEY_ENABLED);
    fixture_reopen(&l.f);
    assert_int_equal(coffer_store_check(l.f.store, &check, &summary, &l.f.fault), 0);
    assert_int_equal(summary.findings, 0);
    opts.name = "v@s";
    opts.flags |= COFFER_VOLUME_READ_ONLY;
    assert_int_equal(coffer_volume_open(l.f.store, &opts, &snapshot, &l.f.fault), 0);
    check_page(snapshot, 1, 1);
    assert_int_equal(coffer_volume_close(snapshot), 0);
    assert_int_equal(coffer_snapshot_delete(l.f.store, &take, &l.f.fault), 0);
    assert_int_equal(fake_kms_grants(&l.f.kms, FAKE_KMS_KEYS), 0);
}

/* A key that is only refused, of a volume that is as it should be, gives no right to delete it. */
static void what_was_not_lost_is_not_deleted_without_its_key(void **state)
{
    struct coffer_volume_open_opts opts = open_opts(&l.f, "v");
    (void)state;
    opts.provider = &l.api;
    set_key(COFFER_KEY_IS_DISABLED);
    assert_int_equal(coffer_volume_delete(l.f.store, &opts, &l.f.fault), COFFER_E_KEY_DISABLED);
    set_key(COFFER_KEY_ENABLED);
    assert_int_equal(coffer_volume_close(lease_open(&l, "v")), 0);
}

static void stopping_and_starting_by_hand(void **state)
{
    struct coffer_volume *volume = lease_open(&l, "v");
    (void)state;
    write_page(volume, 1, 2);
    assert_int_equal(stop("v", 0), COFFER_E_BUSY);
    lease_start(&l, 0); /* it is open: nothing to do */
    assert_int_equal(coffer_volume_close(volume), 0);
    assert_int_equal(stop("v", COFFER_VOLUME_IF_REFUSED), 0);
    assert_int_equal(lease_listed(&l).access, COFFER_VOLUME_AVAILABLE);
    assert_int_equal(stop("v", 0), 0);
    assert_int_equal(stop("v", 0), 0);
    assert_int_equal(lease_listed(&l).access, COFFER_VOLUME_STOPPED);
    fixture_reopen(&l.f);
    assert_int_equal(lease_try_open(&l, "v", &volume), COFFER_E_STOPPED);
    det_env_advance(&l.f.env, 30u * DAY_NS); /* nothing presses */
    fixture_reopen(&l.f);
    assert_int_equal(lease_listed(&l).access, COFFER_VOLUME_STOPPED);
    lease_start(&l, 0);
    check_after_start();
    assert_int_equal(stop("nobody", 0), COFFER_E_NOT_FOUND);
    assert_int_equal(stop("v@s", 0), COFFER_E_INVALID);
    assert_int_equal(coffer_volume_stop(l.f.store, NULL, &l.f.fault), COFFER_E_INVALID);
}

/* A volume that was not open when its key was lost: noted without it, by name or by id. */
static void a_closed_volume_is_noted_without_its_key(void **state)
{
    struct coffer_volume *volume;
    char id[COFFER_RESOURCE_ID_BYTES];
    (void)state;
    memcpy(id, lease_listed(&l).resource_id, sizeof id);
    set_key(COFFER_KEY_PENDING_IMPORT);
    assert_int_equal(stop("v", COFFER_VOLUME_IF_REFUSED), 0);
    assert_int_equal(lease_listed(&l).access, COFFER_VOLUME_RECOVERABLE);
    assert_int_equal(lease_listed(&l).access_cause, COFFER_E_KEY_STATE);
    assert_int_equal(lease_try_open(&l, "v", &volume), COFFER_E_INACCESSIBLE_CREDENTIALS);
    assert_int_equal(stop(id, 0), 0);
    set_key(COFFER_KEY_ENABLED);
    fixture_crash(&l.f, SIM_CUT_NONE, 5);
    assert_int_equal(lease_try_open(&l, "v", &volume), COFFER_E_INACCESSIBLE_CREDENTIALS);
    lease_start(&l, 0);
    assert_int_equal(coffer_volume_close(lease_open(&l, "v")), 0);
}

/* A name whose one-byte hint is v's. */
static void name_like_v(char name[16])
{
    struct coffer_store *store = l.f.store;
    uint8_t wanted, hint;
    unsigned i = 0;
    assert_int_equal(cof_name_hint(store, "v", &wanted), 0);
    do {
        snprintf(name, 16, "w%u", i++);
        assert_int_equal(cof_name_hint(store, name, &hint), 0);
    } while (hint != wanted);
}

static void which_of_two_sealed_names_is_meant_a_pin_tells(void **state)
{
    struct coffer_volume_open_opts opts = open_opts(&l.f, "v");
    struct coffer_volume *volume;
    char other[16];
    (void)state;
    name_like_v(other);
    opts.provider = &l.api;
    opts.flags |= COFFER_VOLUME_IF_REFUSED;
    opts.pin.use_uuid = 1;
    opts.pin.volume_uuid = lease_listed(&l).uuid;
    lease_make_volume(&l, other, NULL, 0);
    set_key(COFFER_KEY_IS_DISABLED);
    assert_int_equal(stop("v", COFFER_VOLUME_IF_REFUSED), COFFER_E_KEY_DISABLED);
    assert_non_null(strstr(l.f.fault.detail, "ResourceId"));
    assert_int_equal(coffer_volume_stop(l.f.store, &opts, &l.f.fault), 0);
    set_key(COFFER_KEY_ENABLED);
    assert_int_equal(lease_try_open(&l, "v", &volume), COFFER_E_INACCESSIBLE_CREDENTIALS);
    assert_int_equal(coffer_volume_close(lease_open(&l, other)), 0);
    lease_start(&l, 0);
}

/* The wrong service, or who may not: nothing is said of the key. */
static void a_refusal_that_says_nothing_of_the_key_is_passed_on(void **state)
{
    static const int errors[] = {COFFER_E_KEY_ACCESS, COFFER_E_KEY_NOT_FOUND,
                                 COFFER_E_KEY_UNREACHABLE, COFFER_E_KEY_CIPHERTEXT};
    (void)state;
    l.mood = MOOD_REFUSE;
    for (unsigned i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        l.refusal = errors[i];
        assert_int_equal(stop("v", 0), errors[i]);
        lease_start(&l, errors[i]);
    }
    l.mood = MOOD_WELL;
    assert_int_equal(coffer_volume_close(lease_open(&l, "v")), 0);
}

static void a_stopped_volume_whose_key_is_lost_has_seven_days_from_then(void **state)
{
    uint64_t stopped;
    (void)state;
    assert_int_equal(stop("v", 0), 0);
    stopped = lease_listed(&l).access_since_ns;
    det_env_advance(&l.f.env, 3u * DAY_NS);
    set_key(COFFER_KEY_IS_DISABLED);
    assert_int_equal(stop("v", 0), 0);
    assert_int_equal(lease_listed(&l).access, COFFER_VOLUME_RECOVERABLE);
    assert_true(lease_listed(&l).access_since_ns >= stopped + 3u * DAY_NS);
    set_key(COFFER_KEY_ENABLED);
    lease_start(&l, 0);
    assert_int_equal(coffer_volume_close(lease_open(&l, "v")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(enabling_the_key_alone_does_not_resume, setup, teardown),
        cmocka_unit_test_setup_teardown(it_can_be_started_until_the_seventh_day_ends, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(then_it_is_gone_for_good_whatever_the_clock_says, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(time_that_was_seen_is_not_given_back, setup, teardown),
        cmocka_unit_test_setup_teardown(time_is_up_while_the_store_is_open_too, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_sealed_is_not_taken_back_in_clear, setup, teardown),
        cmocka_unit_test_setup_teardown(one_that_cannot_stop_has_no_seven_days, setup, teardown),
        cmocka_unit_test_setup_teardown(a_snapshot_restores_into_a_new_volume, setup, teardown),
        cmocka_unit_test_setup_teardown(deleting_works_always, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_snapshot_holds_survives_the_deletion_without_a_key,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_not_lost_is_not_deleted_without_its_key, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(stopping_and_starting_by_hand, setup, teardown),
        cmocka_unit_test_setup_teardown(a_closed_volume_is_noted_without_its_key, setup, teardown),
        cmocka_unit_test_setup_teardown(which_of_two_sealed_names_is_meant_a_pin_tells, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_refusal_that_says_nothing_of_the_key_is_passed_on, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_stopped_volume_whose_key_is_lost_has_seven_days_from_then,
                                        setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
