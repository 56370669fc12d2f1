/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/volume_tags_test - tags of volumes and snapshots: given, overwritten, taken away, at their
 * limits; with every operation that seals an entry anew.
 */
#include "tags_fixture.h"

extern uint64_t cof_test_key_uses;

static bool has_part(struct volume_fixture *in, uint32_t number)
{
    struct cof_tree_pointer pointer;
    return cof_ptree_find(&in->store->catalogue_tree,
                          cof_catalogue_key(number, COF_CATALOGUE_TAGS_PART), &pointer) == 0;
}

/* ---- given, overwritten, taken away ---- */

static void tags_are_set_overwritten_and_removed(void **state)
{
    static const struct coffer_tag three[] = {{"b", "2"}, {"a", "1"}, {"B", "upper"}};
    (void)state;
    for (int plain = 0; plain < 2; plain++) {
        struct coffer_tags_opts opts;
        struct coffer_volume *volume;
        fixture_make(&f, 3);
        make_in(&f, "v", plain);
        opts = tags_opts(&f, "v");
        has(&f, "v", "");
        assert_int_equal(f.store->root.incompat & COF_INCOMPAT_TAGS, 0);
        assert_int_equal(coffer_tags_set(f.store, &opts, three, 3, &f.fault), 0);
        assert_int_equal(f.store->root.incompat & COF_INCOMPAT_TAGS, COF_INCOMPAT_TAGS);
        has(&f, "v", "B=upper a=1 b=2");
        must_set(&f, "v", "a", "one");
        must_set(&f, "v", "A\xc3\xa4\xf0\x9f\x94\x91", "\xe2\x82\xac = x");
        fixture_reopen(&f);
        has(&f, "v", "A\xc3\xa4\xf0\x9f\x94\x91=\xe2\x82\xac = x B=upper a=one b=2");
        volume = open_volume(&f, "v");
        write_page(volume, 1, 1);
        assert_int_equal(drop_tag(&f, "v", "b"), 0); /* while it is open */
        must_set(&f, "v", "empty", "");
        write_page(volume, 2, 1);
        has(&f, "v", "A\xc3\xa4\xf0\x9f\x94\x91=\xe2\x82\xac = x B=upper a=one empty=");
        assert_int_equal(coffer_store_checkpoint(f.store, &f.fault), 0);
        fixture_crash(&f, SIM_CUT_ALL, 9);
        assert_int_equal(drop_tag(&f, "v", "nobody"), 0);
        assert_int_equal(drop_tag(&f, "v", "A\xc3\xa4\xf0\x9f\x94\x91"), 0);
        has(&f, "v", "B=upper a=one empty=");
        volume = open_volume(&f, "v");
        check_page(volume, 1, 1);
        assert_int_equal(coffer_volume_close(volume), 0);
        assert_int_equal(drop_tag(&f, "v", NULL), 0);
        has(&f, "v", "");
        assert_false(has_part(&f, item_of(&f, "v")->entry.number));
        fixture_reopen(&f);
        has(&f, "v", "");
        assert_int_equal(findings(&f), 0);
        fixture_done(&f);
    }
}

static void what_changes_nothing_writes_no_root(void **state)
{
    uint64_t epoch;
    (void)state;
    fixture_make(&f, 4);
    make_in(&f, "v", 0);
    must_set(&f, "v", "a", "1");
    epoch = f.store->root.epoch;
    must_set(&f, "v", "a", "1");
    assert_int_equal(drop_tag(&f, "v", "b"), 0);
    assert_int_equal(f.store->root.epoch, epoch);
    must_set(&f, "v", "a", "2");
    assert_true(f.store->root.epoch > epoch);
    fixture_done(&f);
}

/* Characters of four bytes, so many, in a buffer that is used again. */
static const char *characters(unsigned count, unsigned last)
{
    static char text[2][4 * 300 + 1];
    static unsigned turn;
    char *at = text[turn++ % 2];
    for (unsigned i = 0; i < count; i++) {
        memcpy(at + 4u * i, "\xf0\x9f\x94\x91", 4);
    }
    if (count > 0) {
        at[4u * count - 1u] = (char)(0x80u + last);
    }
    at[4u * count] = '\0';
    return at;
}

