/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cofferkms/audit.c - the audit trail: query, verify, export; and what uses a key.
 *
 * Every record is checked, from the first on, before any is shown: an answer from a trail that was
 * altered is none. A file may keep the trail's head, so that the next run sees a trail that was cut
 * off, or a store that was replaced by an older copy.
 */
#include "common/error.h"
#include "common/kept_file.h"
#include "common/output.h"
#include "event.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define VOLUME_KEY "coffer:volume"

/* ---- filters ----------------------------------------------------------------------------- */

struct filter {
    const char *key, *principal, *event, *class, *volume;
    uint64_t since_ns, until_ns; /* until: not that moment any more */
    uint64_t limit;              /* the newest; 0: all */
    json_t *events;
};

/* 2026-11-22T01:02:03Z, 2026-11-22, or seconds since 1970. */
static int read_time(const struct cof_tool_call *call, const char *name, uint64_t fallback,
                     uint64_t *ret_ns)
{
    static const char *const forms[] = {"%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d", "%s"};
    const char *text = cof_tool_text(call, name, NULL);
    *ret_ns = fallback;
    if (text == NULL) {
        return 0;
    }
    for (unsigned i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        struct tm parts = {.tm_mday = 1};
        const char *end = strptime(text, forms[i], &parts);
        time_t seconds = i < 2 ? timegm(&parts) : mktime(&parts);
        if (end != NULL && *end == '\0' && seconds >= 0) {
            *ret_ns = (uint64_t)seconds * 1000000000u;
            return 0;
        }
    }
    return cof_tool_usage(call, NULL, "--%s %s is no time: 2026-11-22T01:02:03Z, 2026-11-22, or "
                          "seconds since 1970", name, text);
}

static int read_filter(const struct cof_tool_call *call, struct filter *filter)
{
    memset(filter, 0, sizeof *filter);
    filter->key = cof_tool_text(call, "key-id", NULL);
    filter->principal = cof_tool_text(call, "principal", NULL);
    filter->event = cof_tool_text(call, "event-name", NULL);
    filter->class = cof_tool_text(call, "class", NULL);
    filter->volume = cof_tool_text(call, "volume", NULL);
    filter->limit = cof_tool_number(call, "limit", 0);
    int exit_code = read_time(call, "since", 0, &filter->since_ns);
    return exit_code != 0 ? exit_code : read_time(call, "until", UINT64_MAX, &filter->until_ns);
}

/* The ARN, or the id that it ends with. */
static bool names_key(const char *arn, const char *key)
{
    size_t arn_bytes = strlen(arn), key_bytes = strlen(key);
    return strcmp(arn, key) == 0 ||
           (arn_bytes > key_bytes && arn[arn_bytes - key_bytes - 1] == '/' &&
            strcmp(arn + arn_bytes - key_bytes, key) == 0);
}

/* The volume that a record's context is of; "": none. buffer has room for what is returned. */
static const char *volume_of(const struct coffer_audit_record *record, char *buffer, size_t bytes)
{
    json_t *context = json_loads(record->context, 0, NULL);
    const char *volume = json_string_value(json_object_get(context, VOLUME_KEY));
    snprintf(buffer, bytes, "%s", volume != NULL ? volume : "");
    json_decref(context);
    return buffer;
}

static bool fits(const struct filter *filter, const struct coffer_audit_record *record)
{
    char volume[80];
    return record->time_ns >= filter->since_ns && record->time_ns < filter->until_ns &&
           (filter->key == NULL || names_key(record->key_arn, filter->key) ||
            names_key(record->source_key_arn, filter->key)) &&
           (filter->principal == NULL || strcmp(record->principal, filter->principal) == 0) &&
           (filter->event == NULL || strcmp(record->event, filter->event) == 0) &&
           (filter->class == NULL ||
            strcmp(cof_event_class(record->event), filter->class) == 0) &&
           (filter->volume == NULL ||
            strcmp(volume_of(record, volume, sizeof volume), filter->volume) == 0);
}

static int keep_event(void *ctx, const struct coffer_audit_record *record)
{
    struct filter *filter = ctx;
    if (!fits(filter, record)) {
        return 0;
    }
    if (json_array_append_new(filter->events, cof_event_json(record)) != 0) {
        return COFFER_E_NO_MEMORY;
    }
    if (filter->limit != 0 && json_array_size(filter->events) > filter->limit) {
        (void)json_array_remove(filter->events, 0);
    }
    return 0;
}

/* ---- query ------------------------------------------------------------------------------- */

