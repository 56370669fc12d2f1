/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/volume_change.c - volume resize, delete and pin: each asks before something is lost.
 */
#include "common/output.h"
#include "verbs.h"
#include "volume.h"
#include <string.h>

/* ---- resize ------------------------------------------------------------------------------ */

static int resize(struct cli_session *session, uint64_t size_bytes)
{
    const struct cof_tool_call *call = session->call;
    struct coffer_fault fault = cli_no_fault();
    struct cof_tool_view view = {.schema_version = 1, .byte_fields = CLI_VOLUME_BYTE_FIELDS};
    uint64_t had_bytes = session->volume_info.size_bytes;
    char lost[32];
    if (cof_tool_given(call, "dry-run")) {
        return cof_tool_print(call,
                              json_pack("{s:b, s:s, s:s, s:I, s:I, s:b}", "DryRun", 1, "Action",
                                        "resize the volume", "Name", session->address.volume,
                                        "Size", (json_int_t)had_bytes, "NewSize",
                                        (json_int_t)size_bytes, "LosesData",
                                        size_bytes < had_bytes),
                              &view);
    }
    if (size_bytes < had_bytes) {
        int declined = cof_tool_confirm(call, "what %s holds beyond %s will be lost",
                                        cli_session_name(session),
                                        cof_tool_people_bytes(size_bytes, lost));
        if (declined != 0) {
            return declined;
        }
    }
    int exit_code = cli_session_go_on(session);
    if (exit_code != 0) {
        return exit_code;
    }
    int error = coffer_volume_resize(session->volume, size_bytes, &fault);
    if (error != 0) {
        return cli_session_fail(session, error, &fault, NULL, "cannot resize %s",
                                cli_session_name(session));
    }
    return 0;
}

int cli_volume_resize(struct cof_tool_call *call)
{
    struct cli_session session;
    uint64_t size_bytes = cof_tool_size(call, "size", 0);
    if (!cof_tool_given(call, "size")) {
        return cof_tool_usage(call, NULL, "--size is missing: the volume's new size");
    }
    int exit_code = cli_volume_check_size(call, size_bytes);
    if (exit_code == 0) {
        exit_code = cli_session_begin(&session, call, CLI_VOLUME, call->operands[0]);
    }
    if (exit_code != 0) {
        return exit_code;
    }
    exit_code = cli_session_open_volume(&session, COFFER_VOLUME_READ_ONLY);
    if (exit_code == 0) {
        exit_code = resize(&session, size_bytes);
    }
    return cli_session_end(&session, exit_code);
}

/* ---- delete ------------------------------------------------------------------------------ */

struct deletion {
    struct coffer_volume_open_opts opts;
    struct cli_pin pin;
    bool pinned;
};

static int begin_deletion(struct cli_session *session, struct deletion *deletion)
{
    memset(deletion, 0, sizeof *deletion);
    deletion->opts.size = sizeof deletion->opts;
    int exit_code = cli_session_expect(session, &deletion->opts, &deletion->pin,
                                       &deletion->pinned);
    /* Nothing is trusted to a volume that goes; what its pin says is checked all the same. */
    deletion->opts.flags |= COFFER_VOLUME_ALLOW_PLAIN;
    if (deletion->pin.next_arn[0] != '\0') {
        deletion->opts.pin.key_arn = NULL; /* a rekey was begun: either key is right */
    }
    return exit_code;
}

static int fail_deletion(struct cli_session *session, const struct deletion *deletion, int error,
                         const struct coffer_fault *fault)
{
    if (error == COFFER_E_PIN && deletion->pinned) {
        return cli_session_fail_pin(session, &deletion->opts, &deletion->pin, fault,
                                    "cannot delete");
    }
    return cli_session_fail(session, error, fault, NULL, "cannot delete %s",
                            cli_session_name(session));
}

/* A ResourceId: of a volume whose name no key opens. */
static bool is_id(const struct cli_session *session)
{
    return strncmp(session->address.volume, "vol-", 4) == 0 &&
           strlen(session->address.volume) == 28;
}

int cli_volume_check_deletion(struct cli_session *session)
{
    struct coffer_fault fault = cli_no_fault();
    struct coffer_volume *volume = NULL;
    struct deletion deletion;
    int exit_code = begin_deletion(session, &deletion);
    if (exit_code != 0) {
        return exit_code;
    }
    deletion.opts.flags |= COFFER_VOLUME_READ_ONLY;
    int error = coffer_volume_open(session->store, &deletion.opts, &volume, &fault);
    if (error == 0) {
        error = coffer_volume_close(volume);
    }
    if (cli_volume_is_lost(session, error) || error == COFFER_E_INACCESSIBLE_CREDENTIALS ||
        error == COFFER_E_STOPPED || is_id(session)) {
        return 0; /* such a one goes as well */
    }
    return error != 0 ? fail_deletion(session, &deletion, error, &fault) : 0;
}