static void limits_are_in_characters(void **state)
{
    static const char *const refused[] = {"",
                                          "aws:x",
                                          "AWS:x",
                                          "aWs:",
                                          "a\nb",
                                          "a\x7f",
                                          "a\xc2\x85",
                                          "\x80",
                                          "a\xc3",
                                          "\xc0\xaf",
                                          "\xe0\x80\xaf",
                                          "\xed\xa0\x80",
                                          "\xf4\x90\x80\x80",
                                          "\xf8\x88\x80\x80\x80",
                                          "\xff"};
    (void)state;
    fixture_make(&f, 5);
    make_in(&f, "v", 0);
    must_set(&f, "v", "aws", "a colon makes it theirs");
    must_set(&f, "v", "xaws:", "\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf");
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        assert_int_equal(set(&f, "v", refused[i], ""), COFFER_E_INVALID);
        assert_true(i == 0 || (i < 4 ? set(&f, "v", "value", refused[i]) == 0
                                     : set(&f, "v", "value", refused[i]) == COFFER_E_INVALID));
    }
    assert_int_equal(set(&f, "v", characters(129, 0), ""), COFFER_E_INVALID);
    assert_int_equal(set(&f, "v", "value", characters(257, 0)), COFFER_E_INVALID);
    assert_int_equal(drop_tag(&f, "v", NULL), 0);
    for (unsigned i = 0; i < COFFER_TAGS_MAX; i++) { /* the longest list that there is */
        must_set(&f, "v", characters(128, i), characters(256, i));
    }
    assert_int_equal(set(&f, "v", "51st", ""), COFFER_E_LIMIT);
    must_set(&f, "v", characters(128, 7), "in its place");
    must_set(&f, "v", characters(128, 7), characters(256, 7));
    fixture_reopen(&f);
    {
        static struct shown shown;
        assert_int_equal(show(&f, "v", &shown), 0);
        assert_int_equal(shown.count, COFFER_TAGS_MAX);
    }
    assert_int_equal(findings(&f), 0);
    fixture_done(&f);
}

static void calls_that_are_wrong_are_refused(void **state)
{
    struct coffer_tags_opts opts = {.size = sizeof opts, .name = "v", .provider = &f.kms.api};
    struct coffer_tag tag = {"a", NULL};
    const char *none = NULL;
    struct shown shown;
    (void)state;
    fixture_make(&f, 6);
    make_in(&f, "v", 0);
    assert_int_equal(coffer_tags_set(f.store, &opts, &tag, 0, &f.fault), COFFER_E_INVALID);
    assert_int_equal(coffer_tags_set(f.store, &opts, NULL, 1, &f.fault), COFFER_E_INVALID);
    assert_int_equal(coffer_tags_remove(f.store, &opts, &none, 1, &f.fault), COFFER_E_INVALID);
    assert_int_equal(set(&f, "w", "a", ""), COFFER_E_NOT_FOUND);
    assert_int_equal(set(&f, "v@s", "a", ""), COFFER_E_NOT_FOUND);
    assert_int_equal(set(&f, ".v", "a", ""), COFFER_E_INVALID);
    assert_int_equal(coffer_tags_set(f.store, &opts, &tag, 1, &f.fault), 0); /* NULL: "" */
    has(&f, "v", "a=");
    f.kms.keys[1].state = COFFER_KEY_IS_DISABLED;
    assert_int_equal(set(&f, "v", "a", "1"), COFFER_E_KEY_DISABLED);
    assert_int_equal(show(&f, "v", &shown), COFFER_E_KEY_DISABLED);
    f.kms.keys[1].state = COFFER_KEY_ENABLED;
    opts.provider = NULL;
    assert_int_equal(coffer_tags_set(f.store, &opts, &tag, 1, &f.fault), COFFER_E_NO_PROVIDER);
    fixture_close_store(&f);
    assert_int_equal(fixture_open_store(&f, COFFER_OPEN_READ_ONLY), 0);
    assert_int_equal(set(&f, "v", "a", "1"), COFFER_E_READ_ONLY);
    has(&f, "v", "a=");
    fixture_done(&f);
}

static void a_key_that_is_spent_seals_no_more_tags(void **state)
{
    (void)state;
    fixture_make(&f, 7);
    make_in(&f, "v", 0);
    must_set(&f, "v", "a", "1");
    cof_test_key_uses = 1000;
    assert_int_equal(set(&f, "v", "a", "2"), COFFER_E_LIMIT);
    cof_test_key_uses = 0;
    has(&f, "v", "a=1");
    fixture_done(&f);
}

/* ---- with everything that seals an entry anew ---- */

