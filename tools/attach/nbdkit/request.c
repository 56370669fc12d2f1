/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attach/nbdkit/request.c - each of NBD's requests is one of the library's synchronous calls, which
 * have queues of their own, one a thread that is in a call.
 *
 * - Pages that are trimmed or zeroed become holes and read as zeros from then on. A client that
 *   wants zeros with room behind them (no hole) is told that there is no faster way than writing
 *   them, and nbdkit does that.
 * - Errors reach the client as one of NBD's few. The log has the sentence: the first of each kind
 *   on an export, then the second, fourth, eighth, so that a client can't fill the disk with it.
 */
#define NBDKIT_API_VERSION 2
#include "request.h"
#include "served.h"
#include <errno.h>
#include <nbdkit-plugin.h>

/* Of one answer to a question for extents: so long the store's lock is asked for, in pieces. */
#define RUNS_MAX 64

static int errno_of(int error)
{
    switch (error) {
    case COFFER_E_INACCESSIBLE_CREDENTIALS:
    case COFFER_E_STOPPED:
        return ESHUTDOWN;
    case COFFER_E_READ_ONLY:
        return EROFS;
    case COFFER_E_NO_MEMORY:
    case COFFER_E_LOCKED_MEMORY:
        return ENOMEM;
    case COFFER_E_ALIGN:
    case COFFER_E_RANGE:
    case COFFER_E_INVALID:
        return EINVAL;
    default:
        return coffer_error_class_of(error) == COFFER_CLASS_FULL ? ENOSPC : EIO;
    }
}

static int answer(struct plug_export *export, int error, const struct coffer_fault *fault,
                  const char *what, uint32_t count, uint64_t offset)
{
    if (error == 0) {
        return 0;
    }
    unsigned number = error < 0 && -error < PLUG_ERRORS ? (unsigned)-error : 0;
    unsigned times = atomic_fetch_add(&export->failures[number], 1) + 1;
    if ((times & (times - 1)) == 0) {
        nbdkit_error("%s: %s of %u bytes at %llu: %s: %s (%u so far)", export->session.address.name,
                     what, count, (unsigned long long)offset, coffer_error_name(error),
                     fault->detail[0] != '\0' ? fault->detail : coffer_error_sentence(error),
                     times);
    }
    nbdkit_set_error(errno_of(error));
    return -1;
}

static unsigned io_flags(const struct plug_export *export, uint32_t flags)
{
    return (flags & NBDKIT_FLAG_FUA) != 0 ? COFFER_IO_FUA : export->write_flags;
}

int plug_read(void *handle, void *buffer, uint32_t count, uint64_t offset, uint32_t flags)
{
    struct plug_export *export = handle;
    struct coffer_fault fault = cli_no_fault();
    (void)flags;
    int error = coffer_volume_read(export->session.volume, buffer, offset, count, &fault);
    return answer(export, error, &fault, "read", count, offset);
}

int plug_write(void *handle, const void *buffer, uint32_t count, uint64_t offset, uint32_t flags)
{
    struct plug_export *export = handle;
    struct coffer_fault fault = cli_no_fault();
    int error = coffer_volume_write(export->session.volume, buffer, offset, count,
                                    io_flags(export, flags), &fault);
    return answer(export, error, &fault, "write", count, offset);
}

int plug_flush(void *handle, uint32_t flags)
{
    struct plug_export *export = handle;
    struct coffer_fault fault = cli_no_fault();
    (void)flags;
    int error = coffer_volume_flush(export->session.volume, &fault);
    return answer(export, error, &fault, "flush", 0, 0);
}

static int punch(struct plug_export *export, const char *what, uint32_t count, uint64_t offset,
                 uint32_t flags)
{
    struct coffer_fault fault = cli_no_fault();
    int error = coffer_volume_write_zeroes(export->session.volume, offset, count,
                                           io_flags(export, flags), &fault);
    return answer(export, error, &fault, what, count, offset);
}

int plug_trim(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
    return punch(handle, "trim", count, offset, flags);
}

int plug_zero(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
    if ((flags & NBDKIT_FLAG_MAY_TRIM) == 0) {
        nbdkit_set_error(EOPNOTSUPP);
        return -1;
    }
    return punch(handle, "zero", count, offset, flags);
}

/* ---- where there is data ----------------------------------------------------------------- */

int plug_extents(void *handle, uint32_t count, uint64_t offset, uint32_t flags,
                 struct nbdkit_extents *extents)
{
    struct plug_export *export = handle;
    struct coffer_fault fault = cli_no_fault();
    uint64_t at = offset - offset % COFFER_PAGE_BYTES;
    uint64_t end = offset + count;
    unsigned runs_max = (flags & NBDKIT_FLAG_REQ_ONE) != 0 ? 1 : RUNS_MAX;
    for (unsigned run = 0; run < runs_max && at < end; run++) {
        uint64_t data = at;
        uint64_t bytes = 0;
        int error = coffer_volume_next_data(export->session.volume, &data, &bytes, &fault);
        if (error != 0) {
            return answer(export, error, &fault, "extents", count, offset);
        }
        if (bytes == 0) {
            data = end;
        }
        if ((data > at && nbdkit_add_extent(extents, at, data - at,
                                            NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO) != 0) ||
            (bytes > 0 && nbdkit_add_extent(extents, data, bytes, 0) != 0)) {
            return -1;
        }
        at = data + bytes;
    }
    return 0;
}
