/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/volume_anchor_test.c - the rollback anchor: what it is told and when, which states of a
 * store it lets pass, and what an accepted rollback leaves behind.
 */
#include "common/disk_forge.h"
#include "unit/volume_fixture.h"

#define PUTS_MAX 256u

struct anchored {
    struct volume_fixture f;
    struct coffer_anchor_state state, puts[PUTS_MAX];
    unsigned put_count;
    unsigned fail_at; /* the put of this number fails; 0: none */
    int get_error;
    bool has;
};

static int get(void *ctx, const struct coffer_uuid *store_uuid,
               struct coffer_anchor_state *ret_state)
{
    struct anchored *a = ctx;
    if (a->get_error != 0) {
        return a->get_error;
    }
    if (!a->has) {
        return COFFER_E_NOT_FOUND;
    }
    assert_memory_equal(store_uuid, &a->state.store_uuid, sizeof *store_uuid);
    *ret_state = a->state;
    return 0;
}

static uint64_t newest_of(const struct coffer_anchor_state *state)
{
    return state->next_epoch > state->epoch ? state->next_epoch : state->epoch;
}

static int put(void *ctx, const struct coffer_anchor_state *state)
{
    struct anchored *a = ctx;
    assert_true(a->put_count < PUTS_MAX);
    a->puts[a->put_count++] = *state;
    if (a->fail_at != 0 && a->put_count == a->fail_at) {
        return COFFER_E_IO;
    }
    assert_true(!a->has || newest_of(state) >= newest_of(&a->state));
    a->has = true;
    a->state = *state;
    return 0;
}

static const struct coffer_anchor_ops ops = {sizeof ops, get, put};

static int open_store(struct anchored *a, unsigned flags)
{
    struct coffer_store_opts opts = {.size = sizeof opts,
                                     .device = sim_disk_open(a->f.disk),
                                     .flags = flags,
                                     .env = &a->f.env.api,
                                     .anchor = {&ops, a},
                                     .staging_bytes = 1u << 20,
                                     .node_cache_bytes = 1u << 18,
                                     .tag_cache_bytes = 1u << 18,
                                     .placement_bytes = 1u << 18,
                                     .key_arena_bytes = 1u << 16};
    det_env_incarnate(&a->f.env, 99, ++a->f.incarnation);
    return coffer_store_open(&opts, &a->f.store, &a->f.fault);
}

/* A store that an anchor knows, with a volume "v" whose first page has version 1. Closed. */
static void make(struct anchored *a)
{
    struct coffer_volume *volume;
    memset(a, 0, sizeof *a);
    fixture_make(&a->f, 7);
    fixture_close_store(&a->f);
    assert_int_equal(open_store(a, 0), 0);
    make_volume(&a->f, "v", 16, 0);
    volume = open_volume(&a->f, "v");
    write_page(volume, 0, 1);
    fixture_close_store(&a->f);
}

/* One more round of opening, writing a version and closing. */
static void write_version(struct anchored *a, uint64_t version)
{
    struct coffer_volume *volume;
    assert_int_equal(open_store(a, 0), 0);
    volume = open_volume(&a->f, "v");
    write_page(volume, 0, version);
    fixture_close_store(&a->f);
}

static void replace_disk(struct anchored *a, const struct sim_image *image)
{
    struct sim_disk_options options = {.seed = 7, .record = true};
    sim_disk_free(a->f.disk);
    a->f.disk = sim_disk_from_image(image, &options);
}

static void assert_holds(struct anchored *a, uint64_t version)
{
    struct coffer_volume *volume = open_volume(&a->f, "v");
    check_page(volume, 0, version);
    assert_int_equal(coffer_volume_close(volume), 0);
}

static void assert_refused(struct anchored *a, unsigned flags, const char *words)
{
    uint64_t events = sim_disk_events(a->f.disk);
    unsigned puts = a->put_count;
    assert_int_equal(open_store(a, flags), COFFER_E_ROLLBACK);
    assert_non_null(strstr(a->f.fault.detail, words));
    assert_int_equal(sim_disk_events(a->f.disk), events); /* nothing was written */
    assert_int_equal(a->put_count, puts);
}

/* The newest root again under another epoch, with a right checksum, as anyone can write it. */
static void forge_epoch(struct sim_image *image, uint64_t epoch)
{
    struct cof_root root, best = {0};
    for (uint32_t slot = 0; slot < COFFER_ROOT_SLOTS; slot++) {
        if (cof_root_decode(sim_image_bytes(image, SIM_ROOT, slot), &root) == 0 &&
            root.epoch > best.epoch) {
            best = root;
        }
    }
    assert_int_not_equal(best.epoch, 0);
    assert_true(epoch > best.epoch);
    best.epoch = epoch;
    forge_root_put(image, &best);
}