static json_t *row_json(const json_t *event)
{
    const json_t *who = json_object_get(event, "userIdentity");
    const char *arn = json_string_value(json_object_get(who, "arn"));
    const char *service = json_string_value(json_object_get(who, "invokedBy"));
    const char *other = json_string_value(json_object_get(who, "principalId"));
    const char *error = json_string_value(json_object_get(event, "errorCode"));
    const char *key = json_string_value(
        json_object_get(json_object_get(event, "requestParameters"), "keyId"));
    return json_pack("{s:O, s:O, s:O, s:s, s:s, s:s}", "Sequence",
                     json_object_get(event, "sequence"), "Time",
                     json_object_get(event, "eventTime"), "Event",
                     json_object_get(event, "eventName"), "Principal",
                     arn != NULL ? arn : service != NULL ? service : other != NULL ? other : "",
                     "Key", key != NULL ? key : "", "Error", error != NULL ? error : "");
}

static int print_events(const struct cof_tool_call *call, json_t *events)
{
    json_t *rows = json_array();
    size_t i;
    json_t *event;
    json_array_foreach(events, i, event)
    {
        (void)json_array_append_new(rows, row_json(event));
    }
    struct cof_tool_view view = {.people = rows,
                                 .columns = "Sequence Time Event Principal Key Error"};
    return cof_tool_print(call, json_pack("{s:o}", "Events", events), &view);
}

int cof_key_audit_query(struct cof_tool_call *call)
{
    struct cof_key_run run;
    struct filter filter;
    int exit_code = read_filter(call, &filter);
    if (exit_code == 0) {
        exit_code = cof_key_run_begin(&run, call, COFFER_KEYSTORE_READ_ONLY, "");
    }
    if (exit_code != 0) {
        return exit_code;
    }
    filter.events = json_array();
    int error = coffer_keystore_audit_walk(run.kms.store, keep_event, &filter, NULL, NULL,
                                           &run.fault);
    exit_code = cof_key_run_end(&run, error, "cannot read the audit trail");
    if (exit_code != 0) {
        json_decref(filter.events);
        return exit_code;
    }
    return print_events(call, filter.events);
}

/* ---- the head ---------------------------------------------------------------------------- */

static json_t *hex_json(const uint8_t *bytes, size_t count)
{
    char text[2 * COFFER_AUDIT_SIGNATURE_BYTES + 1];
    for (size_t i = 0; i < count; i++) {
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    }
    return json_string(text);
}

static json_t *head_json(const struct coffer_audit_head *head)
{
    return json_pack("{s:I, s:o, s:o, s:o}", "Records", (json_int_t)head->records, "Digest",
                     hex_json(head->digest, sizeof head->digest), "Signature",
                     hex_json(head->signature, sizeof head->signature), "PublicKey",
                     hex_json(head->public_key, sizeof head->public_key));
}

static bool digest_of(const json_t *file, uint8_t digest[COFFER_AUDIT_DIGEST_BYTES])
{
    const char *text = json_string_value(json_object_get(file, "Digest"));
    if (text == NULL || strlen(text) != 2 * COFFER_AUDIT_DIGEST_BYTES ||
        strspn(text, "0123456789abcdef") != 2 * COFFER_AUDIT_DIGEST_BYTES) {
        return false;
    }
    for (unsigned i = 0; i < COFFER_AUDIT_DIGEST_BYTES; i++) {
        unsigned byte = 0;
        (void)sscanf(text + 2 * i, "%2x", &byte);
        digest[i] = (uint8_t)byte;
    }
    return true;
}

/* The head that the file kept; records 0 when there is no file yet. */
static int read_head(const struct cof_tool_call *call, const char *path,
                     struct coffer_audit_head *head)
{
    const char *why = NULL;
    int fd = cof_tool_kept_open(path, &why);
    if (fd < 0 && why != NULL) {
        return cof_tool_fail(call, COFFER_E_CORRUPT, NULL, "keep it where others can't write",
                             "cannot believe %s: %s", path, why);
    }
    if (fd < 0) {
        return errno == ENOENT ? 0
                               : cof_tool_fail_errno(call, errno, NULL, "cannot read %s", path);
    }
    json_t *file = json_loadfd(fd, JSON_REJECT_DUPLICATES, NULL);
    json_int_t records = json_integer_value(json_object_get(file, "Records"));
    close(fd);
    bool good = records >= 0 && digest_of(file, head->digest);
    head->records = (uint64_t)records;
    json_decref(file);
    return good ? 0
                : cof_tool_fail(call, COFFER_E_CORRUPT, NULL, "name another file",
                                "%s holds no head of an audit trail", path);
}

