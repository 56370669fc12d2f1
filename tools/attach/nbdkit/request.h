/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attach/nbdkit/request.h - NBD's requests, on an export.
 *
 * Each returns 0, or -1 with errno for the client set and the reason in the log. Any thread, any
 * number at once. What is durable when is docs/consistency.md's: a flush is of the whole store, so
 * of all connections of all exports.
 */
#ifndef COF_TOOLS_ATTACH_NBDKIT_REQUEST_H
#define COF_TOOLS_ATTACH_NBDKIT_REQUEST_H

#include <stdint.h>

struct nbdkit_extents;

int plug_read(void *handle, void *buffer, uint32_t count, uint64_t offset, uint32_t flags);
int plug_write(void *handle, const void *buffer, uint32_t count, uint64_t offset, uint32_t flags);
int plug_flush(void *handle, uint32_t flags);
int plug_trim(void *handle, uint32_t count, uint64_t offset, uint32_t flags);
int plug_zero(void *handle, uint32_t count, uint64_t offset, uint32_t flags);
int plug_extents(void *handle, uint32_t count, uint64_t offset, uint32_t flags,
                 struct nbdkit_extents *extents);

#endif
