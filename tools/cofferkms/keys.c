/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cofferkms/keys.c - create, describe, list, enable and disable keys; aliases.
 */
#include "common/error.h"
#include "common/key_usage.h"
#include "common/output.h"
#include "verbs.h"
#include <stdlib.h>
#include <string.h>

/* ---- metadata ---------------------------------------------------------------------------- */

static json_t *metadata_json(const struct coffer_key_metadata *key)
{
    json_t *object = json_pack(
        "{s:s, s:s, s:s, s:o, s:b, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:[s], s:b, s:s}",
        "AWSAccountId", key->account, "KeyId", key->key_id, "Arn", key->arn, "CreationDate",
        cof_key_time_json(key->created_ns), "Enabled", key->state == COFFER_KEY_ENABLED,
        "Description", key->description, "KeyUsage", key->key_usage, "KeyState",
        coffer_keystore_state_name(key->state), "Origin", key->origin, "KeyManager",
        key->managed ? COFFER_KEY_MANAGER_MANAGED : COFFER_KEY_MANAGER_CUSTOMER,
        "CustomerMasterKeySpec", key->key_spec, "KeySpec", key->key_spec, "EncryptionAlgorithms",
        "SYMMETRIC_DEFAULT", "MultiRegion", key->multi_region, "CurrentKeyMaterialId",
        key->material_id);
    if (object != NULL && key->deletion_ns != 0) {
        json_object_set_new(object, "DeletionDate", cof_key_time_json(key->deletion_ns));
    }
    if (object != NULL && key->valid_to_ns != 0) {
        json_object_set_new(object, "ValidTo", cof_key_time_json(key->valid_to_ns));
    }
    return json_pack("{s:o}", "KeyMetadata", object);
}

static int print_metadata(struct cof_tool_call *call, const struct coffer_key_metadata *key)
{
    json_t *value = metadata_json(key);
    struct cof_tool_view view = {0};
    if (value != NULL) {
        view.people = json_incref(json_object_get(value, "KeyMetadata"));
    }
    return cof_tool_print(call, value, &view);
}

int cof_key_create_key(struct cof_tool_call *call)
{
    struct cof_key_run run;
    static struct coffer_key_metadata key = {.size = sizeof key};
    const char *spec = cof_tool_text(call, "key-spec", "SYMMETRIC_DEFAULT");
    if (strcmp(spec, "SYMMETRIC_DEFAULT") != 0) {
        return cof_tool_usage(call, NULL, "--key-spec %s is for data keys: a key is "
                              "SYMMETRIC_DEFAULT", spec);
    }
    int exit_code = cof_key_run_begin(&run, call, COFFER_KEYSTORE_CREATE, "");
    if (exit_code != 0) {
        return exit_code;
    }
    int error = coffer_keystore_create_key(run.kms.store, cof_tool_text(call, "description", NULL),
                                           &key, &run.fault);
    exit_code = cof_key_run_end(&run, error, "cannot make a key");
    return exit_code != 0 ? exit_code : print_metadata(call, &key);
}

int cof_key_describe_key(struct cof_tool_call *call)
{
    struct cof_key_run run;
    static struct coffer_key_metadata key = {.size = sizeof key};
    int exit_code = cof_key_run_begin(&run, call, 0, "key-id");
    if (exit_code != 0) {
        return exit_code;
    }
    int error = coffer_keystore_describe_key(run.kms.store, cof_tool_text(call, "key-id", NULL),
                                             &key, &run.fault);
    exit_code = cof_key_run_end(&run, error, "cannot describe the key");
    return exit_code != 0 ? exit_code : print_metadata(call, &key);
}

int cof_key_enable_key(struct cof_tool_call *call)
{
    struct cof_key_run run;
    int exit_code = cof_key_run_begin(&run, call, 0, "key-id");
    if (exit_code != 0) {
        return exit_code;
    }
    int error = coffer_keystore_enable_key(run.kms.store, cof_tool_text(call, "key-id", NULL),
                                           &run.fault);
    return cof_key_run_end(&run, error, "cannot enable the key");
}

/* Who needs the key is asked first, where stores are named or nothing is to be done. */
static int guard(struct cof_key_run *run, const char *key, const char *action, int *ret_exit_code,
                 bool *ret_over)
{
    struct coffer_key_metadata metadata = {.size = sizeof metadata};
    if (!cof_tool_given(run->call, "check-store") && !cof_tool_given(run->call, "dry-run")) {
        return 0;
    }
    int error = coffer_keystore_describe_key(run->kms.store, key, &metadata, &run->fault);
    if (error == 0) {
        *ret_exit_code = cof_tool_guard_key(
            run->call, metadata.arn, action,
            "open volumes stop at the next check of their key, after half of their lease "
            "(5 minutes, unless it was opened with another), and can be started for seven days; "
            "nothing else opens from now on",
            ret_over);
    }
    return error;
}

