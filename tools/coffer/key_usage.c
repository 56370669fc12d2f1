/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/key_usage.c - coffer key-usage: what in a store needs a key, and the grants on it that a
 * crash left: by their names they are this store's, and none of its entries has them.
 */
#include "common/key_usage.h"
#include "common/output.h"
#include "show.h"
#include "verbs.h"
#include <stdio.h>
#include <string.h>

/* The key's ARN, by the key service; one that is gone from it is known by its ARN all the same. */
static int resolve(struct cli_session *session, const struct coffer_key_provider *provider,
                   const char *key, struct coffer_key_info *ret_key)
{
    bool is_arn = strncmp(key, "arn:", 4) == 0 && strstr(key, ":key/") != NULL;
    memset(ret_key, 0, sizeof *ret_key);
    if (is_arn && strlen(key) < sizeof ret_key->arn) {
        memcpy(ret_key->arn, key, strlen(key));
        return 0;
    }
    if (provider == NULL) {
        return cof_tool_usage(session->call, NULL, "with --keyless the key is named by its ARN");
    }
    const struct coffer_key_provider *asker = cli_session_asker(session);
    int error = asker->ops->describe(asker->ctx, key, ret_key);
    return error == 0 ? 0
                      : cli_session_fail(session, error, NULL,
                                         "name the key by its ARN, which `coffer dump` shows",
                                         "cannot find the key %s", key);
}

/* ---- grants that are left over ----------------------------------------------------------- */

/* "coffer:STORE:" of this store, and where the volume's uuid begins in a name. */
static const char *volume_in(const struct cli_session *session, const char *name)
{
    char uuid[CLI_UUID_TEXT_BYTES], prefix[CLI_UUID_TEXT_BYTES + 8];
    snprintf(prefix, sizeof prefix, "coffer:%s:", cli_uuid_text(&session->store_info.uuid, uuid));
    return name != NULL && strncmp(name, prefix, strlen(prefix)) == 0 ? name + strlen(prefix)
                                                                      : NULL;
}

/* The id that a volume of that uuid would have had. */
static void resource_id(const char *uuid, char ret_id[COFFER_RESOURCE_ID_BYTES])
{
    size_t length = 4;
    memcpy(ret_id, "vol-", 5);
    for (; *uuid != '\0' && *uuid != ':' && length < COFFER_RESOURCE_ID_BYTES - 1; uuid++) {
        if (*uuid != '-') {
            ret_id[length++] = *uuid;
        }
    }
    ret_id[length] = '\0';
}

static void add_left_over(struct cli_session *session, const char *key_arn, json_t *page,
                          json_t *uses)
{
    json_t *grant;
    size_t i;
    json_array_foreach(json_object_get(page, "Grants"), i, grant)
    {
        const char *name = json_string_value(json_object_get(grant, "Name"));
        const char *id = json_string_value(json_object_get(grant, "GrantId"));
        const char *volume = volume_in(session, name);
        char resource[COFFER_RESOURCE_ID_BYTES];
        if (volume == NULL || id == NULL || coffer_store_has_grant(session->store, id)) {
            continue;
        }
        resource_id(volume, resource);
        json_array_append_new(uses, json_pack("{s:s, s:s, s:n, s:s, s:s, s:s, s:s}", "Store",
                                              session->address.store, "Kind", "grant", "Name",
                                              "ResourceId", resource, "Status", "unused",
                                              "KmsKeyId", key_arn, "GrantId", id));
    }
}

/* Who may not list grants sees none; that is said, and no failure. */
static void list_left_over(struct cli_session *session, const char *key_arn, json_t *uses)
{
    struct coffer_fault fault = cli_no_fault();
    json_t *marker = NULL;
    bool more = true;
    while (more) {
        json_t *params = json_pack("{s:s, s:i}", "KeyId", key_arn, "Limit", 100), *page = NULL;
        if (marker != NULL) {
            json_object_set(params, "Marker", marker);
        }
        int error = cof_tool_kms_ask(&session->kms, "ListGrants", params, &page, &fault);
        if (error != 0) {
            cof_tool_note(session->call, "whether a crash left grants on the key does not show: %s",
                          fault.detail[0] != '\0' ? fault.detail : coffer_error_sentence(error));
            break;
        }
        add_left_over(session, key_arn, page, uses);
        json_decref(marker);
        marker = json_incref(json_object_get(page, "NextMarker"));
        more = marker != NULL;
        json_decref(page);
    }
    json_decref(marker);
}

/* ---- the verb ---------------------------------------------------------------------------- */

static int list(struct cli_session *session, const char *key)
{
    struct coffer_fault fault = cli_no_fault();
    const struct coffer_key_provider *provider = cli_show_provider(session);
    struct cof_tool_view view = {.schema_version = 1,
                                 .list_name = "KeyUsage",
                                 .columns = "Kind Name Status ResourceId"};
    struct coffer_key_info info;
    int exit_code = resolve(session, provider, key, &info);
    if (exit_code != 0) {
        return exit_code;
    }
    json_t *uses = json_array();
    int error = cof_tool_key_uses(session->store, session->address.store, info.arn, provider, uses,
                                  &fault);
    if (error != 0) {
        json_decref(uses);
        return cli_session_fail(session, error, &fault, NULL, "cannot list what needs the key");
    }
    if (provider != NULL) {
        list_left_over(session, info.arn, uses);
    }
    return cof_tool_print(session->call, uses, &view);
}

int cli_key_usage(struct cof_tool_call *call)
{
    struct cli_session session;
    int exit_code = cli_session_begin(&session, call, CLI_STORE, call->operands[0]);
    if (exit_code == 0) {
        exit_code = cli_session_open_store(&session, COFFER_OPEN_READ_ONLY);
    }
    if (exit_code == 0) {
        exit_code = list(&session, call->operands[1]);
    }
    return cli_session_end(&session, exit_code);
}
