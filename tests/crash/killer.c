/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/killer - kill -9 in the middle of writing a real file, over and over.
 *
 * A child opens the store and keeps 16 requests in flight through the queue: writes of whole pages,
 * each page numbered, with a flush now and then. It tells the parent through a pipe what it is
 * about to submit, what completed, and which flush was acknowledged. The parent kills it at a
 * random moment, opens the store itself, and looks: of each page it must find the newest version
 * that completed, or one submitted after that (process death loses no completed write; docs of the
 * API); so nothing that a flush acknowledged can be lost either. Every write is one atomic page
 * here, and pages carry their number and version, so torn and misplaced pages show.
 *
 * No planted fault of the engine can show in the death of a process: the kernel keeps what was
 * written. The negative control (--lie) lets the child claim one write that it never made; the
 * parent must miss it.
 */
#include "common/fake_kms.h"
#include "common/harness.h"
#include "common/prng.h"

#include <coffer/coffer.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGES 2048u
#define DEPTH 16u
#define SEGMENT_BYTES (1u << 20)
#define KMS_SEED 99u

/* What the child tells: of a page, or of a flush (page PAGES). */
struct note {
    uint32_t page;
    uint32_t version; /* of a page, from 1; of a flush: its number */
    uint32_t what;    /* enum what */
    uint32_t check;
};

enum what { SUBMITTED = 1, COMPLETED, FLUSH_SUBMITTED, FLUSH_COMPLETED };

struct page_state {
    uint32_t submitted, completed, durable;
};

static struct page_state pages[PAGES];
static struct fake_kms kms;
static const char *store_path;
static struct {
    uint64_t rounds, writes, flushes, survived;
} counts;

static void must(int error, const char *what, const struct coffer_fault *fault)
{
    harness_require(error == 0, "%s: %s: %s", what, coffer_error_name(error),
                    fault != NULL && fault->error == error ? fault->detail : "");
}

static void make_page(uint32_t page, uint32_t version, uint64_t words[512])
{
    struct prng prng = {prng_mix(page, version)};
    words[0] = (uint64_t)version << 32 | page;
    for (unsigned i = 1; i < 512; i++) {
        words[i] = prng_next(&prng);
    }
}

static struct coffer_store *open_store(struct coffer_volume **ret_volume)
{
    struct coffer_fault fault = {0};
    struct coffer_store_opts opts = {.size = sizeof opts, .path = store_path};
    struct coffer_volume_open_opts volume_opts = {
        .size = sizeof volume_opts, .name = "killed", .provider = &kms.api};
    struct coffer_store *store = NULL;
    int error = coffer_store_open(&opts, &store, &fault);
    if (error == COFFER_E_ACCESS || error == COFFER_E_IO || error == COFFER_E_UNSUPPORTED) {
        opts.flags = COFFER_OPEN_BUFFERED; /* a file system without O_DIRECT */
        error = coffer_store_open(&opts, &store, &fault);
    }
    must(error, "open store", &fault);
    must(coffer_volume_open(store, &volume_opts, ret_volume, &fault), "open volume", &fault);
    return store;
}

static void create_store(void)
{
    struct coffer_fault fault = {0};
    struct coffer_store_create_opts opts = {.size = sizeof opts,
                                            .path = store_path,
                                            .size_bytes = 512u << 20,
                                            .segment_bytes = SEGMENT_BYTES};
    struct coffer_volume_create_opts volume_opts = {.size = sizeof volume_opts,
                                                    .name = "killed",
                                                    .size_bytes = PAGES * 4096u,
                                                    .kms_key_id = "alias/k1",
                                                    .provider = &kms.api};
    struct coffer_store_opts open_opts = {
        .size = sizeof open_opts, .path = store_path, .flags = COFFER_OPEN_BUFFERED};
    struct coffer_store *store = NULL;
    memset(pages, 0, sizeof pages);
    (void)unlink(store_path);
    must(coffer_store_create(&opts, &fault), "create store", &fault);
    must(coffer_store_open(&open_opts, &store, &fault), "open new store", &fault);
    must(coffer_volume_create(store, &volume_opts, &fault), "create volume", &fault);
    must(coffer_store_close(store), "close new store", NULL);
}

/* ---- the child ---- */

struct slot {
    struct note note;
    struct iovec iov;
    uint64_t words[512] __attribute__((aligned(4096)));
};

static void tell(int fd, struct note note, enum what what)
{
    note.what = (uint32_t)what;
    note.check = note.page ^ note.version ^ note.what ^ 0x6b696c6cu;
    if (write(fd, &note, sizeof note) != (ssize_t)sizeof note) {
        _exit(3);
    }
}

