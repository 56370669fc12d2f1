/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/replay.c - a volume's part of the log, into its delta.
 *
 * The extents of the tail are taken in order of their numbers, which is the order of the log. The
 * words of an extent come from its summary, or from the sealed lists in the headers of its
 * batches. Each list begins with the extent and slot count before it: together they are a chain
 * that starts at the position in the sealed root record, and a batch that was left out, moved or
 * taken from elsewhere breaks it. What breaks it is refused.
 *
 * Blocks are read a group of extents at a time, many in flight, while the group before is taken:
 * two groups of GROUP_BLOCKS, on a channel of their own. A group whose read failed is read again,
 * block by block, when its turn comes, and what fails then is the error. Under the store's lock.
 */
#include "volume/store.h"

#include "base/testhook.h"
#include "format/endian.h"
#include "segdev/reader.h"

#include <string.h>

#define WORDS_AHEAD 16u /* a delta of millions of pages is in no cache */
#define GROUP_BLOCKS COF_READ_RUNS_MAX

struct job {
    struct cof_desc *desc;
    unsigned first, count; /* blocks of it in the group */
};

struct group {
    struct cof_read read;
    struct cof_block_run runs[GROUP_BLOCKS];
    struct job jobs[GROUP_BLOCKS];
    unsigned block_count, job_count;
    uint8_t *blocks;
};

struct replay {
    struct coffer_volume *volume;
    struct coffer_fault *fault;
    struct cof_reader reader;
    uint8_t *memory;
    struct group groups[2]; /* one is filled while the other is read */
    unsigned filling;
};

static int refuse(struct replay *replay, const struct cof_desc *desc, int err, const char *why)
{
    cof_fault(replay->fault, err, COFFER_STAGE_LOG, "extent %llu of the volume's log: %s",
              (unsigned long long)desc->extent, why);
    cof_fault_at(replay->fault, COFFER_NOWHERE, desc->pieces[0].segment, COFFER_NOWHERE);
    return err;
}

/* A volume that shrank may have words beyond its end, none has any beyond the largest one's. */
static bool are_pages(uint64_t page, uint64_t count)
{
    const uint64_t most = COFFER_VOLUME_BYTES_MAX / COF_PAGE_BYTES;
    return page < most && count > 0 && count <= most - page;
}

static int apply_word(struct coffer_volume *volume, const struct cof_desc *desc, unsigned slot,
                      const uint64_t *words, unsigned left, unsigned *ret_used)
{
    uint64_t word = words[0];
    struct cof_vaddr loser;
    int err;
    *ret_used = 1;
    if (cof_word_type(word) == COF_WORD_PAGE && are_pages(cof_word_value(word), 1)) {
        struct cof_vaddr addr = cof_vaddr_make(volume->index, desc->extent, slot, false);
        err = cof_delta_put(&volume->active, cof_word_value(word), addr, &loser);
        return err == 0 ? cof_kills_add(&volume->active_kills, loser) : err;
    }
    if (cof_word_type(word) == COF_WORD_DISCARD_START && left >= 2 &&
        cof_word_type(words[1]) == COF_WORD_DISCARD_LENGTH &&
        are_pages(cof_word_value(word), cof_word_value(words[1]))) {
        *ret_used = 2;
        return cof_volume_apply_discard(volume, cof_word_value(word), cof_word_value(words[1]),
                                        cof_vaddr_make(volume->index, desc->extent, slot, true));
    }
    return COFFER_E_TAMPER;
}

/* Of the words that follow the first count: a leaf's place in the delta is fetched well before it
 * is wanted, its record when the place is here. */
static void expect_words(const struct coffer_volume *volume, const uint64_t *words, unsigned at,
                         unsigned count)
{
    if (at + 2u * WORDS_AHEAD < count) {
        cof_delta_expect(&volume->active, cof_word_value(words[at + 2u * WORDS_AHEAD]));
    }
    if (at + WORDS_AHEAD < count) {
        cof_delta_expect_record(&volume->active, cof_word_value(words[at + WORDS_AHEAD]));
    }
}

static int apply_words(struct replay *replay, const struct cof_desc *desc, unsigned first_slot,
                       const uint64_t *words, unsigned count)
{
    for (unsigned i = 0; i < count && i < 2u * WORDS_AHEAD; i++) {
        cof_delta_expect(&replay->volume->active, cof_word_value(words[i]));
    }
    for (unsigned i = 0; i < count;) {
        unsigned used;
        int err;
        expect_words(replay->volume, words, i, count);
        err = apply_word(replay->volume, desc, first_slot + i, words + i, count - i, &used);
        if (err != 0) {
            return refuse(replay, desc, err, "a word of it is not valid");
        }
        i += used;
    }
    return 0;
}

