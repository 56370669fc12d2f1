/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segdev/layout.c - places of root slots, and the checks that each request passes at submit.
 *
 * Reads out of range are refused with an error, since their place may come from a damaged table.
 * A write past its segment would destroy another's bytes and can only be a bug: it is asserted.
 * Any thread.
 */
#include "segdev/layout.h"

#include "format/endian.h"

#include <assert.h>
#include <string.h>

#define ROOT_EPOCH_OFFSET 8u
#define SLOT1_OFFSET 8192u
#define SLOT2_SEGMENT 32u
#define SLOT3_SEGMENT 63u

static const uint8_t root_magic[8] = {'C', 'O', 'F', 'F', 'R', 'O', 'O', 'T'};

void *cof_segdev_device_new(const struct coffer_env *env, const struct coffer_segdev_ops *ops,
                            size_t device_bytes)
{
    struct cof_env boot;
    struct cof_segdev_base *base;
    cof_env_init(&boot, env);
    base = cof_calloc(&boot, 1, device_bytes);
    if (base == NULL) {
        return NULL;
    }
    cof_env_init(&base->env, env);
    atomic_store(&base->env.heap_bytes, atomic_load(&boot.heap_bytes));
    base->api.ops = ops;
    return base;
}

void cof_segdev_device_free(struct cof_segdev_base *base)
{
    struct cof_env env;
    if (base == NULL) {
        return;
    }
    /* The device's memory cannot be freed by way of an environment that lies in it. */
    cof_env_init(&env, &base->env.api);
    atomic_store(&env.heap_bytes, atomic_load(&base->env.heap_bytes));
    cof_free(&env, base);
}

bool cof_segdev_segment_bytes_valid(uint32_t segment_bytes)
{
    return segment_bytes >= COF_SEGMENT_BYTES_MIN && segment_bytes <= COF_SEGMENT_BYTES_MAX &&
           (segment_bytes & (segment_bytes - 1)) == 0;
}

int cof_segdev_set_segment_bytes(struct coffer_segdev *dev, uint32_t segment_bytes)
{
    struct cof_segdev_base *base = (struct cof_segdev_base *)dev;
    if (!cof_segdev_segment_bytes_valid(segment_bytes)) {
        return COFFER_E_INVALID;
    }
    atomic_store(&base->segment_bytes, segment_bytes);
    return 0;
}

uint32_t cof_segdev_segment_count(const struct cof_segdev_base *base)
{
    uint32_t segment_bytes = atomic_load(&base->segment_bytes);
    uint64_t count;
    if (segment_bytes == 0) {
        return 0;
    }
    count = atomic_load(&base->size_bytes) / segment_bytes;
    return count < UINT32_MAX ? (uint32_t)count : UINT32_MAX;
}

bool cof_segdev_is_root_segment(uint32_t segment)
{
    return segment == 0 || segment == SLOT2_SEGMENT || segment == SLOT3_SEGMENT;
}

int cof_segdev_root_place(const struct cof_segdev_base *base, uint32_t slot,
                          uint64_t *ret_offset_bytes)
{
    uint64_t segment_bytes = atomic_load(&base->segment_bytes);
    if (slot >= COFFER_ROOT_SLOTS || (slot >= 2 && segment_bytes == 0)) {
        return COFFER_E_INVALID;
    }
    if (slot < 2) {
        *ret_offset_bytes = slot * (uint64_t)SLOT1_OFFSET;
    } else {
        *ret_offset_bytes = (slot == 2 ? SLOT2_SEGMENT : SLOT3_SEGMENT) * segment_bytes;
    }
    return 0;
}

uint64_t cof_segdev_root_epoch(const void *block)
{
    const uint8_t *bytes = block;
    if (memcmp(bytes, root_magic, sizeof root_magic) != 0) {
        return 0;
    }
    return cof_le64_get(bytes + ROOT_EPOCH_OFFSET);
}

