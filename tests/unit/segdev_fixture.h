/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/segdev_fixture.h - a device on a temporary file, and requests carried out one at a time.
 *
 * The file lies in the directory the test runs in (the build directory), since /tmp is often in
 * memory and without O_DIRECT. Where that is refused here as well the tests say so and go buffered.
 */
#ifndef COF_TEST_SEGDEV_FIXTURE_H
#define COF_TEST_SEGDEV_FIXTURE_H

#include "format/endian.h"
#include "segdev/layout.h"

#include <coffer/segdev.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB (1u << 20)
#define SEGMENT MIB
#define DEVICE (64u * (uint64_t)SEGMENT)
#define SEGMENT_FREE 5u /* holds no root slot */

struct fixture {
    char directory[64];
    char path[96];
    struct coffer_segdev *dev;
    struct coffer_segdev_channel *channel;
    uint8_t *a; /* a segment's worth each, aligned */
    uint8_t *b;
};

static inline unsigned transfer_flags(const char *path)
{
    static int known = -1;
    if (known < 0) {
        struct coffer_segdev *dev = NULL;
        int error =
            coffer_segdev_file_open(NULL, path, COFFER_SEGDEV_CREATE, DEVICE, SEGMENT, &dev, NULL);
        known = error == COFFER_E_UNSUPPORTED ? (int)COFFER_SEGDEV_BUFFERED : 0;
        if (known != 0) {
            fprintf(stderr, "note: no O_DIRECT here, going on buffered\n");
        }
        if (dev != NULL) {
            dev->ops->close(dev);
            (void)unlink(path);
        }
    }
    return (unsigned)known;
}

static inline void fixture_paths_at(struct fixture *f, const char *parent)
{
    memset(f, 0, sizeof *f);
    snprintf(f->directory, sizeof f->directory, "%s/segdev-test-XXXXXX", parent);
    assert_non_null(mkdtemp(f->directory));
    snprintf(f->path, sizeof f->path, "%s/store", f->directory);
    f->a = aligned_alloc(4096, SEGMENT);
    f->b = aligned_alloc(4096, SEGMENT);
    assert_non_null(f->a);
    assert_non_null(f->b);
    for (size_t i = 0; i < SEGMENT; i++) {
        f->a[i] = (uint8_t)(i * 7 + (i >> 12));
    }
    memset(f->b, 0xEE, SEGMENT);
}

static inline void fixture_paths(struct fixture *f)
{
    fixture_paths_at(f, ".");
}

static inline void fixture_open_path(struct fixture *f, unsigned flags)
{
    struct coffer_fault fault;
    int error;
    error = coffer_segdev_file_open(NULL, f->path, COFFER_SEGDEV_CREATE | flags, DEVICE, SEGMENT,
                                    &f->dev, &fault);
    if (error != 0) {
        fail_msg("open: %s: %s", coffer_error_name(error), fault.detail);
    }
    assert_int_equal(f->dev->ops->channel_open(f->dev, 16, &f->channel), 0);
}

static inline void fixture_open_file(struct fixture *f, unsigned flags)
{
    fixture_paths(f);
    fixture_open_path(f, flags | transfer_flags(f->path));
}

static inline void fixture_open_memory(struct fixture *f)
{
    fixture_paths(f);
    assert_int_equal(coffer_segdev_memory_open(NULL, DEVICE, SEGMENT, &f->dev), 0);
    assert_int_equal(f->dev->ops->channel_open(f->dev, 16, &f->channel), 0);
}

static inline void fixture_close(struct fixture *f)
{
    if (f->channel != NULL) {
        f->dev->ops->channel_close(f->channel);
    }
    if (f->dev != NULL) {
        f->dev->ops->close(f->dev);
    }
    (void)unlink(f->path);
    (void)rmdir(f->directory);
    free(f->a);
    free(f->b);
    memset(f, 0, sizeof *f);
}

static inline int finish_one(struct fixture *f, struct coffer_segdev_request *request)
{
    struct coffer_segdev_request *list = NULL;
    assert_int_equal(f->dev->ops->poll(f->channel, 1, &list), 1);
    assert_ptr_equal(list, request);
    assert_null(list->next);
    return request->result;
}

static inline int run(struct fixture *f, enum coffer_segdev_op op, uint32_t segment,
                      uint32_t offset, void *memory, size_t bytes)
{
    struct iovec iov = {memory, bytes};
    struct coffer_segdev_request request = {.op = op,
                                            .segment = segment,
                                            .offset = offset,
                                            .iov = &iov,
                                            .iov_count = bytes > 0 ? 1 : 0,
                                            .buffer_index = -1};
    int error = f->dev->ops->submit(f->channel, &request);
    return error != 0 ? error : finish_one(f, &request);
}

static inline int run_cas(struct fixture *f, uint32_t slot, uint64_t expect_epoch, void *block)
{
    struct iovec iov = {block, COFFER_BLOCK_BYTES};
    struct coffer_segdev_request request = {.op = COFFER_SEGDEV_ROOT_CAS,
                                            .segment = slot,
                                            .iov = &iov,
                                            .iov_count = 1,
                                            .expect_epoch = expect_epoch,
                                            .buffer_index = -1};
    int error = f->dev->ops->submit(f->channel, &request);
    return error != 0 ? error : finish_one(f, &request);
}

static inline void make_root(uint8_t *block, uint64_t epoch, uint8_t filler)
{
    memset(block, filler, COFFER_BLOCK_BYTES);
    memcpy(block, "COFFROOT", 8);
    cof_le64_put(block + 8, epoch);
}

static inline int is_zero(const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] != 0) {
            return 0;
        }
    }
    return 1;
}

#endif
