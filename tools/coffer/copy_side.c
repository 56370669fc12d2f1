/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/copy_side.c - finding the snapshot to copy, and what is in the way of the copy.
 */
#include "copy_side.h"
#include "pins.h"
#include <stdio.h>
#include <string.h>

/* ---- by what is clear --------------------------------------------------------------------- */

struct sought {
    const char *resource_id;        /* or NULL */
    const struct coffer_uuid *uuid; /* or NULL */
    struct coffer_snapshot_info info;
    bool found;
};

static int match(void *ctx, const struct coffer_snapshot_info *info)
{
    struct sought *sought = ctx;
    bool by_id = sought->resource_id != NULL && strcmp(info->resource_id, sought->resource_id) == 0;
    bool by_uuid =
        sought->uuid != NULL && memcmp(&info->uuid, sought->uuid, sizeof info->uuid) == 0;
    if (by_id || by_uuid) {
        sought->info = *info;
        sought->found = true;
    }
    return sought->found;
}

/* provider NULL: without a key. */
static int look(struct cli_session *session, const struct coffer_key_provider *provider,
                struct sought *sought)
{
    struct coffer_fault fault = cli_no_fault();
    int error = coffer_snapshot_list(session->store, NULL, provider, match, sought, &fault);
    return error < 0 ? cli_session_fail(session, error, &fault, NULL, "cannot look for %s",
                                        cli_session_name(session))
                     : 0;
}

static bool is_id(const char *name)
{
    return strncmp(name, "snap-", 5) == 0 && strlen(name) == 29 &&
           strspn(name + 5, "0123456789abcdef") == 24;
}

/* ---- the source -------------------------------------------------------------------------- */

static void take(struct cli_copy_source *source, const struct cli_session *session,
                 const char *name, bool encrypted, const char *key_arn)
{
    snprintf(source->volume, sizeof source->volume, "%s", session->address.volume);
    snprintf(source->name, sizeof source->name, "%s", name);
    snprintf(source->key_arn, sizeof source->key_arn, "%s", key_arn);
    source->encrypted = encrypted;
}

/* It is opened, which checks its pin or makes it, and closed again. */
static int take_opened(struct cli_session *session, struct cli_copy_source *source)
{
    int exit_code = cli_session_open_named(session, COFFER_VOLUME_READ_ONLY);
    if (exit_code != 0) {
        return exit_code;
    }
    take(source, session, session->address.snapshot, session->volume_info.encrypted != 0,
         session->volume_info.key_arn);
    return cli_session_close_volume(session);
}

/* Whatever volume stands before the id: the id says which snapshot it is. */
static int take_by_id(struct cli_session *session, bool by_name, struct cli_copy_source *source)
{
    struct sought sought = {.resource_id = session->address.snapshot};
    int exit_code = look(session, NULL, &sought);
    if (exit_code != 0) {
        return exit_code;
    }
    if (!sought.found) {
        return take_opened(session, source); /* it is a name that looks like an id */
    }
    if (!by_name && sought.info.encrypted) {
        take(source, session, sought.info.resource_id, true, sought.info.key_arn);
        return 0;
    }
    exit_code = look(session, &session->provider, &sought);
    if (exit_code != 0 || !sought.info.name_known) {
        return exit_code != 0
                   ? exit_code
                   : cli_session_fail(session, sought.info.open_error, NULL, NULL,
                                      "cannot read the name of %s", cli_session_name(session));
    }
    snprintf(session->address.volume, sizeof session->address.volume, "%s", sought.info.volume);
    cli_address_aim(&session->address, sought.info.name);
    return take_opened(session, source);
}

/* By its pin, if it has one and is there. */
static int take_pinned(struct cli_session *session, struct cli_copy_source *source, bool *ret_taken)
{
    struct cli_pin pin;
    bool pinned;
    bool other;
    int exit_code = cli_pins_find(session->call, &session->store_info.uuid, session->address.name,
                                  session->address.store, &pin, &pinned, &other);
    if (exit_code != 0 || !pinned || pin.next_arn[0] != '\0' || !pin.encrypted) {
        return exit_code;
    }
    struct sought sought = {.uuid = &pin.volume_uuid};
    exit_code = look(session, NULL, &sought);
    if (exit_code != 0 || !sought.found || !sought.info.encrypted ||
        sought.info.status != COFFER_SNAPSHOT_AVAILABLE) {
        return exit_code;
    }
    take(source, session, sought.info.resource_id, true, pin.key_arn);
    *ret_taken = true;
    return 0;
}

