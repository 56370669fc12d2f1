/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/store_show.c - store describe: size, room, what waits, and what the cleaner does.
 *
 * No key is asked for unless --provisioned wants the sizes of encrypted volumes, which are sealed.
 * The cleaner's counters are those of this open, so that all but the heads are 0 unless the opening
 * itself cleaned; programs that keep a store open read them from coffer_store_info.
 */
#include "common/output.h"
#include "show.h"
#include "verbs.h"
#include <stdio.h>

static const char store_bytes[] = "Size SegmentSize CapacityBytes ReserveBytes LiveBytes FreeBytes "
                                  "ReclaimableBytes ProvisionedBytes LogBytesSinceCheckpoint "
                                  "RecoveredLogBytes MovedBytes WrittenBytes";

struct provision {
    uint64_t bytes;
    unsigned sealed;
    int open_error; /* of the first sealed one */
};

static int add_volume(void *ctx, const struct coffer_volume_info *info)
{
    struct provision *provision = ctx;
    if (info->encrypted && !info->name_known) {
        provision->open_error = provision->sealed++ == 0 ? info->open_error : provision->open_error;
    }
    provision->bytes += info->size_bytes;
    return 0;
}

/* Sizes of all volumes; null while one is sealed. */
static int provisioned(struct cli_session *session, json_t **ret_value)
{
    struct coffer_fault fault = cli_no_fault();
    struct provision provision = {0};
    bool asks = cof_tool_given(session->call, "provisioned");
    const struct coffer_key_provider *provider = asks ? cli_show_provider(session) : NULL;
    int error = coffer_volume_list(session->store, provider, add_volume, &provision, &fault);
    if (error != 0) {
        return cli_session_fail(session, error, &fault, NULL, "cannot list %s",
                                session->address.store);
    }
    if (asks && provision.sealed > 0) {
        cli_show_sealed(session, provision.open_error);
    }
    *ret_value = cli_show_number(provision.sealed == 0, provision.bytes);
    return 0;
}

static json_t *cleaner_of(const struct coffer_store_info *info)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "Heads", (json_int_t)info->cleaner_heads,
                     "SegmentsWaiting", (json_int_t)info->segments_waiting, "SegmentsCleaned",
                     (json_int_t)info->cleaned_segments, "MovedBytes",
                     (json_int_t)info->moved_bytes, "WrittenBytes",
                     (json_int_t)info->cleaner_written_bytes, "DamagedPages",
                     (json_int_t)info->cleaner_damaged_pages);
}

/* What neither lives nor is free: dead pages, and what the log wrote around them. */
static uint64_t reclaimable(const struct coffer_store_info *info)
{
    uint64_t all = info->capacity_bytes + info->reserve_bytes;
    uint64_t kept = (uint64_t)info->segments_free * info->segment_bytes + info->live_bytes;
    return kept < all ? all - kept : 0;
}

static void put(json_t *object, const char *name, uint64_t value)
{
    json_object_set_new(object, name, json_integer((json_int_t)value));
}

static json_t *describe(const struct cli_session *session, json_t *provisioned_bytes)
{
    const struct coffer_store_info *info = &session->store_info;
    char uuid[CLI_UUID_TEXT_BYTES];
    char format[32];
    snprintf(format, sizeof format, "%u.%u", info->format_major, info->format_minor);
    json_t *object = json_pack("{s:s, s:s, s:s}", "Path", session->address.store, "Uuid",
                               cli_uuid_text(&info->uuid, uuid), "FormatVersion", format);
    if (object == NULL) {
        json_decref(provisioned_bytes);
        return NULL;
    }
    put(object, "Epoch", info->epoch);
    put(object, "Size", info->size_bytes);
    put(object, "SegmentSize", info->segment_bytes);
    put(object, "SegmentCount", info->segment_count);
    put(object, "SegmentsFree", info->segments_free);
    put(object, "SegmentsConditioned", info->segments_conditioned);
    put(object, "CapacityBytes", info->capacity_bytes);
    put(object, "ReserveBytes", info->reserve_bytes);
    put(object, "LiveBytes", info->live_bytes);
    put(object, "FreeBytes", (uint64_t)info->segments_free * info->segment_bytes);
    put(object, "ReclaimableBytes", reclaimable(info));
    json_object_set_new(object, "ProvisionedBytes", provisioned_bytes);
    put(object, "UsedPercent", cli_used_percent(info));
    put(object, "WarnPercent", info->warn_percent);
    json_object_set_new(object, "SpaceWarning", json_boolean(info->space_warning != 0));
    json_object_set_new(object, "Cleaner", cleaner_of(info));
    put(object, "VolumeCount", info->volume_count);
    put(object, "LogBytesSinceCheckpoint", info->log_bytes_since_checkpoint);
    put(object, "RecoveredLogBytes", info->recovered_log_bytes);
    put(object, "RecoveryNanoseconds", info->recovery_ns);
    json_object_set_new(object, "CipherBackend", json_string(coffer_cipher_backend_name(
                                (enum coffer_cipher_backend)info->cipher_backend)));
    json_object_set_new(object, "Anchor", cli_anchor_describe(&session->anchor));
    return object;
}

int cli_store_describe(struct cof_tool_call *call)
{
    struct cof_tool_view view = {
        .schema_version = 1, .list_name = "Stores", .byte_fields = store_bytes};
    struct cli_session session;
    json_t *sizes = NULL;
    const char *operand = call->operand_count > 0 ? call->operands[0] : NULL;
    int exit_code = cli_session_begin(&session, call, CLI_STORE, operand);
    if (exit_code == 0) {
        exit_code = cli_session_open_store(&session, COFFER_OPEN_READ_ONLY);
    }
    if (exit_code == 0) {
        exit_code = provisioned(&session, &sizes);
    }
    if (exit_code == 0) {
        cli_session_warn_of_space(&session);
        exit_code = cof_tool_print(call, describe(&session, sizes), &view);
    }
    return cli_session_end(&session, exit_code);
}
