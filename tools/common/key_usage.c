/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/key_usage.c - see key_usage.h.
 */
#include "key_usage.h"
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
