/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/snapshot_show.c - snapshot describe and list.
 *
 * Both read the store's catalogue and change nothing. What a key seals (names, size, time) is shown
 * as far as the keys at hand open it. The bytes that a snapshot alone holds are counted for one
 * snapshot, not for a list, since counting walks what differs from its neighbours.
 */
#include "common/output.h"
#include "show.h"
#include "snapshots.h"
#include "tag.h"
#include "verbs.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct coffer_snapshot_opts cli_snapshot_opts(const struct cli_session *session)
{
    return (struct coffer_snapshot_opts){
        .size = sizeof(struct coffer_snapshot_opts),
        .volume = session->address.volume,
        .name = session->address.snapshot,
        .provider = session->has_keys ? &session->provider : NULL,
    };
}

const char *cli_snapshot_status(const struct coffer_snapshot_info *info)
{
    if (info->status == COFFER_SNAPSHOT_COPYING) {
        return "copying";
    }
    if (info->status == COFFER_SNAPSHOT_FAILED) {
        return "failed";
    }
    return cli_show_status(info->name_known || !info->encrypted, info->open_error);
}

/* ---- fields ------------------------------------------------------------------------------ */

/* "VOLUME@SNAPSHOT" */
static const char *full_name(const struct coffer_snapshot_info *info, char name[CLI_NAME_BYTES_MAX])
{
    if (!info->name_known) {
        return strcpy(name, "(sealed)");
    }
    snprintf(name, CLI_NAME_BYTES_MAX, "%s@%s", info->volume, info->name);
    return name;
}

static json_t *name_of(const struct coffer_snapshot_info *info, const char *name)
{
    return info->name_known ? json_string(name) : json_null();
}

static json_t *arn_of(const struct cli_session *session, const struct coffer_snapshot_info *info)
{
    char name[CLI_NAME_BYTES_MAX];
    return info->name_known ? cli_show_arn(session, info->encrypted ? info->key_arn : NULL,
                                           "snapshot", full_name(info, name))
                            : json_null();
}

static json_t *parent_of(const struct coffer_snapshot_info *info)
{
    static const struct coffer_uuid none;
    char uuid[CLI_UUID_TEXT_BYTES];
    if (memcmp(&info->parent, &none, sizeof none) == 0) {
        return json_null();
    }
    return json_string(cli_uuid_text(&info->parent, uuid));
}

static json_t *exclusive_of(const struct coffer_snapshot_info *info)
{
    return cli_show_number(info->name_known && info->exclusive_bytes != UINT64_MAX,
                           info->exclusive_bytes);
}

static json_t *shared_of(const struct coffer_snapshot_info *info)
{
    bool counted =
        info->exclusive_bytes != UINT64_MAX && info->exclusive_bytes <= info->mapped_bytes;
    return cli_show_number(info->name_known && counted, info->mapped_bytes - info->exclusive_bytes);
}

static json_t *reason_of(const struct coffer_snapshot_info *info)
{
    return info->status == COFFER_SNAPSHOT_FAILED ? json_string(CLI_SNAPSHOT_STOPPED) : json_null();
}

static json_t *fields(const struct cli_session *session, const struct coffer_snapshot_info *info)
{
    char uuid[CLI_UUID_TEXT_BYTES];
    char volume_uuid[CLI_UUID_TEXT_BYTES];
    bool known = info->name_known != 0;
    const char *why = known || info->open_error == 0 ? "" : coffer_error_name(info->open_error);
    json_t *identity = json_pack(
        "{s:o, s:o, s:s, s:b, s:o, s:o, s:s, s:o}", "SnapshotName", name_of(info, info->name),
        "VolumeName", name_of(info, info->volume), "Status", cli_snapshot_status(info),
        "StorageEncrypted", info->encrypted != 0, "KmsKeyId", cli_show_text(info->key_arn),
        "Cipher", info->encrypted ? json_string("AES-256-GCM") : json_null(), "ResourceId",
        info->resource_id, "Arn", arn_of(session, info));
    json_t *contents = json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:s, s:s, s:o, s:I, s:s, s:o, s:o}", "Size",
        cli_show_number(known, info->size_bytes), "MappedBytes",
        cli_show_number(known, info->mapped_bytes), "ExclusiveBytes", exclusive_of(info),
        "SharedBytes", shared_of(info), "SnapshotCreateTime",
        cli_show_time(known, info->created_ns), "Uuid", cli_uuid_text(&info->uuid, uuid),
        "VolumeUuid", cli_uuid_text(&info->volume_uuid, volume_uuid), "Parent", parent_of(info),
        "Children", (json_int_t)info->children, "Store", session->address.store, "Inaccessible",
        cli_show_text(why), "StatusReason", reason_of(info));
    if (identity == NULL || json_object_update_missing(identity, contents) != 0) {
        json_decref(identity);
        identity = NULL;
    }
    json_decref(contents);
    return identity;
}

