/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/volume_tags_test - tags of volumes and snapshots: given, overwritten, taken away, at their
 * limits; with every operation that seals an entry anew; damaged, exchanged, put back; and cut
 * short by a crash.
 */
#include "volume_fixture.h"

#include "common/disk_forge.h"
#include "format/taglist_format.h"
#include "volume/store.h"

#include <coffer/audit.h>

#define PAGES 64u
#define K1 "arn:coffer:kms:test:000000000000:key/1"
#define K2 "arn:coffer:kms:test:000000000000:key/2"

static struct volume_fixture f, g;
extern uint64_t cof_test_key_uses;

/* ---- short forms: tags are written "key=value key=value", in the order they are visited ---- */

static struct coffer_tags_opts tags_opts(struct volume_fixture *in, const char *name)
{
    struct coffer_tags_opts opts = {.size = sizeof opts, .name = name, .provider = &f.kms.api};
    (void)in;
    return opts;
}

static int set(struct volume_fixture *in, const char *name, const char *key, const char *value)
{
    struct coffer_tags_opts opts = tags_opts(in, name);
    struct coffer_tag tag = {key, value};
    return coffer_tags_set(in->store, &opts, &tag, 1, &in->fault);
}

static void must_set(struct volume_fixture *in, const char *name, const char *key,
                     const char *value)
{
    int err = set(in, name, key, value);
    if (err != 0) {
        fail_msg("tag %s of %s: %s: %s", key, name, coffer_error_name(err), in->fault.detail);
    }
}

static int drop_tag(struct volume_fixture *in, const char *name, const char *key)
{
    struct coffer_tags_opts opts = tags_opts(in, name);
    return coffer_tags_remove(in->store, &opts, key != NULL ? &key : NULL, key != NULL ? 1 : 0,
                              &in->fault);
}

struct shown {
    char text[4096];
    unsigned count;
};

static int on_tag(void *ctx, const struct coffer_tag *tag)
{
    struct shown *shown = ctx;
    size_t used = strlen(shown->text);
    snprintf(shown->text + used, sizeof shown->text - used, "%s%s=%s", used > 0 ? " " : "",
             tag->key, tag->value);
    shown->count++;
    return 0;
}

static int show(struct volume_fixture *in, const char *name, struct shown *shown)
{
    struct coffer_tags_opts opts = tags_opts(in, name);
    memset(shown, 0, sizeof *shown);
    return coffer_tags_visit(in->store, &opts, on_tag, shown, &in->fault);
}

static void has(struct volume_fixture *in, const char *name, const char *expected)
{
    struct shown shown;
    int err = show(in, name, &shown);
    if (err != 0) {
        fail_msg("tags of %s: %s: %s", name, coffer_error_name(err), in->fault.detail);
    }
    assert_string_equal(shown.text, expected);
}

static int on_finding(void *ctx, const struct coffer_finding *finding)
{
    (void)ctx;
    (void)finding;
    return 0;
}

static uint64_t findings(struct volume_fixture *in)
{
    struct coffer_check_opts opts = {
        .size = sizeof opts, .provider = &f.kms.api, .on_finding = on_finding};
    struct coffer_check_summary summary;
    assert_int_equal(coffer_store_check(in->store, &opts, &summary, &in->fault), 0);
    return summary.findings;
}

static void take(struct coffer_volume *volume, const char *name, unsigned flags,
                 const struct coffer_tag *tags, size_t count)
{
    struct coffer_snapshot_opts opts = {.size = sizeof opts,
                                        .name = name,
                                        .provider = &f.kms.api,
                                        .flags = flags,
                                        .tags = tags,
                                        .tag_count = count};
    int err = coffer_snapshot_create(volume, &opts, NULL, &f.fault);
    if (err != 0) {
        fail_msg("snapshot: %s: %s", coffer_error_name(err), f.fault.detail);
    }
}

static void make_in(struct volume_fixture *in, const char *name, int plain)
{
    struct coffer_volume_create_opts opts = {.size = sizeof opts,
                                             .name = name,
                                             .size_bytes = PAGES * PAGE,
                                             .not_encrypted = plain,
                                             .kms_key_id = plain ? NULL : K1,
                                             .provider = &f.kms.api};
    assert_int_equal(coffer_volume_create(in->store, &opts, &in->fault), 0);
}

/* ---- what the store has of it ---- */

static struct cof_catalogue_item *item_of(struct volume_fixture *in, const char *name)
{
    struct cof_catalogue_item *item = NULL;
    pthread_mutex_lock(&in->store->lock);
    assert_int_equal(cof_catalogue_find(in->store, name, &f.kms.api, &item, &in->fault), 0);
    pthread_mutex_unlock(&in->store->lock);
    return item;
}

