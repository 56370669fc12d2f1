/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/volume_show.c - volume describe and list. Describing a snapshot is snapshot_show.c's.
 *
 * Both read the store's catalogue without opening a volume, so they change nothing. What a key
 * seals (name, size) is shown as far as the keys at hand open it; ResourceId, KmsKeyId and whether
 * it is encrypted are known without any.
 */
#include "common/output.h"
#include "show.h"
#include "snapshots.h"
#include "tag.h"
#include "verbs.h"
#include "volume.h"
#include <stdio.h>
#include <string.h>

static json_t *arn_of(const struct cli_session *session, const struct coffer_volume_info *info)
{
    return info->name_known ? cli_show_arn(session, info->encrypted ? info->key_arn : NULL,
                                           "volume", info->name)
                            : json_null();
}

const char *cli_volume_status(const struct coffer_volume_info *info)
{
    return info->access != COFFER_VOLUME_AVAILABLE
               ? coffer_volume_access_name(info->access)
               : cli_show_status(info->name_known || !info->encrypted, info->open_error);
}

/* While it can still be started. */
static json_t *until_of(const struct coffer_volume_info *info)
{
    return cli_show_time(info->access == COFFER_VOLUME_RECOVERABLE, info->access_until_ns);
}

static const char *why_of(const struct coffer_volume_info *info)
{
    int error = info->access_cause != 0 ? info->access_cause : info->open_error;
    bool open = info->name_known && info->access == COFFER_VOLUME_AVAILABLE;
    return open || error == 0 ? "" : coffer_error_name(error);
}

static json_t *time_of(const struct coffer_volume_info *info)
{
    return cli_show_time(info->name_known, info->created_ns);
}

static json_t *budget_of(const struct coffer_volume_info *info)
{
    if (!info->encrypted || !info->name_known) {
        return json_null();
    }
    return json_pack("{s:I, s:I, s:I, s:I}", "Generation", (json_int_t)info->key_generation,
                     "Uses", (json_int_t)info->key_uses, "UsesMax", (json_int_t)info->key_uses_max,
                     "DataKeys", (json_int_t)info->data_key_count);
}

json_t *cli_volume_fields(const struct cli_session *session, const struct coffer_volume_info *info)
{
    char uuid[CLI_UUID_TEXT_BYTES];
    return json_pack(
        "{s:o, s:s, s:b, s:o, s:o, s:s, s:o, s:o, s:b,"
        " s:o, s:o, s:s, s:o, s:s, s:o, s:o, s:o, s:o}",
        "Name", info->name_known ? json_string(info->name) : json_null(), "Status",
        cli_volume_status(info), "StorageEncrypted", info->encrypted != 0, "KmsKeyId",
        cli_show_text(info->key_arn), "Cipher",
        info->encrypted ? json_string("AES-256-GCM") : json_null(), "ResourceId", info->resource_id,
        "Arn", arn_of(session, info), "ResourceArn",
        cli_show_resource_arn(session, info->encrypted ? info->key_arn : NULL, info->resource_id),
        "IAMDatabaseAuthenticationEnabled", 0, "Size",
        cli_show_number(info->name_known, info->size_bytes), "MappedBytes",
        cli_show_number(info->name_known, info->mapped_bytes), "VolumeUuid",
        cli_uuid_text(&info->uuid, uuid), "CreateTime", time_of(info), "Store",
        session->address.store, "KeyBudget", budget_of(info), "Inaccessible",
        cli_show_text(why_of(info)), "RecoverableUntil", until_of(info), "GrantId",
        cli_show_text(info->grant_id));
}

