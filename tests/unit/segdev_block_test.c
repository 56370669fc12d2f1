/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/segdev_block_test.c - a block device, by way of a loop device over a temporary file.
 *
 * Needs the right to make loop devices; without it the program exits with 77 (skipped).
 */
#include "segdev_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>

#define EXIT_SKIPPED 77

static char loop_path[32];
static char file_path[] = "segdev-block-XXXXXX";
static int loop_fd = -1;

/* The device goes away with its last user (autoclear), even when the test dies. */
static int attach(void)
{
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), file = mkstemp(file_path);
    struct loop_config config = {.block_size = 512,
                                 .info = {.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO}};
    int number = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);
    int done = -1;
    if (number >= 0 && file >= 0 && ftruncate(file, (off_t)(DEVICE + 4096)) == 0) {
        snprintf(loop_path, sizeof loop_path, "/dev/loop%d", number);
        loop_fd = open(loop_path, O_RDWR | O_CLOEXEC);
        config.fd = (uint32_t)file;
        done = loop_fd < 0 ? -1 : ioctl(loop_fd, LOOP_CONFIGURE, &config);
    }
    if (control >= 0) {
        close(control);
    }
    if (file >= 0) {
        close(file);
        (void)unlink(file_path);
    }
    return done;
}

static int open_loop(unsigned flags, uint64_t size_bytes, uint32_t segment_bytes,
                     struct coffer_segdev **ret_dev)
{
    return coffer_segdev_file_open(NULL, loop_path, flags, size_bytes, segment_bytes, ret_dev,
                                   NULL);
}

static void a_block_device_has_a_size_of_its_own(void **state)
{
    struct coffer_segdev *dev = NULL;
    struct coffer_geometry g;
    (void)state;
    assert_int_equal(open_loop(COFFER_SEGDEV_CREATE, DEVICE, SEGMENT, &dev), COFFER_E_INVALID);
    assert_int_equal(open_loop(COFFER_SEGDEV_CREATE, 0, 2 * SEGMENT, &dev), COFFER_E_INVALID);
    assert_null(dev);
    assert_int_equal(open_loop(COFFER_SEGDEV_CREATE, 0, SEGMENT, &dev), 0);
    dev->ops->geometry(dev, &g);
    assert_int_equal(g.fixed_size, 1);
    assert_int_equal(g.segment_count, 64);
    dev->ops->close(dev);
}

static void a_block_device_has_one_writer_or_many_readers(void **state)
{
    struct coffer_segdev *dev = NULL, *second = NULL;
    (void)state;
    assert_int_equal(open_loop(0, 0, SEGMENT, &dev), 0);
    assert_int_equal(open_loop(0, 0, SEGMENT, &second), COFFER_E_BUSY);
    assert_int_equal(open_loop(COFFER_SEGDEV_READ_ONLY, 0, SEGMENT, &second), COFFER_E_BUSY);
    dev->ops->close(dev);
    assert_int_equal(open_loop(COFFER_SEGDEV_READ_ONLY, 0, SEGMENT, &dev), 0);
    assert_int_equal(open_loop(COFFER_SEGDEV_READ_ONLY, 0, SEGMENT, &second), 0);
    second->ops->close(second);
    second = NULL;
    assert_int_equal(open_loop(0, 0, SEGMENT, &second), COFFER_E_BUSY);
    assert_null(second);
    dev->ops->close(dev);
}

static void every_operation_works_on_a_block_device(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    (void)state;
    fixture_paths(f);
    assert_int_equal(open_loop(0, 0, SEGMENT, &f->dev), 0);
    assert_int_equal(f->dev->ops->channel_open(f->dev, 4, &f->channel), 0);
    assert_int_equal(run(f, COFFER_SEGDEV_APPEND, 62, 0, f->a, SEGMENT), 0);
    assert_int_equal(run(f, COFFER_SEGDEV_SYNC, 0, 0, NULL, 0), 0);
    assert_int_equal(run(f, COFFER_SEGDEV_READ, 62, 0, f->b, SEGMENT), 0);
    assert_memory_equal(f->a, f->b, SEGMENT);
    assert_int_equal(run(f, COFFER_SEGDEV_TRIM, 62, 0, NULL, 0), 0);
    assert_int_equal(run(f, COFFER_SEGDEV_APPEND, 62, 0, f->a, SEGMENT), 0);
    assert_int_equal(run(f, COFFER_SEGDEV_CONDITION, 62, 0, NULL, 0), 0);
    assert_int_equal(run(f, COFFER_SEGDEV_READ, 62, 0, f->b, SEGMENT), 0);
    assert_true(is_zero(f->b, SEGMENT));
    make_root(f->a, 9, 3);
    assert_int_equal(run_cas(f, 3, 0, f->a), 0);
    assert_int_equal(run_cas(f, 3, 0, f->a), COFFER_E_BUSY);
    assert_int_equal(run(f, COFFER_SEGDEV_GROW, 64, 0, NULL, 0), 0);
    assert_int_equal(run(f, COFFER_SEGDEV_GROW, 65, 0, NULL, 0), COFFER_E_NO_SPACE);
    assert_int_equal(run(f, COFFER_SEGDEV_SHRINK, 64, 0, NULL, 0), 0); /* it stays as it is */
    fixture_close(f);
    free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_block_device_has_a_size_of_its_own),
        cmocka_unit_test(a_block_device_has_one_writer_or_many_readers),
        cmocka_unit_test(every_operation_works_on_a_block_device),
    };
    int failed;
    if (attach() != 0) {
        fprintf(stderr, "skipped: no loop device can be made here: %s\n", strerror(errno));
        return EXIT_SKIPPED;
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    close(loop_fd);
    return failed;
}
