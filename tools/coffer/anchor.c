/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/anchor.c - the options, and what the engine calls: get and put.
 */
#include "anchor.h"
#include "anchor_file.h"
#include "common/error.h"
#include "pins.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t newest_of(const struct coffer_anchor_state *state)
{
    return state->next_epoch > state->epoch ? state->next_epoch : state->epoch;
}

int cli_anchor_begin(struct cli_anchor *anchor, const struct cof_tool_call *call,
                     const char *store_path)
{
    const char *file = cof_tool_text(call, "anchor", getenv("COFFER_ANCHOR"));
    memset(anchor, 0, sizeof *anchor);
    anchor->call = call;
    anchor->store_path = store_path;
    anchor->accept = cof_tool_given(call, "accept-rollback");
    anchor->file = file != NULL && file[0] != '\0' ? file : NULL;
    if (anchor->file == NULL && anchor->accept) {
        return cof_tool_usage(call, NULL, "--accept-rollback needs --anchor, or COFFER_ANCHOR");
    }
    if (anchor->file != NULL && strlen(anchor->file) >= PATH_MAX - 16) {
        return cof_tool_usage(call, NULL, "the path of the anchor file is too long");
    }
    return 0;
}

/* ---- get --------------------------------------------------------------------------------- */

/* Another store that was anchored where this one is; NULL: none. */
static json_t *other_at_path(const json_t *stores, const struct coffer_uuid *uuid, const char *path)
{
    const json_t *own = cli_anchor_entry(stores, uuid);
    size_t i;
    json_t *entry;
    json_array_foreach((json_t *)stores, i, entry)
    {
        const char *at = json_string_value(json_object_get(entry, "path"));
        if (entry != own && path[0] != '\0' && at != NULL && strcmp(at, path) == 0) {
            return entry;
        }
    }
    return NULL;
}

static int find(struct cli_anchor *anchor, const json_t *stores, const struct coffer_uuid *uuid)
{
    char path[CLI_ANCHOR_PATH_BYTES];
    const json_t *entry = cli_anchor_entry(stores, uuid);
    if (entry != NULL) {
        return cli_anchor_decode(anchor, entry, &anchor->state);
    }
    cli_anchor_path_text(anchor->store_path, path);
    if (!anchor->accept && other_at_path(stores, uuid, path) != NULL) {
        return cli_anchor_fault(anchor, COFFER_E_ROLLBACK,
                                "the anchor knows another store at this path, and not this one");
    }
    return COFFER_E_NOT_FOUND;
}

static int get(void *ctx, const struct coffer_uuid *store_uuid,
               struct coffer_anchor_state *ret_state)
{
    struct cli_anchor *anchor = ctx;
    json_t *stores = NULL;
    int error = cli_anchor_load(anchor, &stores);
    if (error != 0) {
        return error;
    }
    anchor->state.store_uuid = *store_uuid;
    error = find(anchor, stores, store_uuid);
    json_decref(stores);
    anchor->known = error == 0;
    if (error == 0) {
        *ret_state = anchor->state;
    }
    return error;
}

/* ---- put --------------------------------------------------------------------------------- */

static int put_entry(struct cli_anchor *anchor, json_t *stores, void *ctx)
{
    const struct coffer_anchor_state *state = ctx;
    struct coffer_anchor_state kept = {.store_uuid = state->store_uuid};
    char path[CLI_ANCHOR_PATH_BYTES];
    json_t *old = cli_anchor_entry(stores, &state->store_uuid);
    json_t *other;
    int error = old != NULL ? cli_anchor_decode(anchor, old, &kept) : 0;
    if (error != 0) {
        return error;
    }
    if (newest_of(state) > INT64_MAX || newest_of(state) < newest_of(&kept)) {
        return cli_anchor_fault(anchor, COFFER_E_ROLLBACK,
                                "it has been told of a newer state meanwhile: two copies of this "
                                "store are in use");
    }
    cli_anchor_path_text(anchor->store_path, path);
    other = other_at_path(stores, &state->store_uuid, path);
    json_t *entry = cli_anchor_encode(state, path);
    if (entry == NULL || (other != NULL && json_object_set_new(other, "path", json_string("")))) {
        json_decref(entry);
        return cli_anchor_fault(anchor, COFFER_E_NO_MEMORY, "no memory");
    }
    int status = old != NULL ? json_object_update(old, entry) : json_array_append(stores, entry);
    json_decref(entry);
    return status == 0 ? 0 : cli_anchor_fault(anchor, COFFER_E_NO_MEMORY, "no memory");
}

static int put(void *ctx, const struct coffer_anchor_state *state)
{
    struct cli_anchor *anchor = ctx;
    struct coffer_anchor_state copy = *state;
    int error = cli_anchor_change(anchor, put_entry, &copy);
    if (error != 0) {
        return error;
    }
    if (!anchor->known) {
        cof_tool_note(anchor->call, "the anchor %s knows the store %s from now on", anchor->file,
                      anchor->store_path);
    }
    anchor->known = true;
    anchor->state = copy;
    return 0;
}

