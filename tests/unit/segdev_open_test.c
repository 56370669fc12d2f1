/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/segdev_open_test.c - making, opening and locking a file: what is refused, and what is left.
 */
#include "segdev_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <time.h>

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    fixture_paths(f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture_close(*state);
    free(*state);
    return 0;
}

static int open_path(const char *path, unsigned flags, uint64_t size_bytes, uint32_t segment_bytes,
                     struct coffer_segdev **ret_dev, struct coffer_fault *fault)
{
    struct coffer_fault unused;
    memset(fault != NULL ? fault : &unused, 0, sizeof unused);
    return coffer_segdev_file_open(NULL, path, flags, size_bytes, segment_bytes, ret_dev, fault);
}

static int open_ours(struct fixture *f, unsigned flags, struct coffer_segdev **ret_dev)
{
    return open_path(f->path, flags | transfer_flags(f->path), DEVICE, SEGMENT, ret_dev, NULL);
}

static void a_new_file_is_private_sparse_and_of_whole_segments(void **state)
{
    struct fixture *f = *state;
    struct coffer_geometry g;
    struct stat now;
    assert_int_equal(open_path(f->path, COFFER_SEGDEV_CREATE | transfer_flags(f->path),
                               DEVICE + SEGMENT + 12345, SEGMENT, &f->dev, NULL),
                     0);
    assert_int_equal(stat(f->path, &now), 0);
    assert_int_equal(now.st_size, DEVICE + SEGMENT);
    assert_int_equal(now.st_mode & 07777, 0600);
    assert_true(now.st_blocks * 512 < SEGMENT);
    f->dev->ops->geometry(f->dev, &g);
    assert_int_equal(g.segment_count, 65);
    assert_int_equal(g.fixed_size, 0);
}

static void an_empty_file_is_taken_and_a_full_one_is_not(void **state)
{
    struct fixture *f = *state;
    struct coffer_segdev *dev = NULL;
    struct stat now;
    int fd = open(f->path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    assert_int_equal(open_ours(f, COFFER_SEGDEV_CREATE, &dev), 0);
    dev->ops->close(dev);
    dev = NULL;
    assert_int_equal(open_ours(f, COFFER_SEGDEV_CREATE, &dev), COFFER_E_EXISTS);
    assert_null(dev);
    assert_int_equal(ftruncate(fd, 3), 0);
    assert_int_equal(open_ours(f, COFFER_SEGDEV_CREATE, &dev), COFFER_E_EXISTS);
    assert_int_equal(fstat(fd, &now), 0);
    assert_int_equal(now.st_size, 3);
    close(fd);
}

static void too_small_a_size_says_the_least_and_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    struct coffer_segdev *dev = NULL;
    struct coffer_fault fault;
    struct stat now;
    int fd;
    assert_int_equal(open_path(f->path, COFFER_SEGDEV_CREATE | transfer_flags(f->path),
                               63u * 8u * (uint64_t)MIB, 8 * MIB, &dev, &fault),
                     COFFER_E_INVALID);
    assert_non_null(strstr(fault.detail, "512 MiB"));
    assert_int_equal(access(f->path, F_OK), -1);
    fd = open(f->path, O_CREAT | O_WRONLY, 0600); /* a file of others stays, and stays empty */
    assert_int_equal(
        open_path(f->path, COFFER_SEGDEV_CREATE | transfer_flags(f->path), MIB, MIB, &dev, &fault),
        COFFER_E_INVALID);
    assert_int_equal(fstat(fd, &now), 0);
    assert_int_equal(now.st_size, 0);
    assert_int_equal(access(f->path, F_OK), 0);
    close(fd);
    assert_null(dev);
}