json_t *cli_volume_lines(const struct cli_session *session, const struct coffer_volume_info *info)
{
    json_t *lines = json_pack(
        "{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:s, s:o, s:o}", "Name",
        info->name_known ? info->name : "(sealed)", "Status", cli_volume_status(info), "Encryption",
        info->encrypted ? "Enabled" : "Not enabled", "Cipher",
        info->encrypted ? json_string("AES-256-GCM") : json_null(), "KmsKeyId",
        cli_show_text(info->key_arn), "Size",
        cli_show_number(info->name_known, info->size_bytes), "Data",
        cli_show_number(info->name_known, info->mapped_bytes), "ResourceId", info->resource_id,
        "Arn", arn_of(session, info), "Created", time_of(info));
    json_t *budget = budget_of(info);
    if (lines != NULL && json_is_object(budget)) {
        json_object_set(lines, "KeyBudget", budget);
    }
    json_decref(budget);
    if (lines != NULL && info->access == COFFER_VOLUME_RECOVERABLE) {
        json_object_set_new(lines, "RecoverableUntil", until_of(info));
    }
    return lines;
}

int cli_volume_print(struct cli_session *session, const struct coffer_volume_info *info)
{
    struct cof_tool_view view = {.schema_version = 1,
                                 .list_name = "Volumes",
                                 .byte_fields = CLI_VOLUME_BYTE_FIELDS,
                                 .people = cli_volume_lines(session, info)};
    json_t *value = cli_volume_fields(session, info);
    json_t *tags = info->name_known ? cli_tags_shown(session, info->name) : json_null();
    json_t *tag_lines = cli_tags_lines(tags);
    if (tag_lines != NULL) {
        json_object_set_new(view.people, "Tags", tag_lines);
    }
    json_object_set_new(value, "TagList", tags);
    return cof_tool_print(session->call, value, &view);
}

/* ---- describe ---------------------------------------------------------------------------- */

struct wanted {
    const char *name;
    bool pinned;
    struct coffer_uuid uuid;
    const char *key_arn; /* what the pin says */
    bool found;
    unsigned sealed; /* volumes whose name is not known */
    int open_error;  /* of the first of these           */
    struct coffer_volume_info info;
};

/* By name; by ResourceId; or, while the name is sealed, by the uuid that was pinned under it. */
static int match(void *ctx, const struct coffer_volume_info *info)
{
    struct wanted *wanted = ctx;
    bool named = info->name_known && strcmp(info->name, wanted->name) == 0;
    bool by_id = strcmp(info->resource_id, wanted->name) == 0;
    bool by_pin = !info->name_known && wanted->pinned &&
                  memcmp(&info->uuid, &wanted->uuid, sizeof info->uuid) == 0;
    if (!info->name_known) {
        wanted->open_error = wanted->sealed++ == 0 ? info->open_error : wanted->open_error;
    }
    if (!named && !by_id && !by_pin) {
        return 0;
    }
    wanted->found = true;
    wanted->info = *info;
    if (by_pin && info->key_arn[0] == '\0') {
        snprintf(wanted->info.key_arn, sizeof wanted->info.key_arn, "%s", wanted->key_arn);
    }
    return named || by_id;
}

static int look_for_pin(struct cli_session *session, struct wanted *wanted, struct cli_pin *pin)
{
    bool other;
    if (cof_tool_given(session->call, "no-pin")) {
        return 0;
    }
    int exit_code = cli_pins_find(session->call, &session->store_info.uuid, wanted->name,
                                  session->address.store, pin, &wanted->pinned, &other);
    if (wanted->pinned) {
        wanted->uuid = pin->volume_uuid;
        wanted->key_arn = pin->key_arn;
    }
    return exit_code;
}