static void reap_some(struct coffer_queue *queue, int fd, struct slot **idle, unsigned *idle_count,
                      unsigned wait)
{
    struct coffer_cqe cqes[DEPTH];
    int count = coffer_reap(queue, cqes, DEPTH, wait);
    if (count < 0) {
        _exit(4);
    }
    for (int i = 0; i < count; i++) {
        struct slot *slot = cqes[i].user;
        if (cqes[i].result != 0) {
            _exit(5);
        }
        tell(fd, slot->note, slot->note.page == PAGES ? FLUSH_COMPLETED : COMPLETED);
        idle[(*idle_count)++] = slot;
    }
}

static void submit_one(struct coffer_queue *queue, struct coffer_volume *volume, int fd,
                       struct slot **idle, unsigned *idle_count)
{
    struct slot *slot = idle[--*idle_count];
    struct coffer_io io;
    int taken;
    memset(&io, 0, sizeof io);
    io.volume = volume;
    io.user = slot;
    if (slot->note.page == PAGES) {
        io.op = COFFER_IO_FLUSH;
    } else {
        make_page(slot->note.page, slot->note.version, slot->words);
        slot->iov = (struct iovec){slot->words, 4096};
        io.op = COFFER_IO_WRITE;
        io.offset_bytes = (uint64_t)slot->note.page * 4096;
        io.length_bytes = 4096;
        io.iov = &slot->iov;
        io.iov_count = 1;
    }
    tell(fd, slot->note, slot->note.page == PAGES ? FLUSH_SUBMITTED : SUBMITTED);
    while ((taken = coffer_submit(queue, &io, 1)) == COFFER_E_AGAIN) {
        reap_some(queue, fd, idle, idle_count, 0);
    }
    if (taken != 1) {
        _exit(6);
    }
}

static void child(int fd, uint64_t seed, bool lie)
{
    struct coffer_queue_opts opts = {.size = sizeof opts, .depth = DEPTH};
    struct prng prng = {seed};
    struct coffer_volume *volume;
    struct coffer_store *store = open_store(&volume);
    struct coffer_queue *queue;
    struct slot *slots = aligned_alloc(4096, DEPTH * sizeof *slots), *idle[DEPTH];
    unsigned idle_count = 0;
    uint32_t flushes = 0;
    if (slots == NULL || coffer_queue_create(store, &opts, &queue) != 0) {
        _exit(7);
    }
    for (unsigned i = 0; i < DEPTH; i++) {
        idle[idle_count++] = &slots[i];
    }
    if (lie) {
        struct note note = {.page = 7, .version = pages[7].submitted + 1};
        tell(fd, note, SUBMITTED);
        tell(fd, note, COMPLETED);
        pages[7].submitted++;
    }
    for (;;) {
        struct note *note;
        if (idle_count == 0) {
            reap_some(queue, fd, idle, &idle_count, 1);
        }
        note = &idle[idle_count - 1]->note;
        note->page = prng_chance(&prng, 1, 40) ? PAGES : 8 + prng_below(&prng, PAGES - 8);
        note->version = note->page == PAGES ? ++flushes : ++pages[note->page].submitted;
        submit_one(queue, volume, fd, idle, &idle_count);
    }
}

/* ---- the parent ---- */

/* A flush covers what had completed when it was submitted; several may be under way. */
struct flush_state {
    uint32_t number;
    uint32_t completed[PAGES];
};
static struct flush_state flushes[DEPTH];

static void take_note(const struct note *note)
{
    struct flush_state *flush = &flushes[note->version % DEPTH];
    harness_require(note->check == (note->page ^ note->version ^ note->what ^ 0x6b696c6cu),
                    "the pipe tore a note");
    switch ((enum what)note->what) {
    case SUBMITTED:
        pages[note->page].submitted = note->version;
        break;
    case COMPLETED:
        counts.writes++;
        if (pages[note->page].completed < note->version) {
            pages[note->page].completed = note->version;
        }
        break;
    case FLUSH_SUBMITTED:
        flush->number = note->version;
        for (unsigned i = 0; i < PAGES; i++) {
            flush->completed[i] = pages[i].completed;
        }
        break;
    case FLUSH_COMPLETED:
        counts.flushes++;
        for (unsigned i = 0; i < PAGES && flush->number == note->version; i++) {
            pages[i].durable = flush->completed[i] > pages[i].durable ? flush->completed[i]
                                                                      : pages[i].durable;
        }
        break;
    }
}

