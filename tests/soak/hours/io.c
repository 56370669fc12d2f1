/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hours/io.c - requests, up to sixteen in flight that do not overlap, and what they must show.
 *
 * A page begins and ends with its version and number. What a refused request left is found out by
 * reading: each of its pages shows what it was or what it was to become, and nothing else.
 */
#include "hours/soak.h"

#include <stdlib.h>
#include <string.h>

#define PAGE COFFER_PAGE_BYTES

void soak_queue_open(struct soak *soak)
{
    struct coffer_queue_opts opts = {.size = sizeof opts, .depth = SOAK_DEPTH};
    soak_must(soak, coffer_queue_create(soak->store, &opts, &soak->queue), "a queue");
    for (unsigned i = 0; i < SOAK_DEPTH && soak->ops[i].buffer == NULL; i++) {
        soak->ops[i].buffer = aligned_alloc(PAGE, SOAK_IO_PAGES * PAGE);
        if (soak->ops[i].buffer == NULL) {
            abort();
        }
        memset(soak->ops[i].buffer, (int)i, SOAK_IO_PAGES * PAGE);
    }
}

void soak_queue_close(struct soak *soak)
{
    coffer_queue_destroy(soak->queue);
    soak->queue = NULL;
}

/* ---- what a page shows ---- */

static void stamp(uint8_t *bytes, uint64_t page, uint64_t version)
{
    uint64_t words[2] = {version, page};
    memcpy(bytes, words, sizeof words);
    memcpy(bytes + PAGE - sizeof words, words, sizeof words);
}

/* The version, or a failed case when the page is torn, another's, or neither data nor a hole. */
static uint32_t shown(const struct soak_tree *tree, const uint8_t *bytes, uint64_t page)
{
    uint64_t head[2], tail[2];
    memcpy(head, bytes, sizeof head);
    memcpy(tail, bytes + PAGE - sizeof tail, sizeof tail);
    harness_require(memcmp(head, tail, sizeof head) == 0, "%s page %llu is torn", tree->name,
                    (unsigned long long)page);
    if (head[0] == 0) {
        for (size_t i = 0; i < PAGE; i++) {
            harness_require(bytes[i] == 0, "%s page %llu: a hole is not zeros", tree->name,
                            (unsigned long long)page);
        }
        return 0;
    }
    harness_require(head[1] == page && head[0] <= UINT32_MAX, "%s page %llu shows page %llu",
                    tree->name, (unsigned long long)page, (unsigned long long)head[1]);
    return (uint32_t)head[0];
}

static void compare(const struct soak_tree *tree, const uint8_t *bytes, uint64_t page,
                    uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        uint32_t version = shown(tree, bytes + i * PAGE, page + i);
        harness_require(version == tree->versions[page + i],
                        "%s page %llu shows version %u, it must show %u", tree->name,
                        (unsigned long long)(page + i), version, tree->versions[page + i]);
    }
}

void soak_look(struct soak *soak, unsigned at)
{
    struct soak_tree *tree = &soak->trees[at];
    uint8_t *buffer = soak->ops[0].buffer;
    for (uint64_t page = 0; page < tree->pages; page += SOAK_IO_PAGES) {
        uint64_t left = tree->pages - page, count = left < SOAK_IO_PAGES ? left : SOAK_IO_PAGES;
        soak_must(soak,
                  coffer_volume_read(tree->volume, buffer, page * PAGE, count * PAGE, &soak->fault),
                  "reading all");
        compare(tree, buffer, page, count);
    }
}

/* ---- completion ---- */

static uint32_t wanted(const struct soak_op *op, uint64_t i)
{
    return op->kind == SOAK_WRITE ? op->first_version + (uint32_t)i : 0;
}

/* What is left of a request that was refused. */
static void settle_refused(struct soak *soak, struct soak_op *op)
{
    struct soak_tree *tree = &soak->trees[op->tree];
    soak->counts.refused++;
    soak_must(soak,
              coffer_volume_read(tree->volume, op->buffer, op->page * PAGE, op->count * PAGE,
                                 &soak->fault),
              "reading after a refusal");
    for (uint64_t i = 0; i < op->count; i++) {
        uint64_t page = op->page + i;
        uint32_t version = shown(tree, op->buffer + i * PAGE, page);
        harness_require(version == tree->versions[page] || version == wanted(op, i),
                        "%s page %llu shows version %u after a refusal, neither %u nor %u",
                        tree->name, (unsigned long long)page, version, tree->versions[page],
                        wanted(op, i));
        soak_show(soak, tree, page, version);
    }
}