static int delete_it(struct cli_session *session)
{
    struct coffer_fault fault = cli_no_fault();
    struct deletion deletion;
    int exit_code = begin_deletion(session, &deletion);
    if (exit_code != 0) {
        return exit_code;
    }
    int error = coffer_volume_delete(session->store, &deletion.opts, &fault);
    if (cli_volume_is_lost(session, error) && cli_volume_note_loss(session) == 0) {
        error = coffer_volume_delete(session->store, &deletion.opts, &fault);
    }
    if (error != 0) {
        return fail_deletion(session, &deletion, error, &fault);
    }
    if (cof_tool_given(session->call, "no-pin")) {
        return 0;
    }
    return cli_pins_remove(session->call, &session->store_info.uuid, session->address.name);
}

static int show_deletion(struct cli_session *session)
{
    struct cof_tool_view view = {.schema_version = 1, .byte_fields = CLI_VOLUME_BYTE_FIELDS};
    const struct coffer_volume_info *info = &session->volume_info;
    return cof_tool_print(session->call,
                          json_pack("{s:b, s:s, s:s, s:s, s:I, s:I}", "DryRun", 1, "Action",
                                    "delete the volume", "Name", info->name, "ResourceId",
                                    info->resource_id, "Size", (json_int_t)info->size_bytes,
                                    "MappedBytes", (json_int_t)info->mapped_bytes),
                          &view);
}

int cli_volume_delete(struct cof_tool_call *call)
{
    struct cli_session session;
    int exit_code = cli_session_begin(&session, call, CLI_VOLUME, call->operands[0]);
    if (exit_code != 0) {
        return exit_code;
    }
    if (cof_tool_given(call, "dry-run")) {
        exit_code = cli_session_open_volume(&session, COFFER_VOLUME_READ_ONLY);
        return cli_session_end(&session, exit_code != 0 ? exit_code : show_deletion(&session));
    }
    cli_session_use_keys(&session, 0);
    exit_code = cli_session_open_store(&session, COFFER_OPEN_READ_ONLY);
    if (exit_code == 0) {
        exit_code = cli_volume_check_deletion(&session);
    }
    if (exit_code == 0) {
        exit_code = cof_tool_confirm(call, "the volume %s and all it holds will be lost",
                                     cli_session_name(&session));
    }
    if (exit_code == 0) {
        exit_code = cli_session_go_on(&session);
    }
    if (exit_code == 0) {
        exit_code = delete_it(&session);
    }
    return cli_session_end(&session, exit_code);
}

/* ---- pin --------------------------------------------------------------------------------- */

/* Open as it is, whatever it is: that is what the question was about. */
static int open_as_found(struct cli_session *session)
{
    struct coffer_fault fault = cli_no_fault();
    struct coffer_volume_open_opts opts = {
        .size = sizeof opts,
        .name = session->address.name,
        .flags = COFFER_VOLUME_READ_ONLY | COFFER_VOLUME_ALLOW_PLAIN,
        .provider = &session->provider,
    };
    int error = coffer_volume_open(session->store, &opts, &session->volume, &fault);
    if (error != 0) {
        return cli_session_fail(session, error, &fault, NULL, "cannot open %s",
                                cli_session_name(session));
    }
    return cli_session_refresh(session);
}

int cli_volume_pin(struct cof_tool_call *call)
{
    struct cli_session session;
    struct cof_tool_view view = {.schema_version = 1, .byte_fields = CLI_VOLUME_BYTE_FIELDS};
    int exit_code = cli_session_begin(&session, call, CLI_VOLUME_OR_SNAPSHOT, call->operands[0]);
    if (exit_code != 0) {
        return exit_code;
    }
    cli_session_use_keys(&session, COFFER_KEYSTORE_READ_ONLY);
    exit_code = cli_session_open_store(&session, COFFER_OPEN_READ_ONLY);
    if (exit_code == 0) {
        exit_code = open_as_found(&session);
    }
    if (exit_code == 0 && cof_tool_given(call, "dry-run")) {
        view.people = cli_volume_lines(&session, &session.volume_info);
        exit_code = cof_tool_print(call, cli_volume_fields(&session, &session.volume_info), &view);
        return cli_session_end(&session, exit_code);
    }
    if (exit_code == 0) {
        exit_code = cof_tool_confirm(call, "%s (%s, %s) will be trusted from now on",
                                     cli_session_name(&session), session.volume_info.resource_id,
                                     session.volume_info.encrypted ? "encrypted" : "NOT encrypted");
    }
    if (exit_code == 0) {
        exit_code = cli_session_pin(&session);
    }
    return cli_session_end(&session, exit_code);
}
