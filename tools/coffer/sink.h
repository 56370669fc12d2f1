/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/sink.h - what export writes: a new file that appears whole or not at all, or a stream.
 *
 * A file is written under another name beside its place, with mode 0600 because it holds what the
 * volume protected, and renamed when all of it is on the disk. Zeros become holes in it. A device
 * or a pipe gets every byte, in order.
 */
#ifndef COF_TOOLS_COFFER_SINK_H
#define COF_TOOLS_COFFER_SINK_H

#include "common/args.h"
#include <limits.h>

struct cli_sink {
    const struct cof_tool_call *call;
    const char *name;
    int fd;
    bool sparse;              /* a new file: what is not written is zero already */
    bool force;
    uint64_t at_bytes;        /* written so far, where that is in order          */
    char beside[PATH_MAX];    /* the name until it is renamed; empty: none       */
};

/* "-" is standard output. EXISTS when a file is there and not --force. size_bytes will come. */
int cli_sink_open(struct cli_sink *sink, const struct cof_tool_call *call, const char *name,
                  uint64_t size_bytes);
/* length bytes at offset, which is where the last put ended. buffer NULL: zeros. */
int cli_sink_put(struct cli_sink *sink, const uint8_t *buffer, uint64_t offset_bytes,
                 uint64_t length_bytes);
/* Make it durable and give it its name. */
int cli_sink_finish(struct cli_sink *sink);
/* Close; what was not finished is removed. */
void cli_sink_close(struct cli_sink *sink);

#endif
