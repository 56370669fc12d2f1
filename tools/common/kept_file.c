/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/kept_file.c - open with suspicion, lock, replace whole.
 *
 * A new file is written beside the old one, synced and renamed over it; the directory is synced
 * after that. The lock is on a file of its own, because the file itself is replaced.
 */
#include "common/kept_file.h"
#include "common/error.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_MAX (16 * 1024 * 1024)

static const char *distrust(const struct stat *status)
{
    if (!S_ISREG(status->st_mode)) {
        return "it is not a regular file";
    }
    if ((status->st_uid != geteuid() && status->st_uid != 0) || (status->st_mode & 022) != 0) {
        return "others may write to it";
    }
    return status->st_size > FILE_BYTES_MAX ? "it is too large" : NULL;
}

int cof_tool_kept_open(const char *path, const char **ret_why)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    *ret_why = NULL;
    if (fd < 0) {
        return -1;
    }
    if (fstat(fd, &status) != 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    *ret_why = distrust(&status);
    if (*ret_why != NULL) {
        close(fd);
        return -1;
    }
    return fd;
}

int cof_tool_kept_lock(const char *path)
{
    char lock[PATH_MAX + 8];
    snprintf(lock, sizeof lock, "%s.lock", path);
    int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    while (fd >= 0 && flock(fd, LOCK_EX) != 0) {
        if (errno != EINTR || cof_tool_interrupted()) {
            int error = errno;
            close(fd);
            errno = error;
            return -1;
        }
    }
    return fd;
}

static int sync_parent(const char *path)
{
    char parent[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 1 : slash == path ? 1 : (size_t)(slash - path);
    memcpy(parent, slash == NULL ? "." : path, length);
    parent[length] = '\0';
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int status = fd >= 0 ? fsync(fd) : -1;
    if (fd >= 0) {
        close(fd);
    }
    return status;
}

int cof_tool_kept_replace(const char *path, const json_t *file)
{
    char beside[PATH_MAX + 8];
    snprintf(beside, sizeof beside, "%s.XXXXXX", path);
    int fd = mkostemp(beside, O_CLOEXEC); /* of mode 0600 */
    if (fd < 0) {
        return -1;
    }
    int status = json_dumpfd(file, fd, JSON_INDENT(2));
    if (status == 0) {
        status = fsync(fd);
    }
    if (close(fd) != 0) {
        status = -1;
    }
    if (status == 0) {
        status = rename(beside, path);
    }
    if (status != 0) {
        int error = errno;
        unlink(beside);
        errno = error;
        return -1;
    }
    return sync_parent(path);
}