static void nonsense_is_refused_with_a_sentence(void **state)
{
    struct fixture *f = *state;
    static const struct {
        unsigned flags;
        uint32_t segment_bytes;
    } bad[] = {
        {COFFER_SEGDEV_CREATE | COFFER_SEGDEV_READ_ONLY, MIB},
        {COFFER_SEGDEV_CREATE, 0},
        {COFFER_SEGDEV_CREATE, MIB / 2},
        {COFFER_SEGDEV_CREATE, 3 * MIB},
        {COFFER_SEGDEV_CREATE, 128 * MIB},
        {COFFER_SEGDEV_CREATE | 64u, MIB},
        {0, 3 * MIB},
    };
    struct coffer_segdev *dev = NULL;
    struct coffer_fault fault;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(
            open_path(f->path, bad[i].flags, DEVICE, bad[i].segment_bytes, &dev, &fault),
            COFFER_E_INVALID);
        assert_int_equal(fault.error, COFFER_E_INVALID);
        assert_true(fault.detail[0] != '\0');
    }
    assert_int_equal(open_path("", 0, 0, 0, &dev, &fault), COFFER_E_INVALID);
    assert_int_equal(open_path(NULL, 0, 0, 0, &dev, &fault), COFFER_E_INVALID);
    assert_int_equal(open_path(f->path, 0, 0, 0, &dev, &fault), COFFER_E_NOT_FOUND);
    assert_int_equal(fault.os_errno, ENOENT);
    assert_int_equal(open_path("/dev/full", 0, 0, 0, &dev, &fault), COFFER_E_INVALID);
    assert_int_equal(open_path(f->directory, COFFER_SEGDEV_READ_ONLY, 0, 0, &dev, &fault),
                     COFFER_E_INVALID);
    assert_int_equal(open_path("no-such-dir/x", COFFER_SEGDEV_CREATE, DEVICE, MIB, &dev, NULL),
                     COFFER_E_NOT_FOUND);
    assert_null(dev);
}

static void a_pipe_is_refused_without_waiting(void **state)
{
    struct fixture *f = *state;
    struct coffer_segdev *dev = NULL;
    assert_int_equal(mkfifo(f->path, 0600), 0);
    alarm(10);
    assert_int_equal(open_path(f->path, COFFER_SEGDEV_READ_ONLY, 0, 0, &dev, NULL),
                     COFFER_E_INVALID);
    assert_int_equal(open_path(f->path, 0, 0, 0, &dev, NULL), COFFER_E_INVALID);
    alarm(0);
    assert_null(dev);
}

static int open_in_child(struct fixture *f, unsigned flags)
{
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct coffer_segdev *dev = NULL;
        int error = open_ours(f, flags, &dev);
        _exit(-error);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return -WEXITSTATUS(status);
}

static void one_writer_or_many_readers(void **state)
{
    struct fixture *f = *state;
    struct coffer_segdev *reader = NULL, *second = NULL;
    assert_int_equal(open_ours(f, COFFER_SEGDEV_CREATE, &f->dev), 0);
    assert_int_equal(open_in_child(f, 0), COFFER_E_BUSY);
    assert_int_equal(open_in_child(f, COFFER_SEGDEV_READ_ONLY), COFFER_E_BUSY);
    assert_int_equal(open_in_child(f, COFFER_SEGDEV_CREATE), COFFER_E_BUSY);
    assert_int_equal(access(f->path, F_OK), 0); /* a refused create removes nothing */
    assert_int_equal(open_ours(f, 0, &second), COFFER_E_BUSY); /* this process is no exception */
    assert_null(second);
    f->dev->ops->close(f->dev);
    f->dev = NULL;
    assert_int_equal(open_ours(f, COFFER_SEGDEV_READ_ONLY, &reader), 0);
    assert_int_equal(open_in_child(f, COFFER_SEGDEV_READ_ONLY), 0);
    assert_int_equal(open_in_child(f, 0), COFFER_E_BUSY);
    reader->ops->close(reader);
    assert_int_equal(open_in_child(f, 0), 0); /* and the lock went with that process */
    assert_int_equal(open_ours(f, 0, &f->dev), 0);
}

