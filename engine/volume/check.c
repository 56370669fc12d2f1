/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/check.c - check and scrub: the call, and what is found.
 *
 * Without keys, what check_places.c looks at. With keys, for each volume that opens: its map
 * (check_map.c), every page read, its tag verified, and its list of tags. Nothing is changed.
 * Findings go to the caller; only what stops the check itself is an error.
 */
#include "volume/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define READ_BYTES (1u << 20)

/* ---- what is found, and how far it is ---- */

int cof_check_report(struct cof_check *check, int error, enum coffer_stage stage, uint64_t page,
                     uint64_t segment, uint64_t offset, const char *format, ...)
{
    struct coffer_finding finding;
    va_list args;
    memset(&finding, 0, sizeof finding);
    finding.error = error;
    finding.stage = stage;
    finding.page = page;
    finding.segment = segment;
    finding.offset = offset;
    if (check->volume != NULL) {
        memcpy(finding.volume, check->volume->record.name, sizeof finding.volume - 1u);
    }
    va_start(args, format);
    vsnprintf(finding.text, sizeof finding.text, format, args);
    va_end(args);
    check->summary.findings++;
    if (check->stop == 0 && check->opts->on_finding != NULL) {
        check->stop = check->opts->on_finding(check->opts->ctx, &finding);
    }
    return check->stop;
}

int cof_check_advance(struct cof_check *check, uint64_t bytes)
{
    struct cof_env *env = &check->store->env;
    uint64_t rate = check->opts->bytes_per_second_max;
    check->summary.bytes_read += bytes;
    if (rate != 0) {
        uint64_t due = check->summary.bytes_read / rate * UINT64_C(1000000000) +
                       check->summary.bytes_read % rate * UINT64_C(1000000000) / rate;
        uint64_t now = cof_monotonic_ns(env) - check->began_ns;
        if (due > now) {
            struct timespec pause = {(time_t)((due - now) / 1000000000u),
                                     (long)((due - now) % 1000000000u)};
            nanosleep(&pause, NULL);
        }
    }
    if (check->stop == 0 && check->opts->on_progress != NULL) {
        check->stop = check->opts->on_progress(check->opts->ctx, check->summary.bytes_read,
                                               check->total_bytes);
    }
    return check->stop;
}

/* ---- every page of a volume ---- */

static int check_piece(struct cof_check *check, uint64_t offset, uint64_t length)
{
    struct coffer_fault fault;
    int err = coffer_volume_read(check->volume, check->batch, offset, (size_t)length, &fault);
    if (err == COFFER_E_NO_MEMORY) {
        return err;
    }
    for (uint64_t at = 0; err != 0 && at < length; at += COF_PAGE_BYTES) {
        int page_err =
            coffer_volume_read(check->volume, check->batch, offset + at, COF_PAGE_BYTES, &fault);
        if (page_err != 0 &&
            cof_check_report(check, page_err, fault.stage, (offset + at) / COF_PAGE_BYTES,
                             fault.segment, fault.offset, "page %llu: %s",
                             (unsigned long long)((offset + at) / COF_PAGE_BYTES),
                             coffer_error_sentence(page_err)) != 0) {
            return check->stop;
        }
    }
    check->summary.tags_checked += length / COF_PAGE_BYTES;
    return cof_check_advance(check, length);
}

static int check_pages(struct cof_check *check)
{
    uint64_t offset = 0, length = 1;
    struct coffer_fault fault;
    int err = 0;
    while (err == 0 && length > 0) {
        err = coffer_volume_next_data(check->volume, &offset, &length, &fault);
        if (err != 0) { /* a node above does not read: the map's check has said so */
            return err == COFFER_E_NO_MEMORY ? err : 0;
        }
        for (uint64_t at = 0; err == 0 && at < length;) {
            uint64_t piece = length - at < READ_BYTES / 4u ? length - at : READ_BYTES / 4u;
            err = check_piece(check, offset + at, piece);
            at += piece;
        }
        offset += length;
    }
    return err;
}

/* ---- volumes ---- */

/* The tags of the volume that is open. */
static int check_tags(struct cof_check *check, const char *id)
{
    int err;
    pthread_mutex_lock(&check->store->lock);
    err = cof_taglist_check(check->volume);
    pthread_mutex_unlock(&check->store->lock);
    return err == 0 || err == COFFER_E_NO_MEMORY
               ? err
               : cof_check_report(check, err, COFFER_STAGE_ROOT, COFFER_NOWHERE, COFFER_NOWHERE,
                                  COFFER_NOWHERE, "the tags of %s: %s", id,
                                  coffer_error_sentence(err));
}

