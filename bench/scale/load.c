/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scale/load.c - fill a volume in random order, overwrite at random, look up.
 *
 * One page in 512 is never written, so that looking it up needs its leaf and nothing else. One in
 * 16,384 is stamped and kept by the device: those are read back and compared, in a plain volume.
 * The order of the filling is a permutation, so that at its end the volume is full.
 */
#include "scale/run.h"

#include <stdio.h>
#include <string.h>

#define SAMPLE_PAGES 65536u

static uint64_t next_random(struct scale *run)
{
    uint64_t z = run->random += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64, Steele et al. 2014 */
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* A permutation of 0..count-1: steps that can be undone, on as many bits as count has, again until
 * the result is in range. */
static uint64_t permute(uint64_t index, uint64_t count, uint64_t seed)
{
    unsigned bits = 2;
    uint64_t mask;
    while (bits < 63 && (UINT64_C(1) << bits) < count) {
        bits++;
    }
    mask = (UINT64_C(1) << bits) - 1u;
    do {
        for (unsigned round = 0; round < 3; round++) {
            index = (index * UINT64_C(0x9e3779b97f4a7c15) + seed + round) & mask;
            index ^= index >> (bits / 2u);
        }
    } while (index >= count);
    return index;
}

static bool is_hole(uint64_t page)
{
    return page % SCALE_HOLE_EVERY == SCALE_HOLE_AT;
}

static bool is_stamped(uint64_t page)
{
    return page % SCALE_STAMP_EVERY == SCALE_STAMP_AT;
}

/* ---- writing ---- */

static void fill_page(struct scale *run, uint8_t *bytes, uint64_t page)
{
    bool stamped = is_stamped(page);
    memcpy(bytes, stamped ? SCALE_STAMP : "any page", 8);
    memcpy(bytes + 8, &page, sizeof page);
    if (stamped) {
        uint32_t generation = ++run->generations[page / SCALE_STAMP_EVERY];
        memcpy(bytes + 16, &generation, sizeof generation);
    }
}

static int collect(struct scale *run, unsigned wait)
{
    unsigned depth = (unsigned)run->options->depth;
    int count = coffer_reap(run->queue, run->cqes, depth, wait);
    if (count < 0) {
        return cof_bench_complain("collecting requests", count, NULL);
    }
    for (int i = 0; i < count; i++) {
        if (run->cqes[i].result != 0) {
            return cof_bench_complain("writing", run->cqes[i].result, &run->cqes[i].fault);
        }
        run->spare[run->spare_count++] = (unsigned)(uintptr_t)run->cqes[i].user;
    }
    return 0;
}

/* Submit the first `count` of run->ios. */
static int submit_all(struct scale *run, unsigned count)
{
    unsigned done = 0;
    while (done < count) {
        int taken = coffer_submit(run->queue, run->ios + done, count - done);
        if (taken < 0 && taken != COFFER_E_AGAIN) {
            return cof_bench_complain("submitting requests", taken, NULL);
        }
        done += taken > 0 ? (unsigned)taken : 0u;
        if (done < count) {
            int error = collect(run, 1);
            if (error != 0) {
                return error;
            }
        }
    }
    return 0;
}

/* Which page is the index-th to write. */
typedef uint64_t (*chooser)(struct scale *run, uint64_t index);

static uint64_t choose_in_order(struct scale *run, uint64_t index)
{
    return permute(index, run->pages, run->options->seed);
}

static uint64_t choose_any(struct scale *run, uint64_t index)
{
    (void)index;
    return next_random(run) % run->pages;
}

/* Write pages from..end of the load; holes are passed over and not counted in *ret_written. */
static int write_pages(struct scale *run, chooser choose, uint64_t from, uint64_t end,
                       uint64_t *ret_written)
{
    uint64_t index = from;
    int error = 0;
    while (error == 0 && index < end) {
        unsigned count = 0;
        while (index < end && run->spare_count > 0) {
            uint64_t page = choose(run, index++);
            unsigned buffer;
            if (is_hole(page)) {
                continue;
            }
            buffer = run->spare[--run->spare_count];
            fill_page(run, run->iov[buffer].iov_base, page);
            run->ios[count++] = (struct coffer_io){.op = COFFER_IO_WRITE,
                                                   .volume = run->target.volume,
                                                   .offset_bytes = page * SCALE_PAGE,
                                                   .length_bytes = SCALE_PAGE,
                                                   .iov = &run->iov[buffer],
                                                   .iov_count = 1,
                                                   .user = (void *)(uintptr_t)buffer};
        }
        *ret_written += count;
        run->until_sample += count;
        error = submit_all(run, count);
        error = error == 0 ? collect(run, run->spare_count == 0 ? 1u : 0u) : error;
        if (error == 0 && run->until_sample >= SAMPLE_PAGES) {
            run->until_sample = 0;
            error = scale_sample(run);
        }
    }
    return error;
}

static int settle(struct scale *run)
{
    struct coffer_fault fault;
    int error = 0;
    while (error == 0 && run->spare_count < run->options->depth) {
        error = collect(run, (unsigned)run->options->depth - run->spare_count);
    }
    if (error != 0) {
        return error;
    }
    memset(&fault, 0, sizeof fault);
    error = coffer_store_checkpoint(run->target.store, &fault);
    return error == 0 ? scale_sample(run) : cof_bench_complain("a checkpoint", error, &fault);
}

/* The filling, in equal parts, each with the time it took; and the checkpoint that ends it. */
int scale_fill(struct scale *run)
{
    struct scale_result *result = run->result;
    uint64_t total = run->options->scattered > 0 ? run->options->scattered : run->pages;
    unsigned marks = total >= 16u * SAMPLE_PAGES ? 16u : 1u;
    struct scale_span first, from, to;
    uint64_t written = 0;
    int error = scale_span_at(run, 0, &first);
    from = first;
    for (unsigned i = 0; error == 0 && i < marks; i++) {
        error = write_pages(run, run->options->scattered > 0 ? choose_any : choose_in_order,
                            total / marks * i, i + 1u == marks ? total : total / marks * (i + 1u),
                            &written);
        if (error == 0 && i + 1u == marks) {
            error = settle(run);
        }
        if (error == 0) {
            error = scale_span_at(run, written, &to);
        }
        if (error == 0) {
            result->marks[result->mark_count++] = scale_span_since(&from, &to);
            from = to;
        }
    }
    if (error == 0) {
        result->fill = scale_span_since(&first, &to);
    }
    return error;
}

int scale_overwrite(struct scale *run)
{
    struct scale_span from, to;
    uint64_t written = 0;
    int error = scale_span_at(run, 0, &from);
    if (error == 0) {
        error = write_pages(run, choose_any, 0, run->options->overwrites, &written);
    }
    error = error == 0 ? settle(run) : error;
    error = error == 0 ? scale_span_at(run, written, &to) : error;
    if (error == 0) {
        run->result->overwrite = scale_span_since(&from, &to);
    }
    return error;
}

/* ---- looking up ---- */

static int check_page(struct scale *run, const uint8_t *bytes, uint64_t page)
{
    static const uint8_t zeros[SCALE_PAGE];
    uint32_t want, found;
    if (is_hole(page)) {
        run->result->hole_pages++;
        return memcmp(bytes, zeros, SCALE_PAGE) == 0 ? 0 : COFFER_E_CORRUPT;
    }
    want = run->generations[page / SCALE_STAMP_EVERY];
    if (want == 0) {
        return memcmp(bytes, zeros, SCALE_PAGE) == 0 ? 0 : COFFER_E_CORRUPT;
    }
    run->result->verified_pages++;
    memcpy(&found, bytes + 16, sizeof found);
    return memcmp(bytes, SCALE_STAMP, 8) == 0 && memcmp(bytes + 8, &page, sizeof page) == 0 &&
                   found == want
               ? 0
               : COFFER_E_CORRUPT;
}

int scale_look_up(struct scale *run, uint64_t page)
{
    struct coffer_fault fault;
    int error;
    memset(&fault, 0, sizeof fault);
    error =
        coffer_volume_read(run->target.volume, run->buffers, page * SCALE_PAGE, SCALE_PAGE, &fault);
    if (error == 0) {
        error = check_page(run, run->buffers, page);
    }
    if (error != 0) {
        fprintf(stderr, "bench_scale: page %llu\n", (unsigned long long)page);
        return cof_bench_complain("looking up", error, &fault);
    }
    return 0;
}

/* Holes at random places; every eighth time, in a plain volume, a stamped page. */
int scale_look_up_all(struct scale *run)
{
    struct scale_span from, to;
    int error = scale_span_at(run, 0, &from);
    for (uint64_t i = 0; error == 0 && i < run->options->lookups; i++) {
        uint64_t page = next_random(run) % run->pages;
        if (i % 8u == 7u && run->options->keys == NULL && run->pages >= SCALE_STAMP_EVERY) {
            page = page % (run->pages / SCALE_STAMP_EVERY) * SCALE_STAMP_EVERY + SCALE_STAMP_AT;
        } else {
            page = page % (run->pages / SCALE_HOLE_EVERY) * SCALE_HOLE_EVERY + SCALE_HOLE_AT;
        }
        error = scale_look_up(run, page);
        if (error == 0 && i % 1024u == 1023u) {
            error = scale_sample(run);
        }
    }
    error = error == 0 ? scale_sample(run) : error;
    error = error == 0 ? scale_span_at(run, run->options->lookups, &to) : error;
    if (error == 0) {
        run->result->lookup = scale_span_since(&from, &to);
    }
    return error;
}
