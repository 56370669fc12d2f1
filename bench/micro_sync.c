/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench/micro_sync.c - what an append and a sync cost on fresh, allocated and written segments.
 *
 *   bench_micro_sync PATH [ROUNDS]
 *
 * Makes a store-sized file at PATH (which must not exist; removed afterwards) through the segment
 * device, and for each number of bytes per flush fills one 8 MiB segment with appends, each
 * followed by a sync, in four states of the segment: sparse (never written), unwritten (fallocate),
 * conditioned (zero-written ahead) and reused (holds old bytes). The states take turns within a
 * round, so that what else the machine does hits all alike. At the end the cost of conditioning a
 * segment and, from both, the bytes per flush at which conditioning costs what it saves.
 * Uses the public headers only. One thread. Figures are of the file system and device under PATH.
 */
#include <coffer/segdev.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SEGMENT_BYTES (8u << 20)
#define SEGMENTS 512u
#define SIZES 9u
#define STATES 4u
#define SAMPLES_MAX (1u << 16)
#define FIRST_BYTES 8192u

enum state { SPARSE, UNWRITTEN, CONDITIONED, REUSED };

static const char *const state_names[STATES] = {"sparse", "unwritten", "conditioned", "reused"};

struct samples {
    double us[SAMPLES_MAX];
    size_t count;
};

struct bench {
    struct coffer_segdev *dev;
    struct coffer_segdev_channel *channel;
    uint8_t *buffer;
    int raw_fd;
    uint32_t next_segment;
    struct samples append_sync[STATES][SIZES];
    double segment_ms[STATES][SIZES]; /* sum over rounds */
    struct samples conditioning;
};

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void die(const char *what, int error)
{
    fprintf(stderr, "bench_micro_sync: %s: %s\n", what, coffer_error_sentence(error));
    exit(1);
}

static void run(struct bench *b, enum coffer_segdev_op op, uint32_t segment, uint32_t offset,
                uint32_t bytes)
{
    struct iovec iov = {b->buffer, bytes};
    struct coffer_segdev_request request = {.op = op,
                                            .segment = segment,
                                            .offset = offset,
                                            .iov = &iov,
                                            .iov_count = bytes > 0 ? 1 : 0,
                                            .buffer_index = -1};
    struct coffer_segdev_request *list;
    int result = b->dev->ops->submit(b->channel, &request);
    if (result == 0) {
        result = b->dev->ops->poll(b->channel, 1, &list);
        result = result < 0 ? result : request.result;
    }
    if (result != 0) {
        die("a request failed", result);
    }
}