int cof_key_disable_key(struct cof_tool_call *call)
{
    struct cof_key_run run;
    int exit_code = cof_key_run_begin(&run, call, 0, "key-id");
    if (exit_code != 0) {
        return exit_code;
    }
    const char *key = cof_tool_text(call, "key-id", NULL);
    bool over = false;
    int error = guard(&run, key, "disable the key", &exit_code, &over);
    if (error == 0 && exit_code == 0 && !over) {
        error = coffer_keystore_disable_key(run.kms.store, key, &run.fault);
    }
    int ended = cof_key_run_end(&run, error, "cannot disable the key");
    return exit_code != 0 ? exit_code : ended;
}

/* ---- listings ---------------------------------------------------------------------------- */

static int add_key(void *ctx, const struct coffer_key_entry *entry)
{
    json_t *item = json_pack("{s:s, s:s}", "KeyId", entry->key_id, "KeyArn", entry->arn);
    return json_array_append_new(ctx, item) == 0 ? 0 : COFFER_E_NO_MEMORY;
}

static int add_alias(void *ctx, const struct coffer_alias_entry *entry)
{
    json_t *item = json_pack("{s:s, s:s, s:s, s:o, s:o}", "AliasName", entry->name, "AliasArn",
                             entry->arn, "TargetKeyId", entry->target_key_id, "CreationDate",
                             cof_key_time_json(entry->created_ns), "LastUpdatedDate",
                             cof_key_time_json(entry->updated_ns));
    return json_array_append_new(ctx, item) == 0 ? 0 : COFFER_E_NO_MEMORY;
}

static int check_limit(struct cof_tool_call *call, uint64_t limit_max, unsigned *ret_limit)
{
    uint64_t limit = cof_tool_number(call, "limit", 0);
    if (cof_tool_given(call, "limit") && (limit == 0 || limit > limit_max)) {
        return cof_tool_usage(call, NULL, "--limit is 1 to %llu", (unsigned long long)limit_max);
    }
    *ret_limit = (unsigned)limit;
    return 0;
}

/* {NAME: [...], "Truncated": ..., "NextMarker": ...}; items is stolen. */
static int print_page(struct cof_tool_call *call, const char *name, json_t *items,
                      const char *columns, const char *marker)
{
    struct cof_tool_view view = {.people = json_incref(items), .columns = columns};
    json_t *value = json_pack("{s:o, s:b}", name, items, "Truncated", marker[0] != '\0');
    if (value != NULL && marker[0] != '\0') {
        json_object_set_new(value, "NextMarker", json_string(marker));
        cof_tool_note(call, "more follow: --marker %s", marker);
    }
    return cof_tool_print(call, value, &view);
}

int cof_key_list_keys(struct cof_tool_call *call)
{
    struct cof_key_run run;
    char marker[COFFER_MARKER_BYTES_MAX] = "";
    unsigned limit = 0;
    int exit_code = check_limit(call, 1000, &limit);
    if (exit_code == 0) {
        exit_code = cof_key_run_begin(&run, call, COFFER_KEYSTORE_CREATE, "");
    }
    if (exit_code != 0) {
        return exit_code;
    }
    json_t *items = json_array();
    int error = coffer_keystore_list_keys(run.kms.store, limit, cof_tool_text(call, "marker", NULL),
                                          add_key, items, marker, &run.fault);
    exit_code = cof_key_run_end(&run, error, "cannot list the keys");
    if (exit_code != 0) {
        json_decref(items);
        return exit_code;
    }
    return print_page(call, "Keys", items, "KeyId KeyArn", marker);
}

int cof_key_list_aliases(struct cof_tool_call *call)
{
    struct cof_key_run run;
    char marker[COFFER_MARKER_BYTES_MAX] = "";
    unsigned limit = 0;
    int exit_code = check_limit(call, 100, &limit);
    if (exit_code == 0) {
        exit_code = cof_key_run_begin(&run, call, COFFER_KEYSTORE_CREATE, "");
    }
    if (exit_code != 0) {
        return exit_code;
    }
    json_t *items = json_array();
    int error = coffer_keystore_list_aliases(run.kms.store, cof_tool_text(call, "key-id", NULL),
                                             limit, cof_tool_text(call, "marker", NULL), add_alias,
                                             items, marker, &run.fault);
    exit_code = cof_key_run_end(&run, error, "cannot list the aliases");
    if (exit_code != 0) {
        json_decref(items);
        return exit_code;
    }
    return print_page(call, "Aliases", items, "AliasName TargetKeyId", marker);
}

int cof_key_create_alias(struct cof_tool_call *call)
{
    struct cof_key_run run;
    int exit_code = cof_key_run_begin(&run, call, 0, "alias-name target-key-id");
    if (exit_code != 0) {
        return exit_code;
    }
    int error = coffer_keystore_create_alias(run.kms.store, cof_tool_text(call, "alias-name", NULL),
                                             cof_tool_text(call, "target-key-id", NULL),
                                             &run.fault);
    return cof_key_run_end(&run, error, "cannot make the alias");
}
