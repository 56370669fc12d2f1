/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/import.c - volume import: a file or standard input into a volume.
 *
 * Holes and pages of zeros are not written: a new volume has zeros there already, an old one has
 * them discarded. What an old volume holds behind the end of the input stays. The volume is flushed
 * before the verb reports success, so what it reported survives the loss of power. When --create
 * was given and anything fails, or the user interrupts, the new volume is deleted again.
 */
#include "common/output.h"
#include "common/progress.h"
#include "pump.h"
#include "source.h"
#include "verbs.h"
#include "volume.h"
#include <string.h>

struct importing {
    struct cli_session session;
    struct cli_source source;
    struct cli_pump pump;
    struct cof_tool_progress progress;
    bool created;
    uint64_t done_bytes;
    uint64_t written_bytes;
};

static uint64_t round_up(uint64_t bytes, uint64_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

/* ---- the volume -------------------------------------------------------------------------- */

static int create_volume(struct importing *import)
{
    const struct cof_tool_call *call = import->session.call;
    uint64_t size_bytes = cof_tool_size(call, "size", 0);
    if (!cof_tool_given(call, "size")) {
        if (!import->source.sized) {
            return cof_tool_usage(call, NULL, "--size is missing: %s does not tell its size",
                                  import->source.name);
        }
        size_bytes = round_up(import->source.size_bytes, COFFER_PAGE_BYTES);
    }
    int exit_code = cli_volume_check_size(call, size_bytes);
    if (exit_code == 0 && import->source.sized && import->source.size_bytes > size_bytes) {
        exit_code = cof_tool_usage(call, NULL, "%s is larger than --size", import->source.name);
    }
    if (exit_code != 0) {
        return exit_code;
    }
    cli_session_use_keys(&import->session, cof_tool_given(call, "kms-key-id")
                                               ? 0u : (unsigned)COFFER_KEYSTORE_CREATE);
    exit_code = cli_session_open_store(&import->session, COFFER_OPEN_READ_ONLY);
    if (exit_code == 0) {
        exit_code = cli_volume_check_new(&import->session);
    }
    if (exit_code == 0) {
        exit_code = cli_session_go_on(&import->session);
    }
    if (exit_code == 0) {
        exit_code = cli_volume_make(&import->session, size_bytes, NULL, 0);
        import->created = exit_code == 0;
    }
    return exit_code;
}

static int open_volume(struct importing *import)
{
    const struct cof_tool_call *call = import->session.call;
    static const char *const creating[] = {"size", "kms-key-id", "storage-encrypted", "encrypted",
                                           "no-storage-encrypted"};
    if (cof_tool_given(call, "create")) {
        return create_volume(import);
    }
    for (size_t i = 0; i < sizeof creating / sizeof creating[0]; i++) {
        if (cof_tool_given(call, creating[i])) {
            return cof_tool_usage(call, NULL, "--%s has a meaning with --create only", creating[i]);
        }
    }
    int exit_code = cli_session_open_volume(&import->session, COFFER_VOLUME_READ_ONLY);
    if (exit_code == 0 && import->source.sized &&
        import->source.size_bytes > import->session.volume_info.size_bytes) {
        exit_code = cof_tool_fail(call, COFFER_E_RANGE, NULL, "grow it with `coffer volume resize`",
                                  "%s is larger than %s", import->source.name,
                                  cli_session_name(&import->session));
    }
    return exit_code == 0 ? cli_session_go_on(&import->session) : exit_code;
}

/* ---- the copy ---------------------------------------------------------------------------- */

static int fail_pump(struct importing *import)
{
    return cli_session_fail(&import->session, import->pump.error, &import->pump.fault, NULL,
                            "cannot write %s", cli_session_name(&import->session));
}

static int put_hole(struct importing *import, uint64_t offset_bytes, uint64_t length_bytes)
{
    if (import->created) {
        return 0;
    }
    /* Only the last piece ends inside a sector, and the volume ends behind that sector. */
    uint64_t end = round_up(offset_bytes + length_bytes, COFFER_SECTOR_BYTES);
    int error = cli_pump_submit(&import->pump, NULL, COFFER_IO_DISCARD, NULL, offset_bytes,
                                end - offset_bytes);
    return error != 0 ? fail_pump(import) : 0;
}

static int put_data(struct importing *import, struct cli_pump_slot *slot)
{
    size_t length = (size_t)round_up(slot->length_bytes, COFFER_SECTOR_BYTES);
    memset(slot->buffer + slot->length_bytes, 0, length - slot->length_bytes);
    for (size_t at = 0; at < length;) {
        bool zero;
        size_t run = cli_pump_run(slot->buffer + at, length - at, &zero);
        int exit_code = 0;
        if (zero) {
            exit_code = put_hole(import, slot->offset_bytes + at, run);
        } else {
            int error = cli_pump_submit(&import->pump, slot, COFFER_IO_WRITE, slot->buffer + at,
                                        slot->offset_bytes + at, run);
            exit_code = error != 0 ? fail_pump(import) : 0;
            import->written_bytes += run;
        }
        if (exit_code != 0) {
            return exit_code;
        }
        at += run;
    }
    return 0;
}

static int check_room(struct importing *import, const struct cli_piece *piece)
{
    if (piece->offset_bytes + piece->length_bytes <= import->session.volume_info.size_bytes) {
        return 0;
    }
    return cof_tool_fail(import->session.call, COFFER_E_RANGE, NULL,
                         "grow it with `coffer volume resize`, and import again",
                         "%s is larger than %s", import->source.name,
                         cli_session_name(&import->session));
}

/* One piece; *ret_end at the end of the input. */
static int copy_piece(struct importing *import, struct cli_pump_slot *slot, bool *ret_end)
{
    struct cli_piece piece;
    if (cli_pump_wait(&import->pump, slot) != 0) {
        return fail_pump(import);
    }
    slot->iov_used = 0;
    int exit_code = cli_source_next(&import->source, slot->buffer, CLI_PUMP_SLOT_BYTES, &piece);
    if (exit_code == 0) {
        exit_code = check_room(import, &piece);
    }
    if (exit_code != 0) {
        return exit_code;
    }
    if (piece.hole) {
        exit_code = put_hole(import, piece.offset_bytes, piece.length_bytes);
    } else {
        slot->offset_bytes = piece.offset_bytes;
        slot->length_bytes = (size_t)piece.length_bytes;
        exit_code = put_data(import, slot);
    }
    import->done_bytes += piece.length_bytes;
    *ret_end = piece.length_bytes == 0;
    return exit_code;
}

static int copy(struct importing *import)
{
    bool end = false;
    for (unsigned next = 0; !end; next = (next + 1) % CLI_PUMP_SLOTS) {
        if (cof_tool_interrupted()) {
            return cof_tool_fail(import->session.call, COFFER_E_CANCELLED, NULL,
                                 import->created ? "the new volume was deleted again"
                                                 : "a part of the volume has been overwritten",
                                 "cannot import %s", import->source.name);
        }
        int exit_code = copy_piece(import, &import->pump.slots[next], &end);
        if (exit_code != 0) {
            return exit_code;
        }
        cof_tool_progress_step(&import->progress, import->done_bytes);
    }
    if (cli_pump_wait(&import->pump, NULL) != 0) {
        return fail_pump(import);
    }
    struct coffer_fault fault = cli_no_fault();
    int error = coffer_volume_flush(import->session.volume, &fault);
    if (error != 0) {
        return cli_session_fail(&import->session, error, &fault, NULL, "cannot flush %s",
                                cli_session_name(&import->session));
    }
    return 0;
}

static int run_copy(struct importing *import)
{
    const struct cof_tool_call *call = import->session.call;
    int error = cli_pump_init(&import->pump, import->session.store, import->session.volume);
    if (error != 0) {
        return cli_session_fail(&import->session, error, NULL, NULL, "cannot import %s",
                                import->source.name);
    }
    cof_tool_progress_begin(&import->progress, call, "import",
                            import->source.sized ? import->source.size_bytes : 0);
    int exit_code = copy(import);
    cof_tool_progress_end(&import->progress, import->done_bytes);
    cli_pump_done(&import->pump);
    return exit_code;
}

static int report(const struct importing *import, uint64_t begin_ns)
{
    struct cof_tool_view view = {.schema_version = 1};
    double seconds = (double)(cof_tool_now_ns() - begin_ns) / 1e9;
    double rate = seconds > 0 ? (double)import->done_bytes / seconds : 0;
    if (!cof_tool_wants_json(import->session.call)) {
        return 0;
    }
    return cof_tool_print(import->session.call,
                          json_pack("{s:s, s:I, s:I, s:f, s:I}", "Name",
                                    import->session.address.volume, "Bytes",
                                    (json_int_t)import->done_bytes, "Written",
                                    (json_int_t)import->written_bytes, "Seconds", seconds,
                                    "BytesPerSecond", (json_int_t)rate),
                          &view);
}

int cli_volume_import(struct cof_tool_call *call)
{
    static struct importing import;
    uint64_t begin_ns = cof_tool_now_ns();
    int exit_code = cli_volume_check_kind(call);
    if (exit_code == 0) {
        exit_code = cli_session_begin(&import.session, call, CLI_VOLUME, call->operands[0]);
        import.session.uses_data = true;
    }
    if (exit_code == 0) {
        exit_code = cli_source_open(&import.source, call, call->operands[1]);
    }
    if (exit_code != 0) {
        return exit_code;
    }
    exit_code = open_volume(&import);
    if (exit_code == 0) {
        exit_code = run_copy(&import);
    }
    if (exit_code != 0 && import.created) {
        int undone = cli_volume_unmake(&import.session);
        (void)undone; /* noted there */
    }
    cli_source_close(&import.source);
    exit_code = cli_session_end(&import.session, exit_code);
    return exit_code != 0 ? exit_code : report(&import, begin_ns);
}
