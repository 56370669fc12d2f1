/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/source.h - what import reads: a file with holes, a device, or a pipe.
 *
 * cli_source_next gives the next piece: data, of which the caller has the bytes in its buffer, or a
 * hole. Pieces come in order, without gaps, until the end. A file's size is known before.
 */
#ifndef COF_TOOLS_COFFER_SOURCE_H
#define COF_TOOLS_COFFER_SOURCE_H

#include "common/args.h"

struct cli_source {
    const struct cof_tool_call *call;
    const char *name;
    int fd;
    bool sized;          /* size_bytes is known                         */
    bool holes;          /* the file system can tell where holes are    */
    uint64_t size_bytes;
    uint64_t at_bytes;
    uint64_t data_end;   /* end of the data run that at_bytes lies in   */
};

struct cli_piece {
    uint64_t offset_bytes;
    uint64_t length_bytes; /* 0: the end                                   */
    bool hole;             /* else the first length_bytes of the buffer    */
};

/* "-" is standard input. Functions report their failures and return an exit code. */
int cli_source_open(struct cli_source *source, const struct cof_tool_call *call, const char *name);
int cli_source_next(struct cli_source *source, uint8_t *buffer, size_t capacity,
                    struct cli_piece *ret_piece);
void cli_source_close(struct cli_source *source);

/* Read until length bytes are there or the input ends: bytes read, or -1 with errno. An interrupt
 * gives EINTR. */
int64_t cli_read_fully(int fd, uint8_t *buffer, size_t length);
/* Write all of it; 0, or -1 with errno. */
int cli_write_fully(int fd, const uint8_t *buffer, size_t length);

#endif
