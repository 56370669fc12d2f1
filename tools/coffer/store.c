/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/store.c - store create, grow, shrink.
 *
 * Making a store on a block device destroys what is on it, so that asks. Shrinking destroys
 * nothing, because what lies in the part that goes is moved before, but it asks too: room that
 * others may count on goes away.
 */
#include "common/error.h"
#include "common/output.h"
#include "common/progress.h"
#include "session.h"
#include "verbs.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SEGMENT_BYTES_MIN (1u << 20)
#define SEGMENT_BYTES_MAX (64u << 20)

static const char *operand(const struct cof_tool_call *call)
{
    return call->operand_count > 0 ? call->operands[0] : NULL;
}

/* ---- create ------------------------------------------------------------------------------ */

static int check_sizes(const struct cof_tool_call *call)
{
    uint64_t segment = cof_tool_size(call, "segment-size", SEGMENT_BYTES_MIN);
    if (segment < SEGMENT_BYTES_MIN || segment > SEGMENT_BYTES_MAX ||
        (segment & (segment - 1)) != 0) {
        return cof_tool_usage(call, NULL, "--segment-size %s: it is a power of two, 1M to 64M",
                              cof_tool_text(call, "segment-size", ""));
    }
    if (cof_tool_given(call, "size") && cof_tool_size(call, "size", 0) == 0) {
        return cof_tool_usage(call, NULL, "--size 0: a store must have room");
    }
    return 0;
}

static int print_plan(const struct cof_tool_call *call, const char *path)
{
    struct cof_tool_view view = {.schema_version = 1, .byte_fields = "Size"};
    json_t *size = cof_tool_given(call, "size")
                       ? json_integer((json_int_t)cof_tool_size(call, "size", 0))
                       : json_null();
    return cof_tool_print(call, json_pack("{s:b, s:s, s:s, s:o}", "DryRun", 1, "Action",
                                          "create a store", "Path", path, "Size", size), &view);
}

/* An open for writing binds the new store to the anchor, before anybody can exchange it. */
static int bind_anchor(struct cli_session *session)
{
    int exit_code = cli_anchor_forget_path(&session->anchor);
    if (exit_code == 0) {
        exit_code = cli_session_open_store(session, 0);
    }
    return cli_session_end(session, exit_code);
}

int cli_store_create(struct cof_tool_call *call)
{
    struct cli_session session;
    const char *path = session.address.store;
    struct stat status;
    struct coffer_fault fault = cli_no_fault();
    int exit_code = cli_session_begin(&session, call, CLI_STORE, operand(call));
    if (exit_code == 0) {
        exit_code = check_sizes(call);
    }
    if (exit_code == 0) {
        exit_code = cli_anchor_probe(&session.anchor);
    }
    if (exit_code != 0) {
        return exit_code;
    }
    if (cof_tool_given(call, "dry-run")) {
        return print_plan(call, path);
    }
    if (stat(path, &status) == 0 && S_ISBLK(status.st_mode)) {
        exit_code = cof_tool_confirm(call, "everything on the device %s will be lost", path);
        if (exit_code != 0) {
            return exit_code;
        }
    }
    struct coffer_store_create_opts opts = {
        .size = sizeof opts,
        .path = path,
        .size_bytes = cof_tool_size(call, "size", 0),
        .segment_bytes = (uint32_t)cof_tool_size(call, "segment-size", 0),
    };
    int error = coffer_store_create(&opts, &fault);
    if (error != 0) {
        return cof_tool_fail(call, error, &fault, NULL, "cannot make the store %s", path);
    }
    exit_code = cli_pins_forget_path(call, path);
    return exit_code == 0 && session.anchor.file != NULL ? bind_anchor(&session) : exit_code;
}

/* ---- grow and shrink --------------------------------------------------------------------- */

static int check_direction(struct cli_session *session, uint64_t size_bytes, bool grow)
{
    char now[32];
    uint64_t had_bytes = session->store_info.size_bytes;
    cof_tool_people_bytes(had_bytes, now);
    if (grow && size_bytes < had_bytes) {
        return cof_tool_usage(session->call, NULL,
                              "the store has %s already; `store shrink` makes it smaller", now);
    }
    if (!grow && size_bytes > had_bytes) {
        return cof_tool_usage(session->call, NULL,
                              "the store has only %s; `store grow` makes it larger", now);
    }
    return 0;
}

