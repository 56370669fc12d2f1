/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/key_usage.c - see key_usage.h.
 */
#include "key_usage.h"
#include "error.h"
#include "output.h"
#include <coffer/snapshot.h>
#include <stdio.h>
#include <string.h>

struct search {
    const char *path, *key_arn;
    json_t *uses;
    bool failed;
};

static int add(struct search *search, const char *kind, const char *name, const char *resource_id,
               const char *status)
{
    json_t *use = json_pack("{s:s, s:s, s:o, s:s, s:s, s:s}", "Store", search->path, "Kind", kind,
                            "Name", name[0] != '\0' ? json_string(name) : json_null(),
                            "ResourceId", resource_id, "Status", status, "KmsKeyId",
                            search->key_arn);
    search->failed = json_array_append_new(search->uses, use) != 0;
    return search->failed;
}

static int see_volume(void *ctx, const struct coffer_volume_info *info)
{
    struct search *search = ctx;
    return strcmp(info->key_arn, search->key_arn) == 0
               ? add(search, "volume", info->name_known ? info->name : "", info->resource_id,
                     coffer_volume_access_name(info->access))
               : 0;
}

static int see_snapshot(void *ctx, const struct coffer_snapshot_info *info)
{
    struct search *search = ctx;
    char name[2 * COFFER_NAME_BYTES_MAX] = "";
    if (info->name_known) {
        snprintf(name, sizeof name, "%s@%s", info->volume, info->name);
    }
    return strcmp(info->key_arn, search->key_arn) == 0
               ? add(search, "snapshot", name, info->resource_id,
                     info->status == COFFER_SNAPSHOT_AVAILABLE ? "available" : "copying")
               : 0;
}

int cof_tool_key_uses(struct coffer_store *store, const char *path, const char *key_arn,
                      const struct coffer_key_provider *provider, json_t *uses,
                      struct coffer_fault *fault)
{
    struct search search = {path, key_arn, uses, uses == NULL};
    int error = coffer_volume_list(store, provider, see_volume, &search, fault);
    if (error == 0) {
        error = coffer_snapshot_list(store, NULL, provider, see_snapshot, &search, fault);
    }
    return search.failed ? COFFER_E_NO_MEMORY : error;
}

/* ---- the guard --------------------------------------------------------------------------- */

static int look_into(const struct cof_tool_call *call, const char *path, const char *key_arn,
                     json_t *uses)
{
    struct coffer_fault fault = {.page = COFFER_NOWHERE};
    struct coffer_store_opts opts = {
        .size = sizeof opts, .path = path, .flags = COFFER_OPEN_READ_ONLY};
    struct coffer_store *store = NULL;
    int error = coffer_store_open(&opts, &store, &fault);
    if (error == 0) {
        error = cof_tool_key_uses(store, path, key_arn, NULL, uses, &fault);
    }
    int closed = coffer_store_close(store);
    error = error != 0 ? error : closed;
    return error == 0 ? 0
                      : cof_tool_fail(call, error, &fault,
                                      "look there yourself with `coffer key-usage`, or go on with "
                                      "--force",
                                      "cannot tell what needs the key in %s", path);
}

static int show(const struct cof_tool_call *call, const char *key_arn, const char *action,
                const char *effect, json_t *uses)
{
    struct cof_tool_view view = {.schema_version = 1};
    return cof_tool_print(call,
                          json_pack("{s:b, s:s, s:s, s:s, s:o}", "DryRun", 1, "Action", action,
                                    "KeyId", key_arn, "Effect",
                                    json_array_size(uses) > 0 ? effect
                                                              : "nothing that was looked at "
                                                                "needs the key",
                                    "Uses", uses),
                          &view);
}

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

int cof_tool_guard_key(const struct cof_tool_call *call, const char *key_arn, const char *action,
                       const char *effect, bool *ret_over)
{
    const char *const *stores;
    unsigned count = cof_tool_list(call, "check-store", &stores);
    bool force = cof_tool_given(call, "force");
    json_t *uses = json_array();
    char text[768];
    int exit_code = 0;
    *ret_over = cof_tool_given(call, "dry-run");
    for (unsigned i = 0; exit_code == 0 && i < count && (!force || *ret_over); i++) {
        exit_code = look_into(call, stores[i], key_arn, uses);
    }
    if (exit_code == 0 && *ret_over) {
        return show(call, key_arn, action, effect, uses);
    }
    if (exit_code == 0 && json_array_size(uses) > 0) {
        name_uses(uses, text, sizeof text);
        exit_code = cof_tool_fail_named(call, "KEY_IN_USE", "usage", COF_EXIT_USAGE, text,
                                        "copy them under another key first, or go on with --force",
                                        "cannot %s: the key is needed", action);
    }
    json_decref(uses);
    return exit_code;
}