static void settle(struct soak *soak, struct soak_op *op)
{
    struct soak_tree *tree = &soak->trees[op->tree];
    bool changes = op->kind == SOAK_WRITE || op->kind == SOAK_DISCARD;
    if (op->result == COFFER_E_NO_SPACE && changes) {
        settle_refused(soak, op);
        return;
    }
    soak_must(soak, op->result, "a request");
    for (uint64_t i = 0; changes && i < op->count; i++) {
        soak_show(soak, tree, op->page + i, wanted(op, i));
    }
    if (op->kind == SOAK_READ) {
        compare(tree, op->buffer, op->page, op->count);
    }
    soak->counts.written_pages += op->kind == SOAK_WRITE ? op->count : 0u;
    soak->counts.read_pages += op->kind == SOAK_READ ? op->count : 0u;
    soak->counts.discarded_pages += op->kind == SOAK_DISCARD ? op->count : 0u;
    soak->counts.flushes += op->kind == SOAK_FLUSH ? 1u : 0u;
}

static struct coffer_io request_of(struct soak *soak, struct soak_op *op)
{
    static const enum coffer_io_op ops[] = {[SOAK_READ] = COFFER_IO_READ,
                                            [SOAK_WRITE] = COFFER_IO_WRITE,
                                            [SOAK_DISCARD] = COFFER_IO_DISCARD,
                                            [SOAK_FLUSH] = COFFER_IO_FLUSH};
    bool data = op->kind == SOAK_READ || op->kind == SOAK_WRITE;
    op->iov = (struct iovec){op->buffer, op->count * PAGE};
    return (struct coffer_io){.op = ops[op->kind],
                              .flags = op->flags,
                              .volume = soak->trees[op->tree].volume,
                              .offset_bytes = op->page * PAGE,
                              .length_bytes = op->count * PAGE,
                              .iov = data ? &op->iov : NULL,
                              .iov_count = data ? 1u : 0u,
                              .user = op};
}

void soak_drain(struct soak *soak)
{
    struct coffer_io ios[SOAK_DEPTH];
    struct coffer_cqe cqes[SOAK_DEPTH];
    unsigned count = soak->op_count, submitted = 0, done = 0;
    for (unsigned i = 0; i < count; i++) {
        ios[i] = request_of(soak, &soak->ops[i]);
    }
    while (done < count) {
        int got =
            submitted < count ? coffer_submit(soak->queue, ios + submitted, count - submitted) : 0;
        if (got != COFFER_E_AGAIN) {
            soak_must(soak, got < 0 ? got : 0, "submit");
            submitted += (unsigned)got;
        }
        got = coffer_reap(soak->queue, cqes, SOAK_DEPTH, 1);
        soak_must(soak, got < 0 ? got : 0, "reap");
        for (int i = 0; i < got; i++, done++) {
            ((struct soak_op *)cqes[i].user)->result = cqes[i].result;
            soak->fault = cqes[i].fault;
        }
    }
    soak->op_count = 0;
    for (unsigned i = 0; i < count; i++) {
        settle(soak, &soak->ops[i]);
    }
}

/* ---- submission ---- */

static bool overlaps(const struct soak *soak, unsigned tree, uint64_t page, uint64_t count)
{
    for (unsigned i = 0; i < soak->op_count; i++) {
        const struct soak_op *op = &soak->ops[i];
        if (op->tree == tree && page < op->page + op->count && op->page < page + count) {
            return true;
        }
    }
    return false;
}

void soak_io(struct soak *soak, enum soak_kind kind, unsigned tree, uint64_t page, uint64_t count,
             unsigned flags)
{
    struct soak_op *op;
    if (soak->op_count == SOAK_DEPTH || overlaps(soak, tree, page, count)) {
        soak_drain(soak);
    }
    op = &soak->ops[soak->op_count++];
    op->kind = kind;
    op->tree = tree;
    op->page = page;
    op->count = count;
    op->flags = flags;
    op->first_version = kind == SOAK_WRITE ? soak_new_versions(soak, count) : 0;
    for (uint64_t i = 0; kind == SOAK_WRITE && i < count; i++) {
        stamp(op->buffer + i * PAGE, page + i, op->first_version + i);
    }
}