static int check_chain(struct replay *replay, const struct cof_desc *desc, uint64_t chain)
{
    const struct coffer_volume *volume = replay->volume;
    uint64_t expected =
        volume->chain_extent == 0 ? 0 : cof_chain_word(volume->chain_extent, volume->chain_slots);
    if (chain != expected && !COF_BROKEN(SKIP_CHAIN)) {
        return refuse(replay, desc, COFFER_E_TAMPER,
                      "it does not follow on what came before: a part of the log is missing");
    }
    return 0;
}

/* A run of the extent in a batch header. */
static int find_run(const struct cof_desc *desc, const uint8_t *header,
                    const struct cof_batch_header *fields, unsigned first_slot,
                    struct cof_run *ret_run, const uint8_t **ret_list)
{
    size_t at = cof_batch_lists_offset(fields);
    for (unsigned i = 0; i < fields->runs; i++) {
        cof_run_decode(header + COF_BATCH_HEADER_BYTES + (size_t)i * COF_RUN_BYTES, ret_run);
        if (ret_run->volume == desc->volume && ret_run->extent == desc->extent &&
            ret_run->first_slot == first_slot) {
            *ret_list = header + at;
            return 0;
        }
        at += cof_run_list_bytes(ret_run);
    }
    return COFFER_E_CORRUPT;
}

static int replay_run(struct replay *replay, const struct cof_desc *desc,
                      const struct cof_opener *opener, const struct cof_batch_ref *ref,
                      const uint8_t *header, unsigned *slots)
{
    struct coffer_store *store = replay->volume->store;
    struct cof_batch_header fields;
    struct cof_run run;
    const uint8_t *sealed;
    uint8_t list[8u + 8u * COF_NODE_FANOUT];
    uint64_t words[COF_NODE_FANOUT];
    int err = cof_batch_header_decode(header, &fields);
    if (err == 0 && (memcmp(fields.store_uuid, store->root.store_uuid, 16) != 0 ||
                     fields.segment != desc->pieces[0].segment)) {
        err = COFFER_E_CORRUPT;
    }
    if (err == 0) {
        err = find_run(desc, header, &fields, ref->first_slot, &run, &sealed);
    }
    if (err != 0 || run.slots >= COF_NODE_FANOUT) {
        return refuse(replay, desc, COFFER_E_CORRUPT, "a batch header of it is damaged");
    }
    memcpy(list, sealed, cof_run_list_bytes(&run));
    err = cof_unprotect_list(store->aead, opener, &run, fields.session, fields.number, list,
                             cof_run_list_bytes(&run));
    if (err != 0) {
        return refuse(replay, desc, err, "a list of it does not open");
    }
    for (unsigned i = 0; i < run.slots; i++) {
        words[i] = cof_le64_get(list + 8u + 8u * i);
    }
    err = check_chain(replay, desc, cof_le64_get(list));
    if (err == 0 && run.first_slot != *slots) {
        err = refuse(replay, desc, COFFER_E_TAMPER, "slots of it are missing");
    }
    if (err == 0) {
        err = apply_words(replay, desc, *slots, words, run.slots);
        *slots += run.slots;
    }
    return err;
}

static int replay_summary(struct replay *replay, const struct cof_desc *desc,
                          const struct cof_opener *opener, uint8_t *page, const uint8_t *header,
                          unsigned *slots)
{
    struct coffer_store *store = replay->volume->store;
    uint8_t entry[COF_ENTRY_BYTES];
    uint64_t words[COF_NODE_FANOUT];
    uint32_t segment, block, header_block;
    int err = cof_desc_locate(desc, COF_SUMMARY_SLOT, &segment, &block, &header_block);
    if (err == 0) {
        err = cof_entry_from_header(store, header, segment, header_block, block, entry);
    }
    if (err == 0) {
        err = cof_unprotect_page(store->aead, opener, COF_PAGE_SUMMARY, COF_SUMMARY_SLOT, 0, page,
                                 page, entry);
    }
    if (err != 0) {
        return refuse(replay, desc, err, "its summary does not open");
    }
    err = check_chain(replay, desc, cof_le64_get(page));
    while (*slots < COF_EXTENT_SLOTS && cof_le64_get(page + 8u + 8u * *slots) != 0) {
        words[*slots] = cof_le64_get(page + 8u + 8u * *slots);
        (*slots)++;
    }
    return err == 0 ? apply_words(replay, desc, 0, words, *slots) : err;
}