int cli_copy_find_source(struct cli_session *session, bool by_name,
                         struct cli_copy_source *ret_source)
{
    bool taken = false;
    int exit_code = 0;
    if (is_id(session->address.snapshot)) {
        return take_by_id(session, by_name, ret_source);
    }
    if (!by_name && !cof_tool_given(session->call, "no-pin")) {
        exit_code = take_pinned(session, ret_source, &taken);
    }
    return exit_code != 0 || taken ? exit_code : take_opened(session, ret_source);
}

/* ---- the goal ---------------------------------------------------------------------------- */

struct owner {
    char key_arn[COFFER_KEY_ARN_BYTES_MAX];
};

static int see_owner(void *ctx, const char *key_arn, int owner)
{
    struct owner *seen = ctx;
    if (owner) {
        snprintf(seen->key_arn, sizeof seen->key_arn, "%s", key_arn);
    }
    return 0;
}

/* What is there is the beginning of a copy, or the library says what it is. Under another key the
 * library begins anew. */
static int check_begun(struct cli_session *session, const char *key_arn, bool *ret_begun)
{
    struct coffer_fault fault = cli_no_fault();
    struct coffer_snapshot_opts opts = {.size = sizeof opts,
                                        .volume = session->address.volume,
                                        .name = session->address.snapshot,
                                        .provider = &session->provider};
    struct owner owner = {.key_arn = ""};
    int error = coffer_recipient_list(session->store, &opts, see_owner, &owner, &fault);
    if (error != 0) {
        return cli_session_fail(session, error, &fault, NULL, "cannot look at %s",
                                cli_session_name(session));
    }
    *ret_begun = key_arn[0] == '\0' || strcmp(owner.key_arn, key_arn) == 0;
    return 0;
}

int cli_copy_check_goal(struct cli_session *session, const char *key_arn, bool *ret_begun)
{
    struct coffer_fault fault = cli_no_fault();
    int error = cli_session_probe(session, &fault);
    *ret_begun = false;
    if (error == COFFER_E_NOT_FOUND) {
        return 0;
    }
    if (error == COFFER_E_BUSY) {
        return check_begun(session, key_arn, ret_begun);
    }
    if (error != 0) {
        return cli_session_fail(session, error, &fault, NULL, "cannot copy to %s",
                                cli_session_name(session));
    }
    return cof_tool_fail_named(session->call, "SnapshotAlreadyExists", "usage", COF_EXIT_USAGE,
                               coffer_error_sentence(COFFER_E_EXISTS),
                               "choose another name, or delete what has it", "cannot copy to %s",
                               cli_session_name(session));
}

/* ---- which one is new -------------------------------------------------------------------- */

static int count(void *ctx, const struct coffer_snapshot_info *info)
{
    struct cli_copy_census *census = ctx;
    if (info->status == COFFER_SNAPSHOT_AVAILABLE && census->count < COFFER_SNAPSHOTS_MAX) {
        census->uuids[census->count++] = info->uuid;
    }
    return 0;
}

int cli_copy_count(struct cli_session *session, struct cli_copy_census *census)
{
    census->count = 0;
    return coffer_snapshot_list(session->store, NULL, NULL, count, census, NULL);
}

struct comparing {
    const struct cli_copy_census *before;
    struct coffer_snapshot_info *info;
};

static int is_new(void *ctx, const struct coffer_snapshot_info *info)
{
    struct comparing *comparing = ctx;
    if (info->status != COFFER_SNAPSHOT_AVAILABLE) {
        return 0;
    }
    for (unsigned i = 0; i < comparing->before->count; i++) {
        if (memcmp(&comparing->before->uuids[i], &info->uuid, sizeof info->uuid) == 0) {
            return 0;
        }
    }
    *comparing->info = *info;
    return 1;
}

bool cli_copy_find_new(struct cli_session *session, const struct cli_copy_census *before,
                       struct coffer_snapshot_info *ret_info)
{
    struct comparing comparing = {.before = before, .info = ret_info};
    return coffer_snapshot_list(session->store, NULL, NULL, is_new, &comparing, NULL) == 1;
}