/* Take notes until the child has been killed and the pipe is empty. */
static void listen_and_kill(int fd, pid_t pid, uint64_t notes, double seconds)
{
    double start = harness_seconds();
    uint64_t seen = 0;
    bool killed = false;
    for (;;) {
        struct pollfd waiting = {.fd = fd, .events = POLLIN};
        struct note note;
        if (!killed && (seen >= notes || harness_seconds() - start > seconds)) {
            (void)kill(pid, SIGKILL);
            killed = true;
        }
        if (poll(&waiting, 1, 20) < 0 && errno != EINTR) {
            break;
        }
        if ((waiting.revents & (POLLIN | POLLHUP)) == 0) {
            continue;
        }
        if (read(fd, &note, sizeof note) != (ssize_t)sizeof note) {
            break;
        }
        take_note(&note);
        seen++;
    }
}

static void look_at(struct coffer_volume *volume)
{
    static uint64_t found[512] __attribute__((aligned(4096)));
    static uint64_t expected[512];
    struct coffer_fault fault = {0};
    for (uint32_t page = 0; page < PAGES; page++) {
        struct page_state *state = &pages[page];
        uint32_t version;
        must(coffer_volume_read(volume, found, (uint64_t)page * 4096, 4096, &fault), "read",
             &fault);
        version = (uint32_t)(found[0] >> 32);
        harness_require(version >= state->durable,
                        "page %u: version %u was acknowledged by a flush, %u found", page,
                        state->durable, version);
        harness_require(version >= state->completed,
                        "page %u: version %u had completed, %u found", page, state->completed,
                        version);
        harness_require(version <= state->submitted, "page %u: version %u was never written", page,
                        version);
        if (version != 0) {
            make_page(page, version, expected);
        } else {
            memset(expected, 0, sizeof expected);
        }
        harness_require(memcmp(found, expected, 4096) == 0, "page %u version %u is torn", page,
                        version);
        *state = (struct page_state){state->submitted, version, version};
        counts.survived++;
    }
}

struct round {
    uint64_t seed;
    bool lie;
};

static void one_round(void *ctx)
{
    const struct round *round = ctx;
    struct prng prng = {round->seed};
    struct coffer_volume *volume;
    struct coffer_store *store;
    int ends[2], status;
    pid_t pid;
    harness_context("killer --seed %llu --rounds 1", (unsigned long long)round->seed);
    harness_require(pipe(ends) == 0, "pipe: %s", strerror(errno));
    fflush(stdout);
    pid = fork();
    harness_require(pid >= 0, "fork: %s", strerror(errno));
    if (pid == 0) {
        close(ends[0]);
        child(ends[1], round->seed, round->lie);
        _exit(0);
    }
    close(ends[1]);
    listen_and_kill(ends[0], pid, 20 + prng_below(&prng, 3000), 20.0);
    close(ends[0]);
    (void)waitpid(pid, &status, 0);
    harness_require(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
                    "the child ended by itself, status %d", status);
    store = open_store(&volume);
    look_at(volume);
    must(coffer_store_close(store), "close", NULL);
}

/* Version numbers of a page go on, as do the file and its log, until the store is made anew. */
static void fresh_store(void *ctx)
{
    (void)ctx;
    create_store();
}

int main(int argc, char **argv)
{
    uint64_t seed = 1, rounds = 200;
    bool lie = false;
    char path[64];
    const char *directory = NULL;
    double start = harness_seconds();
    const struct harness_option options[] = {
        {"--seed", &seed, NULL, NULL, "first seed [1]"},
        {"--rounds", &rounds, NULL, NULL, "kills [200]"},
        {"--directory", NULL, &directory, NULL, "where the store's file goes [.]"},
        {"--lie", NULL, NULL, &lie, "negative control: the child claims a write it never made"},
        {NULL, NULL, NULL, NULL, NULL},
    };
    harness_options(argc, argv, options, "kill -9 with 16 requests in flight on a real file");
    snprintf(path, sizeof path, "%.40s/killer.%d.coffer", directory == NULL ? "." : directory,
             (int)getpid());
    store_path = path;
    fake_kms_init(&kms, KMS_SEED);
    harness_quiet(lie);
    for (uint64_t i = 0; i < rounds && harness_failures() == 0; i++) {
        struct round round = {.seed = seed + i, .lie = lie};
        if (i % 20 == 0 && !harness_run(fresh_store, NULL)) {
            break;
        }
        (void)harness_run(one_round, &round);
        counts.rounds++;
    }
    (void)unlink(path);
    printf("killer: seed %llu, %llu kills, %llu completed writes, %llu flushes, %llu pages looked "
           "at, %.1f s\n",
           (unsigned long long)seed, (unsigned long long)counts.rounds,
           (unsigned long long)counts.writes, (unsigned long long)counts.flushes,
           (unsigned long long)counts.survived, harness_seconds() - start);
    return harness_close("killer", counts.rounds, lie ? "a write that was never made" : NULL);
}