/* A spare key that the log took into use with this extent. */
static int follow_rotation(struct coffer_volume *volume, const struct cof_desc *desc)
{
    for (unsigned i = 0; i < volume->ek_count; i++) {
        struct cof_ek *ek = &volume->eks[i];
        if (ek->entry.key_id == desc->key_id && (ek->entry.flags & COF_EK_FLAG_SPARE) != 0) {
            return cof_keys_activate(volume, ek, desc->extent);
        }
    }
    return 0;
}

static int replay_extent(struct replay *replay, const struct job *job, uint8_t *blocks)
{
    struct coffer_volume *volume = replay->volume;
    struct coffer_store *store = volume->store;
    struct cof_desc *desc = job->desc;
    struct cof_opener *opener;
    unsigned slots = 0;
    int err;
    err = volume->encrypted ? follow_rotation(volume, desc) : 0;
    if (err == 0) {
        err = cof_opener_get(volume, desc, &opener);
    }
    if (err != 0) {
        return refuse(replay, desc, err, "there is no data key for it");
    }
    if (desc->summary) {
        err = replay_summary(replay, desc, opener, blocks + COF_BLOCK_BYTES, blocks, &slots);
    } else {
        for (unsigned i = 0; err == 0 && i < desc->ref_count; i++) {
            err = replay_run(replay, desc, opener, &desc->refs[i],
                             blocks + (size_t)i * COF_BLOCK_BYTES, &slots);
        }
    }
    cof_opener_put(store, opener);
    if (err == 0 && slots != desc->slots_used) {
        err = refuse(replay, desc, COFFER_E_CORRUPT, "its descriptor does not fit its lists");
    }
    if (err == 0) {
        volume->chain_extent = desc->extent;
        volume->chain_slots = slots;
        cof_keys_count(volume, desc->key_id, 1, true);
    }
    return err;
}

/* Block by block; the extent of the one that does not read is refused. */
static int read_again(struct replay *replay, struct group *group)
{
    struct coffer_store *store = replay->volume->store;
    int err = replay->reader.broken ? COFFER_E_IO : 0; /* then the memory is still the device's */
    if (err != 0) {
        return cof_fault(replay->fault, err, COFFER_STAGE_LOG, "the log can't be read: %s",
                         coffer_error_sentence(err));
    }
    for (unsigned i = 0; err == 0 && i < group->job_count; i++) {
        const struct job *job = &group->jobs[i];
        for (unsigned k = job->first; err == 0 && k < job->first + job->count; k++) {
            err = cof_sync_io_read(&store->io, group->runs[k].segment,
                                   group->runs[k].block * COF_BLOCK_BYTES,
                                   group->blocks + (size_t)k * COF_BLOCK_BYTES, COF_BLOCK_BYTES);
        }
        err = err != 0 ? refuse(replay, job->desc, err, "it can't be read") : 0;
    }
    return err;
}

static int take_group(struct replay *replay, struct group *group)
{
    int err = 0;
    if (group->block_count > 0 && cof_reader_wait(&replay->reader, &group->read) != 0) {
        err = read_again(replay, group);
    }
    for (unsigned i = 0; err == 0 && i < group->job_count; i++) {
        const struct job *job = &group->jobs[i];
        err = replay_extent(replay, job, group->blocks + (size_t)job->first * COF_BLOCK_BYTES);
    }
    group->block_count = 0;
    group->job_count = 0;
    return err;
}

/* Have the group that was filled read, and take the one before it meanwhile. */
static int turn(struct replay *replay)
{
    struct group *filled = &replay->groups[replay->filling];
    cof_reader_start(&replay->reader, &filled->read, filled->runs, filled->block_count);
    replay->filling ^= 1u;
    return take_group(replay, &replay->groups[replay->filling]);
}

static void want(struct group *group, uint32_t segment, uint32_t block)
{
    struct cof_block_run *run = &group->runs[group->block_count];
    run->segment = segment;
    run->block = block;
    run->blocks = 1;
    run->bytes = group->blocks + (size_t)group->block_count * COF_BLOCK_BYTES;
    group->block_count++;
}

