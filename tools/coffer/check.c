/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/check.c - check and scrub: what the library finds, as lines or JSON, and an exit code.
 *
 * Findings go to standard output as they come; with --output json they are collected, at most
 * FINDINGS_KEPT of them, and the rest is counted. The exit code is that of the gravest finding:
 * 4 for damage or tampering, 8 when the device failed, 3 when a key was refused.
 *
 * Keys are asked for at once, so that a wrong passphrase does not pass for a keyless check. When
 * there is no key store at all, a note says that only checksums and placement were checked.
 */
#include "common/output.h"
#include "common/progress.h"
#include "session.h"
#include "verbs.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FINDINGS_KEPT 10000u

struct checking {
    struct cli_session session;
    struct cof_tool_progress progress;
    json_t *findings; /* JSON or query wanted; NULL: lines */
    int exit_code;
    uint64_t done_bytes;
};

static int gravity(int exit_code)
{
    static const int order[] = {COF_EXIT_DONE, COF_EXIT_FAILED, COF_EXIT_KEY, COF_EXIT_IO,
                                COF_EXIT_INTEGRITY};
    for (int i = 0; i < (int)(sizeof order / sizeof order[0]); i++) {
        if (order[i] == exit_code) {
            return i;
        }
    }
    return 1;
}

static json_t *place(uint64_t number)
{
    return number == COFFER_NOWHERE ? json_null() : json_integer((json_int_t)number);
}

static json_t *finding_json(const struct coffer_finding *finding)
{
    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:s}", "Error",
                     coffer_error_name(finding->error), "Class",
                     coffer_error_class_name(coffer_error_class_of(finding->error)), "Stage",
                     coffer_stage_name(finding->stage), "Volume",
                     finding->volume[0] ? json_string(finding->volume) : json_null(), "Page",
                     place(finding->page), "Segment", place(finding->segment), "Offset",
                     place(finding->offset), "Text", finding->text);
}

static void print_number(const char *name, uint64_t number)
{
    if (number != COFFER_NOWHERE) {
        printf(" %s %llu", name, (unsigned long long)number);
    }
}

static void print_finding(const struct coffer_finding *finding)
{
    printf("%s (%s):", coffer_error_name(finding->error), coffer_stage_name(finding->stage));
    if (finding->volume[0] != '\0') {
        printf(" volume %s", finding->volume);
    }
    print_number("page", finding->page);
    print_number("segment", finding->segment);
    print_number("offset", finding->offset);
    printf(": %s\n", finding->text[0] ? finding->text : coffer_error_sentence(finding->error));
}

static int on_finding(void *ctx, const struct coffer_finding *finding)
{
    struct checking *checking = ctx;
    int exit_code = cof_tool_exit_of(finding->error);
    if (exit_code == COF_EXIT_DONE) {
        exit_code = COF_EXIT_INTEGRITY;
    }
    if (gravity(exit_code) > gravity(checking->exit_code)) {
        checking->exit_code = exit_code;
    }
    if (checking->findings == NULL) {
        print_finding(finding);
    } else if (json_array_size(checking->findings) < FINDINGS_KEPT) {
        json_array_append_new(checking->findings, finding_json(finding));
    }
    return cof_tool_interrupted() ? COFFER_E_CANCELLED : 0;
}

static int on_progress(void *ctx, uint64_t done_bytes, uint64_t total_bytes)
{
    struct checking *checking = ctx;
    checking->progress.total_bytes = total_bytes;
    checking->done_bytes = done_bytes;
    cof_tool_progress_step(&checking->progress, done_bytes);
    return cof_tool_interrupted() ? COFFER_E_CANCELLED : 0;
}

static json_t *summary_json(const struct coffer_check_summary *summary, bool keyed)
{
    return json_pack("{s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "Keyed", keyed, "Findings",
                     (json_int_t)summary->findings, "Volumes", (json_int_t)summary->volumes,
                     "VolumesOpened", (json_int_t)summary->volumes_opened, "Segments",
                     (json_int_t)summary->segments, "PagesChecked",
                     (json_int_t)summary->pages_checked, "TagsChecked",
                     (json_int_t)summary->tags_checked, "BytesRead",
                     (json_int_t)summary->bytes_read);
}