static int describe(struct cli_session *session)
{
    struct coffer_fault fault = cli_no_fault();
    struct wanted wanted = {.name = session->address.volume};
    const struct coffer_key_provider *provider = cli_show_provider(session);
    struct cli_pin pin;
    int exit_code = look_for_pin(session, &wanted, &pin);
    if (exit_code != 0) {
        return exit_code;
    }
    int error = coffer_volume_list(session->store, provider, match, &wanted, &fault);
    if (error < 0) {
        return cli_session_fail(session, error, &fault, NULL, "cannot describe %s",
                                cli_session_name(session));
    }
    if (!wanted.found && wanted.sealed > 0) {
        cli_show_sealed(session, wanted.open_error);
        return cof_tool_fail(session->call, COFFER_E_NOT_FOUND, NULL,
                             "name it by its ResourceId, which `volume list` shows, or give its "
                             "key with --kms", "cannot find %s among the volumes that open",
                             cli_session_name(session));
    }
    if (!wanted.found) {
        return cof_tool_fail(session->call, COFFER_E_NOT_FOUND, NULL,
                             "`coffer volume list` lists the volumes", "cannot describe %s",
                             cli_session_name(session));
    }
    if (!wanted.info.name_known) {
        cli_show_sealed(session, wanted.info.open_error);
    }
    return cli_volume_print(session, &wanted.info);
}

int cli_volume_describe(struct cof_tool_call *call)
{
    struct cli_session session;
    int exit_code = cli_session_begin(&session, call, CLI_VOLUME_OR_SNAPSHOT, call->operands[0]);
    if (exit_code == 0) {
        exit_code = cli_session_open_store(&session, COFFER_OPEN_READ_ONLY);
    }
    if (exit_code == 0 && session.address.snapshot[0] != '\0') {
        exit_code = cli_snapshot_show(&session);
    } else if (exit_code == 0) {
        exit_code = describe(&session);
    }
    return cli_session_end(&session, exit_code);
}

/* ---- list -------------------------------------------------------------------------------- */

struct listing {
    const struct cli_session *session;
    json_t *volumes;
    json_t *rows;
    unsigned sealed;
    int open_error;
};

static int collect(void *ctx, const struct coffer_volume_info *info)
{
    struct listing *listing = ctx;
    json_t *row = json_pack("{s:s, s:s, s:s, s:o, s:s}", "Name",
                            info->name_known ? info->name : "(sealed)", "Status",
                            cli_volume_status(info), "Encryption",
                            info->encrypted ? "Enabled" : "Not enabled", "Size",
                            cli_show_number(info->name_known, info->size_bytes), "ResourceId",
                            info->resource_id);
    if (!info->name_known) {
        listing->open_error = listing->sealed++ == 0 ? info->open_error : listing->open_error;
    }
    json_array_append_new(listing->rows, row);
    return json_array_append_new(listing->volumes, cli_volume_fields(listing->session, info));
}

static int list(struct cli_session *session)
{
    struct coffer_fault fault = cli_no_fault();
    struct listing listing = {.session = session, .volumes = json_array(), .rows = json_array()};
    const struct coffer_key_provider *provider = cli_show_provider(session);
    int error = coffer_volume_list(session->store, provider, collect, &listing, &fault);
    if (error != 0) {
        json_decref(listing.volumes);
        json_decref(listing.rows);
        return cli_session_fail(session, error < 0 ? error : COFFER_E_NO_MEMORY, &fault, NULL,
                                "cannot list %s", session->address.store);
    }
    if (listing.sealed > 0) {
        cli_show_sealed(session, listing.open_error);
    }
    struct cof_tool_view view = {.schema_version = 1, .list_name = "Volumes",
                                 .columns = "Name Status Encryption Size ResourceId",
                                 .byte_fields = CLI_VOLUME_BYTE_FIELDS, .people = listing.rows};
    return cof_tool_print(session->call, listing.volumes, &view);
}

int cli_volume_list(struct cof_tool_call *call)
{
    struct cli_session session;
    const char *store = call->operand_count > 0 ? call->operands[0] : NULL;
    int exit_code = cli_session_begin(&session, call, CLI_STORE, store);
    if (exit_code == 0) {
        exit_code = cli_session_open_store(&session, COFFER_OPEN_READ_ONLY);
    }
    if (exit_code == 0) {
        exit_code = list(&session);
    }
    return cli_session_end(&session, exit_code);
}