int cof_key_audit_verify(struct cof_tool_call *call)
{
    struct cof_key_run run;
    struct coffer_audit_head kept = {.size = sizeof kept}, head = {.size = sizeof head};
    const char *path = cof_tool_text(call, "head-file", NULL);
    int lock = path != NULL ? cof_tool_kept_lock(path) : -1;
    if (path != NULL && lock < 0) {
        return cof_tool_fail_errno(call, errno, NULL, "cannot lock %s", path);
    }
    int exit_code = path != NULL ? read_head(call, path, &kept) : 0;
    if (exit_code == 0) {
        exit_code = cof_key_run_begin(&run, call, COFFER_KEYSTORE_READ_ONLY, "");
    }
    if (exit_code == 0) {
        int error = coffer_keystore_audit_walk(run.kms.store, NULL, NULL, &kept, &head, &run.fault);
        exit_code = cof_key_run_end(&run, error, "the audit trail is not whole");
    }
    json_t *value = exit_code == 0 ? head_json(&head) : NULL;
    if (exit_code == 0 && path != NULL && cof_tool_kept_replace(path, value) != 0) {
        exit_code = cof_tool_fail_errno(call, errno, NULL, "cannot write %s", path);
    }
    if (lock >= 0) {
        close(lock);
    }
    if (exit_code != 0) {
        json_decref(value);
        return exit_code;
    }
    return cof_tool_print(call, value, NULL);
}

/* ---- export ------------------------------------------------------------------------------ */

static int print_line(void *ctx, const struct coffer_audit_record *record)
{
    struct filter *filter = ctx;
    json_t *event = fits(filter, record) ? cof_event_json(record) : NULL;
    int failed = 0;
    if (event != NULL) {
        failed = json_dumpf(event, stdout, JSON_COMPACT) != 0 || putchar('\n') == EOF;
    }
    json_decref(event);
    return failed ? COFFER_E_IO : 0;
}

int cof_key_audit_export(struct cof_tool_call *call)
{
    struct cof_key_run run;
    struct filter filter;
    struct coffer_audit_head head = {.size = sizeof head};
    int exit_code = read_filter(call, &filter);
    if (exit_code == 0) {
        exit_code = cof_key_run_begin(&run, call, COFFER_KEYSTORE_READ_ONLY, "");
    }
    if (exit_code != 0) {
        return exit_code;
    }
    int error = coffer_keystore_audit_walk(run.kms.store, print_line, &filter, NULL, &head,
                                           &run.fault);
    exit_code = cof_key_run_end(&run, error, "cannot export the audit trail");
    if (exit_code == 0) {
        json_t *last = json_pack("{s:o}", "head", head_json(&head));
        (void)json_dumpf(last, stdout, JSON_COMPACT);
        (void)putchar('\n');
        json_decref(last);
        exit_code = cof_tool_finish_output(call);
    }
    return exit_code;
}

/* ---- what uses a key --------------------------------------------------------------------- */

/* users: {VOLUME or "": {...}}, the newest use of each. */
static int keep_user(void *ctx, const struct coffer_audit_record *record)
{
    struct filter *filter = ctx;
    char volume[80];
    if (!fits(filter, record) || strcmp(cof_event_class(record->event), "usage") != 0 ||
        record->error[0] != '\0') {
        return 0;
    }
    (void)volume_of(record, volume, sizeof volume);
    json_t *user = json_object_get(filter->events, volume);
    json_int_t uses = json_integer_value(json_object_get(user, "Uses")) + 1;
    json_t *entry = json_pack("{s:s, s:s, s:I, s:s, s:s, s:o}", "User",
                              volume[0] != '\0' ? "volume" : "other", "Volume", volume, "Uses",
                              uses, "LastEvent", record->event, "LastPrincipal", record->principal,
                              "LastUse", cof_key_time_json(record->time_ns));
    return json_object_set_new(filter->events, volume, entry) == 0 ? 0 : COFFER_E_NO_MEMORY;
}

int cof_key_usage(struct cof_tool_call *call)
{
    struct cof_key_run run;
    struct filter filter;
    static struct coffer_key_metadata key = {.size = sizeof key};
    int exit_code = cof_key_run_begin(&run, call, COFFER_KEYSTORE_READ_ONLY, "");
    if (exit_code != 0) {
        return exit_code;
    }
    memset(&filter, 0, sizeof filter);
    filter.until_ns = UINT64_MAX;
    filter.events = json_object();
    int error = coffer_keystore_describe_key(run.kms.store, call->operands[0], &key, &run.fault);
    filter.key = key.arn;
    if (error == 0) {
        error = coffer_keystore_audit_walk(run.kms.store, keep_user, &filter, NULL, NULL,
                                           &run.fault);
    }
    exit_code = cof_key_run_end(&run, error, "cannot tell what uses the key");
    json_t *users = json_array();
    const char *name;
    json_t *user;
    json_object_foreach(filter.events, name, user)
    {
        (void)json_array_append(users, user);
    }
    json_decref(filter.events);
    if (exit_code != 0) {
        json_decref(users);
        return exit_code;
    }
    struct cof_tool_view view = {.people = json_incref(users),
                                 .columns = "User Volume Uses LastEvent LastPrincipal LastUse"};
    return cof_tool_print(call, json_pack("{s:s, s:o}", "KeyId", key.arn, "Users", users), &view);
}