struct part {
    uint64_t key;
    unsigned blocks;
    uint8_t bytes[COF_TAGLIST_BLOCKS_MAX * 4096u];
};

static int write_part(struct cof_birth *birth, const struct cof_raw_writer *writer)
{
    struct part *part = birth->ctx;
    return cof_ptree_write(&f.store->catalogue_tree, writer, part->key, part->bytes, part->blocks);
}

static void get_part(const char *name, struct part *part)
{
    part->key = cof_catalogue_key(item_of(&f, name)->entry.number, COF_CATALOGUE_TAGS_PART);
    assert_int_equal(cof_ptree_read(&f.store->catalogue_tree, part->key, part->bytes,
                                    COF_TAGLIST_BLOCKS_MAX, &part->blocks),
                     0);
}

/* As one who has the disk can do it: all checksums and trees are right. */
static void put_part(struct part *part)
{
    struct cof_birth birth = {.write = write_part, .ctx = part};
    pthread_mutex_lock(&f.store->lock);
    assert_int_equal(cof_give_birth(f.store, &birth), 0);
    pthread_mutex_unlock(&f.store->lock);
}

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

/* ---- copies ---- */

static struct coffer_key_provider_ops no_decrypt_ops;
static struct coffer_key_provider no_decrypt;

static int refuse_decrypt(void *ctx, const char *arn, const struct coffer_key_blob *blob,
                          const struct coffer_context *context, uint8_t key_bytes[32])
{
    (void)ctx;
    (void)arn;
    (void)blob;
    (void)context;
    (void)key_bytes;
    return COFFER_E_KEY_ACCESS;
}

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
    no_decrypt = f.kms.api;
    no_decrypt_ops = *f.kms.api.ops;
    no_decrypt_ops.decrypt = refuse_decrypt;
    no_decrypt.ops = &no_decrypt_ops;
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
                                    .source = {.volume = "v", .name = "t", .provider = &no_decrypt},
                                    .name = "back",
                                    .kms_key_id = K1,
                                    .provider = &no_decrypt};
    (void)state;
    make_source(0);
    copy(&g, "s", "t", COFFER_COPY_TAGS, &no_decrypt, &no_decrypt, K2);
    copy(&g, "s", "u", COFFER_COPY_TAGS, &no_decrypt, &no_decrypt, K2);
    copy(&g, "s", "bare", 0, &no_decrypt, &no_decrypt, K2);
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

/* ---- damage ---- */

static void expect(const char *name, int error)
{
    struct shown shown;
    assert_int_equal(show(&f, name, &shown), error);
    assert_int_equal(shown.count, 0);
    assert_int_equal(findings(&f), 1);
    assert_int_equal(set(&f, name, "more", ""), error); /* which would hide it */
}

static void damaged_and_exchanged_lists_are_refused(void **state)
{
    static struct part mine, old, other, none;
    (void)state;
    for (int plain = 0; plain < 2; plain++) {
        int error = plain ? COFFER_E_CORRUPT : COFFER_E_TAMPER;
        fixture_make(&f, 14);
        make_in(&f, "v", plain);
        make_in(&f, "w", plain);
        must_set(&f, "v", "key", "old");
        must_set(&f, "w", "key", "new");
        get_part("v", &old);
        must_set(&f, "v", "key", "new");
        get_part("v", &mine);
        get_part("w", &other);
        assert_int_equal(findings(&f), 0);
        for (size_t at = 0; at < COF_TAGLIST_HEADER_BYTES + 14u; at++) {
            bool looked_at = at < 6 || (at >= 8 && at < 12) || (!plain && at >= 16 && at < 28) ||
                             at >= 32; /* the rest is reserved, or the audit's */
            mine.bytes[at] ^= 1;
            put_part(&mine);
            if (looked_at) {
                expect("v", error);
            } else {
                has(&f, "v", "key=new");
            }
            mine.bytes[at] ^= 1;
        }
        other.key = mine.key; /* the same tags, of another volume */
        put_part(&other);
        expect("v", error);
        put_part(&old); /* it was this volume's, once */
        expect("v", error);
        none.key = mine.key;
        none.blocks = 0;
        put_part(&none);
        expect("v", error);
        put_part(&mine);
        has(&f, "v", "key=new");
        put_part(&old);
        assert_int_equal(drop_tag(&f, "v", NULL), 0); /* an end of it */
        has(&f, "v", "");
        assert_int_equal(findings(&f), 0);
        put_part(&old); /* where there are none any more */
        has(&f, "v", "");
        assert_int_equal(findings(&f), 1);
        must_set(&f, "v", "key", "again");
        assert_int_equal(findings(&f), 0);
        fixture_done(&f);
    }
}

