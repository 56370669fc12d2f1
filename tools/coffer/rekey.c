/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/rekey.c - rekey: other keys for a volume and its snapshots, in place; or for the snapshots
 * of a volume that is gone, of which one is named.
 *
 * The change itself is one root of the store, so it happens or does not; at the depth deep it is
 * the first of many (rekey_deep.c). The pins can't change in the same instant: before it they are
 * told of the new key, after it the volume is looked at, which settles its pin by the key that it
 * has. A run that is killed in between leaves pins that take either key, each until its volume or
 * snapshot is next opened.
 */
#include "rekey.h"
#include "common/output.h"
#include "show.h"
#include "snapshots.h"
#include "verbs.h"
#include "volume.h"
#include <string.h>

static int read_depth(struct cli_rekeying *rekeying, const struct cof_tool_call *call)
{
    static const char *const names[] = {"master", "volume", "data", "deep"};
    static const enum coffer_rekey_depth depths[] = {COFFER_REKEY_MASTER, COFFER_REKEY_VOLUME,
                                                     COFFER_REKEY_DATA, COFFER_REKEY_DATA};
    rekeying->depth_name =
        cof_tool_text(call, "depth", cof_tool_given(call, "status") ? "deep" : "master");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(rekeying->depth_name, names[i]) == 0) {
            rekeying->depth = depths[i];
            rekeying->deep = strcmp(names[i], "deep") == 0;
            return !rekeying->deep &&
                           (cof_tool_given(call, "status") || cof_tool_given(call, "rate"))
                       ? cof_tool_usage(
                             call, "InvalidParameterCombination",
                             "--status and --rate belong to --depth deep: the others are "
                             "done when the verb ends")
                       : 0;
        }
    }
    return cof_tool_usage(call, NULL, "--depth %s: there are master, volume, data and deep",
                          rekeying->depth_name);
}

/* ---- what will be done ------------------------------------------------------------------- */

static int count(void *ctx, const struct coffer_snapshot_info *info)
{
    struct cli_rekeying *rekeying = ctx;
    const struct coffer_uuid *volume = &rekeying->volume;
    rekeying->snapshots += memcmp(&info->volume_uuid, volume, sizeof *volume) == 0;
    return 0;
}

static int look_for_volume(void *ctx, const struct coffer_volume_info *info)
{
    struct cli_rekeying *rekeying = ctx;
    rekeying->volume_found = memcmp(&info->uuid, &rekeying->volume, sizeof info->uuid) == 0;
    return rekeying->volume_found;
}

/* A snapshot stands for all of those whose volume is gone, and for nothing else. */
static int find_volume(struct cli_rekeying *rekeying)
{
    struct cli_session *session = &rekeying->session;
    struct coffer_fault fault = cli_no_fault();
    struct coffer_snapshot_info info;
    rekeying->volume = session->volume_info.uuid;
    if (session->address.snapshot[0] == '\0') {
        return 0;
    }
    int exit_code = cli_snapshot_look(session, &info);
    if (exit_code != 0) {
        return exit_code;
    }
    rekeying->volume = info.volume_uuid;
    int error = coffer_volume_list(session->store, NULL, look_for_volume, rekeying, &fault);
    if (error < 0) {
        return cli_session_fail(session, error, &fault, NULL, "cannot look for the volume of %s",
                                cli_session_name(session));
    }
    if (rekeying->volume_found) {
        return cof_tool_usage(session->call, "InvalidParameterCombination",
                              "%s is a snapshot and has its volume's key; `coffer rekey` of the "
                              "volume changes both, and `coffer snapshot copy --kms-key-id KEY` "
                              "copies a snapshot under another",
                              session->address.name);
    }
    return 0;
}

/* In the store that is open for reading: the volume opens, it has a key, and the new key can be
 * used. */
static int check(struct cli_rekeying *rekeying)
{
    struct cli_session *session = &rekeying->session;
    struct coffer_fault fault = cli_no_fault();
    int exit_code = cli_session_open_volume(session, COFFER_VOLUME_READ_ONLY);
    if (exit_code != 0) {
        return exit_code;
    }
    if (!session->volume_info.encrypted) {
        return cof_tool_usage(session->call, "InvalidParameterCombination",
                              "%s is not encrypted and has no keys; `coffer snapshot restore "
                              "--kms-key-id KEY` makes an encrypted volume of a snapshot of it",
                              cli_session_name(session));
    }
    memcpy(rekeying->old_arn, session->volume_info.key_arn, sizeof rekeying->old_arn);
    exit_code = find_volume(rekeying);
    if (exit_code == 0) {
        exit_code = cli_volume_check_key(
            session, rekeying->key != NULL ? rekeying->key : rekeying->old_arn, &rekeying->new_key);
    }
    if (exit_code != 0) {
        return exit_code;
    }
    int error = coffer_snapshot_list(session->store, session->address.volume, &session->provider,
                                     count, rekeying, &fault);
    return error < 0
               ? cli_session_fail(session, error, &fault, NULL, "cannot list the snapshots of %s",
                                  cli_session_name(session))
               : 0;
}

