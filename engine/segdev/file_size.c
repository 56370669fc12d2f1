/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segdev/file_size.c - finding or giving a file's size while it is opened, and undoing that.
 *
 * A new file gets whole segments and no blocks; size and name are durable before it is handed out.
 * What this open made is taken back only under the lock, so that nobody else's is touched. Runs in
 * the opener's thread.
 */
#include "segdev/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int measure_block_device(struct cof_file *file, struct cof_file_opening *open_)
{
    uint64_t size_bytes = 0;
    if (ioctl(file->fd, BLKGETSIZE64, &size_bytes) != 0) {
        return cof_file_refuse_errno(open_, errno, "cannot find the size of the block device");
    }
    atomic_store(&file->base.size_bytes, size_bytes);
    return 0;
}

static int refuse_small(struct cof_file_opening *open_)
{
    uint64_t least = (uint64_t)COF_SEGMENT_COUNT_MIN * open_->segment_bytes;
    return cof_fault(open_->fault, COFFER_E_INVALID, COFFER_STAGE_IO,
                     "the size must be at least %u segments: %llu MiB for segments of %u MiB",
                     COF_SEGMENT_COUNT_MIN, (unsigned long long)(least >> 20),
                     open_->segment_bytes >> 20);
}

/* Give a new file its size, in whole segments and without blocks, and make its name durable. */
static int make_size(struct cof_file *file, struct cof_file_opening *open_, const struct stat *now)
{
    uint64_t segments, size_bytes;
    if (file->block_device) {
        if (open_->size_bytes != 0) {
            return cof_file_refuse(open_, COFFER_E_INVALID,
                                   "a block device has a size of its own; give none");
        }
        segments = atomic_load(&file->base.size_bytes) / open_->segment_bytes;
        return segments < COF_SEGMENT_COUNT_MIN ? refuse_small(open_) : 0;
    }
    if (now->st_size != 0) {
        return cof_file_refuse(open_, COFFER_E_EXISTS, "the file is there and is not empty");
    }
    segments = open_->size_bytes / open_->segment_bytes;
    size_bytes = segments * open_->segment_bytes;
    if (segments < COF_SEGMENT_COUNT_MIN) {
        return refuse_small(open_);
    }
    if (segments > UINT32_MAX) {
        return cof_file_refuse(open_, COFFER_E_INVALID, "the size is more than 2^32 segments");
    }
    open_->sized = true;
    if (ftruncate(file->fd, (off_t)size_bytes) != 0 || fsync(file->fd) != 0) {
        return cof_file_refuse_errno(open_, errno, "cannot give the file its size");
    }
    atomic_store(&file->base.size_bytes, size_bytes);
    return 0;
}

static int sync_directory(struct cof_file_opening *open_)
{
    char copy[PATH_MAX];
    int fd, os_errno = 0;
    if (strlen(open_->path) >= sizeof copy) {
        return cof_file_refuse_errno(open_, ENAMETOOLONG, "the path is too long");
    }
    memcpy(copy, open_->path, strlen(open_->path) + 1);
    fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        /* A directory may be searchable and not readable; the file was synced all the same. */
        return errno == EACCES ? 0
                               : cof_file_refuse_errno(open_, errno, "cannot open the directory");
    }
    if (fsync(fd) != 0 && errno != EINVAL) {
        os_errno = errno;
    }
    (void)close(fd);
    return os_errno == 0 ? 0 : cof_file_refuse_errno(open_, os_errno, "cannot sync the directory");
}

int cof_file_settle_size(struct cof_file *file, struct cof_file_opening *open_,
                         const struct stat *now)
{
    int error = 0;
    atomic_store(&file->base.size_bytes, (uint64_t)now->st_size);
    if (file->block_device) {
        error = measure_block_device(file, open_);
    }
    if (error == 0 && (open_->flags & COFFER_SEGDEV_CREATE) != 0) {
        error = make_size(file, open_, now);
        if (error == 0 && open_->made) {
            error = sync_directory(open_);
        }
    }
    return error;
}

void cof_file_undo(struct cof_file *file, struct cof_file_opening *open_)
{
    struct stat ours, named;
    if (file->fd < 0 || !open_->locked) {
        return;
    }
    if (open_->made) {
        if (fstat(file->fd, &ours) == 0 && lstat(open_->path, &named) == 0 &&
            ours.st_ino == named.st_ino && ours.st_dev == named.st_dev) {
            (void)unlink(open_->path);
        }
    } else if (open_->sized && ftruncate(file->fd, 0) != 0) {
        cof_log(&file->base.env, COFFER_LOG_WARN, "a file that was empty could not be emptied");
    }
}
