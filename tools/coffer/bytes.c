/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/bytes.c - volume read and write: any range of bytes, of a volume that works in sectors.
 *
 * Read takes the sectors around the range and prints the bytes inside. Write reads the first and
 * the last sector where the range begins or ends inside one, puts the bytes over it and writes
 * whole sectors back; it flushes before it reports success. A range that reaches beyond the end is
 * refused before the first byte is moved; input from a pipe that is longer than the buffer shows
 * its length only as it comes.
 */
#include "common/error.h"
#include "common/size.h"
#include "session.h"
#include "source.h"
#include "verbs.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK_BYTES ((size_t)4 << 20)

struct bytes {
    struct cli_session session;
    uint8_t *buffer; /* CHUNK_BYTES and a sector on either side */
    uint64_t offset_bytes;
    uint64_t length_bytes;
    uint64_t size_bytes; /* of the volume */
};

static int take_number(const struct cof_tool_call *call, const char *what, const char *text,
                       uint64_t *ret_number)
{
    const char *why;
    if (cof_tool_size_parse(text, ret_number, &why) != 0) {
        return cof_tool_usage(call, NULL, "%s %s: %s", what, text, why);
    }
    return 0;
}

static int begin(struct bytes *bytes, struct cof_tool_call *call, enum cli_what what)
{
    memset(bytes, 0, sizeof *bytes);
    int exit_code = take_number(call, "OFFSET", call->operands[1], &bytes->offset_bytes);
    if (exit_code == 0 && call->operand_count > 2) {
        exit_code = take_number(call, "LENGTH", call->operands[2], &bytes->length_bytes);
    }
    if (exit_code == 0) {
        exit_code = cli_session_begin(&bytes->session, call, what, call->operands[0]);
        bytes->session.uses_data = true;
    }
    return exit_code;
}

static int open_it(struct bytes *bytes, unsigned flags)
{
    int exit_code = cli_session_open_volume(&bytes->session, flags);
    if (exit_code != 0) {
        return exit_code;
    }
    bytes->size_bytes = bytes->session.volume_info.size_bytes;
    bytes->buffer = aligned_alloc(COFFER_PAGE_BYTES, CHUNK_BYTES + COFFER_PAGE_BYTES);
    if (bytes->buffer == NULL) {
        return cof_tool_fail(bytes->session.call, COFFER_E_NO_MEMORY, NULL, NULL,
                             "cannot make a buffer");
    }
    return 0;
}

static int end(struct bytes *bytes, int exit_code)
{
    if (bytes->buffer != NULL) {
        explicit_bzero(bytes->buffer, CHUNK_BYTES + COFFER_PAGE_BYTES);
    }
    free(bytes->buffer);
    return cli_session_end(&bytes->session, exit_code);
}

static int check_range(const struct bytes *bytes, uint64_t offset_bytes, uint64_t length_bytes)
{
    if (offset_bytes <= bytes->size_bytes && length_bytes <= bytes->size_bytes - offset_bytes) {
        return 0;
    }
    return cof_tool_fail(bytes->session.call, COFFER_E_RANGE, NULL, NULL,
                         "%llu bytes at %llu do not lie in %s, which has %llu",
                         (unsigned long long)length_bytes, (unsigned long long)offset_bytes,
                         cli_session_name(&bytes->session), (unsigned long long)bytes->size_bytes);
}

static int stop(const struct bytes *bytes)
{
    return cof_tool_fail(bytes->session.call, COFFER_E_CANCELLED, NULL, NULL,
                         "cannot go on with %s", cli_session_name(&bytes->session));
}

/* ---- read -------------------------------------------------------------------------------- */

static int print_chunk(struct bytes *bytes, uint64_t offset_bytes, size_t length)
{
    struct coffer_fault fault = cli_no_fault();
    size_t head = (size_t)(offset_bytes % COFFER_SECTOR_BYTES);
    size_t span = (head + length + COFFER_SECTOR_BYTES - 1) / COFFER_SECTOR_BYTES *
                  COFFER_SECTOR_BYTES;
    int error = coffer_volume_read(bytes->session.volume, bytes->buffer, offset_bytes - head, span,
                                   &fault);
    if (error != 0) {
        return cli_session_fail(&bytes->session, error, &fault, NULL, "cannot read %s",
                                cli_session_name(&bytes->session));
    }
    if (cli_write_fully(STDOUT_FILENO, bytes->buffer + head, length) != 0) {
        return cof_tool_fail_errno(bytes->session.call, errno, NULL,
                                   "cannot write to standard output");
    }
    return 0;
}

static int print_all(struct bytes *bytes)
{
    uint64_t at = bytes->offset_bytes;
    uint64_t left = bytes->length_bytes;
    int exit_code = check_range(bytes, at, left);
    if (exit_code == 0) {
        exit_code = cli_session_record_export(&bytes->session, "-");
    }
    while (exit_code == 0 && left > 0) {
        size_t length = left < CHUNK_BYTES ? (size_t)left : CHUNK_BYTES;
        exit_code = cof_tool_interrupted() ? stop(bytes) : print_chunk(bytes, at, length);
        at += length;
        left -= length;
    }
    return exit_code;
}