int cli_anchor_probe(struct cli_anchor *anchor)
{
    json_t *stores = NULL;
    if (anchor->file == NULL) {
        return 0;
    }
    if (cli_anchor_load(anchor, &stores) != 0) {
        return cli_anchor_report(anchor, "cannot use the anchor");
    }
    json_decref(stores);
    return 0;
}

/* ---- use --------------------------------------------------------------------------------- */

/* What the engine warns of with an anchor: that it took a rollback, once a command. */
static void warn(void *ctx, enum coffer_log_level level, const char *line)
{
    struct cli_anchor *anchor = ctx;
    if (level == COFFER_LOG_WARN && !anchor->noted) {
        anchor->noted = true;
        cof_tool_note(anchor->call, "%s", line);
    }
}

void cli_anchor_use(struct cli_anchor *anchor, struct coffer_store_opts *opts,
                    struct coffer_env *env)
{
    static const struct coffer_anchor_ops ops = {sizeof ops, get, put};
    if (anchor->file == NULL) {
        return;
    }
    opts->anchor = (struct coffer_anchor){&ops, anchor};
    if (anchor->accept) {
        *env = (struct coffer_env){.size = sizeof *env, .ctx = anchor, .log = warn};
        opts->env = env;
        opts->flags |= COFFER_OPEN_ACCEPT_ROLLBACK;
    }
}

void cli_anchor_opened(struct cli_anchor *anchor)
{
    if (anchor->file != NULL && !anchor->known && !anchor->noted) {
        anchor->noted = true;
        cof_tool_note(anchor->call,
                      "the anchor %s does not know the store %s, so this shows nothing",
                      anchor->file, anchor->store_path);
    }
}

static int forget_path(struct cli_anchor *anchor, json_t *stores, void *ctx)
{
    const struct coffer_uuid none = {{0}};
    json_t *other = other_at_path(stores, &none, ctx);
    if (other != NULL && json_object_set_new(other, "path", json_string("")) != 0) {
        return cli_anchor_fault(anchor, COFFER_E_NO_MEMORY, "no memory");
    }
    return 0;
}

int cli_anchor_forget_path(struct cli_anchor *anchor)
{
    char path[CLI_ANCHOR_PATH_BYTES];
    if (anchor->file == NULL) {
        return 0;
    }
    cli_anchor_path_text(anchor->store_path, path);
    return cli_anchor_change(anchor, forget_path, path) == 0
               ? 0
               : cli_anchor_report(anchor, "cannot change the anchor");
}

int cli_anchor_report(const struct cli_anchor *anchor, const char *what)
{
    const struct cof_tool_call *call = anchor->call;
    if (anchor->os_errno != 0) {
        return cof_tool_fail_errno(call, anchor->os_errno,
                                   "see that its medium is there and has room",
                                   "%s: the anchor file %s", what, anchor->file);
    }
    if (anchor->error == COFFER_E_CORRUPT) {
        return cof_tool_fail_named(
            call, "ANCHOR_FILE", "tamper", COF_EXIT_INTEGRITY, anchor->why,
            "see who changed it and restore it from a backup; a new one knows no store",
            "%s: the anchor file %s can't be trusted", what, anchor->file);
    }
    struct coffer_fault fault = {.error = anchor->error,
                                 .page = COFFER_NOWHERE,
                                 .segment = COFFER_NOWHERE,
                                 .offset = COFFER_NOWHERE};
    snprintf(fault.detail, sizeof fault.detail, "%s", anchor->why);
    return cof_tool_fail(call, anchor->error, &fault,
                         anchor->error == COFFER_E_ROLLBACK
                             ? "if you put it there yourself, open it with --accept-rollback; else "
                               "keep a copy and investigate"
                             : NULL,
                         "%s: the anchor file %s", what, anchor->file);
}

static json_t *time_of(uint64_t ns)
{
    char text[32];
    time_t seconds = (time_t)(ns / 1000000000u);
    struct tm parts;
    if (ns == 0 || gmtime_r(&seconds, &parts) == NULL ||
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0) {
        return json_null();
    }
    return json_string(text);
}

json_t *cli_anchor_describe(const struct cli_anchor *anchor)
{
    const struct coffer_anchor_state *state = &anchor->state;
    if (anchor->file == NULL) {
        return json_null();
    }
    if (!anchor->known) {
        return json_pack("{s:s, s:n}", "File", anchor->file, "Epoch");
    }
    return json_pack(
        "{s:s, s:I, s:I, s:o, s:I, s:I}", "File", anchor->file, "Epoch", (json_int_t)state->epoch,
        "RollbackAccepted", (json_int_t)state->rollbacks_accepted, "RollbackAcceptedTime",
        time_of(state->rollback_ns), "RollbackKnownEpoch", (json_int_t)state->rollback_known_epoch,
        "RollbackTakenEpoch", (json_int_t)state->rollback_taken_epoch);
}
