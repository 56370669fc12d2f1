/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/killer - kill -9 in the middle of writing a real file, over and over.
 *
 * A child opens the store and keeps 16 requests in flight through the queue: writes of whole pages,
 * each page numbered, with a flush now and then. It tells the parent through a pipe what it is
 * about to submit, what completed, and which flush was acknowledged. The parent kills it at a
 * random moment, opens the store itself, and looks: of each page it must find the newest version
 * that completed, or one submitted after that (process death loses no completed write; docs of the
 * API); so nothing that a flush acknowledged can be lost either. A third of the writes are
 * write-back: of these only what a flush acknowledged has to be there. Every write is one atomic
 * page here, and pages carry their number and version, so torn and misplaced pages show.
 *
 * No planted fault of the engine can show in the death of a process: the kernel keeps what was
 * written. The negative control (--lie) lets the child claim one write that it never made; the
 * parent must miss it.
 */
#include "common/harness.h"
#include "common/killing.h"
#include "common/prng.h"
#include "common/victim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGES 2048u
#define DEPTH 16u

/* What the child tells: of a page, or of a flush (page PAGES). */
struct note {
    uint32_t page;
    uint32_t version; /* of a page, from 1; of a flush: its number */
    uint32_t what;    /* enum what */
    uint32_t flags;   /* of the write */
    uint32_t check;
};

enum what { SUBMITTED = 1, COMPLETED, FLUSH_SUBMITTED, FLUSH_COMPLETED };

struct page_state {
    uint32_t submitted, completed, durable;
    uint32_t cached; /* completed, if only in the process's memory */
};

static struct page_state pages[PAGES];
static struct {
    uint64_t writes, cached, flushes, survived;
} counts;

static void make_page(uint32_t page, uint32_t version, uint64_t words[512])
{
    struct prng prng = {prng_mix(page, version)};
    words[0] = (uint64_t)version << 32 | page;
    for (unsigned i = 1; i < 512; i++) {
        words[i] = prng_next(&prng);
    }
}

/* Version numbers of a page go on, as do the file and its log, until the store is made anew. */
static void create_store(void)
{
    memset(pages, 0, sizeof pages);
    killing_create("killed", PAGES * 4096u);
}

static struct coffer_store *open_store(struct coffer_volume **ret_volume)
{
    struct coffer_fault fault = {0};
    struct coffer_volume_open_opts opts = {
        .size = sizeof opts, .name = "killed", .provider = &killing_kms.api};
    struct coffer_store *store = killing_open();
    killing_must(coffer_volume_open(store, &opts, ret_volume, &fault), "open volume", &fault);
    return store;
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
    victim_tell(fd, &note, sizeof note);
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
        io.flags = slot->note.flags;
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

struct round {
    uint64_t seed;
    bool lie;
};

static void child(void *ctx, int fd)
{
    const struct round *round = ctx;
    struct coffer_queue_opts opts = {.size = sizeof opts, .depth = DEPTH};
    struct prng prng = {round->seed};
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
    if (round->lie) {
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
        note->flags = prng_chance(&prng, 1, 3) ? COFFER_IO_WRITE_BACK : 0;
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

static void raise_to(uint32_t *version, uint32_t to)
{
    *version = to > *version ? to : *version;
}

static void take_note(void *ctx, const void *told)
{
    const struct note *note = told;
    struct flush_state *flush = &flushes[note->version % DEPTH];
    (void)ctx;
    harness_require(note->check == (note->page ^ note->version ^ note->what ^ 0x6b696c6cu),
                    "the pipe tore a note");
    switch ((enum what)note->what) {
    case SUBMITTED:
        pages[note->page].submitted = note->version;
        break;
    case COMPLETED:
        if ((note->flags & COFFER_IO_WRITE_BACK) != 0) {
            counts.cached++;
            raise_to(&pages[note->page].cached, note->version);
        } else {
            counts.writes++;
            raise_to(&pages[note->page].completed, note->version);
        }
        break;
    case FLUSH_SUBMITTED:
        flush->number = note->version;
        for (unsigned i = 0; i < PAGES; i++) {
            flush->completed[i] = pages[i].completed;
            raise_to(&flush->completed[i], pages[i].cached);
        }
        break;
    case FLUSH_COMPLETED:
        counts.flushes++;
        for (unsigned i = 0; i < PAGES && flush->number == note->version; i++) {
            raise_to(&pages[i].durable, flush->completed[i]);
        }
        break;
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
        killing_must(coffer_volume_read(volume, found, (uint64_t)page * 4096, 4096, &fault), "read",
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
        *state = (struct page_state){state->submitted, version, version, version};
        counts.survived++;
    }
}

static void one_round(uint64_t seed, bool lie)
{
    struct round round = {seed, lie};
    struct prng prng = {seed};
    struct victim victim = {sizeof(struct note), child, take_note, &round};
    struct coffer_volume *volume;
    struct coffer_store *store;
    victim_kill(&victim, 20 + prng_below(&prng, 3000));
    store = open_store(&volume);
    look_at(volume);
    killing_must(coffer_store_close(store), "close", NULL);
}

static void tell_counts(void)
{
    printf("%llu completed writes, %llu to memory, %llu flushes, %llu pages looked at\n",
           (unsigned long long)counts.writes, (unsigned long long)counts.cached,
           (unsigned long long)counts.flushes, (unsigned long long)counts.survived);
}

int main(int argc, char **argv)
{
    static const struct killing killing = {
        .program = "killer",
        .what = "kill -9 with 16 requests in flight on a real file",
        .lie = "a write that was never made",
        .rounds = 200,
        .rounds_of_a_store = 20,
        .create = create_store,
        .round = one_round,
        .tell = tell_counts,
    };
    return killing_main(&killing, argc, argv);
}