int cli_volume_read(struct cof_tool_call *call)
{
    struct bytes bytes;
    int exit_code = begin(&bytes, call, CLI_VOLUME_OR_SNAPSHOT);
    if (exit_code != 0) {
        return exit_code;
    }
    exit_code = open_it(&bytes, COFFER_VOLUME_READ_ONLY);
    return end(&bytes, exit_code != 0 ? exit_code : print_all(&bytes));
}

/* ---- write ------------------------------------------------------------------------------- */

static int fail_write(struct bytes *bytes, int error, const struct coffer_fault *fault)
{
    return cli_session_fail(&bytes->session, error, fault, NULL, "cannot write %s",
                            cli_session_name(&bytes->session));
}

/* Bytes from..to of the sector at offset, into the buffer at `at`: what the volume keeps there. */
static int keep_part(struct bytes *bytes, uint64_t offset_bytes, size_t from, size_t to, size_t at)
{
    struct coffer_fault fault = cli_no_fault();
    uint8_t sector[COFFER_SECTOR_BYTES] __attribute__((aligned(COFFER_SECTOR_BYTES)));
    if (from == to) {
        return 0;
    }
    int error = coffer_volume_read(bytes->session.volume, sector, offset_bytes, sizeof sector,
                                   &fault);
    if (error != 0) {
        return fail_write(bytes, error, &fault);
    }
    memcpy(bytes->buffer + at, sector + from, to - from);
    explicit_bzero(sector, sizeof sector);
    return 0;
}

/* The new bytes stand in the buffer from where they lie in their first sector. */
static int put_chunk(struct bytes *bytes, uint64_t offset_bytes, size_t length)
{
    struct coffer_fault fault = cli_no_fault();
    size_t head = (size_t)(offset_bytes % COFFER_SECTOR_BYTES);
    size_t end_at = head + length;
    size_t span = (end_at + COFFER_SECTOR_BYTES - 1) / COFFER_SECTOR_BYTES * COFFER_SECTOR_BYTES;
    uint64_t first = offset_bytes - head;
    uint64_t last = first + span - COFFER_SECTOR_BYTES;
    int exit_code = keep_part(bytes, first, 0, head, 0);
    if (exit_code == 0) {
        exit_code = keep_part(bytes, last, COFFER_SECTOR_BYTES - (span - end_at),
                              COFFER_SECTOR_BYTES, end_at);
    }
    if (exit_code != 0) {
        return exit_code;
    }
    int error = coffer_volume_write(bytes->session.volume, bytes->buffer, first, span, 0, &fault);
    return error != 0 ? fail_write(bytes, error, &fault) : 0;
}

/* A file tells its length before the first byte is written. */
static int check_input(struct bytes *bytes)
{
    struct stat status;
    off_t at = lseek(STDIN_FILENO, 0, SEEK_CUR);
    uint64_t length = 0;
    if (at >= 0 && fstat(STDIN_FILENO, &status) == 0 && S_ISREG(status.st_mode) &&
        status.st_size > at) {
        length = (uint64_t)(status.st_size - at);
    }
    return check_range(bytes, bytes->offset_bytes, length);
}

static int flush(struct bytes *bytes)
{
    struct coffer_fault fault = cli_no_fault();
    int error = coffer_volume_flush(bytes->session.volume, &fault);
    return error != 0 ? fail_write(bytes, error, &fault) : 0;
}

static int put_all(struct bytes *bytes)
{
    uint64_t at = bytes->offset_bytes;
    bool writing = false;
    int exit_code = 0;
    for (bool more = true; exit_code == 0 && more;) {
        size_t head = (size_t)(at % COFFER_SECTOR_BYTES);
        if (cof_tool_interrupted()) {
            return stop(bytes);
        }
        int64_t count = cli_read_fully(STDIN_FILENO, bytes->buffer + head, CHUNK_BYTES - head);
        if (count < 0) {
            return cof_tool_fail_errno(bytes->session.call, errno, NULL,
                                       "cannot read standard input");
        }
        exit_code = check_range(bytes, at, (uint64_t)count);
        if (exit_code == 0 && !writing) {
            exit_code = cli_session_go_on(&bytes->session);
            writing = true;
        }
        if (exit_code == 0 && count > 0) {
            exit_code = put_chunk(bytes, at, (size_t)count);
        }
        at += (uint64_t)count;
        more = (size_t)count == CHUNK_BYTES - head;
    }
    return exit_code != 0 ? exit_code : flush(bytes);
}

int cli_volume_write(struct cof_tool_call *call)
{
    struct bytes bytes;
    int exit_code = begin(&bytes, call, CLI_VOLUME);
    if (exit_code != 0) {
        return exit_code;
    }
    exit_code = open_it(&bytes, COFFER_VOLUME_READ_ONLY);
    if (exit_code == 0) {
        exit_code = check_input(&bytes);
    }
    return end(&bytes, exit_code != 0 ? exit_code : put_all(&bytes));
}