/* The next entry after *number, opened: volumes, snapshots and hidden nodes alike. NOT_FOUND when
 * there is none; entries may come and go between two calls. */
static int open_next(struct cof_check *check, uint32_t *number, char id[COFFER_RESOURCE_ID_BYTES],
                     struct coffer_fault *fault)
{
    struct coffer_store *store = check->store;
    struct cof_catalogue_item *item;
    int err = COFFER_E_NOT_FOUND;
    pthread_mutex_lock(&store->admin);
    pthread_mutex_lock(&store->lock);
    item = store->items;
    while (item != NULL &&
           (item->entry.number <= *number || item->entry.kind == COF_KIND_COPYING)) {
        item = item->next;
    }
    if (item != NULL) {
        *number = item->entry.number;
        cof_resource_id(item->entry.kind == COF_KIND_VOLUME ? "vol" : "snap", item->entry.uuid, id);
        check->summary.volumes++;
        err = store->error != 0
                  ? COFFER_E_FAILED
                  : cof_volume_open_item(store, item, COFFER_VOLUME_READ_ONLY,
                                         check->opts->provider, &check->volume, fault);
        if (err != 0) {
            check->volume = NULL;
            err = cof_check_doubt(check, item) == 0 && err == COFFER_E_NOT_FOUND ? COFFER_E_CORRUPT
                                                                                 : err;
        }
    }
    pthread_mutex_unlock(&store->lock);
    pthread_mutex_unlock(&store->admin);
    return err;
}

/* What the open entry refers to, or why it does not open. */
static int check_entry(struct cof_check *check, int err, const char *id,
                       const struct coffer_fault *fault)
{
    if (err == COFFER_E_NO_MEMORY) {
        return err;
    }
    if (err != 0) {
        return coffer_error_class_of(err) == COFFER_CLASS_KEY
                   ? 0
                   : cof_check_report(check, err, fault->stage, fault->page, fault->segment,
                                      fault->offset, "%s does not open: %.100s", id, fault->detail);
    }
    check->summary.volumes_opened++;
    err = cof_check_map(check);
    if (err == 0) {
        err = check_tags(check, id);
    }
    if (err == 0) {
        err = check_pages(check);
    }
    (void)coffer_volume_close(check->volume);
    check->volume = NULL;
    return err;
}

static int check_keyed(struct cof_check *check)
{
    uint32_t number = 0;
    int err = 0;
    while (err == 0) {
        char id[COFFER_RESOURCE_ID_BYTES];
        struct coffer_fault fault;
        int opened;
        cof_fault_clear(&fault);
        opened = open_next(check, &number, id, &fault);
        if (opened == COFFER_E_NOT_FOUND) {
            return cof_check_liveness(check);
        }
        err = check_entry(check, opened, id, &fault);
    }
    return err;
}

int coffer_store_check(struct coffer_store *store, const struct coffer_check_opts *opts,
                       struct coffer_check_summary *ret_summary, struct coffer_fault *fault)
{
    struct cof_check check;
    int err = 0;
    cof_fault_clear(fault);
    if (opts == NULL || opts->size < sizeof *opts) {
        return cof_fault(fault, COFFER_E_INVALID, COFFER_STAGE_NONE, "the options are not valid");
    }
    if (store->volumes != NULL) {
        return cof_fault(fault, COFFER_E_BUSY, COFFER_STAGE_NONE,
                         "close the store's volumes before it is checked");
    }
    memset(&check, 0, sizeof check);
    check.store = store;
    check.opts = opts;
    check.began_ns = cof_monotonic_ns(&store->env);
    check.live = cof_calloc(&store->env, store->segments.count, sizeof *check.live);
    check.batch = cof_alloc_aligned(&store->env, READ_BYTES);
    if (check.live == NULL || check.batch == NULL) {
        err = COFFER_E_NO_MEMORY;
    }
    if (err == 0) {
        err = cof_check_keyless(&check);
    }
    if (err == 0 && (opts->flags & COFFER_CHECK_KEYLESS) == 0) {
        err = check_keyed(&check);
    }
    cof_free(&store->env, check.live);
    cof_free_aligned(&store->env, check.batch);
    cof_free(&store->env, check.seen);
    cof_free(&store->env, check.doubts);
    if (err != 0 && err == check.stop) {
        return err;
    }
    if (err != 0) {
        return cof_fault(fault, err, COFFER_STAGE_NONE, "the check could not go on: %s",
                         coffer_error_sentence(err));
    }
    *ret_summary = check.summary;
    return 0;
}
