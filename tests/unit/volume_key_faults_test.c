/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key service refuses, hangs, cuts its answer off, throttles, errs or lies at each call of each
 * operation that asks it: the operation works or says why not, nothing is lost and nothing is left
 * behind, and it works once the service is well again. Data keys rotate without it.
 */
#include "unit/lease_fixture.h"

#define CALLS_MAX 64u

static struct lease_fixture l;
static struct coffer_volume *other; /* goes on all the time, under another key */
static uint64_t other_version;

struct operation {
    const char *name;
    int (*run)(void);
    /* Once it has worked: what is there is as it should be, and made undone. */
    void (*check)(void);
};

/* ---- operations ---- */

static int volume_op(const char *name,
                     int (*call)(struct coffer_store *, const struct coffer_volume_open_opts *,
                                 struct coffer_fault *))
{
    struct coffer_volume_open_opts opts = open_opts(&l.f, name);
    opts.provider = &l.api;
    return call(l.f.store, &opts, &l.f.fault);
}

static int run_create(void)
{
    struct coffer_volume_create_opts opts = {
        .size = sizeof opts, .name = "new", .size_bytes = 8 * PAGE, .provider = &l.api};
    return coffer_volume_create(l.f.store, &opts, &l.f.fault);
}

static void check_new(void)
{
    struct coffer_volume *volume = lease_open(&l, "new");
    write_page(volume, 0, 1);
    check_page(volume, 0, 1);
    assert_int_equal(coffer_volume_close(volume), 0);
    assert_int_equal(volume_op("new", coffer_volume_delete), 0);
}

static int run_open(void)
{
    struct coffer_volume *volume;
    int err = lease_try_open(&l, "v", &volume);
    if (err == 0) {
        check_page(volume, 3, 3);
        err = coffer_volume_close(volume);
    }
    return err;
}

static void check_nothing(void)
{
}

static int take(struct coffer_volume *volume)
{
    struct coffer_snapshot_opts opts = {
        .size = sizeof opts, .volume = "v", .name = "t", .provider = &l.api};
    return coffer_snapshot_create(volume, &opts, NULL, &l.f.fault);
}

static int run_snapshot(void)
{
    struct coffer_volume *volume;
    int err = lease_try_open(&l, "v", &volume);
    if (err == 0) {
        int closed;
        err = take(volume);
        write_page(volume, 3, 3); /* whatever came of it */
        closed = coffer_volume_close(volume);
        err = err != 0 ? err : closed;
    }
    return err;
}

static void check_snapshot(void)
{
    struct coffer_snapshot_opts opts = {
        .size = sizeof opts, .volume = "v", .name = "t", .provider = &l.api};
    assert_int_equal(coffer_snapshot_delete(l.f.store, &opts, &l.f.fault), 0);
}

static int run_restore(void)
{
    struct coffer_snapshot_restore_opts opts = {
        .size = sizeof opts,
        .snapshot = {.size = sizeof opts.snapshot, .volume = "v", .name = "s"},
        .new_name = "new"};
    opts.snapshot.provider = &l.api;
    return coffer_snapshot_restore(l.f.store, &opts, &l.f.fault);
}

static int run_copy(void)
{
    struct coffer_copy_opts opts = {
        .size = sizeof opts,
        .source = {.size = sizeof opts.source, .volume = "v", .name = "s"},
        .volume = "v",
        .name = "t",
        .kms_key_id = "alias/k2"};
    opts.source.provider = &l.api;
    opts.provider = &l.api;
    return coffer_snapshot_copy(l.f.store, l.f.store, &opts, &l.f.fault);
}

static enum coffer_rekey_depth depth;

static int run_rekey(void)
{
    struct coffer_rekey_opts opts = {.size = sizeof opts,
                                     .volume = "v",
                                     .kms_key_id = "alias/k1",
                                     .depth = depth,
                                     .provider = &l.api};
    return coffer_volume_rekey(l.f.store, &opts, &l.f.fault);
}

