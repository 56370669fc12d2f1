/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segdev/file.c - opening and locking a file or block device; its size is file_size.c's.
 *
 * Invariants:
 *  - While a writer has it open no other process or handle has, readers included: an OFD lock on
 *    the inode, and O_EXCL besides on a block device, against mounts and the like.
 *  - A file that this open made is removed when the open fails, one it found empty is empty again;
 *    and both only while the lock is held, so that nobody else's is touched.
 *  - The size is set before the file is handed out and its name is durable by then.
 * Runs in the opener's thread. It never reads or writes the content.
 */
#include "segdev/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#define WRITE_IN_FLIGHT 4u
#define MEMORY_ALIGN_MAX 4096u
#define GONE_PAUSE_NS 5000000L
#define GONE_PAUSES 50u

int cof_file_refuse(struct cof_file_opening *open_, int error, const char *sentence)
{
    return cof_fault(open_->fault, error, COFFER_STAGE_IO, "%s", sentence);
}

int cof_file_refuse_errno(struct cof_file_opening *open_, int os_errno, const char *what)
{
    int error = cof_ring_error_of(os_errno);
    cof_fault(open_->fault, error, COFFER_STAGE_IO, "%s: %s", what, strerrordesc_np(os_errno));
    if (open_->fault != NULL) {
        open_->fault->os_errno = os_errno;
    }
    return error;
}

static int check_arguments(struct cof_file_opening *open_)
{
    unsigned known = COFFER_SEGDEV_READ_ONLY | COFFER_SEGDEV_CREATE | COFFER_SEGDEV_BUFFERED;
    bool create = (open_->flags & COFFER_SEGDEV_CREATE) != 0;
    if (open_->path == NULL || open_->path[0] == '\0' || (open_->flags & ~known) != 0) {
        return cof_file_refuse(open_, COFFER_E_INVALID, "the path or the flags are not valid");
    }
    if (create && (open_->flags & COFFER_SEGDEV_READ_ONLY) != 0) {
        return cof_file_refuse(open_, COFFER_E_INVALID, "a store cannot be created read-only");
    }
    if ((create || open_->segment_bytes != 0) &&
        !cof_segdev_segment_bytes_valid(open_->segment_bytes)) {
        return cof_file_refuse(open_, COFFER_E_INVALID,
                               "the segment size must be a power of two from 1 MiB to 64 MiB");
    }
    if (create && open_->size_bytes > INT64_MAX) {
        return cof_file_refuse(open_, COFFER_E_INVALID, "the size is larger than a file can be");
    }
    return 0;
}

/* The kernel takes the rings of a process that was killed apart in the background, and until then
 * they keep its files open and locked: so a lock is held for good only when it is still there after
 * a while. */
static void pause_briefly(void)
{
    struct timespec pause = {0, GONE_PAUSE_NS};
    (void)nanosleep(&pause, NULL);
}

/* O_NONBLOCK keeps the open of a pipe from waiting; it is dropped before use. */
static int open_descriptor(struct cof_file *file, struct cof_file_opening *open_)
{
    bool read_only = file->base.read_only;
    int flags = (read_only ? O_RDONLY : O_RDWR | O_EXCL) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    if ((open_->flags & COFFER_SEGDEV_CREATE) != 0) {
        file->fd = open(open_->path, flags | O_CREAT, 0600);
        open_->made = file->fd >= 0;
        if (file->fd >= 0 || errno != EEXIST) {
            return file->fd >= 0 ? 0
                                 : cof_file_refuse_errno(open_, errno, "cannot create the file");
        }
    }
    file->fd = open(open_->path, flags);
    for (unsigned i = 1; i < GONE_PAUSES && file->fd < 0 && errno == EBUSY; i++) {
        pause_briefly();
        file->fd = open(open_->path, flags);
    }
    if (file->fd < 0 && errno == EBUSY) {
        return cof_file_refuse(open_, COFFER_E_BUSY, "the block device is in use");
    }
    return file->fd >= 0 ? 0 : cof_file_refuse_errno(open_, errno, "cannot open the file");
}

