/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/key_guard.c - what stands in the way of taking a key away, and what would become of it.
 *
 * A store that another process has open tells nothing: the guard refuses, and a dry run says by
 * when whatever it has under the key stops. One thread.
 */
#include "error.h"
#include "key_usage.h"
#include "output.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

#define DAY_SECONDS 86400

struct look {
    const struct cof_tool_call *call;
    const char *key_arn;
    time_t now;
    bool dry_run;
    json_t *uses;
};

/* ---- what there is ----------------------------------------------------------------------- */

/* Another process has it: what it holds shows only to that. */
static int add_busy(struct look *look, const char *path)
{
    json_t *use = json_pack("{s:s, s:s, s:n, s:n, s:s, s:s}", "Store", path, "Kind", "store",
                            "Name", "ResourceId", "Status", "open", "KmsKeyId", look->key_arn);
    return json_array_append_new(look->uses, use) == 0
               ? 0
               : cof_tool_fail(look->call, COFFER_E_NO_MEMORY, NULL, NULL, "cannot look");
}

static int look_into(struct look *look, const char *path)
{
    struct coffer_fault fault = {.page = COFFER_NOWHERE};
    struct coffer_store_opts opts = {
        .size = sizeof opts, .path = path, .flags = COFFER_OPEN_READ_ONLY};
    struct coffer_store *store = NULL;
    int error = coffer_store_open(&opts, &store, &fault);
    if (error == COFFER_E_BUSY && look->dry_run) {
        return add_busy(look, path);
    }
    if (error == 0) {
        error = cof_tool_key_uses(store, path, look->key_arn, NULL, look->uses, &fault);
    }
    int closed = coffer_store_close(store);
    error = error != 0 ? error : closed;
    return error == 0 ? 0
                      : cof_tool_fail(look->call, error, &fault,
                                      "look there yourself with `coffer key-usage`, or go on with "
                                      "--force",
                                      "cannot tell what needs the key in %s", path);
}

/* ---- what would become of it ------------------------------------------------------------- */

static json_t *stamp(time_t when)
{
    char text[32];
    struct tm parts;
    return gmtime_r(&when, &parts) != NULL && strftime(text, sizeof text, "%FT%TZ", &parts) > 0
               ? json_string(text)
               : json_null();
}

/* A volume that could be looked at is closed, and stays so; one that is open goes on until its next
 * check, and at the longest until its lease ends. */
static void foretell(const struct look *look, json_t *use)
{
    const char *kind = json_string_value(json_object_get(use, "Kind"));
    const char *status = json_string_value(json_object_get(use, "Status"));
    const char *recoverable = coffer_volume_access_name(COFFER_VOLUME_RECOVERABLE);
    const char *terminal = coffer_volume_access_name(COFFER_VOLUME_INACCESSIBLE);
    bool open = strcmp(kind, "store") == 0;
    time_t stops = look->now + (open ? (time_t)(COFFER_LEASE_NS_DEFAULT / 1000000000u) : 0);
    if (strcmp(kind, "snapshot") == 0) {
        json_object_set_new(use, "NextStatus", json_string("unusable"));
        json_object_set_new(use, "StopsBy", stamp(look->now));
        json_object_set_new(use, "RecoverableUntil", json_null());
    } else if (strcmp(status, recoverable) == 0 || strcmp(status, terminal) == 0) {
        json_object_set_new(use, "NextStatus", json_string(status));
        json_object_set_new(use, "StopsBy", json_null());
        json_object_set_new(use, "RecoverableUntil", json_null());
    } else {
        json_object_set_new(use, "NextStatus", json_string(recoverable));
        json_object_set_new(use, "StopsBy", stamp(stops));
        json_object_set_new(use, "RecoverableUntil", stamp(stops + 7 * DAY_SECONDS));
    }
}

static int show(struct look *look, const struct cof_tool_guard *guard)
{
    struct cof_tool_view view = {.schema_version = 1};
    json_t *use;
    size_t i;
    json_array_foreach(look->uses, i, use)
    {
        foretell(look, use);
    }
    json_t *plan = json_pack("{s:b, s:s, s:s, s:s, s:o}", "DryRun", 1, "Action", guard->action,
                             "KeyId", look->key_arn, "Effect",
                             json_array_size(look->uses) > 0 ? guard->effect
                                                             : "nothing that was looked at "
                                                               "needs the key",
                             "Uses", look->uses);
    json_object_set_new(plan, "KeyLostFrom",
                        guard->lost_after_days > 0
                            ? stamp(look->now + (time_t)guard->lost_after_days * DAY_SECONDS)
                            : json_null());
    return cof_tool_print(look->call, plan, &view);
}

/* ---- the guard --------------------------------------------------------------------------- */

/* "STORE:NAME, ..." as far as it fits. */
static void name_uses(const json_t *uses, char *text, size_t capacity)
{
    size_t i, length = 0;
    json_t *use;
    text[0] = '\0';
    json_array_foreach(uses, i, use)
    {
        int took = snprintf(text + length, capacity - length, "%s%s %s of %s", i > 0 ? ", " : "",
                            json_string_value(json_object_get(use, "Kind")),
                            json_string_value(json_object_get(use, "ResourceId")),
                            json_string_value(json_object_get(use, "Store")));
        if (took < 0 || (size_t)took >= capacity - length) {
            memcpy(text + capacity - 4, "...", 4);
            return;
        }
        length += (size_t)took;
    }
}

int cof_tool_guard_key(const struct cof_tool_call *call, const char *key_arn,
                       const struct cof_tool_guard *guard, bool *ret_over)
{
    struct look look = {.call = call,
                        .key_arn = key_arn,
                        .now = time(NULL),
                        .dry_run = cof_tool_given(call, "dry-run"),
                        .uses = json_array()};
    const char *const *stores;
    unsigned count = cof_tool_list(call, "check-store", &stores);
    bool force = cof_tool_given(call, "force");
    char text[768];
    int exit_code = 0;
    *ret_over = look.dry_run;
    for (unsigned i = 0; exit_code == 0 && i < count && (!force || look.dry_run); i++) {
        exit_code = look_into(&look, stores[i]);
    }
    if (exit_code == 0 && look.dry_run) {
        return show(&look, guard);
    }
    if (exit_code == 0 && json_array_size(look.uses) > 0) {
        name_uses(look.uses, text, sizeof text);
        exit_code = cof_tool_fail_named(call, "KEY_IN_USE", "usage", COF_EXIT_USAGE, text,
                                        "copy them under another key first, or go on with --force",
                                        "cannot %s: the key is needed", guard->action);
    }
    json_decref(look.uses);
    return exit_code;
}
