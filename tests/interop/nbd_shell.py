# SPDX-License-Identifier: Apache-2.0
"""Run by nbdsh on an export of 96 MiB: flags, zeros, extents, limits, many requests at once."""
import errno
import os

import nbd  # pylint: disable=import-error

SIZE = 96 << 20
PAGE = 4096


def refused(call, *numbers):
    """The call must fail with one of the errno."""
    try:
        call()
    except nbd.Error as error:
        assert error.errnum in numbers, (error.errno, error.string)
        return
    raise AssertionError("was not refused")


def extents(offset, length, flags=0):
    """[(bytes, flags)], of the range that was asked for: a server may tell of more."""
    found = []
    left = length

    def note(_context, begin, entries, _error):
        nonlocal left
        assert begin == offset
        for size, kind in zip(entries[0::2], entries[1::2]):
            found.append((min(size, left), kind))
            left -= min(size, left)

    shell.block_status(length, offset, note, flags)
    return [entry for entry in found if entry[0] > 0]


def check_flags():
    assert shell.get_size() == SIZE
    assert shell.get_structured_replies_negotiated()
    for can in ("fua", "flush", "trim", "zero", "fast_zero", "multi_conn", "cache", "df"):
        assert getattr(shell, "can_" + can)(), can
    assert not shell.is_read_only() and not shell.is_rotational()
    assert shell.get_block_size(nbd.SIZE_MINIMUM) == 512
    assert shell.get_block_size(nbd.SIZE_PREFERRED) == PAGE
    assert shell.get_block_size(nbd.SIZE_MAXIMUM) == 32 << 20


def check_data():
    marked = os.urandom(64 << 10)
    shell.pwrite(marked, 1 << 20, nbd.CMD_FLAG_FUA)
    assert shell.pread(len(marked), 1 << 20) == marked
    shell.cache(len(marked), 1 << 20)
    big = os.urandom(32 << 20)
    shell.pwrite(big, 40 << 20)
    assert shell.pread(len(big), 40 << 20) == big
    shell.flush()


def check_zeros():
    """Zeros may be a hole, must be pages, must be fast: as they were asked for."""
    begin = 8 << 20
    shell.pwrite(b"x" * (1 << 20), begin)
    shell.zero(1 << 20, begin, nbd.CMD_FLAG_FAST_ZERO)
    assert not any(shell.pread(1 << 20, begin))
    assert extents(begin, 1 << 20) == [(1 << 20, 3)]
    refused(lambda: shell.zero(PAGE, begin, nbd.CMD_FLAG_FAST_ZERO | nbd.CMD_FLAG_NO_HOLE),
            errno.ENOTSUP, errno.EOPNOTSUPP)
    shell.zero(1 << 20, begin, nbd.CMD_FLAG_NO_HOLE | nbd.CMD_FLAG_FUA)
    assert not any(shell.pread(1 << 20, begin))
    assert extents(begin, 1 << 20) == [(1 << 20, 0)]
    shell.trim(1 << 20, begin, nbd.CMD_FLAG_FUA)
    assert extents(begin, 1 << 20) == [(1 << 20, 3)]


def check_extents():
    """Data, hole, data: whole, from the middle of a page, and one at a time."""
    begin = 16 << 20
    shell.trim(4 << 20, begin)
    shell.pwrite(b"d" * PAGE, begin)
    shell.pwrite(b"d" * PAGE, begin + 3 * PAGE)
    whole = extents(begin, 5 * PAGE)
    assert whole == [(PAGE, 0), (2 * PAGE, 3), (PAGE, 0), (PAGE, 3)], whole
    inside = extents(begin + 512, 2 * PAGE)
    assert inside == [(PAGE - 512, 0), (PAGE + 512, 3)], inside
    one = extents(begin + PAGE, 3 * PAGE, nbd.CMD_FLAG_REQ_ONE)
    assert one == [(2 * PAGE, 3)], one


def check_refusals():
    shell.set_strict_mode(0)
    for offset, length in ((0, 511), (1, 512), (513, 512), (100, 100)):
        refused(lambda o=offset, n=length: shell.pread(n, o), errno.EINVAL)
        refused(lambda o=offset, n=length: shell.pwrite(b"y" * n, o), errno.EINVAL)
        refused(lambda o=offset, n=length: shell.trim(n, o), errno.EINVAL)
        refused(lambda o=offset, n=length: shell.zero(n, o), errno.EINVAL)
    for offset in (SIZE, SIZE - 512, 1 << 62):
        refused(lambda o=offset: shell.pread(1024, o), errno.EINVAL)
        refused(lambda o=offset: shell.pwrite(b"y" * 1024, o), errno.EINVAL, errno.ENOSPC)
        refused(lambda o=offset: shell.zero(1024, o), errno.EINVAL, errno.ENOSPC)
    assert shell.pread(512, SIZE - 512) is not None


def check_many():
    """512 writes and 512 reads under way at once."""
    buffers = [nbd.Buffer.from_bytearray(bytearray(bytes([i % 251]) * PAGE)) for i in range(512)]
    for read in (False, True):
        cookies = []
        for i, buffer in enumerate(buffers):
            if read:
                buffers[i] = nbd.Buffer(PAGE)
                cookies.append(shell.aio_pread(buffers[i], i * PAGE))
            else:
                cookies.append(shell.aio_pwrite(buffer, i * PAGE))
        while shell.aio_in_flight() > 0:
            shell.poll(-1)
        assert all(shell.aio_command_completed(cookie) for cookie in cookies)
    for i, buffer in enumerate(buffers):
        assert buffer.to_bytearray() == bytes([i % 251]) * PAGE, i


shell = globals()["h"]  # what nbdsh calls the connection
check_flags()
check_data()
check_zeros()
check_extents()
check_refusals()
check_many()
