/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/volume_tags_copy_test - tags of snapshots that are copied: taken along or left behind,
 * under another key, by another key service, without the right to decrypt.
 */
#include "tags_fixture.h"

static struct volume_fixture g;
static struct fake_kms_blind blind; /* f's, for a principal who may not decrypt */

/* v@s with a tag, in f; g is empty. */
static void make_source(int plain)
{
    static const struct coffer_tag own[] = {{"s", "1"}};
    struct coffer_volume *volume;
    fixture_env_seed = 99;
    fixture_make(&f, 12);
    fixture_env_seed = 98;
    fixture_make(&g, 13);
    fixture_env_seed = 99;
    make_in(&f, "v", plain);
    volume = open_volume(&f, "v");
    write_page(volume, 0, 1);
    take(volume, "s", 0, own, 1);
    take(volume, "bare", 0, NULL, 0);
    assert_int_equal(coffer_volume_close(volume), 0);
    fixture_reopen(&f);
    fake_kms_blind_init(&blind, &f.kms);
}

static void copy(struct volume_fixture *to, const char *name, const char *as, unsigned flags,
                 const struct coffer_key_provider *from, const struct coffer_key_provider *provider,
                 const char *key)
{
    struct coffer_copy_opts opts = {.size = sizeof opts,
                                    .flags = flags,
                                    .source = {.volume = "v", .name = name, .provider = from},
                                    .name = as,
                                    .kms_key_id = key,
                                    .provider = provider};
    int err = coffer_snapshot_copy(f.store, to->store, &opts, &to->fault);
    if (err != 0) {
        fail_msg("copy: %s: %s", coffer_error_name(err), to->fault.detail);
    }
}

static void copies_have_the_tags_if_they_are_wanted(void **state)
{
    (void)state;
    for (int plain = 0; plain < 2; plain++) {
        const char *key = plain ? NULL : K2;
        make_source(plain);
        for (unsigned tags = 0; tags < 2; tags++) {
            unsigned flags = tags != 0 ? COFFER_COPY_TAGS : 0u;
            const char *expected = tags != 0 ? "s=1" : "";
            copy(&g, "s", tags ? "alone-t" : "alone", flags, &f.kms.api, &f.kms.api, key);
            has(&g, tags ? "v@alone-t" : "v@alone", expected);
            copy(&f, "s", tags ? "here-t" : "here", flags, &f.kms.api, &f.kms.api, key);
            has(&f, tags ? "v@here-t" : "v@here", expected);
            copy(&g, "bare", tags ? "bare-t" : "bare", flags, &f.kms.api, &f.kms.api, key);
            has(&g, tags ? "v@bare-t" : "v@bare", "");
            if (!plain) {
                copy(&g, "s", tags ? "anew-t" : "anew", flags | COFFER_COPY_REENCRYPT, &f.kms.api,
                     &f.kms.api, key);
                has(&g, tags ? "v@anew-t" : "v@anew", expected);
            }
        }
        assert_int_equal(findings(&f), 0);
        assert_int_equal(findings(&g), 0);
        fixture_reopen(&g);
        has(&g, "v@alone", "");
        has(&g, "v@alone-t", "s=1");
        assert_int_equal(findings(&g), 0);
        fixture_done(&f);
        fixture_done(&g);
    }
}

/* Another key service: a volume key of the copy's own, and its tags under it. */
static void another_key_service_seals_them_anew(void **state)
{
    struct coffer_tags_opts opts = {.size = sizeof opts, .name = "v@s", .provider = &g.kms.api};
    struct shown shown = {.count = 0};
    (void)state;
    make_source(0);
    copy(&g, "s", NULL, COFFER_COPY_TAGS, &f.kms.api, &g.kms.api, K2);
    for (unsigned key = 0; key < FAKE_KMS_KEYS; key++) {
        f.kms.keys[key].state = COFFER_KEY_IS_DISABLED;
    }
    assert_int_equal(coffer_tags_visit(g.store, &opts, on_tag, &shown, &g.fault), 0);
    assert_string_equal(shown.text, "s=1");
    for (unsigned key = 0; key < FAKE_KMS_KEYS; key++) {
        f.kms.keys[key].state = COFFER_KEY_ENABLED;
    }
    fixture_done(&f);
    fixture_done(&g);
}