static int restore(const char *name, const char *new_name, const char *key,
                   const struct coffer_tag *tags, size_t count)
{
    struct coffer_snapshot_restore_opts opts = {
        .size = sizeof opts,
        .snapshot = {.volume = "v", .name = name, .provider = &f.kms.api},
        .new_name = new_name,
        .kms_key_id = key,
        .tags = tags,
        .tag_count = count};
    return coffer_snapshot_restore(f.store, &opts, &f.fault);
}

static void new_entries_have_the_tags_that_were_asked_for(void **state)
{
    static const struct coffer_tag own[] = {{"own", "yes"}, {"a", "mine"}}, bad[] = {{"aws:", ""}};
    (void)state;
    for (int plain = 0; plain < 2; plain++) {
        struct coffer_volume_create_opts create = {.size = sizeof create,
                                                   .name = "v",
                                                   .size_bytes = PAGES * PAGE,
                                                   .not_encrypted = plain,
                                                   .kms_key_id = plain ? NULL : K1,
                                                   .provider = &f.kms.api,
                                                   .tags = bad,
                                                   .tag_count = 1};
        struct coffer_snapshot_opts opts = {
            .size = sizeof opts, .name = "no", .provider = &f.kms.api, .tags = bad, .tag_count = 1};
        struct coffer_volume *volume;
        fixture_make(&f, 8);
        assert_int_equal(coffer_volume_create(f.store, &create, &f.fault), COFFER_E_INVALID);
        create.tags = own;
        create.tag_count = 2;
        assert_int_equal(coffer_volume_create(f.store, &create, &f.fault), 0);
        has(&f, "v", "a=mine own=yes");
        must_set(&f, "v", "a", "1");
        volume = open_volume(&f, "v");
        write_page(volume, 1, 1);
        assert_int_equal(coffer_snapshot_create(volume, &opts, NULL, &f.fault), COFFER_E_INVALID);
        take(volume, "none", 0, NULL, 0);
        take(volume, "own", 0, own, 1);
        take(volume, "copied", COFFER_SNAPSHOT_COPY_TAGS, NULL, 0);
        take(volume, "both", COFFER_SNAPSHOT_COPY_TAGS, own, 2);
        write_page(volume, 1, 2);
        assert_int_equal(coffer_volume_close(volume), 0);
        volume = open_volume(&f, "v"); /* its key was shared: it gets another */
        assert_int_equal(coffer_volume_close(volume), 0);
        assert_int_equal(restore("copied", "w", NULL, bad, 1), COFFER_E_INVALID);
        assert_int_equal(restore("copied", "w", NULL, NULL, 0), 0);
        assert_int_equal(restore("copied", "x", NULL, own, 1), 0);
        assert_int_equal(restore("copied", "y", K2, own, 1), 0); /* of a plain one: every page */
        for (int round = 0; round < 2; round++) {
            has(&f, "v", "a=1 own=yes");
            has(&f, "v@none", "");
            has(&f, "v@own", "own=yes");
            has(&f, "v@copied", "a=1 own=yes");
            has(&f, "v@both", "a=mine own=yes");
            has(&f, "w", "");
            has(&f, "x", "own=yes");
            has(&f, "y", "own=yes");
            assert_int_equal(findings(&f), 0);
            fixture_reopen(&f);
        }
        fixture_done(&f);
    }
}

/* The key has another's use beside the volume's: a snapshot is tagged while the volume is open. */
static void a_snapshot_is_tagged_whatever_is_open(void **state)
{
    struct coffer_volume *volume, *reader;
    struct coffer_volume_open_opts opts;
    (void)state;
    fixture_make(&f, 9);
    make_in(&f, "v", 0);
    volume = open_volume(&f, "v");
    take(volume, "s", 0, NULL, 0);
    f.kms.keys[1].state = COFFER_KEY_IS_DISABLED; /* its key is at hand */
    must_set(&f, "v@s", "a", "1");
    f.kms.keys[1].state = COFFER_KEY_ENABLED;
    opts = open_opts(&f, "v@s");
    opts.flags |= COFFER_VOLUME_READ_ONLY;
    assert_int_equal(coffer_volume_open(f.store, &opts, &reader, &f.fault), 0);
    must_set(&f, "v@s", "b", "2");
    must_set(&f, "v", "of", "the volume");
    write_page(volume, 3, 3);
    check_page(reader, 3, 0);
    assert_int_equal(coffer_volume_close(reader), 0);
    assert_int_equal(coffer_volume_close(volume), 0);
    fixture_reopen(&f);
    has(&f, "v@s", "a=1 b=2");
    has(&f, "v", "of=the volume");
    assert_int_equal(findings(&f), 0);
    fixture_done(&f);
}

