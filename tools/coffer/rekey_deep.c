/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/rekey_deep.c - rekey --depth deep: every page of a volume and of all that shares pages
 * with it sealed anew, with progress, at a rate; and how far it is.
 *
 * The library does an extent a step. Interrupted or killed, it goes on where it was when it is
 * asked for again. --status reads what is in clear and asks for a key only to find the volume's
 * name.
 */
#include "common/output.h"
#include "rekey.h"
#include "verbs.h"
#include <time.h>

#define NAP_NS UINT64_C(100000000) /* between two looks whether to stop */

static void nap(uint64_t wait_ns)
{
    uint64_t ns = wait_ns < NAP_NS ? wait_ns : NAP_NS;
    struct timespec pause = {.tv_sec = 0, .tv_nsec = (long)ns};
    if (ns > 0) {
        nanosleep(&pause, NULL);
    }
}

static int fail(struct cli_rekeying *rekeying, int error, const struct coffer_fault *fault)
{
    const struct coffer_reencrypt_status *status = &rekeying->status;
    const char *todo = error == COFFER_E_CANCELLED || error == COFFER_E_NO_SPACE
                           ? "the same command goes on where it was"
                       : status->extents_damaged > 0
                           ? "`coffer check` names the pages; what has them can be deleted"
                           : NULL;
    return cli_session_fail(
        &rekeying->session, error, fault, todo, "%llu of %llu parts of %s are sealed anew",
        (unsigned long long)status->extents_done, (unsigned long long)status->extents,
        cli_session_name(&rekeying->session));
}

static int begin(struct cli_rekeying *rekeying)
{
    struct cli_session *session = &rekeying->session;
    struct coffer_fault fault = cli_no_fault();
    struct coffer_reencrypt_opts opts = {
        .size = sizeof opts,
        .volume = session->address.name,
        .kms_key_id = rekeying->key != NULL ? rekeying->new_key.arn : NULL,
        .provider = &session->provider,
        .caller = cli_session_caller(session),
        .bytes_per_second_max =
            cof_tool_given(session->call, "rate") ? cof_tool_size(session->call, "rate", 0) : 0,
    };
    int error = coffer_reencrypt_begin(session->store, &opts, &fault);
    return error != 0
               ? cli_session_fail(session, error, &fault, NULL, "cannot seal the pages of %s anew",
                                  cli_session_name(session))
               : 0;
}

int cli_rekey_deep(struct cli_rekeying *rekeying)
{
    struct cli_session *session = &rekeying->session;
    struct coffer_reencrypt_status *status = &rekeying->status;
    struct cof_tool_progress progress;
    uint64_t total_bytes = 0, done_bytes = 0;
    int exit_code = begin(rekeying), error = 1;
    if (exit_code != 0) {
        return exit_code;
    }
    while (error == 1) {
        struct coffer_fault fault = cli_no_fault();
        error = cof_tool_interrupted() ? COFFER_E_CANCELLED
                                       : coffer_reencrypt_step(session->store, status, &fault);
        if (total_bytes == 0 && error >= 0) {
            total_bytes = status->bytes_left;
            cof_tool_progress_begin(&progress, session->call, "rekey", total_bytes);
        }
        if (error >= 0) {
            done_bytes = total_bytes > status->bytes_left ? total_bytes - status->bytes_left : 0;
            cof_tool_progress_step(&progress, done_bytes);
            nap(error == 1 ? status->wait_ns : 0);
        } else {
            exit_code = fail(rekeying, error, &fault);
        }
    }
    if (total_bytes != 0) {
        cof_tool_progress_end(&progress, done_bytes);
    }
    coffer_reencrypt_end(session->store);
    return exit_code;
}

/* ---- status ------------------------------------------------------------------------------ */

static json_t *percent(const struct coffer_reencrypt_status *status)
{
    if (status->state == COFFER_REENCRYPT_NONE) {
        return json_null();
    }
    if (status->state == COFFER_REENCRYPT_DONE) {
        return json_integer(100);
    }
    json_int_t done =
        status->extents > 0
            ? (json_int_t)((double)status->extents_done * 100.0 / (double)status->extents)
            : 0;
    return json_integer(done < 100 ? done : 99); /* the old keys are there yet */
}

int cli_rekey_status(struct cli_session *session)
{
    static const char *const states[] = {"none", "in-progress", "complete"};
    struct cof_tool_view view = {.schema_version = 1, .byte_fields = "BytesLeft"};
    struct coffer_fault fault = cli_no_fault();
    struct coffer_reencrypt_status status = {.size = sizeof status};
    struct coffer_reencrypt_opts opts = {
        .size = sizeof opts, .volume = session->address.name, .provider = &session->provider};
    int exit_code = cli_session_open_store(session, COFFER_OPEN_READ_ONLY);
    if (exit_code != 0) {
        return exit_code;
    }
    int error = coffer_reencrypt_status_get(session->store, &opts, &status, &fault);
    /* There is no key service to ask. */
    if (error != 0 && (session->kms.open_error != 0 || error == COFFER_E_KEY_UNREACHABLE)) {
        fault = cli_no_fault();
        opts.provider = NULL;
        error = coffer_reencrypt_status_get(session->store, &opts, &status, &fault);
    }
    if (error != 0) {
        return cli_session_fail(session, error, &fault, NULL, "cannot tell how far %s is",
                                cli_session_name(session));
    }
    return cof_tool_print(
        session->call,
        json_pack("{s:s, s:s, s:o, s:I, s:I, s:I, s:I}", "Name", session->address.name, "Status",
                  states[status.state], "PercentComplete", percent(&status), "Extents",
                  (json_int_t)status.extents, "ExtentsDone", (json_int_t)status.extents_done,
                  "BytesLeft", (json_int_t)status.bytes_left, "OldDataKeys",
                  (json_int_t)status.old_keys),
        &view);
}
