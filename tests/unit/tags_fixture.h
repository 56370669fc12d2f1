/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/tags_fixture.h - tags of the volumes and snapshots of a store, set and shown in short forms.
 *
 * f is the store, and its key service that of any other store beside it. One thread.
 */
#ifndef COF_TEST_TAGS_FIXTURE_H
#define COF_TEST_TAGS_FIXTURE_H

#include "volume_fixture.h"

#include "volume/store.h"

#define PAGES 64u
#define K1 "arn:coffer:kms:test:000000000000:key/1"
#define K2 "arn:coffer:kms:test:000000000000:key/2"

static struct volume_fixture f;

/* ---- short forms: tags are written "key=value key=value", in the order they are visited ---- */

static inline struct coffer_tags_opts tags_opts(struct volume_fixture *in, const char *name)
{
    struct coffer_tags_opts opts = {.size = sizeof opts, .name = name, .provider = &f.kms.api};
    (void)in;
    return opts;
}

static inline int set(struct volume_fixture *in, const char *name, const char *key,
                      const char *value)
{
    struct coffer_tags_opts opts = tags_opts(in, name);
    struct coffer_tag tag = {key, value};
    return coffer_tags_set(in->store, &opts, &tag, 1, &in->fault);
}

static inline void must_set(struct volume_fixture *in, const char *name, const char *key,
                            const char *value)
{
    int err = set(in, name, key, value);
    if (err != 0) {
        fail_msg("tag %s of %s: %s: %s", key, name, coffer_error_name(err), in->fault.detail);
    }
}

static inline int drop_tag(struct volume_fixture *in, const char *name, const char *key)
{
    struct coffer_tags_opts opts = tags_opts(in, name);
    return coffer_tags_remove(in->store, &opts, key != NULL ? &key : NULL, key != NULL ? 1 : 0,
                              &in->fault);
}

struct shown {
    char text[4096];
    unsigned count;
};

static inline int on_tag(void *ctx, const struct coffer_tag *tag)
{
    struct shown *shown = ctx;
    size_t used = strlen(shown->text);
    snprintf(shown->text + used, sizeof shown->text - used, "%s%s=%s", used > 0 ? " " : "",
             tag->key, tag->value);
    shown->count++;
    return 0;
}

static inline int show(struct volume_fixture *in, const char *name, struct shown *shown)
{
    struct coffer_tags_opts opts = tags_opts(in, name);
    memset(shown, 0, sizeof *shown);
    return coffer_tags_visit(in->store, &opts, on_tag, shown, &in->fault);
}

static inline void has(struct volume_fixture *in, const char *name, const char *expected)
{
    struct shown shown;
    int err = show(in, name, &shown);
    if (err != 0) {
        fail_msg("tags of %s: %s: %s", name, coffer_error_name(err), in->fault.detail);
    }
    assert_string_equal(shown.text, expected);
}

static inline int on_finding(void *ctx, const struct coffer_finding *finding)
{
    (void)ctx;
    (void)finding;
    return 0;
}

static inline uint64_t findings(struct volume_fixture *in)
{
    struct coffer_check_opts opts = {
        .size = sizeof opts, .provider = &f.kms.api, .on_finding = on_finding};
    struct coffer_check_summary summary;
    assert_int_equal(coffer_store_check(in->store, &opts, &summary, &in->fault), 0);
    return summary.findings;
}

static inline void take(struct coffer_volume *volume, const char *name, unsigned flags,
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

static inline void make_in(struct volume_fixture *in, const char *name, int plain)
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

static inline struct cof_catalogue_item *item_of(struct volume_fixture *in, const char *name)
{
    struct cof_catalogue_item *item = NULL;
    pthread_mutex_lock(&in->store->lock);
    assert_int_equal(cof_catalogue_find(in->store, name, &f.kms.api, &item, &in->fault), 0);
    pthread_mutex_unlock(&in->store->lock);
    return item;
}

#endif
