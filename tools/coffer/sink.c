/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/sink.c - a file under another name until it is whole, or a stream.
 */
#include "sink.h"
#include "common/error.h"
#include "source.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ZERO_BYTES 65536

static int fail(const struct cli_sink *sink, int os_errno)
{
    return cof_tool_fail_errno(sink->call, os_errno, NULL, "cannot write %s", sink->name);
}

/* "DIR/.NAME.XXXXXX", so that the rename stays in one directory. */
static int name_beside(struct cli_sink *sink)
{
    const char *slash = strrchr(sink->name, '/');
    int folder = slash != NULL ? (int)(slash - sink->name) + 1 : 0;
    int length = snprintf(sink->beside, sizeof sink->beside, "%.*s.%s.XXXXXX", folder, sink->name,
                          sink->name + folder);
    if (length < 0 || (size_t)length >= sizeof sink->beside) {
        sink->beside[0] = '\0';
        return cof_tool_usage(sink->call, NULL, "the path %s is too long", sink->name);
    }
    return 0;
}

static int open_beside(struct cli_sink *sink, uint64_t size_bytes)
{
    int exit_code = name_beside(sink);
    if (exit_code != 0) {
        return exit_code;
    }
    sink->fd = mkostemp(sink->beside, O_CLOEXEC);
    if (sink->fd < 0) {
        sink->beside[0] = '\0';
        return cof_tool_fail_errno(sink->call, errno, NULL, "cannot make %s", sink->name);
    }
    sink->sparse = true;
    if (ftruncate(sink->fd, (off_t)size_bytes) != 0) {
        exit_code = fail(sink, errno);
        cli_sink_close(sink);
    }
    return exit_code;
}

static int open_in_place(struct cli_sink *sink, const struct stat *status)
{
    if (S_ISDIR(status->st_mode)) {
        return cof_tool_usage(sink->call, NULL, "%s is a directory", sink->name);
    }
    if (S_ISBLK(status->st_mode) && !sink->force) {
        return cof_tool_fail(sink->call, COFFER_E_EXISTS, NULL,
                             "--force overwrites what is on it", "cannot write the device %s",
                             sink->name);
    }
    sink->fd = open(sink->name, O_WRONLY | O_CLOEXEC);
    if (sink->fd < 0) {
        return cof_tool_fail_errno(sink->call, errno, NULL, "cannot open %s", sink->name);
    }
    return 0;
}

int cli_sink_open(struct cli_sink *sink, const struct cof_tool_call *call, const char *name,
                  uint64_t size_bytes)
{
    struct stat status;
    memset(sink, 0, sizeof *sink);
    sink->call = call;
    sink->name = name;
    sink->force = cof_tool_given(call, "force");
    if (strcmp(name, "-") == 0) {
        sink->name = "standard output";
        sink->fd = STDOUT_FILENO;
        return 0;
    }
    bool there = stat(name, &status) == 0;
    if (!there && errno != ENOENT) {
        return cof_tool_fail_errno(call, errno, NULL, "cannot look at %s", name);
    }
    if (there && !S_ISREG(status.st_mode)) {
        return open_in_place(sink, &status);
    }
    if (there && !sink->force) {
        return cof_tool_fail(call, COFFER_E_EXISTS, NULL, "--force replaces it",
                             "cannot make the file %s", name);
    }
    return open_beside(sink, size_bytes);
}

static int put_zeros(struct cli_sink *sink, uint64_t length_bytes)
{
    static const uint8_t zeros[ZERO_BYTES];
    while (length_bytes > 0) {
        size_t length = length_bytes < ZERO_BYTES ? (size_t)length_bytes : ZERO_BYTES;
        if (cli_write_fully(sink->fd, zeros, length) != 0) {
            return fail(sink, errno);
        }
        length_bytes -= length;
    }
    return 0;
}

int cli_sink_put(struct cli_sink *sink, const uint8_t *buffer, uint64_t offset_bytes,
                 uint64_t length_bytes)
{
    sink->at_bytes = offset_bytes + length_bytes;
    if (!sink->sparse) {
        if (buffer == NULL) {
            return put_zeros(sink, length_bytes);
        }
        return cli_write_fully(sink->fd, buffer, (size_t)length_bytes) != 0 ? fail(sink, errno) : 0;
    }
    while (buffer != NULL && length_bytes > 0) {
        ssize_t count = pwrite(sink->fd, buffer, (size_t)length_bytes, (off_t)offset_bytes);
        if (count < 0 && (errno != EINTR || cof_tool_interrupted())) {
            return fail(sink, errno);
        }
        if (count > 0) {
            buffer += count;
            offset_bytes += (uint64_t)count;
            length_bytes -= (uint64_t)count;
        }
    }
    return 0;
}

static int sync_folder(const struct cli_sink *sink)
{
    char folder[PATH_MAX] = ".";
    const char *slash = strrchr(sink->name, '/');
    if (slash != NULL) {
        snprintf(folder, sizeof folder, "%.*s", (int)(slash - sink->name) + 1, sink->name);
    }
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int status = fd >= 0 ? fsync(fd) : -1;
    if (fd >= 0) {
        close(fd);
    }
    return status;
}

int cli_sink_finish(struct cli_sink *sink)
{
    if (sink->beside[0] == '\0') {
        /* A pipe can't be synced, and a device must be. */
        if (sink->fd != STDOUT_FILENO && fsync(sink->fd) != 0 && errno != EINVAL &&
            errno != EROFS) {
            return fail(sink, errno);
        }
        return 0;
    }
    unsigned flags = sink->force ? 0u : (unsigned)RENAME_NOREPLACE;
    if (fsync(sink->fd) != 0) {
        return fail(sink, errno);
    }
    if (renameat2(AT_FDCWD, sink->beside, AT_FDCWD, sink->name, flags) != 0) {
        return cof_tool_fail_errno(sink->call, errno, NULL, "cannot give the file its name %s",
                                   sink->name);
    }
    sink->beside[0] = '\0';
    return sync_folder(sink) != 0 ? fail(sink, errno) : 0;
}

void cli_sink_close(struct cli_sink *sink)
{
    if (sink->beside[0] != '\0') {
        unlink(sink->beside);
        sink->beside[0] = '\0';
    }
    if (sink->fd > STDERR_FILENO) {
        close(sink->fd);
    }
    sink->fd = -1;
}
