/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/snapshot_diff.c - snapshot diff: the ranges of one snapshot that differ from another.
 *
 * Text and the table are printed as the ranges come, since there may be many; JSON and queries need
 * them all. Ranges that touch and are of one kind are one range, whatever the library made of them.
 */
#include "common/output.h"
#include "snapshots.h"
#include "verbs.h"
#include <stdio.h>
#include <string.h>

struct diffing {
    struct cli_session session;
    struct cli_address from, to;
    json_t *ranges; /* JSON or query wanted; NULL: lines */
    bool table;
    uint64_t offset_bytes, length_bytes; /* the range at hand; length 0: none */
    bool data;
    uint64_t data_bytes, zero_bytes; /* of all ranges */
};

/* The range at hand is complete. */
static int put_range(struct diffing *diffing)
{
    const char *kind = diffing->data ? "data" : "zero";
    uint64_t offset = diffing->offset_bytes;
    uint64_t length = diffing->length_bytes;
    if (length == 0) {
        return 0;
    }
    *(diffing->data ? &diffing->data_bytes : &diffing->zero_bytes) += length;
    diffing->length_bytes = 0;
    if (diffing->ranges != NULL) {
        int status = json_array_append_new(
            diffing->ranges, json_pack("{s:I, s:I, s:s}", "Offset", (json_int_t)offset, "Length",
                                       (json_int_t)length, "Kind", kind));
        return status != 0 ? COFFER_E_NO_MEMORY : 0;
    }
    printf(diffing->table ? "%16llu  %16llu  %s\n" : "%llu\t%llu\t%s\n", (unsigned long long)offset,
           (unsigned long long)length, kind);
    return 0;
}

static int on_range(void *ctx, uint64_t offset_bytes, uint64_t length_bytes, int data)
{
    struct diffing *diffing = ctx;
    bool goes_on = diffing->length_bytes > 0 && diffing->data == (data != 0) &&
                   diffing->offset_bytes + diffing->length_bytes == offset_bytes;
    if (cof_tool_interrupted()) {
        return COFFER_E_CANCELLED;
    }
    if (goes_on) {
        diffing->length_bytes += length_bytes;
        return 0;
    }
    int error = put_range(diffing);
    if (ferror(stdout)) {
        return 1; /* whoever finishes the output reports it */
    }
    diffing->offset_bytes = offset_bytes;
    diffing->length_bytes = length_bytes;
    diffing->data = data != 0;
    return error;
}

/* Each is there, is the one that was pinned, and its key can be had. */
static int check_side(struct diffing *diffing, const struct cli_address *address)
{
    diffing->session.address = *address;
    int exit_code = cli_session_open_named(&diffing->session, COFFER_VOLUME_READ_ONLY);
    return exit_code == 0 ? cli_session_close_volume(&diffing->session) : exit_code;
}

static int print_whole(struct diffing *diffing)
{
    struct cof_tool_view view = {.schema_version = 1};
    json_t *ranges = diffing->ranges;
    diffing->ranges = NULL;
    return cof_tool_print(
        diffing->session.call,
        json_pack("{s:s, s:s, s:s, s:o, s:I, s:I}", "Store", diffing->session.address.store, "From",
                  diffing->from.name, "To", diffing->to.name, "Ranges", ranges, "DataBytes",
                  (json_int_t)diffing->data_bytes, "ZeroBytes", (json_int_t)diffing->zero_bytes),
        &view);
}

static int diff(struct diffing *diffing)
{
    struct cli_session *session = &diffing->session;
    struct coffer_fault fault = cli_no_fault();
    struct coffer_snapshot_diff_opts opts = {
        .size = sizeof opts,
        .from = diffing->from.name,
        .to = diffing->to.name,
        .provider = &session->provider,
    };
    int exit_code = check_side(diffing, &diffing->from);
    if (exit_code == 0) {
        exit_code = check_side(diffing, &diffing->to);
    }
    if (exit_code != 0) {
        return exit_code;
    }
    if (diffing->table) {
        printf("%16s  %16s  %s\n", "Offset", "Length", "Kind");
    }
    int error = coffer_snapshot_diff(session->store, &opts, on_range, diffing, &fault);
    if (error == 0) {
        error = put_range(diffing);
    }
    if (error < 0) {
        return cli_session_fail(session, error, &fault, NULL, "cannot compare %s with %s",
                                cli_session_name(session), diffing->from.name);
    }
    return diffing->ranges != NULL ? print_whole(diffing) : 0;
}

static int begin(struct diffing *diffing, const struct cof_tool_call *call)
{
    const char *form = cof_tool_text(call, "output", "table");
    int exit_code =
        cli_session_begin(&diffing->session, call, CLI_VOLUME_OR_SNAPSHOT, call->operands[0]);
    diffing->from = diffing->session.address;
    if (exit_code == 0) {
        exit_code = cli_address_take(call, CLI_VOLUME_OR_SNAPSHOT, call->operands[1], &diffing->to);
    }
    if (exit_code == 0 && !cli_address_same_store(&diffing->from, &diffing->to)) {
        exit_code = cof_tool_usage(call, NULL,
                                   "%s and %s are two stores: what is compared shares "
                                   "pages, which only one store's snapshots do",
                                   diffing->from.store, diffing->to.store);
    }
    if (exit_code == 0 && (cof_tool_given(call, "query") || strcmp(form, "json") == 0)) {
        diffing->ranges = json_array();
    }
    diffing->table = diffing->ranges == NULL && strcmp(form, "table") == 0;
    return exit_code;
}

int cli_snapshot_diff(struct cof_tool_call *call)
{
    static struct diffing diffing;
    int exit_code = begin(&diffing, call);
    if (exit_code != 0) {
        return exit_code;
    }
    cli_session_use_keys(&diffing.session, COFFER_KEYSTORE_READ_ONLY);
    exit_code = cli_session_open_store(&diffing.session, COFFER_OPEN_READ_ONLY);
    if (exit_code == 0) {
        exit_code = diff(&diffing);
    }
    json_decref(diffing.ranges);
    return cli_session_end(&diffing.session, exit_code);
}
