/* SPDX-License-Identifier: Apache-2.0 */
/*
 * interop/nbd_broken.c - faults that NBD_FAULT plants between the plugin and the engine, for the
 * tests of the NBD server to find: `lose` forgets one write in a hundred, `trim` trims a page too
 * many, `flush` says that all is durable and asks nobody, as FUA does.
 */
#include <coffer/coffer.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int __real_coffer_volume_write(struct coffer_volume *volume, const void *buffer,
                               uint64_t offset_bytes, size_t length_bytes, unsigned flags,
                               struct coffer_fault *fault);
int __wrap_coffer_volume_write(struct coffer_volume *volume, const void *buffer,
                               uint64_t offset_bytes, size_t length_bytes, unsigned flags,
                               struct coffer_fault *fault);
int __real_coffer_volume_write_zeroes(struct coffer_volume *volume, uint64_t offset_bytes,
                                      uint64_t length_bytes, unsigned flags,
                                      struct coffer_fault *fault);
int __wrap_coffer_volume_write_zeroes(struct coffer_volume *volume, uint64_t offset_bytes,
                                      uint64_t length_bytes, unsigned flags,
                                      struct coffer_fault *fault);
int __real_coffer_volume_flush(struct coffer_volume *volume, struct coffer_fault *fault);
int __wrap_coffer_volume_flush(struct coffer_volume *volume, struct coffer_fault *fault);

static bool planted(const char *fault)
{
    const char *named = getenv("NBD_FAULT");
    return named != NULL && strcmp(named, fault) == 0;
}

int __wrap_coffer_volume_write(struct coffer_volume *volume, const void *buffer,
                               uint64_t offset_bytes, size_t length_bytes, unsigned flags,
                               struct coffer_fault *fault)
{
    static atomic_uint writes;
    if (planted("lose") && atomic_fetch_add(&writes, 1) % 100 == 99) {
        return 0;
    }
    flags = planted("flush") ? 0 : flags;
    return __real_coffer_volume_write(volume, buffer, offset_bytes, length_bytes, flags, fault);
}

int __wrap_coffer_volume_write_zeroes(struct coffer_volume *volume, uint64_t offset_bytes,
                                      uint64_t length_bytes, unsigned flags,
                                      struct coffer_fault *fault)
{
    if (planted("trim") && offset_bytes >= COFFER_PAGE_BYTES) {
        offset_bytes -= COFFER_PAGE_BYTES;
        length_bytes += COFFER_PAGE_BYTES;
    }
    flags = planted("flush") ? 0 : flags;
    return __real_coffer_volume_write_zeroes(volume, offset_bytes, length_bytes, flags, fault);
}

int __wrap_coffer_volume_flush(struct coffer_volume *volume, struct coffer_fault *fault)
{
    return planted("flush") ? 0 : __real_coffer_volume_flush(volume, fault);
}