/* ---- what it is told --------------------------------------------------------------------- */

static void the_first_put_binds_a_store(void **state)
{
    struct anchored a;
    (void)state;
    make(&a);
    assert_true(a.has);
    assert_int_equal(a.state.next_epoch, 0);
    assert_int_equal(a.state.rollbacks_accepted, 0);
    assert_int_equal(open_store(&a, 0), 0);
    assert_holds(&a, 1);
    fixture_done(&a.f);
}

static void each_root_is_told_before_and_after(void **state)
{
    struct anchored a;
    (void)state;
    make(&a);
    write_version(&a, 2);
    assert_true(a.put_count >= 8);
    assert_int_equal(a.put_count % 2, 0);
    for (unsigned i = 0; i < a.put_count; i += 2) {
        const struct coffer_anchor_state *before = &a.puts[i], *after = &a.puts[i + 1];
        assert_true(before->next_epoch > before->epoch);
        assert_int_equal(after->epoch, before->next_epoch);
        assert_memory_equal(after->root_digest, before->next_digest, 32);
        assert_int_equal(after->next_epoch, 0);
        assert_true(i == 0 || before->epoch == a.puts[i - 1].epoch);
        assert_true(i == 0 || memcmp(before->root_digest, a.puts[i - 1].root_digest, 32) == 0);
    }
    fixture_done(&a.f);
}

static void a_read_only_open_puts_nothing(void **state)
{
    struct anchored a;
    unsigned puts;
    (void)state;
    make(&a);
    puts = a.put_count;
    assert_int_equal(open_store(&a, COFFER_OPEN_READ_ONLY), 0);
    fixture_close_store(&a.f);
    assert_int_equal(a.put_count, puts);
    fixture_done(&a.f);
}

static void an_anchor_that_cannot_be_read_refuses(void **state)
{
    struct anchored a;
    (void)state;
    make(&a);
    a.get_error = COFFER_E_CORRUPT;
    assert_int_equal(open_store(&a, 0), COFFER_E_CORRUPT);
    assert_int_equal(open_store(&a, COFFER_OPEN_ACCEPT_ROLLBACK), COFFER_E_CORRUPT);
    assert_int_equal(open_store(&a, COFFER_OPEN_READ_ONLY), COFFER_E_CORRUPT);
    fixture_done(&a.f);
}

/* ---- a put that fails, a crash between the two ------------------------------------------- */

/* Whichever put fails, or is the last before the machine stops, the next open goes through. */
static void any_put_may_fail(void **state)
{
    (void)state;
    for (unsigned n = 1; n <= 6; n++) {
        struct anchored a;
        struct coffer_volume_open_opts opts;
        struct coffer_volume *volume = NULL;
        int err;
        make(&a);
        a.fail_at = a.put_count + n;
        err = open_store(&a, 0);
        if (err == 0) {
            opts = open_opts(&a.f, "v");
            err = coffer_volume_open(a.f.store, &opts, &volume, &a.f.fault);
        }
        if (err == 0) {
            write_page(volume, 0, 2);
            err = coffer_store_checkpoint(a.f.store, &a.f.fault);
        }
        assert_int_equal(err, COFFER_E_IO);
        if (a.f.store != NULL) {
            assert_int_equal(coffer_store_close(a.f.store), COFFER_E_FAILED);
            a.f.store = NULL;
        }
        a.fail_at = 0;
        assert_int_equal(open_store(&a, 0), 0);
        assert_int_equal(a.state.rollbacks_accepted, 0);
        volume = open_volume(&a.f, "v");
        check_page(volume, 0, volume != NULL && n > 4 ? 2 : 1);
        fixture_done(&a.f);
    }
}

/* The medium of the coming root is lost after its announcement: the present one still passes, and
 * the next epoch is above the announced one. */
static void an_announced_root_may_never_come(void **state)
{
    struct anchored a;
    uint64_t announced;
    (void)state;
    make(&a);
    a.state.next_epoch = a.state.epoch + 2;
    announced = a.state.next_epoch;
    memset(a.state.next_digest, 0x5a, 32);
    assert_int_equal(open_store(&a, COFFER_OPEN_READ_ONLY), 0);
    fixture_close_store(&a.f);
    assert_int_equal(open_store(&a, 0), 0);
    assert_true(a.state.epoch > announced);
    assert_int_equal(a.state.rollbacks_accepted, 0);
    fixture_done(&a.f);
}