static json_t *lines(const struct cli_session *session, const struct coffer_snapshot_info *info)
{
    char name[CLI_NAME_BYTES_MAX];
    bool known = info->name_known != 0;
    return json_pack(
        "{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:o, s:I}", "Name",
        full_name(info, name), "Status", cli_snapshot_status(info), "Encryption",
        info->encrypted ? "Enabled" : "Not enabled", "Cipher",
        info->encrypted ? json_string("AES-256-GCM") : json_null(), "KmsKeyId",
        cli_show_text(info->key_arn), "Size", cli_show_number(known, info->size_bytes), "Data",
        cli_show_number(known, info->mapped_bytes), "Exclusive", exclusive_of(info), "Shared",
        shared_of(info), "ResourceId", info->resource_id, "Arn", arn_of(session, info), "Created",
        cli_show_time(known, info->created_ns), "Children", (json_int_t)info->children);
}

/* ---- recipients -------------------------------------------------------------------------- */

static int add_recipient(void *ctx, const char *key_arn, int owner)
{
    (void)owner; /* it comes first */
    return json_array_append_new(ctx, json_string(key_arn)) != 0 ? COFFER_E_NO_MEMORY : 0;
}

/* The keys that open it, its own first; null where they can't be told. */
static json_t *recipients_of(const struct cli_session *session,
                             const struct coffer_snapshot_info *info)
{
    struct coffer_snapshot_opts opts = cli_snapshot_opts(session);
    json_t *list = json_array();
    opts.volume = info->volume;
    opts.name = info->name;
    if (info->name_known && info->encrypted &&
        coffer_recipient_list(session->store, &opts, add_recipient, list, NULL) != 0) {
        json_decref(list);
        return json_null();
    }
    return list;
}

static json_t *recipient_lines(json_t *recipients)
{
    size_t bytes = json_array_size(recipients) * (COFFER_KEY_ARN_BYTES_MAX + 2) + 1;
    char *text = calloc(1, bytes);
    json_t *lines;
    for (size_t i = 0; text != NULL && i < json_array_size(recipients); i++) {
        strcat(text, i > 0 ? ", " : "");
        strcat(text, json_string_value(json_array_get(recipients, i)));
    }
    lines = text != NULL ? cli_show_text(text) : json_null();
    free(text);
    return lines;
}

int cli_snapshot_print(struct cli_session *session, const struct coffer_snapshot_info *info)
{
    struct cof_tool_view view = {.schema_version = 1,
                                 .list_name = "Snapshots",
                                 .byte_fields = CLI_SNAPSHOT_BYTE_FIELDS,
                                 .people = lines(session, info)};
    char name[CLI_NAME_BYTES_MAX];
    json_t *value = fields(session, info);
    json_t *recipients = recipients_of(session, info);
    if (info->status == COFFER_SNAPSHOT_FAILED) {
        json_object_set_new(view.people, "StatusReason", reason_of(info));
    }
    if (json_array_size(recipients) > 1) {
        json_object_set_new(view.people, "Recipients", recipient_lines(recipients));
    }
    json_object_set_new(value, "Recipients", recipients);
    json_t *tags = info->name_known ? cli_tags_shown(session, full_name(info, name)) : json_null();
    json_t *tag_lines = cli_tags_lines(tags);
    if (tag_lines != NULL) {
        json_object_set_new(view.people, "Tags", tag_lines);
    }
    json_object_set_new(value, "TagList", tags);
    return cof_tool_print(session->call, value, &view);
}

int cli_snapshot_look(struct cli_session *session, struct coffer_snapshot_info *ret_info)
{
    struct coffer_fault fault = cli_no_fault();
    struct coffer_snapshot_opts opts = cli_snapshot_opts(session);
    struct coffer_snapshot_info info = {.size = sizeof info};
    int error = coffer_snapshot_info_get(session->store, &opts, &info, &fault);
    if (error != 0) {
        return cli_session_fail(session, error, &fault, NULL, "cannot describe %s",
                                cli_session_name(session));
    }
    *ret_info = info;
    return 0;
}

/* ---- describe ---------------------------------------------------------------------------- */

struct wanted {
    const char *resource_id; /* what stands behind the @ */
    bool pinned;
    struct cli_pin pin;
    bool found;
    struct coffer_snapshot_info info;
};

/* While its name is sealed: by ResourceId, or by the uuid that was pinned under the name. */
static int match(void *ctx, const struct coffer_snapshot_info *info)
{
    struct wanted *wanted = ctx;
    bool by_id = strcmp(info->resource_id, wanted->resource_id) == 0;
    bool by_pin = !info->name_known && wanted->pinned &&
                  memcmp(&info->uuid, &wanted->pin.volume_uuid, sizeof info->uuid) == 0;
    if (!by_id && !by_pin) {
        return 0;
    }
    wanted->found = true;
    wanted->info = *info;
    if (by_pin && info->key_arn[0] == '\0') {
        snprintf(wanted->info.key_arn, sizeof wanted->info.key_arn, "%s", wanted->pin.key_arn);
    }
    return by_id;
}

