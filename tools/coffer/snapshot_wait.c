/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/snapshot_wait.c - snapshot wait: until it is available, or the time is up.
 *
 * The store is opened for reading and closed again each time, so that whoever writes to it gets it
 * in between. A store that another process has open for writing, as a copy into it has, is not an
 * error but a reason to go on waiting. One that has no such snapshot, or can't be read, ends it,
 * and so does a copy that stopped: nobody is at work on it.
 */
#include "common/progress.h"
#include "snapshots.h"
#include "verbs.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

#define TIMEOUT_DEFAULT_S 1800u
#define TIMEOUT_MAX_S 31536000u
#define NS_PER_S 1000000000ull

struct waiting {
    struct cli_session session;
    uint64_t deadline_ns;
    char state[64]; /* that was told last */
};

static void tell(struct waiting *waiting, const char *state)
{
    if (strcmp(waiting->state, state) != 0) {
        cof_tool_note(waiting->session.call, "%s: %s", cli_session_name(&waiting->session), state);
        snprintf(waiting->state, sizeof waiting->state, "%s", state);
    }
}

static int fail_stopped(const struct waiting *waiting)
{
    return cof_tool_fail_named(waiting->session.call, "COPY_STOPPED", "busy", COF_EXIT_FAILED,
                               "the copy stopped before it was whole",
                               "run it again and it goes on", "%s has failed",
                               cli_session_name(&waiting->session));
}

static int look(struct waiting *waiting, bool *ret_available)
{
    struct cli_session *session = &waiting->session;
    struct coffer_fault fault = cli_no_fault();
    struct coffer_snapshot_info info;
    int error = cli_session_try_store(session, COFFER_OPEN_READ_ONLY, &fault);
    if (error == COFFER_E_BUSY) {
        tell(waiting, "the store is open elsewhere");
        return 0;
    }
    if (error != 0) {
        return cli_session_fail(session, error, &fault, NULL, "cannot open the store %s",
                                session->address.store);
    }
    int exit_code = cli_snapshot_look(session, &info);
    error = coffer_store_close(session->store);
    session->store = NULL;
    if (exit_code == 0 && error != 0) {
        exit_code =
            cli_session_fail(session, error, NULL, NULL, "cannot close %s", session->address.store);
    }
    if (exit_code == 0 && info.status == COFFER_SNAPSHOT_FAILED) {
        return fail_stopped(waiting);
    }
    if (exit_code == 0) {
        *ret_available = info.status == COFFER_SNAPSHOT_AVAILABLE;
        if (!*ret_available) {
            tell(waiting, cli_snapshot_status(&info));
        }
    }
    return exit_code;
}

static int fail_timeout(const struct waiting *waiting)
{
    return cof_tool_fail_named(waiting->session.call, "TIMEOUT", "retry", COF_EXIT_FAILED,
                               "the time is up", "wait longer with --timeout SECONDS",
                               "%s is not available yet", cli_session_name(&waiting->session));
}

/* A second, or what is left of the time. An interrupt ends the sleep, and is seen after it. */
static void rest(const struct waiting *waiting)
{
    uint64_t now_ns = cof_tool_now_ns();
    uint64_t left_ns = waiting->deadline_ns > now_ns ? waiting->deadline_ns - now_ns : 0;
    uint64_t ns = left_ns < NS_PER_S ? left_ns : NS_PER_S;
    struct timespec pause = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
    nanosleep(&pause, NULL);
}

static int wait_for_it(struct waiting *waiting)
{
    for (;;) {
        bool available = false;
        int exit_code = look(waiting, &available);
        if (exit_code != 0 || available) {
            return exit_code;
        }
        if (cof_tool_now_ns() >= waiting->deadline_ns) {
            return fail_timeout(waiting);
        }
        rest(waiting);
        if (cof_tool_interrupted()) {
            return cof_tool_fail(waiting->session.call, COFFER_E_CANCELLED, NULL, NULL,
                                 "cannot wait for %s", cli_session_name(&waiting->session));
        }
    }
}

int cli_snapshot_wait(struct cof_tool_call *call)
{
    static struct waiting waiting;
    uint64_t timeout_s = cof_tool_number(call, "timeout", TIMEOUT_DEFAULT_S);
    if (timeout_s > TIMEOUT_MAX_S) {
        return cof_tool_usage(call, NULL, "--timeout: it is at most %u seconds", TIMEOUT_MAX_S);
    }
    int exit_code = cli_session_begin(&waiting.session, call, CLI_SNAPSHOT, call->operands[0]);
    if (exit_code != 0) {
        return exit_code;
    }
    waiting.deadline_ns = cof_tool_now_ns() + timeout_s * NS_PER_S;
    cli_session_use_keys(&waiting.session, COFFER_KEYSTORE_READ_ONLY);
    exit_code = wait_for_it(&waiting);
    return cli_session_end(&waiting.session, exit_code);
}