/* ---- what it refuses --------------------------------------------------------------------- */

static void an_older_state_is_refused(void **state)
{
    struct anchored a;
    struct sim_image *old;
    (void)state;
    make(&a);
    old = sim_disk_image_live(a.f.disk);
    write_version(&a, 2);
    replace_disk(&a, old);
    assert_refused(&a, 0, "put back to an older state");
    assert_refused(&a, COFFER_OPEN_READ_ONLY, "put back to an older state");
    sim_image_free(old);
    fixture_done(&a.f);
}

/* Of the one before, down to the root before the last. */
static void even_one_root_back_is_refused(void **state)
{
    struct anchored a;
    struct sim_image *old;
    (void)state;
    make(&a);
    old = sim_disk_image_live(a.f.disk);
    assert_int_equal(open_store(&a, 0), 0);
    sim_disk_power_off(a.f.disk); /* the open's root is all that came */
    (void)coffer_store_close(a.f.store);
    a.f.store = NULL;
    replace_disk(&a, old);
    assert_refused(&a, 0, "put back to an older state");
    sim_image_free(old);
    fixture_done(&a.f);
}

static void a_forged_epoch_is_refused(void **state)
{
    static const int64_t steps[] = {-2, -1, 0, 1, 2, 3, 4, 100};
    struct anchored a;
    struct sim_image *old;
    uint64_t known;
    (void)state;
    make(&a);
    old = sim_disk_image_live(a.f.disk);
    write_version(&a, 2);
    known = a.state.epoch;
    for (unsigned i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct sim_image *forged = sim_image_clone(old);
        forge_epoch(forged, (uint64_t)((int64_t)known + steps[i]));
        replace_disk(&a, forged);
        assert_refused(&a, 0, "the store is at epoch");
        assert_refused(&a, COFFER_OPEN_READ_ONLY, "the store is at epoch");
        sim_image_free(forged);
    }
    sim_image_free(old);
    fixture_done(&a.f);
}

/* A fork under the very epoch that the anchor has, or goes on beyond it. */
static void a_copy_that_went_another_way_is_refused(void **state)
{
    struct anchored a;
    struct coffer_anchor_state ours;
    struct sim_image *old;
    (void)state;
    make(&a);
    old = sim_disk_image_live(a.f.disk);
    ours = a.state;
    write_version(&a, 2);
    {
        struct coffer_anchor_state latest = a.state;
        replace_disk(&a, old);
        a.state = ours;
        write_version(&a, 3);
        assert_int_equal(a.state.epoch, latest.epoch);
        a.state = latest;
        assert_refused(&a, 0, "went another way");
        a.state = ours;
        a.has = false;
        write_version(&a, 4);
        a.has = true;
        a.state = latest;
        assert_refused(&a, 0, "written without the anchor");
    }
    sim_image_free(old);
    fixture_done(&a.f);
}

static void writing_without_the_anchor_is_refused_afterwards(void **state)
{
    struct anchored a;
    (void)state;
    make(&a);
    assert_int_equal(fixture_open_store(&a.f, 0), 0);
    fixture_close_store(&a.f);
    assert_refused(&a, 0, "written without the anchor");
    fixture_done(&a.f);
}

/* ---- accepting --------------------------------------------------------------------------- */

static uint64_t data_keys_of(struct anchored *a)
{
    struct coffer_volume *volume = open_volume(&a->f, "v");
    uint64_t count = volume_info(volume).data_key_count;
    write_page(volume, 1, 1);
    assert_int_equal(coffer_volume_close(volume), 0);
    return count;
}

static void an_accepted_rollback_is_recorded_and_final(void **state)
{
    struct anchored a;
    struct sim_image *old, *newer;
    uint64_t known, before;
    (void)state;
    make(&a);
    assert_int_equal(open_store(&a, 0), 0);
    before = data_keys_of(&a);
    fixture_close_store(&a.f);
    old = sim_disk_image_live(a.f.disk);
    write_version(&a, 2);
    write_version(&a, 3);
    newer = sim_disk_image_live(a.f.disk);
    known = a.state.epoch;
    replace_disk(&a, old);
    assert_refused(&a, 0, "put back to an older state");
    assert_int_equal(open_store(&a, COFFER_OPEN_READ_ONLY | COFFER_OPEN_ACCEPT_ROLLBACK), 0);
    fixture_close_store(&a.f);
    assert_int_equal(a.state.rollbacks_accepted, 0); /* to look is not to go on */
    assert_int_equal(open_store(&a, COFFER_OPEN_ACCEPT_ROLLBACK), 0);
    assert_int_equal(a.state.rollbacks_accepted, 1);
    assert_int_equal(a.state.rollback_known_epoch, known);
    assert_true(a.state.rollback_taken_epoch < known);
    assert_int_not_equal(a.state.rollback_ns, 0);
    assert_true(a.state.epoch > known);
    assert_true(data_keys_of(&a) > before); /* new ones: those of before are for reading only */
    assert_holds(&a, 1);
    fixture_close_store(&a.f);
    assert_int_equal(open_store(&a, COFFER_OPEN_ACCEPT_ROLLBACK), 0);
    fixture_close_store(&a.f);
    assert_int_equal(a.state.rollbacks_accepted, 1); /* nothing had to be accepted */
    replace_disk(&a, newer);
    assert_refused(&a, 0, "put back to an older state");
    sim_image_free(newer);
    sim_image_free(old);
    fixture_done(&a.f);
}