/* The list travels as it was sealed, by one who can't open it; and on; and it becomes the copy's
 * own when it is changed, or the volume key is. */
static void who_may_not_decrypt_takes_the_tags_along(void **state)
{
    struct coffer_rekey_opts rekey = {.size = sizeof rekey,
                                      .volume = "v@t",
                                      .kms_key_id = K1,
                                      .depth = COFFER_REKEY_VOLUME,
                                      .provider = &f.kms.api};
    struct coffer_copy_opts back = {.size = sizeof back,
                                    .flags = COFFER_COPY_TAGS,
                                    .source = {.volume = "v", .name = "t", .provider = &blind.api},
                                    .name = "back",
                                    .kms_key_id = K1,
                                    .provider = &blind.api};
    (void)state;
    make_source(0);
    copy(&g, "s", "t", COFFER_COPY_TAGS, &blind.api, &blind.api, K2);
    copy(&g, "s", "u", COFFER_COPY_TAGS, &blind.api, &blind.api, K2);
    copy(&g, "s", "bare", 0, &blind.api, &blind.api, K2);
    assert_true(item_of(&g, "v@t")->entry.verbatim && !item_of(&g, "v@t")->entry.tags_left);
    assert_true(item_of(&g, "v@bare")->entry.tags_left);
    has(&g, "v@t", "s=1");
    has(&g, "v@bare", "");
    assert_int_equal(coffer_snapshot_copy(g.store, f.store, &back, &f.fault), 0);
    has(&f, "v@back", "s=1");
    back.source.name = "bare";
    back.name = "bare-back";
    assert_int_equal(coffer_snapshot_copy(g.store, f.store, &back, &f.fault), 0);
    assert_true(item_of(&f, "v@bare-back")->entry.tags_left); /* what is left stays left */
    has(&f, "v@bare-back", "");
    assert_int_equal(coffer_volume_rekey(g.store, &rekey, &g.fault), 0);
    must_set(&g, "v@u", "more", "2");
    must_set(&g, "v@bare", "new", "3");
    assert_false(item_of(&g, "v@t")->entry.verbatim || item_of(&g, "v@u")->entry.verbatim);
    assert_false(item_of(&g, "v@bare")->entry.tags_left);
    fixture_reopen(&g);
    has(&g, "v@t", "s=1");
    has(&g, "v@u", "more=2 s=1");
    has(&g, "v@bare", "new=3");
    {
        struct coffer_volume *volume;
        struct coffer_volume_open_opts opts = {.size = sizeof opts,
                                               .name = "v@u",
                                               .flags = COFFER_VOLUME_READ_ONLY,
                                               .provider = &f.kms.api};
        assert_int_equal(coffer_volume_open(g.store, &opts, &volume, &g.fault), 0);
        check_page(volume, 0, 1);
        assert_int_equal(coffer_volume_close(volume), 0);
    }
    assert_int_equal(findings(&f), 0);
    assert_int_equal(findings(&g), 0);
    fixture_done(&f);
    fixture_done(&g);
}

/* A clear flag says that the tags of a copy were left behind: of a copy it is believed. */
static void who_has_the_disk_can_drop_a_keyless_copys_tags_and_no_others(void **state)
{
    struct cof_volume_entry entry;
    uint8_t bytes[COF_VOLUME_ENTRY_BYTES];
    (void)state;
    make_source(0);
    copy(&g, "s", NULL, COFFER_COPY_TAGS, &f.kms.api, &f.kms.api, K2);
    has(&g, "v@s", "s=1");
    item_of(&g, "v@s")->entry.tags_left = true;
    has(&g, "v@s", "");
    assert_int_equal(findings(&g), 1); /* but the list is there */
    entry = item_of(&f, "v@s")->entry;
    entry.tags_left = true;
    cof_volume_entry_encode(&entry, bytes);
    assert_int_equal(cof_volume_entry_decode(bytes, &entry), COFFER_E_CORRUPT);
    item_of(&g, "v@s")->entry.tags_left = false;
    fixture_done(&f);
    fixture_done(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_have_the_tags_if_they_are_wanted),
        cmocka_unit_test(another_key_service_seals_them_anew),
        cmocka_unit_test(who_may_not_decrypt_takes_the_tags_along),
        cmocka_unit_test(who_has_the_disk_can_drop_a_keyless_copys_tags_and_no_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