static int take_lock(struct cof_file *file, struct cof_file_opening *open_)
{
    struct flock lock = {.l_type = file->base.read_only ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET};
    for (unsigned i = 0; i < GONE_PAUSES; i++) {
        if (fcntl(file->fd, F_OFD_SETLK, &lock) == 0) {
            open_->locked = true;
            return 0;
        }
        if (errno != EAGAIN && errno != EACCES) {
            return cof_file_refuse_errno(open_, errno, "cannot lock the file");
        }
        pause_briefly();
    }
    return cof_file_refuse(open_, COFFER_E_BUSY, "the store is open elsewhere");
}

static int check_kind(struct cof_file *file, struct cof_file_opening *open_, struct stat *ret_stat)
{
    if (fstat(file->fd, ret_stat) != 0) {
        return cof_file_refuse_errno(open_, errno, "cannot examine the file");
    }
    file->block_device = S_ISBLK(ret_stat->st_mode);
    if (!file->block_device && !S_ISREG(ret_stat->st_mode)) {
        return cof_file_refuse(open_, COFFER_E_INVALID,
                               "it is neither a regular file nor a block device");
    }
    return 0;
}

/* What direct transfers ask of memory; 4096 suits all where the kernel does not say. */
static int learn_alignment(struct cof_file *file, struct cof_file_opening *open_)
{
    file->base.memory_align = MEMORY_ALIGN_MAX;
#ifdef STATX_DIOALIGN
    struct statx extended;
    if (statx(file->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &extended) == 0 &&
        (extended.stx_mask & STATX_DIOALIGN) != 0) {
        if (extended.stx_dio_offset_align == 0 ||
            extended.stx_dio_offset_align > COFFER_BLOCK_BYTES || extended.stx_dio_mem_align == 0 ||
            extended.stx_dio_mem_align > MEMORY_ALIGN_MAX) {
            return cof_file_refuse(open_, COFFER_E_UNSUPPORTED,
                                   "direct transfers of 4096 bytes are not supported here; "
                                   "open it buffered or use another file system");
        }
        file->base.memory_align = extended.stx_dio_mem_align;
    }
#else
    (void)open_;
#endif
    return 0;
}

/* Whether the file lives in memory alone, where there is no cache to pass by. */
static bool lives_in_memory(const struct cof_file *file)
{
    struct statfs system;
    return !file->block_device && fstatfs(file->fd, &system) == 0 &&
           (system.f_type == TMPFS_MAGIC || system.f_type == RAMFS_MAGIC);
}

static int choose_transfer(struct cof_file *file, struct cof_file_opening *open_)
{
    int flags = fcntl(file->fd, F_GETFL);
    if (flags < 0) {
        return cof_file_refuse_errno(open_, errno, "cannot examine the file");
    }
    flags &= ~O_NONBLOCK;
    file->in_memory = lives_in_memory(file);
    if (file->in_memory || (open_->flags & COFFER_SEGDEV_BUFFERED) != 0) {
        file->base.memory_align = 1;
        return fcntl(file->fd, F_SETFL, flags) == 0
                   ? 0
                   : cof_file_refuse_errno(open_, errno, "cannot set up the file");
    }
    if (fcntl(file->fd, F_SETFL, flags | O_DIRECT) != 0) {
        return errno == EINVAL
                   ? cof_file_refuse(open_, COFFER_E_UNSUPPORTED,
                                     "the file system has no direct transfers (O_DIRECT); "
                                     "open it buffered or use another file system")
                   : cof_file_refuse_errno(open_, errno, "cannot set up direct transfers");
    }
    return learn_alignment(file, open_);
}