static void check_rekey(void)
{
    struct coffer_rekey_opts back = {.size = sizeof back,
                                     .volume = "v",
                                     .kms_key_id = "alias/coffer/default",
                                     .depth = depth,
                                     .provider = &l.api};
    assert_int_equal(fake_kms_grants(&l.f.kms, 1), 2u); /* other's, and v's */
    assert_int_equal(coffer_volume_rekey(l.f.store, &back, &l.f.fault), 0);
    /* doomed's, and v's; and the one of before, if retiring it was struck */
    assert_in_range(fake_kms_grants(&l.f.kms, 0), 2u, l.struck ? 3u : 2u);
}

static int run_stop(void)
{
    int err = volume_op("v", coffer_volume_stop);
    return err == 0 ? volume_op("v", coffer_volume_start) : err;
}

static int run_delete(void)
{
    return volume_op("doomed", coffer_volume_delete);
}

static void check_delete(void)
{
    lease_make_volume(&l, "doomed", NULL, 0);
}

/* ---- the play ---- */

/* Volumes, snapshots and grants, whatever the key service says. */
static unsigned count_nodes(void)
{
    const struct cof_catalogue_item *item = l.f.store->items;
    unsigned count = 0;
    for (; item != NULL; item = item->next) {
        count++;
    }
    return count;
}

static bool is_clear(enum mood mood, int err)
{
    switch (mood) {
    case MOOD_REFUSE:
        return err == l.refusal || err == COFFER_E_INACCESSIBLE_CREDENTIALS;
    case MOOD_THROTTLE:
        return err == COFFER_E_AGAIN;
    case MOOD_ERR:
        return err == COFFER_E_IO;
    case MOOD_LIE: /* a wrong key, a wrong blob, a wrong state */
        return err == COFFER_E_COMMIT || err == COFFER_E_KEY_CIPHERTEXT ||
               err == COFFER_E_KEY_STATE || err == COFFER_E_TAMPER;
    default:
        return err == COFFER_E_KEY_UNREACHABLE;
    }
}

/* One call of one run has the mood. False when the run has no such call. */
static bool strike(const struct operation *op, enum mood mood, unsigned call)
{
    unsigned nodes = count_nodes(), grants = fake_kms_grants(&l.f.kms, FAKE_KMS_KEYS);
    unsigned made, left;
    int err;
    l.mood = mood;
    l.only = l.asked + call;
    l.struck = false;
    err = op->run();
    l.mood = MOOD_WELL;
    write_page(other, 1, ++other_version);
    check_page(other, 1, other_version);
    if (err != 0 && !is_clear(mood, err)) {
        fail_msg("%s, call %u, mood %u: %s: %s", op->name, call, mood, coffer_error_name(err),
                 l.f.fault.detail);
    }
    if (err != 0) {
        assert_true(l.f.fault.error == err && l.f.fault.detail[0] != '\0');
        assert_int_equal(count_nodes(), nodes);
        made = fake_kms_grants(&l.f.kms, FAKE_KMS_KEYS);
        /* A grant whose id never came can't be retired, nor one whose retiring was struck. */
        assert_true(made == grants || (mood == MOOD_CUT && made == grants + 1u));
        if (made > grants) {
            l.f.kms.grants[l.f.kms.grant_count - 1u].live = false;
        }
        err = op->run();
    }
    if (err != 0) {
        fail_msg("%s does not work after call %u, mood %u: %s: %s", op->name, call, mood,
                 coffer_error_name(err), l.f.fault.detail);
    }
    op->check();
    /* What could not be retired is logged, and left to the key's owner. */
    left = fake_kms_grants(&l.f.kms, FAKE_KMS_KEYS);
    assert_in_range(left, grants, grants + (l.struck && mood != MOOD_LIE ? 1u : 0u));
    return l.struck;
}