static void tags_stay_when_keys_change(void **state)
{
    static const struct coffer_tag own[] = {{"s", "1"}};
    struct coffer_recipient_opts recipient = {
        .size = sizeof recipient,
        .snapshot = {.volume = "v", .name = "s", .provider = &f.kms.api},
        .kms_key_id = "arn:coffer:kms:test:000000000000:key/3"};
    struct coffer_volume *volume;
    (void)state;
    fixture_make(&f, 10);
    make_in(&f, "v", 0);
    must_set(&f, "v", "v", "1");
    volume = open_volume(&f, "v");
    take(volume, "s", 0, own, 1);
    take(volume, "t", 0, NULL, 0);
    assert_int_equal(coffer_volume_close(volume), 0);
    assert_int_equal(coffer_recipient_add(f.store, &recipient, &f.fault), 0);
    has(&f, "v@s", "s=1");
    assert_int_equal(coffer_recipient_remove(f.store, &recipient, &f.fault), 0);
    for (unsigned depth = COFFER_REKEY_MASTER; depth <= COFFER_REKEY_DATA; depth++) {
        struct coffer_rekey_opts opts = {.size = sizeof opts,
                                         .volume = "v",
                                         .kms_key_id = depth % 2 == 0 ? K2 : K1,
                                         .depth = (enum coffer_rekey_depth)depth,
                                         .provider = &f.kms.api};
        int err = coffer_volume_rekey(f.store, &opts, &f.fault);
        if (err != 0) {
            fail_msg("rekey: %s: %s", coffer_error_name(err), f.fault.detail);
        }
        fixture_reopen(&f);
        has(&f, "v", "v=1");
        has(&f, "v@s", "s=1");
        has(&f, "v@t", "");
        assert_int_equal(findings(&f), 0);
    }
    must_set(&f, "v@t", "after", "");
    has(&f, "v@t", "after=");
    fixture_done(&f);
}

/* What is gone leaves nothing, also where it is hidden first. */
static void tags_go_with_what_has_them(void **state)
{
    struct coffer_snapshot_opts opts = {
        .size = sizeof opts, .volume = "v", .name = "s", .provider = &f.kms.api};
    struct coffer_volume_open_opts open;
    struct coffer_volume *volume;
    uint32_t snapshot, number;
    (void)state;
    fixture_make(&f, 11);
    make_in(&f, "v", 0);
    must_set(&f, "v", "v", "1");
    volume = open_volume(&f, "v");
    write_page(volume, 0, 1);
    take(volume, "s", COFFER_SNAPSHOT_COPY_TAGS, NULL, 0);
    assert_int_equal(coffer_volume_close(volume), 0);
    assert_int_equal(restore("s", "w", NULL, NULL, 0), 0);
    number = item_of(&f, "v")->entry.number;
    snapshot = item_of(&f, "v@s")->entry.number;
    assert_true(has_part(&f, number) && has_part(&f, snapshot));
    assert_int_equal(coffer_snapshot_delete(f.store, &opts, &f.fault), 0);
    assert_int_equal(findings(&f), 0);
    open = open_opts(&f, "v");
    assert_int_equal(coffer_volume_delete(f.store, &open, &f.fault), 0);
    assert_false(has_part(&f, number));
    assert_false(has_part(&f, snapshot)); /* one child was left: the hidden node went */
    assert_int_equal(findings(&f), 0);
    fixture_reopen(&f);
    assert_int_equal(findings(&f), 0);
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tags_are_set_overwritten_and_removed),
        cmocka_unit_test(what_changes_nothing_writes_no_root),
        cmocka_unit_test(limits_are_in_characters),
        cmocka_unit_test(calls_that_are_wrong_are_refused),
        cmocka_unit_test(a_key_that_is_spent_seals_no_more_tags),
        cmocka_unit_test(new_entries_have_the_tags_that_were_asked_for),
        cmocka_unit_test(a_snapshot_is_tagged_whatever_is_open),
        cmocka_unit_test(tags_stay_when_keys_change),
        cmocka_unit_test(tags_go_with_what_has_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