/* A kernel without io_uring is better known now than at the first channel. */
static int probe_ring(struct cof_file *file, struct cof_file_opening *open_)
{
    struct cof_ring *ring = NULL;
    int error = file->in_memory ? 0 : cof_ring_open(&file->base.env, file->fd, 1, 0, &ring);
    if (error == COFFER_E_ACCESS || error == COFFER_E_UNSUPPORTED) {
        return cof_file_refuse(
            open_, error,
            "the kernel refuses io_uring to this process "
            "(see kernel.io_uring_disabled, or the container's seccomp profile)");
    }
    if (error != 0) {
        return cof_file_refuse(open_, error, "cannot set up io_uring");
    }
    cof_ring_close(ring);
    return 0;
}

static void close_file(struct coffer_segdev *dev)
{
    struct cof_file *file = (struct cof_file *)dev;
    if (file == NULL) {
        return;
    }
    if (file->fd >= 0) {
        /* Said aloud, as a ring being taken apart may hold the description a little longer; but not
         * by a forked child, whose lock is its parent's. */
        struct flock unlock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
        if (file->opener == getpid()) {
            (void)fcntl(file->fd, F_OFD_SETLK, &unlock);
        }
        (void)close(file->fd);
    }
    cof_segdev_device_free(&file->base);
}

static void geometry(struct coffer_segdev *dev, struct coffer_geometry *ret_geometry)
{
    struct cof_file *file = (struct cof_file *)dev;
    ret_geometry->segment_bytes = atomic_load(&file->base.segment_bytes);
    ret_geometry->segment_count = cof_segdev_segment_count(&file->base);
    ret_geometry->memory_align = file->base.memory_align;
    ret_geometry->write_in_flight = WRITE_IN_FLIGHT;
    ret_geometry->fixed_size = file->block_device ? 1 : 0;
    ret_geometry->works_in_poll = file->in_memory ? 1 : 0;
}

static const struct coffer_segdev_ops file_ops = {
    .size = sizeof(struct coffer_segdev_ops),
    .geometry = geometry,
    .set_segment_bytes = cof_segdev_set_segment_bytes,
    .channel_open = cof_file_channel_open,
    .channel_close = cof_file_channel_close,
    .channel_register = cof_file_channel_register,
    .submit = cof_file_channel_submit,
    .poll = cof_file_channel_poll,
    .channel_fd = cof_file_channel_fd,
    .close = close_file,
};

static int open_steps(struct cof_file *file, struct cof_file_opening *open_)
{
    struct stat now;
    int error = open_descriptor(file, open_);
    if (error == 0) {
        error = check_kind(file, open_, &now);
    }
    if (error == 0) {
        error = take_lock(file, open_);
    }
    if (error == 0) {
        error = check_kind(file, open_, &now); /* again, under the lock */
    }
    if (error == 0) {
        error = choose_transfer(file, open_);
    }
    if (error == 0) {
        error = probe_ring(file, open_);
    }
    if (error == 0) {
        error = cof_file_settle_size(file, open_, &now);
    }
    return error;
}

int coffer_segdev_file_open(const struct coffer_env *env, const char *path, unsigned flags,
                            uint64_t size_bytes, uint32_t segment_bytes,
                            struct coffer_segdev **ret_dev, struct coffer_fault *fault)
{
    struct cof_file_opening open_ = {.path = path,
                                     .flags = flags,
                                     .size_bytes = size_bytes,
                                     .segment_bytes = segment_bytes,
                                     .fault = fault};
    struct cof_file *file;
    int error = check_arguments(&open_);
    if (error != 0) {
        return error;
    }
    file = cof_segdev_device_new(env, &file_ops, sizeof *file);
    if (file == NULL) {
        return cof_fault(fault, COFFER_E_NO_MEMORY, COFFER_STAGE_IO, "no memory for the device");
    }
    file->fd = -1;
    file->opener = getpid();
    file->base.read_only = (flags & COFFER_SEGDEV_READ_ONLY) != 0;
    atomic_store(&file->base.segment_bytes, segment_bytes);
    error = open_steps(file, &open_);
    if (error != 0) {
        cof_file_undo(file, &open_);
        close_file(&file->base.api);
        return error;
    }
    *ret_dev = &file->base.api;
    return 0;
}