static void setup_store(void)
{
    struct coffer_snapshot_opts take_s = {
        .size = sizeof take_s, .volume = "v", .name = "s", .provider = &l.api};
    struct coffer_volume *volume;
    lease_make(&l, 5);
    volume = lease_open(&l, "v");
    write_page(volume, 3, 3);
    assert_int_equal(coffer_snapshot_create(volume, &take_s, NULL, &l.f.fault), 0);
    assert_int_equal(coffer_volume_close(volume), 0);
    lease_make_volume(&l, "other", "alias/k1", 0);
    lease_make_volume(&l, "doomed", NULL, 0);
    other = lease_open(&l, "other");
}

static void play(const struct operation *op)
{
    static const int refusals[] = {COFFER_E_KEY_ACCESS, COFFER_E_KEY_DISABLED,
                                   COFFER_E_KEY_NOT_FOUND};
    for (enum mood mood = MOOD_REFUSE; mood <= MOOD_LIE; mood++) {
        unsigned call = 0;
        bool more = true;
        for (; more && call < CALLS_MAX; call++) {
            setup_store();
            l.refusal = refusals[call % 3u];
            more = strike(op, mood, call);
            assert_int_equal(coffer_volume_close(other), 0);
            lease_done(&l);
        }
        assert_in_range(call, 2, CALLS_MAX - 1u); /* it does ask, and comes to an end */
    }
}

static void creating(void **state)
{
    static const struct operation op = {"create", run_create, check_new};
    (void)state;
    play(&op);
}

static void opening(void **state)
{
    static const struct operation op = {"open", run_open, check_nothing};
    (void)state;
    play(&op);
}

static void taking_a_snapshot(void **state)
{
    static const struct operation op = {"snapshot", run_snapshot, check_snapshot};
    (void)state;
    play(&op);
}

static void restoring(void **state)
{
    static const struct operation op = {"restore", run_restore, check_new};
    (void)state;
    play(&op);
}

static void copying(void **state)
{
    static const struct operation op = {"copy", run_copy, check_snapshot};
    (void)state;
    play(&op);
}

static void changing_keys(void **state)
{
    static const struct operation op = {"rekey", run_rekey, check_rekey};
    (void)state;
    for (depth = COFFER_REKEY_MASTER; depth <= COFFER_REKEY_VOLUME; depth++) {
        play(&op);
    }
}

static void stopping_and_starting(void **state)
{
    static const struct operation op = {"stop and start", run_stop, check_nothing};
    (void)state;
    play(&op);
}

static void deleting(void **state)
{
    static const struct operation op = {"delete", run_delete, check_delete};
    (void)state;
    play(&op);
}

extern uint64_t cof_test_data_key_bytes;

/* Writing takes data keys, many of them, and asks for nothing. */
static void data_keys_rotate_without_the_service(void **state)
{
    struct coffer_volume *volume;
    unsigned asked;
    (void)state;
    lease_make(&l, 6);
    cof_test_data_key_bytes = 16u * PAGE;
    volume = lease_open(&l, "v");
    asked = l.asked;
    l.mood = MOOD_ERR;
    for (uint64_t i = 0; i < 400; i++) {
        write_page(volume, i % VOLUME_PAGES, i + 1u);
        if (i % 40 == 39) {
            assert_int_equal(coffer_store_checkpoint(l.f.store, &l.f.fault), 0);
        }
    }
    assert_int_equal(l.asked, asked);
    assert_true(volume->record.next_key_id > 8);
    check_page(volume, 15, 400);
    cof_test_data_key_bytes = 0;
    l.mood = MOOD_WELL;
    assert_int_equal(coffer_volume_close(volume), 0);
    lease_done(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(creating),
        cmocka_unit_test(opening),
        cmocka_unit_test(taking_a_snapshot),
        cmocka_unit_test(restoring),
        cmocka_unit_test(copying),
        cmocka_unit_test(changing_keys),
        cmocka_unit_test(stopping_and_starting),
        cmocka_unit_test(deleting),
        cmocka_unit_test(data_keys_rotate_without_the_service),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