static void note(struct samples *samples, double us)
{
    if (samples->count < SAMPLES_MAX) {
        samples->us[samples->count++] = us;
    }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(struct samples *samples, double q)
{
    size_t at;
    if (samples->count == 0) {
        return 0;
    }
    qsort(samples->us, samples->count, sizeof samples->us[0], by_value);
    at = (size_t)(q * (double)(samples->count - 1) + 0.5);
    return samples->us[at];
}

static double mean(const struct samples *samples)
{
    double sum = 0;
    for (size_t i = 0; i < samples->count; i++) {
        sum += samples->us[i];
    }
    return samples->count > 0 ? sum / (double)samples->count : 0;
}

/* Segments 0, 32 and 63 hold root slots. */
static uint32_t take_segment(struct bench *b)
{
    do {
        b->next_segment++;
    } while (b->next_segment == 32 || b->next_segment == 63);
    if (b->next_segment >= SEGMENTS) {
        die("too many rounds for the file", COFFER_E_RANGE);
    }
    return b->next_segment;
}

static void prepare(struct bench *b, enum state state, uint32_t segment)
{
    double start = now_us();
    switch (state) {
    case SPARSE:
        break;
    case UNWRITTEN:
        if (fallocate(b->raw_fd, 0, (off_t)segment * SEGMENT_BYTES, SEGMENT_BYTES) != 0) {
            die("fallocate", COFFER_E_IO);
        }
        break;
    case CONDITIONED:
        run(b, COFFER_SEGDEV_CONDITION, segment, 0, 0);
        break;
    case REUSED:
        for (uint32_t at = 0; at < SEGMENT_BYTES; at += 1u << 20) {
            run(b, COFFER_SEGDEV_APPEND, segment, at, 1u << 20);
        }
        break;
    }
    run(b, COFFER_SEGDEV_SYNC, 0, 0, 0);
    if (state == CONDITIONED) {
        note(&b->conditioning, now_us() - start);
    }
}

static void fill(struct bench *b, enum state state, unsigned size)
{
    uint32_t bytes = FIRST_BYTES << size;
    uint32_t segment = take_segment(b);
    double begin;
    prepare(b, state, segment);
    begin = now_us();
    for (uint32_t at = 0; at < SEGMENT_BYTES; at += bytes) {
        double start = now_us();
        for (uint32_t done = 0; done < bytes; done += 1u << 19) {
            uint32_t part = bytes - done < 1u << 19 ? bytes - done : 1u << 19;
            run(b, COFFER_SEGDEV_APPEND, segment, at + done, part);
        }
        run(b, COFFER_SEGDEV_SYNC, 0, 0, 0);
        note(&b->append_sync[state][size], now_us() - start);
    }
    b->segment_ms[state][size] += (now_us() - begin) / 1e3;
}

static void report(struct bench *b, unsigned rounds)
{
    double zero_ms = mean(&b->conditioning) / 1e3;
    printf("%10s  %-12s %10s %10s %14s\n", "B/flush", "segment", "p50 us", "p99 us",
           "ms a segment");
    for (unsigned size = 0; size < SIZES; size++) {
        for (unsigned state = 0; state < STATES; state++) {
            printf("%10u  %-12s %10.0f %10.0f %14.1f\n", FIRST_BYTES << size, state_names[state],
                   quantile(&b->append_sync[state][size], 0.5),
                   quantile(&b->append_sync[state][size], 0.99),
                   b->segment_ms[state][size] / rounds);
        }
    }
    printf("conditioning a segment of 8 MiB, with its sync: mean %.1f ms, p50 %.1f, p99 %.1f\n",
           zero_ms, quantile(&b->conditioning, 0.5) / 1e3, quantile(&b->conditioning, 0.99) / 1e3);
    for (unsigned size = 0; size < SIZES; size++) {
        double saved = (b->segment_ms[SPARSE][size] - b->segment_ms[CONDITIONED][size]) / rounds;
        printf("%10u B/flush: conditioning saves %6.1f ms and costs %5.1f ms a segment: %s\n",
               FIRST_BYTES << size, saved, zero_ms, saved > zero_ms ? "worth it" : "not worth it");
    }
}

int main(int argc, char **argv)
{
    static struct bench b;
    struct coffer_fault fault;
    unsigned rounds = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 3;
    int error;
    if (argc < 2 || argc > 3 || rounds == 0 || rounds > 14) {
        fprintf(stderr, "usage: bench_micro_sync PATH [ROUNDS (1 to 14)]\n");
        return 2;
    }
    error =
        coffer_segdev_file_open(NULL, argv[1], COFFER_SEGDEV_CREATE,
                                (uint64_t)SEGMENTS * SEGMENT_BYTES, SEGMENT_BYTES, &b.dev, &fault);
    if (error != 0) {
        fprintf(stderr, "bench_micro_sync: %s: %s\n", argv[1], fault.detail);
        return 1;
    }
    b.raw_fd = open(argv[1], O_RDWR | O_CLOEXEC);
    b.buffer = aligned_alloc(4096, 1u << 20);
    error = b.dev->ops->channel_open(b.dev, 8, &b.channel);
    if (b.raw_fd < 0 || b.buffer == NULL || error != 0) {
        (void)unlink(argv[1]);
        die("setting up", error != 0 ? error : COFFER_E_IO);
    }
    (void)unlink(argv[1]);
    for (unsigned i = 0; i < 1u << 20; i++) {
        b.buffer[i] = (uint8_t)(i * 2654435761u >> 13);
    }
    for (unsigned round = 0; round < rounds; round++) {
        for (unsigned size = 0; size < SIZES; size++) {
            for (unsigned state = 0; state < STATES; state++) {
                fill(&b, (enum state)((state + round) % STATES), size);
            }
        }
    }
    report(&b, rounds);
    b.dev->ops->channel_close(b.channel);
    b.dev->ops->close(b.dev);
    (void)close(b.raw_fd);
    free(b.buffer);
    return 0;
}