static void a_reader_cannot_change_anything(void **state)
{
    struct fixture *f = *state;
    static const enum coffer_segdev_op ops[] = {COFFER_SEGDEV_APPEND, COFFER_SEGDEV_TRIM,
                                                COFFER_SEGDEV_CONDITION, COFFER_SEGDEV_GROW,
                                                COFFER_SEGDEV_ROOT_CAS, COFFER_SEGDEV_SHRINK};
    assert_int_equal(open_ours(f, COFFER_SEGDEV_CREATE, &f->dev), 0);
    f->dev->ops->close(f->dev);
    f->dev = NULL;
    assert_int_equal(open_ours(f, COFFER_SEGDEV_READ_ONLY, &f->dev), 0);
    assert_int_equal(f->dev->ops->channel_open(f->dev, 4, &f->channel), 0);
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        assert_int_equal(run(f, ops[i], 1, 0, f->a, 4096), COFFER_E_READ_ONLY);
    }
    assert_int_equal(run(f, COFFER_SEGDEV_READ, 1, 0, f->b, 4096), 0);
    assert_int_equal(run(f, COFFER_SEGDEV_ROOT_READ, 0, 0, f->b, 4096), 0);
}

/* As a store is opened whose segment size is not known: two slots first, then by trying sizes. */
static void the_far_roots_are_found_by_probing(void **state)
{
    struct fixture *f = *state;
    struct coffer_geometry g;
    unsigned found = 0;
    assert_int_equal(open_path(f->path, COFFER_SEGDEV_CREATE | transfer_flags(f->path),
                               64ull * 4 * MIB, 4 * MIB, &f->dev, NULL),
                     0);
    assert_int_equal(f->dev->ops->channel_open(f->dev, 4, &f->channel), 0);
    make_root(f->a, 41, 1);
    assert_int_equal(run_cas(f, 2, 0, f->a), 0);
    make_root(f->a, 42, 2);
    assert_int_equal(run_cas(f, 3, 0, f->a), 0);
    assert_int_equal(run(f, COFFER_SEGDEV_SYNC, 0, 0, NULL, 0), 0);
    f->dev->ops->channel_close(f->channel);
    f->dev->ops->close(f->dev);
    f->dev = NULL;
    f->channel = NULL;
    assert_int_equal(open_path(f->path, transfer_flags(f->path), 0, 0, &f->dev, NULL), 0);
    assert_int_equal(f->dev->ops->channel_open(f->dev, 4, &f->channel), 0);
    f->dev->ops->geometry(f->dev, &g);
    assert_int_equal(g.segment_bytes, 0);
    assert_int_equal(g.segment_count, 0);
    assert_int_equal(run(f, COFFER_SEGDEV_ROOT_READ, 0, 0, f->b, 4096), 0);
    assert_int_equal(run(f, COFFER_SEGDEV_ROOT_READ, 1, 0, f->b, 4096), 0);
    assert_int_equal(run(f, COFFER_SEGDEV_ROOT_READ, 2, 0, f->b, 4096), COFFER_E_INVALID);
    assert_int_equal(run(f, COFFER_SEGDEV_READ, 1, 0, f->b, 4096), COFFER_E_INVALID);
    for (uint32_t size = MIB; size <= 64 * MIB; size *= 2) {
        int second, third;
        assert_int_equal(f->dev->ops->set_segment_bytes(f->dev, size), 0);
        second = run(f, COFFER_SEGDEV_ROOT_READ, 2, 0, f->b, 4096);
        assert_true(second == 0 || (second == COFFER_E_TRUNCATED && size > 4 * MIB));
        if (second == 0 && cof_segdev_root_epoch(f->b) == 41) {
            found |= size;
            assert_int_equal(size, 4 * MIB);
        }
        third = run(f, COFFER_SEGDEV_ROOT_READ, 3, 0, f->b, 4096);
        assert_int_equal(third, size > 4 * MIB ? COFFER_E_TRUNCATED : 0);
        if (size == 4 * MIB) {
            assert_int_equal(cof_segdev_root_epoch(f->b), 42);
        }
    }
    assert_int_equal(found, 4 * MIB);
    assert_int_equal(f->dev->ops->set_segment_bytes(f->dev, 5), COFFER_E_INVALID);
}