/* Acceptance is announced with its root: a crash in between neither loses it nor asks again. */
static void a_crash_while_accepting_keeps_the_record(void **state)
{
    struct anchored a;
    struct sim_image *old;
    (void)state;
    make(&a);
    old = sim_disk_image_live(a.f.disk);
    write_version(&a, 2);
    replace_disk(&a, old);
    a.fail_at = a.put_count + 2;
    assert_int_equal(open_store(&a, COFFER_OPEN_ACCEPT_ROLLBACK), COFFER_E_IO);
    a.fail_at = 0;
    assert_int_equal(a.state.rollbacks_accepted, 1);
    replace_disk(&a, old); /* and its root was lost */
    assert_int_equal(open_store(&a, 0), 0);
    assert_holds(&a, 1);
    fixture_close_store(&a.f);
    assert_int_equal(a.state.rollbacks_accepted, 1);
    sim_image_free(old);
    fixture_done(&a.f);
}

static void a_far_epoch_costs_no_time(void **state)
{
    struct anchored a;
    (void)state;
    make(&a);
    a.state.epoch = UINT64_C(1) << 60;
    assert_refused(&a, 0, "put back to an older state");
    assert_int_equal(open_store(&a, COFFER_OPEN_ACCEPT_ROLLBACK), 0);
    assert_true(a.state.epoch > UINT64_C(1) << 60);
    fixture_close_store(&a.f);
    a.state.epoch = UINT64_MAX - 9;
    assert_int_equal(open_store(&a, COFFER_OPEN_ACCEPT_ROLLBACK), COFFER_E_LIMIT);
    fixture_done(&a.f);
}

/* ---- many volumes ------------------------------------------------------------------------ */

/* The digest does not depend on the order in which entries came to be in memory. */
static void the_digest_goes_by_number(void **state)
{
    struct anchored a;
    struct coffer_volume_open_opts opts;
    char name[16];
    (void)state;
    make(&a);
    assert_int_equal(open_store(&a, 0), 0);
    for (unsigned i = 0; i < 12; i++) {
        snprintf(name, sizeof name, "w%u", i);
        make_volume(&a.f, name, 4, i % 2 == 0);
    }
    for (unsigned i = 1; i < 12; i += 3) {
        snprintf(name, sizeof name, "w%u", i);
        opts = open_opts(&a.f, name);
        assert_int_equal(coffer_volume_delete(a.f.store, &opts, &a.f.fault), 0);
    }
    make_volume(&a.f, "again", 4, 0);
    fixture_close_store(&a.f);
    assert_int_equal(open_store(&a, 0), 0);
    assert_holds(&a, 1);
    fixture_close_store(&a.f);
    a.state.root_digest[31] ^= 1;
    assert_refused(&a, 0, "went another way");
    fixture_done(&a.f);
}

/* ---- snapshots and keys ------------------------------------------------------------------ */

static struct coffer_snapshot_opts snapshot_of(struct anchored *a, const char *name)
{
    struct coffer_snapshot_opts opts = {
        .size = sizeof opts, .volume = "v", .name = name, .provider = &a->f.kms.api};
    return opts;
}

static void must(struct anchored *a, int err, const char *what)
{
    if (err != 0) {
        fail_msg("%s: %s: %s", what, coffer_error_name(err), a->f.fault.detail);
    }
}

/* Nothing of what is open may be in memory only: each open is held against the anchor. */
static void settle(struct anchored *a)
{
    fixture_close_store(&a->f);
    must(a, open_store(a, COFFER_OPEN_READ_ONLY), "open read-only");
    fixture_close_store(&a->f);
    must(a, open_store(a, 0), "open");
}

