# SPDX-License-Identifier: Apache-2.0
"""What several parts do with files."""
import errno
import os
import shutil

from suite.rows import MIB


def remove(*paths):
    for path in paths:
        if os.path.isdir(path):
            shutil.rmtree(path)
        elif os.path.lexists(path):
            os.unlink(path)


def holes(descriptor):
    """(begin, end) of each part of a file that nothing was written to, found as it goes."""
    size = os.fstat(descriptor).st_size
    end = 0
    while (begin := os.lseek(descriptor, end, os.SEEK_HOLE)) < size:
        try:
            end = os.lseek(descriptor, begin, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO: # that says: no data behind it
                raise
            end = size
        yield begin, end
        if end == size:
            return


def fill_holes(path):
    """Write zeros where a sparse file has nothing, which changes none of its bytes."""
    zeros = bytes(MIB)
    with open(path, "rb+", buffering=0) as handle:
        for begin, end in holes(handle.fileno()):
            while begin < end:
                begin += os.pwrite(handle.fileno(), zeros[:end - begin], begin)


def drop_cache(path):
    """What is in the page cache of a file, once it is clean, is forgotten."""
    with open(path, "rb+") as handle:
        os.fsync(handle.fileno())
        os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def write_secret(path, content):
    with open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as handle:
        handle.write(content)


def why_not_direct(directory, needed):
    """A sentence when files of so many bytes in all can't be opened there with O_DIRECT, or ""."""
    if not os.path.isdir(directory):
        return f"{directory} is not there: --ram-dir names a tmpfs"
    free = shutil.disk_usage(directory).free
    if free < needed:
        return (f"{directory} has {free // MIB} MiB free of {needed // MIB}: --ram-dir names "
                "another tmpfs")
    probe = os.path.join(directory, f"coffer-bench-{os.getpid()}")
    try:
        os.close(os.open(probe, os.O_RDWR | os.O_CREAT | os.O_DIRECT, 0o600))
    except OSError as error:
        return f"{directory}: no O_DIRECT (tmpfs has it since Linux 6.6): {error.strerror}"
    finally:
        remove(probe)
    return ""