static void root_slots_lie_where_the_format_says(void **state)
{
    struct fixture *f = *state;
    static const uint64_t places[] = {0, 8192, 32ull * SEGMENT, 63ull * SEGMENT};
    int fd;
    assert_int_equal(open_ours(f, COFFER_SEGDEV_CREATE, &f->dev), 0);
    assert_int_equal(f->dev->ops->channel_open(f->dev, 4, &f->channel), 0);
    fd = open(f->path, O_RDONLY);
    for (uint32_t slot = 0; slot < COFFER_ROOT_SLOTS; slot++) {
        make_root(f->a, 100 + slot, (uint8_t)slot);
        assert_int_equal(run_cas(f, slot, 0, f->a), 0);
        assert_int_equal(pread(fd, f->b, 4096, (off_t)places[slot]), 4096);
        assert_memory_equal(f->a, f->b, 4096);
    }
    close(fd);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The open tries a lock again for a while; a lock of our own must be gone before that. */
static void closing_lets_go_of_the_lock_at_once(void **state)
{
    struct fixture *f = *state;
    uint64_t fastest = UINT64_MAX;
    assert_int_equal(open_ours(f, COFFER_SEGDEV_CREATE, &f->dev), 0);
    for (int i = 0; i < 10; i++) {
        uint64_t start, took;
        assert_int_equal(f->dev->ops->channel_open(f->dev, 4, &f->channel), 0);
        assert_int_equal(run(f, COFFER_SEGDEV_READ, 1, 0, f->b, 4096), 0);
        f->dev->ops->channel_close(f->channel);
        f->channel = NULL;
        f->dev->ops->close(f->dev);
        f->dev = NULL;
        start = now_ns();
        assert_int_equal(open_ours(f, 0, &f->dev), 0);
        took = now_ns() - start;
        fastest = took < fastest ? took : fastest;
    }
    assert_true(fastest < 5000000);
}

static void a_file_grows_and_the_new_segments_work(void **state)
{
    struct fixture *f = *state;
    struct coffer_geometry g;
    struct stat now;
    assert_int_equal(open_ours(f, COFFER_SEGDEV_CREATE, &f->dev), 0);
    assert_int_equal(f->dev->ops->channel_open(f->dev, 4, &f->channel), 0);
    assert_int_equal(run(f, COFFER_SEGDEV_GROW, 80, 0, NULL, 0), 0);
    assert_int_equal(run(f, COFFER_SEGDEV_GROW, 70, 0, NULL, 0), 0); /* never shrinks */
    f->dev->ops->geometry(f->dev, &g);
    assert_int_equal(g.segment_count, 80);
    assert_int_equal(run(f, COFFER_SEGDEV_APPEND, 79, 0, f->a, SEGMENT), 0);
    assert_int_equal(run(f, COFFER_SEGDEV_READ, 79, 0, f->b, SEGMENT), 0);
    assert_memory_equal(f->a, f->b, SEGMENT);
    assert_int_equal(stat(f->path, &now), 0);
    assert_int_equal(now.st_size, 80ll * SEGMENT);
}

static void a_file_is_cut_and_grows_again_with_zeros(void **state)
{
    struct fixture *f = *state;
    struct coffer_geometry g;
    struct stat now;
    assert_int_equal(open_ours(f, COFFER_SEGDEV_CREATE, &f->dev), 0);
    assert_int_equal(f->dev->ops->channel_open(f->dev, 4, &f->channel), 0);
    assert_int_equal(run(f, COFFER_SEGDEV_GROW, 80, 0, NULL, 0), 0);
    assert_int_equal(run(f, COFFER_SEGDEV_APPEND, 69, 0, f->a, SEGMENT), 0);
    assert_int_equal(run(f, COFFER_SEGDEV_APPEND, 70, 0, f->a, SEGMENT), 0);
    assert_int_equal(run(f, COFFER_SEGDEV_SHRINK, 63, 0, NULL, 0), COFFER_E_INVALID);
    assert_int_equal(run(f, COFFER_SEGDEV_SHRINK, 90, 0, NULL, 0), 0); /* never grows */
    assert_int_equal(run(f, COFFER_SEGDEV_SHRINK, 70, 0, NULL, 0), 0);
    f->dev->ops->geometry(f->dev, &g);
    assert_int_equal(g.segment_count, 70);
    assert_int_equal(stat(f->path, &now), 0);
    assert_int_equal(now.st_size, 70ll * SEGMENT);
    assert_int_equal(run(f, COFFER_SEGDEV_READ, 70, 0, f->b, SEGMENT), COFFER_E_RANGE);
    assert_int_equal(run(f, COFFER_SEGDEV_READ, 69, 0, f->b, SEGMENT), 0);
    assert_memory_equal(f->a, f->b, SEGMENT);
    assert_int_equal(run(f, COFFER_SEGDEV_GROW, 80, 0, NULL, 0), 0);
    assert_int_equal(run(f, COFFER_SEGDEV_READ, 70, 0, f->b, SEGMENT), 0);
    assert_true(is_zero(f->b, SEGMENT));
}

static void a_cut_file_shows_whole_segments_and_reads_as_truncated(void **state)
{
    struct fixture *f = *state;
    struct coffer_geometry g;
    assert_int_equal(open_ours(f, COFFER_SEGDEV_CREATE, &f->dev), 0);
    assert_int_equal(f->dev->ops->channel_open(f->dev, 4, &f->channel), 0);
    assert_int_equal(run(f, COFFER_SEGDEV_APPEND, 5, 0, f->a, SEGMENT), 0);
    assert_int_equal(truncate(f->path, 5ll * SEGMENT + 6000), 0); /* behind its back */
    assert_int_equal(run(f, COFFER_SEGDEV_READ, 5, 0, f->b, 4096), 0);
    assert_memory_equal(f->a, f->b, 4096);
    assert_int_equal(run(f, COFFER_SEGDEV_READ, 5, 0, f->b, 65536), COFFER_E_TRUNCATED);
    assert_int_equal(run(f, COFFER_SEGDEV_READ, 5, 8192, f->b, 4096), COFFER_E_TRUNCATED);
    assert_int_equal(run(f, COFFER_SEGDEV_READ, 9, 0, f->b, 4096), COFFER_E_TRUNCATED);
    assert_int_equal(run(f, COFFER_SEGDEV_ROOT_READ, 3, 0, f->b, 4096), COFFER_E_TRUNCATED);
    f->dev->ops->channel_close(f->channel);
    f->dev->ops->close(f->dev);
    f->channel = NULL;
    f->dev = NULL;
    assert_int_equal(open_ours(f, 0, &f->dev), 0);
    f->dev->ops->geometry(f->dev, &g);
    assert_int_equal(g.segment_count, 5);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(a_new_file_is_private_sparse_and_of_whole_segments),
        EACH(an_empty_file_is_taken_and_a_full_one_is_not),
        EACH(too_small_a_size_says_the_least_and_leaves_nothing),
        EACH(nonsense_is_refused_with_a_sentence),
        EACH(a_pipe_is_refused_without_waiting),
        EACH(one_writer_or_many_readers),
        EACH(a_reader_cannot_change_anything),
        EACH(the_far_roots_are_found_by_probing),
        EACH(root_slots_lie_where_the_format_says),
        EACH(closing_lets_go_of_the_lock_at_once),
        EACH(a_file_grows_and_the_new_segments_work),
        EACH(a_file_is_cut_and_grows_again_with_zeros),
        EACH(a_cut_file_shows_whole_segments_and_reads_as_truncated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