/* Find it otherwise than by its name, which did not do because of `error`. */
static int search(struct cli_session *session, const struct coffer_key_provider *provider,
                  struct wanted *wanted)
{
    bool other;
    wanted->resource_id = session->address.snapshot;
    if (!cof_tool_given(session->call, "no-pin")) {
        int exit_code =
            cli_pins_find(session->call, &session->store_info.uuid, session->address.name,
                          session->address.store, &wanted->pin, &wanted->pinned, &other);
        if (exit_code != 0) {
            return exit_code;
        }
    }
    struct coffer_fault fault = cli_no_fault();
    int error = coffer_snapshot_list(session->store, NULL, provider, match, wanted, &fault);
    return error < 0 ? cli_session_fail(session, error, &fault, NULL, "cannot describe %s",
                                        cli_session_name(session))
                     : 0;
}

int cli_snapshot_show(struct cli_session *session)
{
    struct coffer_fault fault = cli_no_fault();
    const struct coffer_key_provider *provider = cli_show_provider(session);
    struct coffer_snapshot_opts opts = cli_snapshot_opts(session);
    struct wanted wanted = {.info = {.size = sizeof wanted.info}};
    int error = coffer_snapshot_info_get(session->store, &opts, &wanted.info, &fault);
    if (error == 0) {
        return cli_snapshot_print(session, &wanted.info);
    }
    if (error == COFFER_E_NOT_FOUND || coffer_error_class_of(error) == COFFER_CLASS_KEY) {
        int exit_code = search(session, provider, &wanted);
        if (exit_code != 0) {
            return exit_code;
        }
    }
    if (!wanted.found) {
        return cli_session_fail(
            session, error, &fault,
            error == COFFER_E_NOT_FOUND ? "`coffer snapshot list` lists the snapshots" : NULL,
            "cannot describe %s", cli_session_name(session));
    }
    if (!wanted.info.name_known) {
        cli_show_sealed(session, wanted.info.open_error);
    }
    return cli_snapshot_print(session, &wanted.info);
}

int cli_snapshot_describe(struct cof_tool_call *call)
{
    struct cli_session session;
    int exit_code = cli_session_begin(&session, call, CLI_SNAPSHOT, call->operands[0]);
    if (exit_code == 0) {
        exit_code = cli_session_open_store(&session, COFFER_OPEN_READ_ONLY);
    }
    if (exit_code == 0) {
        exit_code = cli_snapshot_show(&session);
    }
    return cli_session_end(&session, exit_code);
}

/* ---- list -------------------------------------------------------------------------------- */

struct listing {
    const struct cli_session *session;
    json_t *snapshots;
    json_t *rows;
    unsigned sealed;
    int open_error;
};

static int collect(void *ctx, const struct coffer_snapshot_info *info)
{
    struct listing *listing = ctx;
    char name[CLI_NAME_BYTES_MAX];
    bool known = info->name_known != 0;
    json_t *row = json_pack(
        "{s:s, s:s, s:s, s:o, s:o, s:s}", "Name", full_name(info, name), "Status",
        cli_snapshot_status(info), "Encryption", info->encrypted ? "Enabled" : "Not enabled",
        "Size", cli_show_number(known, info->size_bytes), "Created",
        cli_show_time(known, info->created_ns), "ResourceId", info->resource_id);
    if (!known) {
        listing->open_error = listing->sealed++ == 0 ? info->open_error : listing->open_error;
    }
    json_array_append_new(listing->rows, row);
    int status = json_array_append_new(listing->snapshots, fields(listing->session, info));
    return status != 0 ? COFFER_E_NO_MEMORY : 0;
}

static int list(struct cli_session *session)
{
    struct coffer_fault fault = cli_no_fault();
    struct listing listing = {.session = session, .snapshots = json_array(), .rows = json_array()};
    const struct coffer_key_provider *provider = cli_show_provider(session);
    const char *volume = session->address.volume;
    int error = coffer_snapshot_list(session->store, volume[0] != '\0' ? volume : NULL, provider,
                                     collect, &listing, &fault);
    if (error != 0) {
        json_decref(listing.snapshots);
        json_decref(listing.rows);
        return cli_session_fail(session, error, &fault, NULL, "cannot list the snapshots of %s",
                                cli_session_name(session));
    }
    if (listing.sealed > 0) {
        cli_show_sealed(session, listing.open_error);
    }
    struct cof_tool_view view = {.schema_version = 1,
                                 .list_name = "Snapshots",
                                 .columns = "Name Status Encryption Size Created ResourceId",
                                 .byte_fields = CLI_SNAPSHOT_BYTE_FIELDS,
                                 .people = listing.rows};
    return cof_tool_print(session->call, listing.snapshots, &view);
}

int cli_snapshot_list(struct cof_tool_call *call)
{
    struct cli_session session;
    const char *word = call->operand_count > 0 ? call->operands[0] : NULL;
    int exit_code = cli_session_begin(&session, call, CLI_STORE_OR_VOLUME, word);
    if (exit_code == 0) {
        exit_code = cli_session_open_store(&session, COFFER_OPEN_READ_ONLY);
    }
    if (exit_code == 0) {
        exit_code = list(&session);
    }
    return cli_session_end(&session, exit_code);
}