/* A new volume key seals the tags anew: where they can't be read, nobody drops them silently, and
 * removing them all is the way out. Reading goes on. */
static void a_volume_with_damaged_tags_keeps_its_key_until_they_are_removed(void **state)
{
    static struct part part;
    struct coffer_volume *volume;
    struct coffer_volume_open_opts opts;
    (void)state;
    fixture_make(&f, 19);
    make_in(&f, "v", 0);
    must_set(&f, "v", "key", "value");
    volume = open_volume(&f, "v");
    write_page(volume, 5, 1);
    take(volume, "s", 0, NULL, 0);
    assert_int_equal(coffer_volume_close(volume), 0);
    get_part("v", &part);
    part.bytes[50] ^= 1;
    put_part(&part);
    opts = open_opts(&f, "v");
    assert_int_equal(coffer_volume_open(f.store, &opts, &volume, &f.fault), COFFER_E_TAMPER);
    assert_non_null(strstr(f.fault.detail, "removing all"));
    opts.flags |= COFFER_VOLUME_READ_ONLY;
    assert_int_equal(coffer_volume_open(f.store, &opts, &volume, &f.fault), 0);
    check_page(volume, 5, 1);
    assert_int_equal(coffer_volume_close(volume), 0);
    assert_int_equal(drop_tag(&f, "v", NULL), 0);
    volume = open_volume(&f, "v");
    check_page(volume, 5, 1);
    assert_int_equal(coffer_volume_close(volume), 0);
    assert_int_equal(findings(&f), 0);
    fixture_done(&f);
}

