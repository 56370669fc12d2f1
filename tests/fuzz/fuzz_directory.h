/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/fuzz_directory.h - a directory of the target's own for the files that a parser wants by
 * their names: in TMPDIR, else in memory where the machine has such a place. Its files are removed
 * when the process ends in order; who runs targets that may crash gives a TMPDIR, and removes that.
 */
#ifndef TESTS_FUZZ_FUZZ_DIRECTORY_H
#define TESTS_FUZZ_FUZZ_DIRECTORY_H

#include "common/harness.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char fuzz_directory_path[256];

/* All files in it; the directory stays. */
static inline void fuzz_directory_clear(void)
{
    DIR *directory = opendir(fuzz_directory_path);
    struct dirent *entry;
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        (void)unlinkat(dirfd(directory), entry->d_name, 0);
    }
    if (directory != NULL) {
        closedir(directory);
    }
}

static inline void fuzz_directory_remove(void)
{
    fuzz_directory_clear();
    (void)rmdir(fuzz_directory_path);
}

/* The path of a file in it; good until the target's next call with the same buffer. */
static inline const char *fuzz_path(const char *name, char path[320])
{
    if (fuzz_directory_path[0] == '\0') {
        const char *at = getenv("TMPDIR");
        at = at != NULL ? at : access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
        snprintf(fuzz_directory_path, sizeof fuzz_directory_path, "%s/coffer-fuzz-XXXXXX", at);
        harness_require(mkdtemp(fuzz_directory_path) != NULL, "no directory in %s", at);
        (void)atexit(fuzz_directory_remove);
    }
    snprintf(path, 320, "%s/%s", fuzz_directory_path, name);
    return path;
}

static inline void fuzz_write(const char *path, const void *bytes, size_t count)
{
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    harness_require(fd >= 0 && write(fd, bytes, count) == (ssize_t)count, "cannot write %s", path);
    close(fd);
}

#endif