static int print_result(struct checking *checking, const struct coffer_check_summary *summary,
                        bool keyed)
{
    const struct cof_tool_call *call = checking->session.call;
    struct cof_tool_view view = {.schema_version = 1, .list_name = "Checks",
                                 .byte_fields = "BytesRead"};
    json_t *value = summary_json(summary, keyed);
    if (checking->findings != NULL) {
        value = json_pack("{s:o, s:b, s:o}", "Findings", checking->findings, "Truncated",
                          summary->findings > json_array_size(checking->findings), "Summary",
                          value);
        checking->findings = NULL;
    }
    int exit_code = cof_tool_print(call, value, &view);
    if (exit_code != 0 || summary->findings == 0) {
        return exit_code;
    }
    return cof_tool_fail_named(call, "FINDINGS", checking->exit_code == COF_EXIT_IO ? "io"
                                                 : checking->exit_code == COF_EXIT_KEY ? "key"
                                                                                   : "corrupt",
                               checking->exit_code, "it is not whole",
                               "keep a copy, and restore what the findings name",
                               "%llu findings in %s", (unsigned long long)summary->findings,
                               checking->session.address.store);
}

/* A root key file that was named and is not there is a mistake, and no reason to go on keyless. */
static bool root_key_is_missing(const struct cof_tool_call *call)
{
    const char *path = cof_tool_text(call, "root-key-file", getenv("COFFER_ROOT_KEY_FILE"));
    return path != NULL && access(path, F_OK) != 0;
}

/* Open the key store now. Without one the check is keyless, which a note says. */
static int find_keys(struct checking *checking, bool *ret_keyed)
{
    struct cli_session *session = &checking->session;
    *ret_keyed = false;
    if (cof_tool_given(session->call, "keyless")) {
        return 0;
    }
    cli_session_use_keys(session, COFFER_KEYSTORE_READ_ONLY);
    int error = cof_tool_kms_open(&session->kms);
    bool asked = cof_tool_given(session->call, "kms") || root_key_is_missing(session->call);
    if (error == COFFER_E_NOT_FOUND && !asked) {
        cof_tool_note(session->call, "there is no key store: checksums and placement are checked, "
                      "tags are not");
        return 0;
    }
    if (error != 0) {
        return cli_session_fail(session, error, &session->kms.fault, NULL, "cannot check %s",
                                session->address.store);
    }
    *ret_keyed = true;
    return 0;
}

static int check(struct checking *checking, unsigned flags)
{
    struct cli_session *session = &checking->session;
    struct coffer_fault fault = cli_no_fault();
    struct coffer_check_summary summary;
    bool keyed;
    int exit_code = find_keys(checking, &keyed);
    if (exit_code != 0) {
        return exit_code;
    }
    struct coffer_check_opts opts = {
        .size = sizeof opts,
        .flags = flags | (keyed ? 0u : (unsigned)COFFER_CHECK_KEYLESS),
        .provider = keyed ? &session->provider : NULL,
        .bytes_per_second_max = (flags & COFFER_CHECK_SCRUB) != 0
                                    ? cof_tool_size(session->call, "rate", 0) : 0,
        .on_finding = on_finding,
        .on_progress = on_progress,
        .ctx = checking,
    };
    cof_tool_progress_begin(&checking->progress, session->call,
                            (flags & COFFER_CHECK_SCRUB) != 0 ? "scrub" : "check", 0);
    memset(&summary, 0, sizeof summary);
    int error = coffer_store_check(session->store, &opts, &summary, &fault);
    cof_tool_progress_end(&checking->progress, checking->done_bytes);
    if (error != 0) {
        return cli_session_fail(session, error, &fault, NULL, "cannot check %s",
                                session->address.store);
    }
    return print_result(checking, &summary, keyed);
}

static int run(struct cof_tool_call *call, unsigned flags)
{
    static struct checking checking;
    const char *store = call->operand_count > 0 ? call->operands[0] : NULL;
    int exit_code = cli_session_begin(&checking.session, call, CLI_STORE, store);
    if (exit_code != 0) {
        return exit_code;
    }
    if (cof_tool_given(call, "query") ||
        strcmp(cof_tool_text(call, "output", "table"), "table") != 0) {
        checking.findings = json_array();
    }
    exit_code = cli_session_open_store(&checking.session, COFFER_OPEN_READ_ONLY);
    if (exit_code == 0) {
        exit_code = check(&checking, flags);
    }
    json_decref(checking.findings);
    return cli_session_end(&checking.session, exit_code);
}

int cli_check(struct cof_tool_call *call)
{
    if (cof_tool_given(call, "nonces")) {
        return cli_check_nonces(call);
    }
    if (call->operand_count > 1) {
        return cof_tool_usage(call, NULL, "%s is one operand too many; only --nonces takes several "
                                          "stores", call->operands[1]);
    }
    if (cof_tool_given(call, "memory")) {
        return cof_tool_usage(call, NULL, "--memory goes with --nonces");
    }
    return run(call, 0);
}

int cli_scrub(struct cof_tool_call *call)
{
    return run(call, COFFER_CHECK_SCRUB);
}