struct moving {
    const struct cof_tool_call *call;
    struct cof_tool_progress progress;
    uint64_t done_bytes;
    bool started;
};

static int go_on(void *ctx, uint64_t done_bytes, uint64_t total_bytes)
{
    struct moving *moving = ctx;
    if (!moving->started) {
        cof_tool_progress_begin(&moving->progress, moving->call, "shrink", total_bytes);
        moving->started = true;
    }
    moving->done_bytes = done_bytes;
    cof_tool_progress_step(&moving->progress, done_bytes);
    return cof_tool_interrupted() && done_bytes != total_bytes ? COFFER_E_CANCELLED : 0;
}

/* What to do when it can't be made smaller. */
static const char *advice(int error)
{
    switch (error) {
    case COFFER_E_NO_SPACE:
        return "delete or move data first, or shrink it by less";
    case COFFER_E_CANCELLED:
        return "nothing is lost; the same command goes on";
    case COFFER_E_BUSY:
        return "`coffer volume write STORE:VOLUME 0 </dev/null` opens a volume for writing; "
               "`coffer volume list` shows the ids";
    default:
        return NULL;
    }
}

static int resize(struct cli_session *session, uint64_t size_bytes, bool grow)
{
    struct coffer_fault fault = cli_no_fault();
    struct moving moving = {.call = session->call};
    struct coffer_store_resize_opts opts = {.size = sizeof opts,
                                            .size_bytes = size_bytes,
                                            .on_progress = go_on,
                                            .ctx = &moving};
    int error = coffer_store_resize_with(session->store, &opts, &fault);
    if (moving.started) {
        cof_tool_progress_end(&moving.progress, moving.done_bytes);
    }
    if (error != 0) {
        return cli_session_fail(session, error, &fault, grow ? NULL : advice(error),
                                "cannot resize the store %s", session->address.store);
    }
    return 0;
}

static int change_size(struct cli_session *session, uint64_t size_bytes, bool grow)
{
    const struct cof_tool_call *call = session->call;
    struct cof_tool_view view = {.schema_version = 1, .byte_fields = "Size NewSize SegmentSize"};
    int exit_code = check_direction(session, size_bytes, grow);
    if (exit_code != 0) {
        return exit_code;
    }
    if (cof_tool_given(call, "dry-run")) {
        return cof_tool_print(
            call,
            json_pack("{s:b, s:s, s:s, s:I, s:I, s:I}", "DryRun", 1, "Action",
                      grow ? "grow the store" : "shrink the store", "Path",
                      session->address.store, "Size", (json_int_t)session->store_info.size_bytes,
                      "NewSize", (json_int_t)size_bytes, "SegmentSize",
                      (json_int_t)session->store_info.segment_bytes),
            &view);
    }
    if (!grow && size_bytes < session->store_info.size_bytes) {
        char to[32];
        exit_code = cof_tool_confirm(call, "the store %s will have only %s",
                                     session->address.store, cof_tool_people_bytes(size_bytes, to));
        if (exit_code != 0) {
            return exit_code;
        }
    }
    exit_code = cli_session_go_on(session);
    if (exit_code != 0) {
        return exit_code;
    }
    return resize(session, size_bytes, grow);
}

static int run_resize(struct cof_tool_call *call, bool grow)
{
    struct cli_session session;
    if (!cof_tool_given(call, "size") || cof_tool_size(call, "size", 0) == 0) {
        return cof_tool_usage(call, NULL, "--size is missing: the store's new size");
    }
    int exit_code = cli_session_begin(&session, call, CLI_STORE, operand(call));
    if (exit_code == 0) {
        exit_code = cli_session_open_store(&session, COFFER_OPEN_READ_ONLY);
    }
    if (exit_code == 0) {
        exit_code = change_size(&session, cof_tool_size(call, "size", 0), grow);
    }
    return cli_session_end(&session, exit_code);
}

int cli_store_grow(struct cof_tool_call *call)
{
    return run_resize(call, true);
}

int cli_store_shrink(struct cof_tool_call *call)
{
    return run_resize(call, false);
}