static int show_plan(const struct cli_rekeying *rekeying)
{
    const struct coffer_key_info *key = &rekeying->new_key;
    struct cof_tool_view view = {.schema_version = 1};
    return cof_tool_print(rekeying->session.call,
                          json_pack("{s:b, s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:i}", "DryRun", 1,
                                    "Action", "change the volume's keys", "Name",
                                    rekeying->session.address.name, "Depth", rekeying->depth_name,
                                    "KmsKeyId", rekeying->old_arn, "NewKmsKeyId", key->arn,
                                    "KeyState", coffer_keystore_state_name(key->state), "Shareable",
                                    !key->managed, "Snapshots", (int)rekeying->snapshots),
                          &view);
}

/* ---- doing it ---------------------------------------------------------------------------- */

static int expect_new_key(struct cli_rekeying *rekeying)
{
    struct cli_session *session = &rekeying->session;
    if (cof_tool_given(session->call, "no-pin") ||
        strcmp(rekeying->old_arn, rekeying->new_key.arn) == 0) {
        return 0;
    }
    return cli_pins_expect_key(session->call, &session->store_info.uuid, session->address.volume,
                               rekeying->new_key.arn);
}

static int print_result(const struct cli_rekeying *rekeying)
{
    const struct coffer_volume_info *info = &rekeying->session.volume_info;
    struct cof_tool_view view = {.schema_version = 1};
    json_t *value =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:i}", "Name", rekeying->session.address.name,
                  "ResourceId", info->resource_id, "Depth", rekeying->depth_name,
                  "PreviousKmsKeyId", rekeying->old_arn, "KmsKeyId", info->key_arn, "Generation",
                  (json_int_t)info->key_generation, "Snapshots", (int)rekeying->snapshots);
    if (rekeying->deep) {
        json_object_set_new(value, "Extents", json_integer((json_int_t)rekeying->status.extents));
    }
    return cof_tool_print(rekeying->session.call, value, &view);
}

static int change_keys(struct cli_rekeying *rekeying)
{
    struct cli_session *session = &rekeying->session;
    struct coffer_fault fault = cli_no_fault();
    /* By ARN, so that an alias that moves meanwhile does not take the volume along. */
    struct coffer_rekey_opts opts = {
        .size = sizeof opts,
        .volume = session->address.name,
        .kms_key_id = rekeying->key != NULL ? rekeying->new_key.arn : NULL,
        .depth = rekeying->depth,
        .provider = &session->provider,
        .caller = cli_session_caller(session),
    };
    int exit_code = expect_new_key(rekeying);
    if (exit_code != 0) {
        return exit_code;
    }
    if (rekeying->deep) {
        exit_code = cli_rekey_deep(rekeying);
        if (exit_code != 0) {
            return exit_code;
        }
    } else {
        int error = coffer_volume_rekey(session->store, &opts, &fault);
        if (error != 0) {
            return cli_session_fail(session, error, &fault, NULL, "cannot change the keys of %s",
                                    cli_session_name(session));
        }
    }
    exit_code = cli_session_open_named(session, COFFER_VOLUME_READ_ONLY);
    return exit_code == 0 && cli_show_result(session->call) ? print_result(rekeying) : exit_code;
}

int cli_rekey(struct cof_tool_call *call)
{
    static struct cli_rekeying rekeying;
    struct cli_session *session = &rekeying.session;
    int exit_code = read_depth(&rekeying, call);
    if (exit_code == 0) {
        exit_code = cli_session_begin(session, call, CLI_VOLUME_OR_SNAPSHOT, call->operands[0]);
    }
    if (exit_code != 0) {
        return exit_code;
    }
    if (cof_tool_given(call, "status")) {
        cli_session_use_keys(session, (unsigned)COFFER_KEYSTORE_READ_ONLY);
        return cli_session_end(session, cli_rekey_status(session));
    }
    bool dry_run = cof_tool_given(call, "dry-run");
    rekeying.key = cof_tool_text(call, "kms-key-id", NULL);
    cli_session_use_keys(session, dry_run ? (unsigned)COFFER_KEYSTORE_READ_ONLY : 0u);
    exit_code = check(&rekeying);
    if (exit_code == 0 && dry_run) {
        return cli_session_end(session, show_plan(&rekeying));
    }
    if (exit_code == 0) {
        exit_code = cli_session_go_on_closed(session);
    }
    if (exit_code == 0) {
        exit_code = change_keys(&rekeying);
    }
    return cli_session_end(session, exit_code);
}