static int add_extent(struct replay *replay, struct cof_desc *desc)
{
    struct group *group = &replay->groups[replay->filling];
    struct job *job;
    unsigned count = desc->summary ? 2u : desc->ref_count;
    if (cof_desc_moved(desc)) {
        return refuse(replay, desc, COFFER_E_CORRUPT, "it was moved, and has no lists any more");
    }
    if (group->block_count + count > GROUP_BLOCKS || group->job_count == GROUP_BLOCKS) {
        int err = turn(replay);
        if (err != 0) {
            return err;
        }
        group = &replay->groups[replay->filling];
    }
    job = &group->jobs[group->job_count++];
    job->desc = desc;
    job->first = group->block_count;
    job->count = count;
    if (desc->summary) {
        uint32_t segment, block, header;
        if (cof_desc_locate(desc, COF_SUMMARY_SLOT, &segment, &block, &header) != 0) {
            return refuse(replay, desc, COFFER_E_CORRUPT, "its summary has no place");
        }
        want(group, segment, header); /* the one before the other, often next to it */
        want(group, segment, block);
        return 0;
    }
    for (unsigned i = 0; i < desc->ref_count; i++) {
        want(group, desc->pieces[0].segment,
             (uint32_t)desc->refs[i].block - desc->refs[i].distance);
    }
    return 0;
}

/* ---- the tail ---- */

/* Most volumes have no tail, and need none of it. */
static int prepare(struct replay *replay)
{
    struct coffer_store *store = replay->volume->store;
    int err;
    replay->memory = cof_alloc_aligned(&store->env, 2u * GROUP_BLOCKS * COF_BLOCK_BYTES);
    err = replay->memory != NULL ? cof_reader_init(&replay->reader, store->dev, 2)
                                 : COFFER_E_NO_MEMORY;
    if (err != 0) {
        return cof_fault(replay->fault, err, COFFER_STAGE_LOG, "the log can't be read: %s",
                         coffer_error_sentence(err));
    }
    for (unsigned i = 0; i < 2; i++) {
        replay->groups[i].blocks = replay->memory + (size_t)i * GROUP_BLOCKS * COF_BLOCK_BYTES;
    }
    return 0;
}

/* The tail's next data extent, from *extent on, which then is behind it; NULL: there is none. */
static int next_of_tail(struct replay *replay, uint64_t *extent, struct cof_desc **ret_desc)
{
    const struct coffer_volume *volume = replay->volume;
    *ret_desc = NULL;
    while (*ret_desc == NULL && *extent <= volume->tail_last) {
        struct cof_desc *desc;
        int err = cof_place_next(&volume->store->place, COF_LINEAGE_LOCAL, extent, &desc);
        if (err == COFFER_E_NOT_FOUND || (err == 0 && *extent > volume->tail_last)) {
            return 0;
        }
        if (err != 0) {
            return cof_fault(replay->fault, err, COFFER_STAGE_PLACEMENT,
                             "the placement table is damaged");
        }
        if (desc->volume == volume->number && !desc->metadata) {
            *ret_desc = desc;
        }
        ++*extent;
    }
    return 0;
}

static int take_tail(struct replay *replay)
{
    const struct coffer_volume *volume = replay->volume;
    uint64_t extent = volume->tail_first > volume->record.chain_extent
                          ? volume->tail_first
                          : volume->record.chain_extent + 1u;
    struct cof_desc *desc;
    int err = next_of_tail(replay, &extent, &desc);
    if (err != 0 || desc == NULL) {
        return err;
    }
    err = prepare(replay);
    while (err == 0 && desc != NULL) {
        err = add_extent(replay, desc);
        if (err == 0) {
            err = next_of_tail(replay, &extent, &desc);
        }
    }
    for (unsigned i = 0; err == 0 && i < 2; i++) {
        err = turn(replay);
    }
    return err;
}

int cof_volume_replay(struct coffer_volume *volume, struct coffer_fault *fault)
{
    struct coffer_store *store = volume->store;
    struct replay *replay = cof_calloc(&store->env, 1, sizeof *replay);
    int err;
    if (replay == NULL) {
        return cof_fault(fault, COFFER_E_NO_MEMORY, COFFER_STAGE_LOG, "no memory");
    }
    replay->volume = volume;
    replay->fault = fault;
    err = take_tail(replay);
    cof_reader_done(&replay->reader);
    store->closed_queue_reads += replay->reader.requests;
    store->closed_queue_read_bytes += replay->reader.bytes;
    cof_free_aligned(&store->env, replay->memory);
    cof_free(&store->env, replay);
    return err;
}