static int check_memory(const struct cof_segdev_base *base,
                        const struct coffer_segdev_request *request, uint64_t *ret_total)
{
    uint64_t total = 0;
    if (request->iov == NULL || request->iov_count == 0 || request->iov_count > COF_IOV_MAX) {
        return COFFER_E_INVALID;
    }
    for (uint32_t i = 0; i < request->iov_count; i++) {
        const struct iovec *iov = &request->iov[i];
        if (iov->iov_len == 0 || iov->iov_len % COF_SECTOR_BYTES != 0 ||
            (uintptr_t)iov->iov_base % base->memory_align != 0) {
            return COFFER_E_ALIGN;
        }
        if (iov->iov_len > COF_SEGMENT_BYTES_MAX) {
            return COFFER_E_RANGE;
        }
        total += iov->iov_len;
    }
    *ret_total = total;
    return 0;
}

static int check_transfer(const struct cof_segdev_base *base,
                          const struct coffer_segdev_request *request, uint32_t *ret_length_bytes)
{
    uint32_t segment_bytes = atomic_load(&base->segment_bytes);
    bool append = request->op == COFFER_SEGDEV_APPEND;
    uint64_t total = 0;
    int error = check_memory(base, request, &total);
    if (error != 0) {
        return error;
    }
    if (segment_bytes == 0) {
        return COFFER_E_INVALID;
    }
    if (total % COFFER_BLOCK_BYTES != 0 || request->offset % COFFER_BLOCK_BYTES != 0) {
        return COFFER_E_ALIGN;
    }
    if (request->segment >= cof_segdev_segment_count(base)) {
        assert(!append && "an append beyond the device");
        return COFFER_E_RANGE;
    }
    if (request->offset > segment_bytes || total > segment_bytes - request->offset) {
        assert(!append && "an append past its segment");
        return COFFER_E_RANGE;
    }
    if (append && cof_segdev_is_root_segment(request->segment)) {
        return COFFER_E_INVALID;
    }
    *ret_length_bytes = (uint32_t)total;
    return 0;
}

static int check_root(const struct cof_segdev_base *base,
                      const struct coffer_segdev_request *request, uint32_t *ret_length_bytes)
{
    uint64_t total = 0, place;
    int error = check_memory(base, request, &total);
    if (error != 0) {
        return error;
    }
    if (request->iov_count != 1 || total != COFFER_BLOCK_BYTES) {
        return COFFER_E_INVALID;
    }
    *ret_length_bytes = COFFER_BLOCK_BYTES;
    return cof_segdev_root_place(base, request->segment, &place);
}

static int check_segment(const struct cof_segdev_base *base,
                         const struct coffer_segdev_request *request, uint32_t *ret_length_bytes)
{
    if (atomic_load(&base->segment_bytes) == 0 || cof_segdev_is_root_segment(request->segment)) {
        return COFFER_E_INVALID;
    }
    if (request->segment >= cof_segdev_segment_count(base)) {
        return COFFER_E_RANGE;
    }
    *ret_length_bytes = atomic_load(&base->segment_bytes);
    return 0;
}

int cof_segdev_check(const struct cof_segdev_base *base,
                     const struct coffer_segdev_request *request, uint32_t *ret_length_bytes)
{
    bool writes = request->op != COFFER_SEGDEV_READ && request->op != COFFER_SEGDEV_ROOT_READ &&
                  request->op != COFFER_SEGDEV_SYNC;
    if (base->read_only && writes) {
        return COFFER_E_READ_ONLY;
    }
    switch (request->op) {
    case COFFER_SEGDEV_READ:
    case COFFER_SEGDEV_APPEND:
        return check_transfer(base, request, ret_length_bytes);
    case COFFER_SEGDEV_ROOT_READ:
    case COFFER_SEGDEV_ROOT_CAS:
        return check_root(base, request, ret_length_bytes);
    case COFFER_SEGDEV_TRIM:
    case COFFER_SEGDEV_CONDITION:
        return check_segment(base, request, ret_length_bytes);
    case COFFER_SEGDEV_SYNC:
        *ret_length_bytes = 0;
        return 0;
    case COFFER_SEGDEV_GROW:
        *ret_length_bytes = 0;
        return atomic_load(&base->segment_bytes) == 0 ? COFFER_E_INVALID : 0;
    case COFFER_SEGDEV_SHRINK:
        *ret_length_bytes = 0;
        return atomic_load(&base->segment_bytes) == 0 || request->segment < COF_SEGMENT_COUNT_MIN
                   ? COFFER_E_INVALID
                   : 0;
    }
    return COFFER_E_INVALID;
}
