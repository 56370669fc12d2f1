/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue.c - many requests in flight from one thread, as an event loop does it: submit what the
 * queue takes, poll its descriptor, reap. At the end one flush makes all of it durable.
 *
 * The volume is a plain one, to keep to the point; embed.c shows the keys.
 *
 *     cc queue.c $(pkg-config --cflags --libs coffer) && ./a.out DIRECTORY
 */
#include <coffer/coffer.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REQUESTS 4096u
#define DEPTH 64u
#define VOLUME_BYTES ((uint64_t)REQUESTS * COFFER_PAGE_BYTES)

static struct coffer_fault fault;

static void must(int error, const char *what)
{
    if (error < 0) {
        fprintf(stderr, "%s: %s: %s\n", what, coffer_error_sentence(error), fault.detail);
        exit(1);
    }
}

static struct coffer_store *make_store(const char *path, struct coffer_volume **ret_volume)
{
    struct coffer_store_create_opts create;
    struct coffer_store_opts open;
    struct coffer_volume_create_opts make;
    struct coffer_volume_open_opts use;
    struct coffer_store *store;

    memset(&create, 0, sizeof create);
    create.size = sizeof create;
    create.path = path;
    create.size_bytes = 1ull << 30;
    must(coffer_store_create(&create, &fault), "create the store");

    memset(&open, 0, sizeof open);
    open.size = sizeof open;
    open.path = path;
    must(coffer_store_open(&open, &store, &fault), "open the store");

    memset(&make, 0, sizeof make);
    make.size = sizeof make;
    make.name = "scratch";
    make.size_bytes = VOLUME_BYTES;
    make.not_encrypted = 1;
    must(coffer_volume_create(store, &make, &fault), "create the volume");

    memset(&use, 0, sizeof use);
    use.size = sizeof use;
    use.name = "scratch";
    must(coffer_volume_open(store, &use, ret_volume, &fault), "open the volume");
    return store;
}

/* Wait until the queue has something to do, and collect it; returns how many completed. */
static unsigned collect(struct coffer_queue *queue)
{
    struct coffer_cqe done[DEPTH];
    struct pollfd ready;
    int count, i;

    ready.fd = coffer_queue_fd(queue);
    ready.events = POLLIN;
    if (ready.fd >= 0 && poll(&ready, 1, 10000) != 1) {
        fprintf(stderr, "nothing completed for ten seconds\n");
        exit(1);
    }
    count = coffer_reap(queue, done, DEPTH, ready.fd < 0 ? 1u : 0u);
    must(count, "reap");
    for (i = 0; i < count; i++) {
        fault = done[i].fault;
        must(done[i].result, "a request");
    }
    return (unsigned)count;
}

/* Submit all of io, never more than DEPTH in flight, and wait for the last. */
static void run(struct coffer_queue *queue, const struct coffer_io *io, unsigned count)
{
    unsigned submitted = 0, completed = 0;
    while (completed < count) {
        unsigned room = DEPTH - (submitted - completed);
        unsigned wanted = count - submitted < room ? count - submitted : room;
        int taken = wanted > 0 ? coffer_submit(queue, io + submitted, wanted) : 0;
        if (taken != COFFER_E_AGAIN) {
            must(taken, "submit");
            submitted += (unsigned)taken;
        }
        completed += collect(queue);
    }
}

int main(int argc, char **argv)
{
    static unsigned char pages[REQUESTS][COFFER_PAGE_BYTES];
    static struct iovec vectors[REQUESTS];
    static struct coffer_io requests[REQUESTS];
    struct coffer_store *store;
    struct coffer_volume *volume;
    struct coffer_queue_opts opts;
    struct coffer_queue *queue;
    struct coffer_io flush;
    char path[4096];
    unsigned i, wrong = 0;

    if (argc != 2) {
        fprintf(stderr, "usage: queue DIRECTORY\n");
        return 2;
    }
    snprintf(path, sizeof path, "%s/queue.coffer", argv[1]);
    store = make_store(path, &volume);

    memset(&opts, 0, sizeof opts);
    opts.size = sizeof opts;
    opts.depth = DEPTH;
    must(coffer_queue_create(store, &opts, &queue), "create the queue");

    for (i = 0; i < REQUESTS; i++) {
        memset(pages[i], (int)(i % 251 + 1), COFFER_PAGE_BYTES);
        vectors[i].iov_base = pages[i];
        vectors[i].iov_len = COFFER_PAGE_BYTES;
        requests[i].op = COFFER_IO_WRITE;
        requests[i].volume = volume;
        requests[i].offset_bytes = (uint64_t)(i * 1571u % REQUESTS) * COFFER_PAGE_BYTES;
        requests[i].length_bytes = COFFER_PAGE_BYTES;
        requests[i].iov = &vectors[i];
        requests[i].iov_count = 1;
        requests[i].user = &pages[i];
    }
    run(queue, requests, REQUESTS);

    memset(&flush, 0, sizeof flush);
    flush.op = COFFER_IO_FLUSH;
    flush.volume = volume;
    run(queue, &flush, 1);

    memset(pages, 0, sizeof pages);
    for (i = 0; i < REQUESTS; i++) {
        requests[i].op = COFFER_IO_READ;
    }
    run(queue, requests, REQUESTS);
    for (i = 0; i < REQUESTS; i++) {
        wrong += pages[i][0] != i % 251 + 1 || pages[i][COFFER_PAGE_BYTES - 1] != i % 251 + 1;
    }
    printf("%u pages written, flushed and read, %u wrong\n", REQUESTS, wrong);

    coffer_queue_destroy(queue);
    must(coffer_volume_close(volume), "close the volume");
    must(coffer_store_close(store), "close the store");
    return wrong == 0 ? 0 : 1;
}