/* What the medium does is damage, and stays told apart from what somebody did. */
static void a_worn_block_is_damage(void **state)
{
    struct cof_tree_pointer pointer;
    struct sim_image *image;
    struct shown shown;
    uint8_t byte;
    (void)state;
    fixture_make(&f, 15);
    make_in(&f, "v", 0);
    must_set(&f, "v", "key", "value");
    assert_int_equal(
        cof_ptree_find(&f.store->catalogue_tree,
                       cof_catalogue_key(item_of(&f, "v")->entry.number, COF_CATALOGUE_TAGS_PART),
                       &pointer),
        0);
    fixture_close_store(&f);
    image = sim_disk_image_live(f.disk);
    forge_read(image, pointer.segment, pointer.block, 60, &byte, 1);
    byte ^= 1;
    forge_write(image, pointer.segment, pointer.block, 60, &byte, 1);
    sim_disk_free(f.disk);
    f.disk = sim_disk_from_image(image, &(struct sim_disk_options){.seed = 1, .record = true});
    sim_image_free(image);
    assert_int_equal(fixture_open_store(&f, 0), 0);
    assert_int_equal(show(&f, "v", &shown), COFFER_E_CORRUPT);
    assert_true(findings(&f) > 0);
    {
        struct coffer_volume *volume = open_volume(&f, "v"); /* its data is not concerned */
        assert_int_equal(coffer_volume_close(volume), 0);
    }
    fixture_done(&f);
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

/* ---- crashes ---- */

/* Cut the power after each event of one change: the old list or the new, whole. */
static void cut_everywhere(bool open, const char *before, const char *after,
                           int (*change)(struct volume_fixture *))
{
    static const enum sim_variant variants[] = {SIM_CUT_ALL, SIM_CUT_NONE, SIM_CUT_TORN};
    uint64_t first, last;
    unsigned old = 0, new = 0;
    struct sim_disk *live;
    fixture_make(&f, 16);
    make_in(&f, "v", 0);
    must_set(&f, "v", "a", "1");
    must_set(&f, "v", "b", "2");
    if (open) {
        write_page(open_volume(&f, "v"), 0, 1);
    }
    first = sim_disk_events(f.disk);
    assert_int_equal(change(&f), 0);
    last = sim_disk_events(f.disk);
    assert_true(last > first + 3u);
    sim_disk_power_off(f.disk);
    (void)coffer_store_close(f.store);
    live = f.disk;
    for (uint64_t event = first; event <= last; event++) {
        for (unsigned i = 0; i < sizeof variants / sizeof variants[0]; i++) {
            struct sim_image *image = sim_disk_image_at(live, event, variants[i], event);
            struct shown shown;
            f.disk = sim_disk_from_image(image, &(struct sim_disk_options){.seed = 1});
            sim_image_free(image);
            assert_int_equal(fixture_open_store(&f, 0), 0);
            assert_int_equal(show(&f, "v", &shown), 0);
            old += strcmp(shown.text, before) == 0 ? 1u : 0u;
            new += strcmp(shown.text, after) == 0 ? 1u : 0u;
            assert_true(strcmp(shown.text, before) == 0 || strcmp(shown.text, after) == 0);
            assert_true(event < last || strcmp(shown.text, after) == 0);
            assert_int_equal(findings(&f), 0);
            fixture_close_store(&f);
            sim_disk_free(f.disk);
        }
    }
    f.disk = live;
    f.store = NULL;
    assert_true(old > 0 && new > 0);
    sim_disk_free(live);
    det_env_check_leaks(&f.env);
}

static int change_b(struct volume_fixture *in)
{
    return set(in, "v", "b", "3");
}

static int remove_all(struct volume_fixture *in)
{
    return drop_tag(in, "v", NULL);
}

static int renew_key(struct volume_fixture *in)
{
    struct coffer_rekey_opts opts = {.size = sizeof opts,
                                     .volume = "v",
                                     .kms_key_id = K2,
                                     .depth = COFFER_REKEY_VOLUME,
                                     .provider = &f.kms.api};
    return coffer_volume_rekey(in->store, &opts, &in->fault);
}

static void a_cut_leaves_the_old_list_or_the_new(void **state)
{
    (void)state;
    cut_everywhere(false, "a=1 b=2", "a=1 b=3", change_b);
    cut_everywhere(true, "a=1 b=2", "a=1 b=3", change_b);
    cut_everywhere(false, "a=1 b=2", "", remove_all);
    cut_everywhere(false, "a=1 b=2", "a=1 b=2", renew_key);
}

/* Memory fails at each place in turn: nothing has changed, or all has. */
static void what_fails_changes_nothing(void **state)
{
    unsigned failed = 0;
    int err = COFFER_E_NO_MEMORY;
    (void)state;
    for (uint64_t at = 0; err != 0; at++) {
        struct shown shown;
        fixture_make(&f, 17);
        make_in(&f, "v", 0);
        must_set(&f, "v", "a", "1");
        det_env_fail(&f.env, at, false);
        err = set(&f, "v", "b", "2");
        det_env_fail_none(&f.env);
        if (f.store->error != 0) {
            fixture_crash(&f, SIM_CUT_ALL, at);
        }
        assert_int_equal(show(&f, "v", &shown), 0);
        assert_string_equal(shown.text, err == 0 ? "a=1 b=2" : "a=1");
        failed += err != 0 ? 1u : 0u;
        assert_int_equal(findings(&f), 0);
        fixture_done(&f);
    }
    assert_true(failed > 5);
}

/* ---- the audit ---- */

static int on_seal(void *ctx, const struct coffer_seal *seal)
{
    unsigned *records = ctx;
    *records += seal->kind == COFFER_SEAL_RECORD ? 1u : 0u;
    return 0;
}

static unsigned records_sealed(void)
{
    unsigned records = 0;
    struct coffer_seals_opts opts = {.size = sizeof opts, .on_seal = on_seal, .ctx = &records};
    fixture_close_store(&f);
    assert_int_equal(fixture_open_store(&f, COFFER_OPEN_READ_ONLY), 0);
    assert_int_equal(coffer_store_visit_seals(f.store, &opts, NULL, &f.fault), 0);
    fixture_close_store(&f);
    assert_int_equal(fixture_open_store(&f, 0), 0);
    return records;
}

static void the_audit_sees_the_seals_of_lists(void **state)
{
    unsigned before;
    (void)state;
    fixture_make(&f, 18);
    make_in(&f, "v", 0);
    make_in(&f, "p", 1);
    before = records_sealed();
    must_set(&f, "v", "a", "1");
    must_set(&f, "p", "a", "1");                     /* is no seal */
    assert_int_equal(records_sealed(), before + 2u); /* the record, and the list */
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
        cmocka_unit_test(copies_have_the_tags_if_they_are_wanted),
        cmocka_unit_test(another_key_service_seals_them_anew),
        cmocka_unit_test(who_may_not_decrypt_takes_the_tags_along),
        cmocka_unit_test(damaged_and_exchanged_lists_are_refused),
        cmocka_unit_test(a_volume_with_damaged_tags_keeps_its_key_until_they_are_removed),
        cmocka_unit_test(a_worn_block_is_damage),
        cmocka_unit_test(who_has_the_disk_can_drop_a_keyless_copys_tags_and_no_others),
        cmocka_unit_test(a_cut_leaves_the_old_list_or_the_new),
        cmocka_unit_test(what_fails_changes_nothing),
        cmocka_unit_test(the_audit_sees_the_seals_of_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
