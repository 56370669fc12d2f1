/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/source.c - reading in pieces, and where the holes are.
 */
#include "source.h"
#include "common/error.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE_UNIT_BYTES 4096

int64_t cli_read_fully(int fd, uint8_t *buffer, size_t length)
{
    size_t done = 0;
    while (done < length) {
        ssize_t count = read(fd, buffer + done, length - done);
        if (count == 0) {
            break;
        }
        if (count < 0 && (errno != EINTR || cof_tool_interrupted())) {
            return -1;
        }
        done += count > 0 ? (size_t)count : 0;
    }
    return (int64_t)done;
}

int cli_write_fully(int fd, const uint8_t *buffer, size_t length)
{
    size_t done = 0;
    while (done < length) {
        ssize_t count = write(fd, buffer + done, length - done);
        if (count < 0 && (errno != EINTR || cof_tool_interrupted())) {
            return -1;
        }
        done += count > 0 ? (size_t)count : 0;
    }
    return 0;
}

static int find_size(struct cli_source *source)
{
    struct stat status;
    if (fstat(source->fd, &status) != 0) {
        return cof_tool_fail_errno(source->call, errno, NULL, "cannot look at %s", source->name);
    }
    if (S_ISDIR(status.st_mode)) {
        return cof_tool_usage(source->call, NULL, "%s is a directory", source->name);
    }
    off_t begin = lseek(source->fd, 0, SEEK_CUR);
    if (S_ISREG(status.st_mode) && begin >= 0) {
        source->sized = true;
        source->size_bytes = status.st_size > begin ? (uint64_t)(status.st_size - begin) : 0;
        source->holes = begin == 0;
    } else if (S_ISBLK(status.st_mode)) {
        off_t end = lseek(source->fd, 0, SEEK_END);
        if (end < 0 || lseek(source->fd, begin, SEEK_SET) < 0) {
            return cof_tool_fail_errno(source->call, errno, NULL, "cannot find the size of %s",
                                       source->name);
        }
        source->sized = true;
        source->size_bytes = (uint64_t)(end - begin);
    }
    return 0;
}

int cli_source_open(struct cli_source *source, const struct cof_tool_call *call, const char *name)
{
    memset(source, 0, sizeof *source);
    source->call = call;
    source->name = strcmp(name, "-") == 0 ? "standard input" : name;
    source->fd = strcmp(name, "-") == 0 ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC);
    if (source->fd < 0) {
        return cof_tool_fail_errno(call, errno, NULL, "cannot open %s", name);
    }
    int exit_code = find_size(source);
    if (exit_code != 0) {
        cli_source_close(source);
        return exit_code;
    }
    /* Only advice; a pipe refuses it. */
    int advised = posix_fadvise(source->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    (void)advised;
    return 0;
}

void cli_source_close(struct cli_source *source)
{
    if (source->fd > STDIN_FILENO) {
        close(source->fd);
    }
    source->fd = -1;
}

/* Give the hole at at_bytes, if there is one, and find where the data behind it ends. */
static bool take_hole(struct cli_source *source, struct cli_piece *piece)
{
    off_t at = (off_t)source->at_bytes;
    off_t data = lseek(source->fd, at, SEEK_DATA);
    if (data < 0 && errno == ENXIO) {
        data = (off_t)source->size_bytes;
    }
    /* Pieces begin at pages whatever the file system's unit is. */
    if (data > at && (uint64_t)data < source->size_bytes) {
        data = data & ~(off_t)(PIECE_UNIT_BYTES - 1);
    }
    off_t end = data < 0 ? -1 : lseek(source->fd, data, SEEK_HOLE);
    if (data < 0 || (end < 0 && errno != ENXIO) || lseek(source->fd, data, SEEK_SET) < 0) {
        source->holes = false;
        source->data_end = source->size_bytes;
        return false;
    }
    uint64_t data_end = end < 0 ? source->size_bytes : (uint64_t)end;
    data_end = (data_end + PIECE_UNIT_BYTES - 1) & ~(uint64_t)(PIECE_UNIT_BYTES - 1);
    source->data_end = data_end < source->size_bytes ? data_end : source->size_bytes;
    if (data == at) {
        return false;
    }
    piece->hole = true;
    piece->length_bytes = (uint64_t)(data - at);
    source->at_bytes = (uint64_t)data;
    return true;
}

int cli_source_next(struct cli_source *source, uint8_t *buffer, size_t capacity,
                    struct cli_piece *ret_piece)
{
    struct cli_piece piece = {.offset_bytes = source->at_bytes};
    size_t wanted = capacity;
    if (source->holes && source->at_bytes >= source->data_end &&
        source->at_bytes < source->size_bytes && take_hole(source, &piece)) {
        *ret_piece = piece;
        return 0;
    }
    if (source->holes && source->data_end - source->at_bytes < wanted) {
        wanted = (size_t)(source->data_end - source->at_bytes);
    }
    int64_t count = wanted > 0 ? cli_read_fully(source->fd, buffer, wanted) : 0;
    if (count < 0) {
        return cof_tool_fail_errno(source->call, errno, NULL, "cannot read %s", source->name);
    }
    piece.length_bytes = (uint64_t)count;
    source->at_bytes += (uint64_t)count;
    *ret_piece = piece;
    return 0;
}