/* An open store whose volume has the snapshots s0 to s2. */
static void make_family(struct anchored *a)
{
    struct coffer_volume *volume;
    make(a);
    must(a, open_store(a, 0), "open");
    volume = open_volume(&a->f, "v");
    for (unsigned i = 0; i < 3; i++) {
        char name[8];
        struct coffer_snapshot_opts opts = snapshot_of(a, name);
        snprintf(name, sizeof name, "s%u", i);
        write_page(volume, i, 10 + i);
        must(a, coffer_snapshot_create(volume, &opts, NULL, &a->f.fault), "snapshot");
    }
    must(a, coffer_volume_close(volume), "close");
    settle(a);
}

static void a_deleted_snapshot_does_not_come_back(void **state)
{
    static const char *const names[] = {"s1", "s0", "s2"};
    struct anchored a;
    struct sim_image *old = NULL;
    (void)state;
    make_family(&a);
    for (unsigned i = 0; i < 3; i++) {
        struct coffer_snapshot_restore_opts restore = {
            .size = sizeof restore, .snapshot = snapshot_of(&a, names[i]), .new_name = names[i]};
        must(&a, coffer_snapshot_restore(a.f.store, &restore, &a.f.fault), "restore");
        settle(&a);
        sim_image_free(old);
        old = sim_disk_image_live(a.f.disk);
        must(&a, coffer_snapshot_delete(a.f.store, &restore.snapshot, &a.f.fault), "delete");
        settle(&a);
    }
    assert_int_equal(a.state.rollbacks_accepted, 0);
    fixture_close_store(&a.f);
    replace_disk(&a, old);
    assert_refused(&a, 0, "put back to an older state");
    sim_image_free(old);
    fixture_done(&a.f);
}

/* Its old wrap is on the old medium still; the anchor does not let that medium pass. */
static void a_removed_recipient_does_not_come_back(void **state)
{
    struct anchored a;
    struct sim_image *old;
    struct coffer_rekey_opts rekey = {.size = sizeof rekey,
                                      .volume = "v",
                                      .kms_key_id = "arn:coffer:kms:test:000000000000:key/2"};
    struct coffer_recipient_opts recipient = {
        .size = sizeof recipient, .kms_key_id = "arn:coffer:kms:test:000000000000:key/3"};
    (void)state;
    make_family(&a);
    rekey.provider = &a.f.kms.api;
    recipient.snapshot = snapshot_of(&a, "s1");
    for (int depth = COFFER_REKEY_MASTER; depth <= COFFER_REKEY_DATA; depth++) {
        rekey.depth = (enum coffer_rekey_depth)depth;
        must(&a, coffer_volume_rekey(a.f.store, &rekey, &a.f.fault), "rekey");
        settle(&a);
    }
    must(&a, coffer_recipient_add(a.f.store, &recipient, &a.f.fault), "add");
    settle(&a);
    old = sim_disk_image_live(a.f.disk);
    must(&a, coffer_recipient_remove(a.f.store, &recipient, &a.f.fault), "remove");
    settle(&a);
    assert_int_equal(a.state.rollbacks_accepted, 0);
    fixture_close_store(&a.f);
    replace_disk(&a, old);
    assert_refused(&a, 0, "put back to an older state");
    forge_epoch(old, a.state.epoch);
    replace_disk(&a, old);
    assert_refused(&a, 0, "went another way");
    sim_image_free(old);
    fixture_done(&a.f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_put_binds_a_store),
        cmocka_unit_test(each_root_is_told_before_and_after),
        cmocka_unit_test(a_read_only_open_puts_nothing),
        cmocka_unit_test(an_anchor_that_cannot_be_read_refuses),
        cmocka_unit_test(any_put_may_fail),
        cmocka_unit_test(an_announced_root_may_never_come),
        cmocka_unit_test(an_older_state_is_refused),
        cmocka_unit_test(even_one_root_back_is_refused),
        cmocka_unit_test(a_forged_epoch_is_refused),
        cmocka_unit_test(a_copy_that_went_another_way_is_refused),
        cmocka_unit_test(writing_without_the_anchor_is_refused_afterwards),
        cmocka_unit_test(an_accepted_rollback_is_recorded_and_final),
        cmocka_unit_test(a_crash_while_accepting_keeps_the_record),
        cmocka_unit_test(a_far_epoch_costs_no_time),
        cmocka_unit_test(the_digest_goes_by_number),
        cmocka_unit_test(a_deleted_snapshot_does_not_come_back),
        cmocka_unit_test(a_removed_recipient_does_not_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
