/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/export.c - volume export: a volume or snapshot into a file or to standard output.
 *
 * Runs of pages that hold data are read ahead, several requests in flight, and written in order;
 * what lies between them is zero and is not read. A file appears under its name only when all of it
 * is on the disk, so a failed or interrupted export leaves nothing.
 */
#include "common/output.h"
#include "common/progress.h"
#include "pump.h"
#include "session.h"
#include "sink.h"
#include "verbs.h"
#include <jansson.h>

struct exporting {
    struct cli_session session;
    struct cli_sink sink;
    struct cli_pump pump;
    struct cof_tool_progress progress;
    uint64_t size_bytes;
    uint64_t run_at_bytes, run_end_bytes; /* what is left of the run of data being read */
    uint64_t data_bytes;
    unsigned head, queued; /* slots in order: queued of them from head on */
};

static int fail_read(struct exporting *export, int error, const struct coffer_fault *fault)
{
    return cli_session_fail(&export->session, error, fault, NULL, "cannot read %s",
                            cli_session_name(&export->session));
}

/* Find the next run; run_at_bytes is size_bytes when there is none. */
static int find_run(struct exporting *export)
{
    struct coffer_fault fault = cli_no_fault();
    uint64_t at = export->run_end_bytes;
    uint64_t length = 0;
    int error = at < export->size_bytes
                    ? coffer_volume_next_data(export->session.volume, &at, &length, &fault) : 0;
    if (error != 0) {
        return fail_read(export, error, &fault);
    }
    if (length == 0) {
        at = export->size_bytes;
    }
    export->run_at_bytes = at;
    export->run_end_bytes = at + length;
    return 0;
}

/* Ask for the next piece of data, if there is one and a slot for it. */
static int read_ahead(struct exporting *export)
{
    while (export->queued < CLI_PUMP_SLOTS) {
        if (export->run_at_bytes >= export->run_end_bytes) {
            int exit_code = find_run(export);
            if (exit_code != 0) {
                return exit_code;
            }
            if (export->run_at_bytes >= export->size_bytes) {
                return 0;
            }
        }
        struct cli_pump_slot *slot =
            &export->pump.slots[(export->head + export->queued) % CLI_PUMP_SLOTS];
        uint64_t left = export->run_end_bytes - export->run_at_bytes;
        slot->iov_used = 0;
        slot->offset_bytes = export->run_at_bytes;
        slot->length_bytes = left < CLI_PUMP_SLOT_BYTES ? (size_t)left : CLI_PUMP_SLOT_BYTES;
        if (cli_pump_submit(&export->pump, slot, COFFER_IO_READ, slot->buffer, slot->offset_bytes,
                            slot->length_bytes) != 0) {
            return fail_read(export, export->pump.error, &export->pump.fault);
        }
        export->run_at_bytes += slot->length_bytes;
        export->queued++;
    }
    return 0;
}

/* Zeros up to offset. */
static int put_gap(struct exporting *export, uint64_t offset_bytes)
{
    uint64_t at = export->sink.at_bytes;
    return offset_bytes > at ? cli_sink_put(&export->sink, NULL, at, offset_bytes - at) : 0;
}

static int put_slot(struct exporting *export, const struct cli_pump_slot *slot)
{
    int exit_code = put_gap(export, slot->offset_bytes);
    for (size_t at = 0; exit_code == 0 && at < slot->length_bytes;) {
        bool zero;
        size_t run = cli_pump_run(slot->buffer + at, slot->length_bytes - at, &zero);
        exit_code = cli_sink_put(&export->sink, zero ? NULL : slot->buffer + at,
                                 slot->offset_bytes + at, run);
        at += run;
    }
    export->data_bytes += slot->length_bytes;
    return exit_code;
}

static int copy(struct exporting *export)
{
    for (;;) {
        if (cof_tool_interrupted()) {
            return cof_tool_fail(export->session.call, COFFER_E_CANCELLED, NULL, NULL,
                                 "cannot export %s", cli_session_name(&export->session));
        }
        int exit_code = read_ahead(export);
        if (exit_code != 0 || export->queued == 0) {
            return exit_code != 0 ? exit_code : put_gap(export, export->size_bytes);
        }
        struct cli_pump_slot *slot = &export->pump.slots[export->head];
        if (cli_pump_wait(&export->pump, slot) != 0) {
            return fail_read(export, export->pump.error, &export->pump.fault);
        }
        exit_code = put_slot(export, slot);
        if (exit_code != 0) {
            return exit_code;
        }
        export->head = (export->head + 1) % CLI_PUMP_SLOTS;
        export->queued--;
        cof_tool_progress_step(&export->progress, export->sink.at_bytes);
    }
}

static int run_copy(struct exporting *export, const char *name)
{
    const struct cof_tool_call *call = export->session.call;
    int error = cli_pump_init(&export->pump, export->session.store, export->session.volume);
    if (error != 0) {
        return fail_read(export, error, NULL);
    }
    int exit_code = cli_sink_open(&export->sink, call, name, export->size_bytes);
    if (exit_code == 0) {
        cof_tool_progress_begin(&export->progress, call, "export", export->size_bytes);
        exit_code = cli_session_record_export(&export->session, name);
        if (exit_code == 0) {
            exit_code = copy(export);
        }
        cof_tool_progress_end(&export->progress, export->sink.at_bytes);
        if (exit_code == 0) {
            exit_code = cli_sink_finish(&export->sink);
        }
        cli_sink_close(&export->sink);
    }
    cli_pump_done(&export->pump);
    return exit_code;
}

static int report(const struct exporting *export, const char *name, uint64_t begin_ns)
{
    struct cof_tool_view view = {.schema_version = 1};
    double seconds = (double)(cof_tool_now_ns() - begin_ns) / 1e9;
    double rate = seconds > 0 ? (double)export->size_bytes / seconds : 0;
    if (!cof_tool_wants_json(export->session.call) || (name[0] == '-' && name[1] == '\0')) {
        return 0;
    }
    return cof_tool_print(export->session.call,
                          json_pack("{s:s, s:I, s:I, s:f, s:I}", "Name",
                                    export->session.address.name, "Bytes",
                                    (json_int_t)export->size_bytes, "Read",
                                    (json_int_t)export->data_bytes, "Seconds", seconds,
                                    "BytesPerSecond", (json_int_t)rate),
                          &view);
}

int cli_volume_export(struct cof_tool_call *call)
{
    static struct exporting export;
    uint64_t begin_ns = cof_tool_now_ns();
    int exit_code = cli_session_begin(&export.session, call, CLI_VOLUME_OR_SNAPSHOT,
                                      call->operands[0]);
    if (exit_code != 0) {
        return exit_code;
    }
    export.session.uses_data = true;
    exit_code = cli_session_open_volume(&export.session, COFFER_VOLUME_READ_ONLY);
    if (exit_code == 0) {
        export.size_bytes = export.session.volume_info.size_bytes;
        exit_code = run_copy(&export, call->operands[1]);
    }
    exit_code = cli_session_end(&export.session, exit_code);
    return exit_code != 0 ? exit_code : report(&export, call->operands[1], begin_ns);
}
