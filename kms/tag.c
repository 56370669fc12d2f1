/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/tag.c - tags of keys. Names and values are checked before anything is written, so a list of
 * tags is put whole or not at all. Under the store's lock.
 */
#include "verbs.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define NAME_CHARACTERS_MAX 128u
#define VALUE_CHARACTERS_MAX 256u

/* Characters of UTF-8 text. */
static size_t characters(const char *text)
{
    size_t count = 0;

    for (; *text != '\0'; text++) {
        count += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return count;
}

static int check_tag(struct cof_kms_call *call, const struct cof_kms_tag *tag)
{
    if (tag->name == NULL || tag->value == NULL || tag->name[0] == '\0' ||
        !cof_kms_text_ok(tag->name) || !cof_kms_text_ok(tag->value) ||
        characters(tag->name) > NAME_CHARACTERS_MAX ||
        characters(tag->value) > VALUE_CHARACTERS_MAX) {
        return cof_kms_fault(call->fault, COFFER_E_TAG,
                             "a tag's key has 1 to %u characters and its value up to %u",
                             NAME_CHARACTERS_MAX, VALUE_CHARACTERS_MAX);
    }
    if (strncasecmp(tag->name, "aws:", 4) == 0) {
        return cof_kms_fault(call->fault, COFFER_E_TAG,
                             "the prefix aws: is reserved: choose another key for the tag");
    }
    return 0;
}

static int check_tags(struct cof_kms_call *call, const struct cof_kms_tag *tags, unsigned count)
{
    unsigned i, j;
    int error = 0;

    for (i = 0; error == 0 && i < count; i++) {
        error = check_tag(call, &tags[i]);
        for (j = 0; error == 0 && j < i; j++) {
            if (strcmp(tags[i].name, tags[j].name) == 0) {
                error = cof_kms_fault(call->fault, COFFER_E_TAG, "the tag '%.60s' is given twice",
                                      tags[i].name);
            }
        }
    }
    return error;
}

int cof_kms_tags_put(struct cof_kms_call *call, const struct cof_kms_key_row *row,
                     const struct cof_kms_tag *tags, unsigned count)
{
    struct cof_kms_tag_row tag;
    uint64_t have = 0;
    unsigned i;
    int error = check_tags(call, tags, count);

    memset(&tag, 0, sizeof(tag));
    memcpy(tag.key_arn, row->arn, sizeof(tag.key_arn));
    for (i = 0; error == 0 && i < count; i++) {
        (void)snprintf(tag.name, sizeof(tag.name), "%s", tags[i].name);
        (void)snprintf(tag.value, sizeof(tag.value), "%s", tags[i].value);
        error = cof_kms_db_tag_set(call->ks->db, &tag, call->fault);
    }
    if (error == 0) {
        error = cof_kms_db_tag_count(call->ks->db, row->arn, &have, call->fault);
    }
    if (error == 0 && have > COF_KMS_TAGS_MAX) {
        return cof_kms_fault(call->fault, COFFER_E_LIMIT, "a key has at most %u tags",
                             COF_KMS_TAGS_MAX);
    }
    return error;
}

static int find_changeable(struct cof_kms_call *call, const char *key, const char *action,
                           struct cof_kms_key_row *row)
{
    int error = cof_kms_key_find(call, key, true, row);

    if (error == 0) {
        error = cof_kms_authorize(call, row, action);
    }
    return error == 0 ? cof_kms_key_changeable(call, row) : error;
}

int cof_kms_tag_resource(struct cof_kms_call *call, const char *key, const struct cof_kms_tag *tags,
                         unsigned count)
{
    struct cof_kms_key_row row;
    int error = find_changeable(call, key, "kms:TagResource", &row);

    return error == 0 ? cof_kms_tags_put(call, &row, tags, count) : error;
}

int cof_kms_untag_resource(struct cof_kms_call *call, const char *key, const char *const *names,
                           unsigned count)
{
    struct cof_kms_key_row row;
    unsigned i;
    int error = find_changeable(call, key, "kms:UntagResource", &row);

    for (i = 0; error == 0 && i < count; i++) {
        const struct cof_kms_tag tag = {names[i], ""};

        error = check_tag(call, &tag);
        if (error == 0) {
            error = cof_kms_db_tag_remove(call->ks->db, row.arn, names[i], call->fault);
        }
    }
    return error;
}

struct tag_visit {
    struct cof_kms_lister lister;
    int (*visit)(void *ctx, const struct cof_kms_tag_row *row);
    void *ctx;
};

static int visit_tag(void *ctx, const struct cof_kms_tag_row *row)
{
    struct tag_visit *tags = ctx;

    return cof_kms_lister_takes(&tags->lister, row->name) ? tags->visit(tags->ctx, row) : 0;
}

int cof_kms_list_resource_tags(struct cof_kms_call *call, const char *key,
                               struct cof_kms_page *page,
                               int (*visit)(void *ctx, const struct cof_kms_tag_row *row),
                               void *ctx)
{
    struct tag_visit tags = {.visit = visit, .ctx = ctx};
    struct cof_kms_key_row row;
    int error = cof_kms_key_find(call, key, true, &row);

    if (error == 0) {
        error = cof_kms_authorize(call, &row, "kms:ListResourceTags");
    }
    if (error == 0) {
        error = cof_kms_lister_open(call, page, row.arn, &tags.lister);
    }
    if (error == 0) {
        error = cof_kms_db_tag_each(call->ks->db, row.arn, tags.lister.after,
                                    cof_kms_lister_asks(&tags.lister), visit_tag, &tags,
                                    call->fault);
    }
    return error == 0 ? cof_kms_lister_close(&tags.lister) : error;
}
