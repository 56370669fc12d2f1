/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/volume_state.c - volume start and stop, and what a verb does that meets a volume whose key
 * was lost: note it, if the store can be written to, so that its seven days begin.
 */
#include "common/output.h"
#include "show.h"
#include "verbs.h"
#include "volume.h"
#include <string.h>

struct sought {
    const char *name;
    bool found;
    unsigned sealed;
    struct coffer_volume_info info; /* of the one that was found, or of the first sealed one */
};

/* By name or ResourceId. */
static int match(void *ctx, const struct coffer_volume_info *info)
{
    struct sought *sought = ctx;
    bool found = strcmp(info->resource_id, sought->name) == 0 ||
                 (info->name_known && strcmp(info->name, sought->name) == 0);
    if (found || (!info->name_known && sought->sealed++ == 0)) {
        sought->info = *info;
    }
    sought->found = found;
    return found;
}

/* As far as the store, open for reading, tells. 0 as well when it may be one of the sealed ones. */
static int look(struct cli_session *session, struct sought *sought)
{
    struct coffer_fault fault = cli_no_fault();
    memset(sought, 0, sizeof *sought);
    sought->name = session->address.volume;
    int error = coffer_volume_list(session->store, &session->provider, match, sought, &fault);
    if (error < 0) {
        return cli_session_fail(session, error, &fault, NULL, "cannot look for %s",
                                cli_session_name(session));
    }
    if (!sought->found && sought->sealed == 0) {
        return cof_tool_fail(session->call, COFFER_E_NOT_FOUND, NULL,
                             "`coffer volume list` lists the volumes", "cannot find %s",
                             cli_session_name(session));
    }
    return 0;
}

/* The pin tells which one is meant when names are sealed. */
static int opts_of(struct cli_session *session, unsigned flags,
                   struct coffer_volume_open_opts *ret_opts)
{
    struct cli_pin pin;
    bool pinned = false, other = false;
    int exit_code =
        cof_tool_given(session->call, "no-pin")
            ? 0
            : cli_pins_find(session->call, &session->store_info.uuid, session->address.volume,
                            session->address.store, &pin, &pinned, &other);
    *ret_opts = (struct coffer_volume_open_opts){
        .size = sizeof *ret_opts,
        .name = session->address.volume,
        .provider = session->has_keys ? &session->provider : NULL,
        .flags = flags,
        .caller = cli_session_caller(session),
    };
    if (pinned) {
        ret_opts->pin.use_uuid = 1;
        ret_opts->pin.volume_uuid = pin.volume_uuid;
    }
    return exit_code;
}

static int change(struct cli_session *session, const char *what,
                  int (*how)(struct coffer_store *store, const struct coffer_volume_open_opts *opts,
                             struct coffer_fault *fault))
{
    struct coffer_fault fault = cli_no_fault();
    struct coffer_volume_open_opts opts;
    int exit_code = opts_of(session, 0, &opts);
    if (exit_code == 0) {
        exit_code = cli_session_go_on(session);
    }
    if (exit_code != 0) {
        return exit_code;
    }
    int error = how(session->store, &opts, &fault);
    return error == 0 ? 0
                      : cli_session_fail(session, error, &fault, NULL, "cannot %s %s", what,
                                         cli_session_name(session));
}

static int show_plan(struct cli_session *session, const struct sought *sought, const char *action)
{
    const struct coffer_volume_info *info = &sought->info;
    struct cof_tool_view view = {.schema_version = 1};
    return cof_tool_print(session->call,
                          json_pack("{s:b, s:s, s:s, s:s}", "DryRun", 1, "Action", action,
                                    "ResourceId", info->resource_id, "Status",
                                    cli_volume_status(info)),
                          &view);
}

static int begin(struct cli_session *session, struct cof_tool_call *call, struct sought *sought)
{
    int exit_code = cli_session_begin(session, call, CLI_VOLUME, call->operands[0]);
    if (exit_code == 0) {
        cli_session_use_keys(session, 0);
        exit_code = cli_session_open_store(session, COFFER_OPEN_READ_ONLY);
    }
    return exit_code == 0 ? look(session, sought) : exit_code;
}

int cli_volume_start(struct cof_tool_call *call)
{
    struct cli_session session;
    struct sought sought;
    int exit_code = begin(&session, call, &sought);
    if (exit_code == 0 && cof_tool_given(call, "dry-run")) {
        exit_code = show_plan(&session, &sought, "start the volume");
    } else if (exit_code == 0 && (!sought.found || !sought.info.name_known ||
                                  sought.info.access != COFFER_VOLUME_AVAILABLE)) {
        exit_code = change(&session, "start", coffer_volume_start);
    }
    return cli_session_end(&session, exit_code);
}

/* A volume that was stopped by hand, and whose key is refused now, is worse off. */
static bool is_stopped(const struct sought *sought)
{
    const struct coffer_volume_info *info = &sought->info;
    return sought->found && (info->access >= COFFER_VOLUME_RECOVERABLE ||
                             (info->access == COFFER_VOLUME_STOPPED && info->name_known));
}

int cli_volume_stop(struct cof_tool_call *call)
{
    struct cli_session session;
    struct sought sought;
    int exit_code = begin(&session, call, &sought);
    if (exit_code == 0 && cof_tool_given(call, "dry-run")) {
        exit_code = show_plan(&session, &sought, "stop the volume");
    } else if (exit_code == 0 && !is_stopped(&sought)) {
        exit_code = change(&session, "stop", coffer_volume_stop);
    }
    return cli_session_end(&session, exit_code);
}

/* ---- noting ------------------------------------------------------------------------------ */

bool cli_volume_is_lost(const struct cli_session *session, int error)
{
    return session->address.snapshot[0] == '\0' &&
           (error == COFFER_E_KEY_DISABLED || error == COFFER_E_KEY_STATE);
}

int cli_volume_note_loss(struct cli_session *session)
{
    struct coffer_fault fault = cli_no_fault();
    struct coffer_volume_open_opts opts;
    if (!session->writes) {
        int error = coffer_store_close(session->store);
        session->store = NULL;
        if (error == 0) {
            error = cli_session_try_store(session, 0, &fault);
        }
        if (error != 0) {
            return error; /* who has it open for writing notes it */
        }
    }
    return opts_of(session, COFFER_VOLUME_IF_REFUSED, &opts) == 0
               ? coffer_volume_stop(session->store, &opts, &fault)
               : COFFER_E_PIN;
}
