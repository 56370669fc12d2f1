/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clean/cleaner.c - one victim after another.
 *
 *   IDLE --begin--> READ --the segment is in memory--> MOVE --all extents it names--> IDLE
 *
 * An extent's pieces in the victim move in the order of their slots, some pages a step; where that
 * would make a fifth piece, all its pieces move together. A victim that is being read and moved has
 * a reader, so it is not freed and used again meanwhile; so has the next one, which is read while
 * this one moves.
 * Under the store's lock.
 */
#include "clean/internal.h"

#include "base/checksum.h"
#include "base/testhook.h"
#include "format/endian.h"
#include "format/vaddr.h"

#include <limits.h>
#include <string.h>

#define BLOCK 4096u

/* ---- life ---- */

/* A victim takes dozens of large reads: pinning the memory for each takes longer than they do. */
static void register_buffers(struct cof_cleaner *cleaner)
{
    struct iovec buffers[COF_CLEANER_BUFFERS];
    if (cleaner->dev->ops->channel_register == NULL) {
        return;
    }
    for (unsigned i = 0; i < COF_CLEANER_VICTIMS; i++) {
        buffers[i].iov_base = cleaner->victims[i].bytes;
        buffers[i].iov_len = (size_t)cleaner->segment_blocks * BLOCK;
    }
    for (unsigned i = 0; i < COF_CLEANER_GROUPS; i++) {
        buffers[COF_CLEANER_VICTIMS + i].iov_base = cleaner->groups[i].buffer;
        buffers[COF_CLEANER_VICTIMS + i].iov_len = (size_t)COF_GROUP_BLOCKS * BLOCK;
    }
    if (cleaner->dev->ops->channel_register(cleaner->channel, buffers, COF_CLEANER_BUFFERS) != 0) {
        cof_log(cleaner->env, COFFER_LOG_INFO, "the cleaner's buffers are not registered");
    }
}

static int make_buffers(struct cof_cleaner *cleaner)
{
    int err;
    for (unsigned i = 0; i < COF_CLEANER_VICTIMS; i++) {
        cleaner->victims[i].bytes =
            cof_alloc_aligned(cleaner->env, (size_t)cleaner->segment_blocks * BLOCK);
        if (cleaner->victims[i].bytes == NULL) {
            return COFFER_E_NO_MEMORY;
        }
    }
    for (unsigned i = 0; i < COF_CLEANER_GROUPS; i++) {
        cleaner->groups[i].buffer =
            cof_alloc_aligned(cleaner->env, (size_t)COF_GROUP_BLOCKS * BLOCK);
        if (cleaner->groups[i].buffer == NULL) {
            return COFFER_E_NO_MEMORY;
        }
    }
    err = cleaner->dev->ops->channel_open(
        cleaner->dev, COF_CLEANER_VICTIMS * COF_VICTIM_READS_MAX + COF_CLEANER_GROUPS,
        &cleaner->channel);
    if (err == 0) {
        register_buffers(cleaner);
    }
    return err;
}

int cof_cleaner_init(struct cof_cleaner *cleaner, struct cof_env *env,
                     const struct cof_cleaner_config *config)
{
    memset(cleaner, 0, sizeof *cleaner);
    cleaner->env = env;
    cleaner->dev = config->dev;
    cleaner->io = config->io;
    cleaner->segments = config->segments;
    cleaner->place = config->place;
    cleaner->segment_blocks = config->segment_blocks;
    memcpy(cleaner->store_uuid, config->store_uuid, sizeof cleaner->store_uuid);
    cleaner->head_count = config->head_count;
    cleaner->reads = COF_VICTIM_READS;
    cleaner->ops = config->ops;
    cleaner->ctx = config->ctx;
    cleaner->now = &cleaner->victims[0];
    cleaner->ahead = &cleaner->victims[1];
    cleaner->now->segment = COF_NO_SEGMENT;
    cleaner->ahead->segment = COF_NO_SEGMENT;
    return 0;
}

/* Buffers are made when there is something to clean. */
int cof_cleaner_ready(struct cof_cleaner *cleaner)
{
    int err;
    if (cleaner->channel != NULL) {
        return 0;
    }
    err = make_buffers(cleaner);
    if (err != 0) {
        cleaner->channel = NULL;
        cof_cleaner_done(cleaner);
    }
    return err;
}

void cof_cleaner_done(struct cof_cleaner *cleaner)
{
    if (cleaner->env == NULL) {
        return;
    }
    if (cleaner->channel != NULL) {
        for (unsigned failures = 0;
             (cleaner->flying > 0 || cleaner->reads_flying > 0) && failures < 1000u;) {
            failures += cof_cleaner_poll(cleaner, true) < 0 ? 1u : 0u;
        }
        cleaner->dev->ops->channel_close(cleaner->channel);
        cleaner->channel = NULL;
    }
    cof_moves_done(cleaner);
    for (unsigned i = 0; i < COF_CLEANER_GROUPS; i++) {
        cof_free_aligned(cleaner->env, cleaner->groups[i].buffer);
        cleaner->groups[i].buffer = NULL;
    }
    for (unsigned i = 0; i < COF_CLEANER_VICTIMS; i++) {
        cof_free_aligned(cleaner->env, cleaner->victims[i].bytes);
        cleaner->victims[i].bytes = NULL;
    }
    cof_free_aligned(cleaner->env, cleaner->gather_bytes);
    cof_free(cleaner->env, cleaner->extents);
    cleaner->gather_bytes = NULL;
    cleaner->extents = NULL;
    cleaner->extent_capacity = 0;
}

/* ---- victims ---- */

/* How often the pages of a segment were moved: into which head they go. */
unsigned cof_cleaner_generation(const struct cof_cleaner *cleaner, uint32_t segment)
{
    unsigned lane = cleaner->segments->table[segment].lane;
    unsigned moved = lane >= COF_LANE_CLEANER && lane < COF_LANE_CLEANER + COF_CLEANER_HEADS_MAX
                         ? lane - COF_LANE_CLEANER + 1u
                         : 0u;
    return moved < cleaner->head_count ? moved : cleaner->head_count - 1u;
}

/* The head of its pages' age; when no segment can be taken, the one with the most room. */
unsigned cof_cleaner_head(const struct cof_cleaner *cleaner, uint32_t segment)
{
    unsigned chosen = cof_cleaner_generation(cleaner, segment);
    for (unsigned i = 0; cleaner->ops->segments_left(cleaner->ctx) == 0 && i < cleaner->head_count;
         i++) {
        if (cof_head_room(cleaner, i) > cof_head_room(cleaner, chosen)) {
            chosen = i;
        }
    }
    return chosen;
}

uint64_t cof_cleaner_room(const struct cof_cleaner *cleaner, unsigned head)
{
    uint64_t each = cleaner->segment_blocks - cleaner->segment_blocks / COF_GROUP_BLOCKS;
    return cof_head_room(cleaner, head) + cleaner->ops->segments_left(cleaner->ctx) * each;
}

void cof_cleaner_forget_ahead(struct cof_cleaner *cleaner)
{
    struct cof_victim *ahead = cleaner->ahead;
    if (ahead == NULL || ahead->segment == COF_NO_SEGMENT) {
        return;
    }
    ahead->forgotten = true;
    if (ahead->flying == 0) {
        cof_victim_leave(cleaner, ahead);
    }
}

int cof_cleaner_begin_with(struct cof_cleaner *cleaner, uint32_t victim)
{
    struct cof_segment *segment = &cleaner->segments->table[victim];
    int err;
    if (cleaner->error != 0) {
        return COFFER_E_FAILED;
    }
    if (!cof_victim_possible(cleaner, victim)) {
        return COFFER_E_BUSY;
    }
    if (!cleaner->partial &&
        cof_cleaner_room(cleaner, cof_cleaner_head(cleaner, victim)) < segment->live) {
        return COFFER_E_NO_SPACE;
    }
    err = cof_cleaner_ready(cleaner);
    if (err != 0) {
        return err;
    }
    if (cleaner->ahead->segment == victim && cleaner->ahead->error != 0) {
        cof_cleaner_forget_ahead(cleaner);
    }
    if (cleaner->ahead->segment == victim && cleaner->ahead->error == 0) {
        struct cof_victim *read = cleaner->ahead;
        cleaner->ahead = cleaner->now;
        cleaner->now = read;
        read->forgotten = false;
        cof_victim_go_on(cleaner, read); /* where it was forgotten half-way */
    } else {
        err = cof_victim_start(cleaner, cleaner->now, victim);
        if (err != 0) {
            return err;
        }
    }
    cleaner->victim = victim;
    cleaner->scan = victim + 1u;
    segment->tries = (uint8_t)(segment->tries + (cleaner->partial ? 0u : 1u));
    cleaner->state = COF_CLEANER_READ;
    return 0;
}

int cof_cleaner_read_ahead(struct cof_cleaner *cleaner)
{
    uint32_t victim;
    if (cleaner->error != 0 || cleaner->state != COF_CLEANER_MOVE ||
        cleaner->ahead->segment != COF_NO_SEGMENT) {
        return 0;
    }
    victim = cof_victim_pick(cleaner, false);
    return victim != COF_NO_SEGMENT ? cof_victim_start(cleaner, cleaner->ahead, victim) : 0;
}

int cof_cleaner_begin(struct cof_cleaner *cleaner, bool pressed)
{
    uint32_t victim = cleaner->ahead != NULL ? cleaner->ahead->segment : COF_NO_SEGMENT;
    if (pressed || victim == COF_NO_SEGMENT || cleaner->ahead->forgotten ||
        cleaner->ahead->error != 0 || !cof_victim_good(cleaner, victim)) {
        cof_cleaner_forget_ahead(cleaner);
        victim = cof_victim_pick(cleaner, pressed);
    }
    return victim != COF_NO_SEGMENT ? cof_cleaner_begin_with(cleaner, victim) : COFFER_E_NOT_FOUND;
}

int cof_cleaner_begin_part(struct cof_cleaner *cleaner, uint32_t victim)
{
    int err;
    cleaner->partial = true;
    victim = victim != COF_NO_SEGMENT ? victim : cof_victim_pick(cleaner, true);
    err = victim != COF_NO_SEGMENT ? cof_cleaner_begin_with(cleaner, victim) : COFFER_E_NOT_FOUND;
    cleaner->partial = err == 0;
    return err;
}

/* The move that was begun is given up; what was put of it is nobody's. */
static void give_up_move(struct cof_cleaner *cleaner)
{
    if (cleaner->move != NULL) {
        cof_move_abandon(cleaner, cleaner->move);
        cleaner->move = NULL;
    }
}

static void leave_victim(struct cof_cleaner *cleaner)
{
    give_up_move(cleaner);
    cleaner->slot = 0;
    cleaner->partial = false;
    cof_victim_leave(cleaner, cleaner->now);
    cleaner->state = COF_CLEANER_IDLE;
}

/* ---- moving ---- */

/* Where the blocks of an extent's pieces are in memory. */
struct source {
    const uint8_t *bytes[COF_PIECES_MAX]; /* of each piece's segment, from block first[] on */
    uint32_t first[COF_PIECES_MAX];
    const uint8_t *header;  /* the one that was checked last */
    const uint8_t *entries; /* of its pages; NULL: it is damaged */
    unsigned pages;
};

static unsigned pages_of(const struct cof_desc *desc, unsigned from, unsigned to)
{
    unsigned count = 0, end = cof_desc_piece_end(desc, to);
    for (unsigned slot = desc->pieces[from].first_slot; slot < end; slot++) {
        count += cof_bitmap_get(&desc->live, slot) ? 1u : 0u;
    }
    return count;
}

/* The entry of the page at block; NULL: its header is damaged. */
static const uint8_t *entry_of(const struct cof_cleaner *cleaner, struct source *source,
                               unsigned piece, uint32_t segment, uint32_t header_block,
                               uint32_t block)
{
    const uint8_t *header =
        source->bytes[piece] + (size_t)(header_block - source->first[piece]) * BLOCK;
    unsigned page = block - header_block - 1u;
    if (source->header != header) {
        source->header = header;
        source->entries = cof_entries_of_header(header, cleaner->store_uuid, segment, header_block,
                                                &source->pages);
    }
    return source->entries != NULL && page < source->pages
               ? source->entries + (size_t)page * COF_ENTRY_BYTES
               : NULL;
}

static int put_page(struct cof_cleaner *cleaner, const struct cof_desc *desc, struct source *source,
                    unsigned piece, unsigned slot, struct cof_move *move)
{
    uint32_t segment, block, header;
    const uint8_t *page, *entry;
    int err = cof_desc_locate(desc, slot, &segment, &block, &header);
    if (err != 0) {
        return err;
    }
    page = source->bytes[piece] + (size_t)(block - source->first[piece]) * BLOCK;
    entry = entry_of(cleaner, source, piece, segment, header, block);
    if (entry == NULL) {
        return COFFER_E_CORRUPT; /* without its header nobody has the page's tag */
    }
    if (cof_checksum64(page, BLOCK) != cof_le64_get(entry + 16)) {
        cleaner->stats.damaged_pages++;
        cof_log(cleaner->env, COFFER_LOG_WARN,
                "a damaged page moves as it is: segment %u, block %u", segment, block);
    }
    return cof_move_put(cleaner, move, slot, page, entry);
}

/* What a negative control must catch: the first page of a piece that lives is left out. */
static bool loses(const struct cof_desc *desc, unsigned piece, unsigned slot)
{
    unsigned first = desc->pieces[piece].first_slot;
    if (!COF_BROKEN(CLEAN_LOSE)) {
        return false;
    }
    while (!cof_bitmap_get(&desc->live, first)) {
        first++;
    }
    return slot == first;
}

/* Pages of a piece from *slot on; 1: there are more than pages_max. */
static int put_some(struct cof_cleaner *cleaner, const struct cof_desc *desc, struct source *source,
                    unsigned piece, struct cof_move *move, unsigned *slot, unsigned pages_max,
                    unsigned *pages)
{
    for (unsigned end = cof_desc_piece_end(desc, piece); *slot < end; ++*slot) {
        int err;
        if (!cof_bitmap_get(&desc->live, *slot) || loses(desc, piece, *slot)) {
            continue;
        }
        if (*pages >= pages_max) {
            return 1;
        }
        err = put_page(cleaner, desc, source, piece, *slot, move);
        if (err != 0) {
            return err;
        }
        ++*pages;
    }
    return 0;
}

/* All pieces, wherever they lie. */
static int move_all(struct cof_cleaner *cleaner, const struct cof_desc *desc, struct source *source,
                    unsigned *pages)
{
    unsigned last = desc->piece_count - 1u;
    struct cof_move *move =
        cof_move_begin(cleaner, desc, 0, last, cof_cleaner_head(cleaner, cleaner->victim));
    int err = 0;
    if (move == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    for (unsigned piece = 0; err == 0 && piece <= last; piece++) {
        unsigned slot = desc->pieces[piece].first_slot;
        err = put_some(cleaner, desc, source, piece, move, &slot, UINT_MAX, pages);
    }
    if (err != 0) {
        cof_move_abandon(cleaner, move);
        return err;
    }
    cof_move_commit(cleaner, move);
    return 0;
}

/* Read a piece that lies elsewhere, from its first group's header to its last page. */
static int read_piece(struct cof_cleaner *cleaner, const struct cof_desc *desc, unsigned piece,
                      uint8_t *bytes, struct source *source, uint32_t *ret_blocks)
{
    uint32_t first = cof_group_header_block(desc->pieces[piece].block), last = 0;
    unsigned end = cof_desc_piece_end(desc, piece);
    for (unsigned slot = desc->pieces[piece].first_slot; slot < end; slot++) {
        uint32_t segment, header;
        if (cof_bitmap_get(&desc->present, slot) &&
            cof_desc_locate(desc, slot, &segment, &last, &header) != 0) {
            return COFFER_E_CORRUPT;
        }
    }
    source->bytes[piece] = bytes;
    source->first[piece] = first;
    if (last == 0) {
        return 0; /* nothing of it is present */
    }
    *ret_blocks = last - first + 1u;
    return cof_sync_io_read(cleaner->io, desc->pieces[piece].segment, first * BLOCK, bytes,
                            (size_t)*ret_blocks * BLOCK);
}

/* All pieces together: at most 512 pages, and for each piece the rest of a group before it and the
 * headers that it crosses. */
#define GATHER_BLOCKS ((size_t)COF_BITMAP_BITS + COF_PIECES_MAX * (COF_GROUP_BLOCKS + 8u))

static int gather(struct cof_cleaner *cleaner, const struct cof_desc *desc, unsigned *pages)
{
    struct source source = {.header = NULL};
    uint32_t used = 0;
    int err = 0;
    if (cleaner->gather_bytes == NULL) {
        cleaner->gather_bytes = cof_alloc_aligned(cleaner->env, GATHER_BLOCKS * BLOCK);
        if (cleaner->gather_bytes == NULL) {
            return COFFER_E_NO_MEMORY;
        }
    }
    for (unsigned i = 0; err == 0 && i < desc->piece_count; i++) {
        uint32_t blocks = 0;
        if (desc->pieces[i].segment == cleaner->victim) {
            source.bytes[i] = cleaner->now->bytes;
        } else {
            err = read_piece(cleaner, desc, i, cleaner->gather_bytes + (size_t)used * BLOCK,
                             &source, &blocks);
        }
        used += blocks;
    }
    cleaner->stats.gathers++;
    return err == 0 ? move_all(cleaner, desc, &source, pages) : err;
}

/* Pieces that so many pages in a row may make. */
static unsigned parts(const struct cof_cleaner *cleaner, unsigned head, unsigned pages)
{
    uint32_t here = cof_head_room(cleaner, head);
    uint32_t each = cleaner->segment_blocks - cleaner->segment_blocks / COF_GROUP_BLOCKS;
    return pages <= here ? 1u : (here > 0 ? 1u : 0u) + (pages - here + each - 1u) / each;
}

/* Whether what was begun before the last step is a move of this piece as it still is. */
static bool goes_on(const struct cof_cleaner *cleaner, const struct cof_desc *desc, unsigned piece)
{
    return cleaner->move != NULL && cof_move_is_of(cleaner->move, desc, piece);
}

/* A piece in the victim, or what is left of it. 1: there is more of it to move. */
static int move_piece(struct cof_cleaner *cleaner, const struct cof_desc *desc, unsigned piece,
                      unsigned pages_max, unsigned *pages)
{
    struct source source = {.header = NULL};
    int err;
    if (!goes_on(cleaner, desc, piece)) {
        give_up_move(cleaner);
        cleaner->slot = desc->pieces[piece].first_slot;
        cleaner->move =
            cof_move_begin(cleaner, desc, piece, piece, cof_cleaner_head(cleaner, cleaner->victim));
        if (cleaner->move == NULL) {
            return COFFER_E_NO_MEMORY;
        }
    }
    source.bytes[piece] = cleaner->now->bytes;
    err = put_some(cleaner, desc, &source, piece, cleaner->move, &cleaner->slot, pages_max, pages);
    if (err == 0) {
        cof_move_commit(cleaner, cleaner->move);
        cleaner->move = NULL;
    }
    return err;
}

/* Its pieces in the victim from cleaner->slot on. 1: there is more of it to move. */
static int move_extent(struct cof_cleaner *cleaner, uint64_t what, unsigned pages_max,
                       unsigned *pages)
{
    struct cof_desc *desc;
    int err = cof_place_find(cleaner->place, (uint32_t)(what >> 39), what & COF_EXTENT_MAX, &desc);
    if (err != 0) {
        return err == COFFER_E_NOT_FOUND ? 0 : err;
    }
    if (desc->young || desc->pinned) {
        return 0;
    }
    for (unsigned i = 0; err == 0 && i < desc->piece_count; i++) {
        unsigned end = cof_desc_piece_end(desc, i);
        unsigned live = desc->pieces[i].segment == cleaner->victim ? pages_of(desc, i, i) : 0u;
        unsigned head = cof_cleaner_head(cleaner, cleaner->victim);
        bool begun = goes_on(cleaner, desc, i);
        if (end <= cleaner->slot || live == 0 ||
            (cleaner->partial && !begun && live > cof_head_room(cleaner, head))) {
            continue;
        }
        if (!begun && desc->piece_count - 1u + parts(cleaner, head, live) > COF_PIECES_MAX) {
            if (cleaner->partial) {
                continue;
            }
            return gather(cleaner, desc, pages);
        }
        err = move_piece(cleaner, desc, i, pages_max, pages);
    }
    return err;
}

/* Buffers for an extent of any size, whatever runs end its groups early. */
static bool has_buffers(const struct cof_cleaner *cleaner)
{
    return cof_groups_free(cleaner) >= COF_BITMAP_BITS / COF_GROUP_PAGES + 2u;
}

/* The next extent is looked at. */
static void next_extent(struct cof_cleaner *cleaner)
{
    give_up_move(cleaner);
    cleaner->slot = 0;
    cleaner->extent_next++;
}

static int move_some(struct cof_cleaner *cleaner, unsigned pages_max)
{
    unsigned pages = 0;
    int err = 0;
    while (err == 0 && pages < pages_max && cleaner->extent_next < cleaner->extent_count) {
        uint64_t extent = cleaner->extents[cleaner->extent_next];
        unsigned before = pages;
        if (!cleaner->ops->may_change(cleaner->ctx, 1)) {
            return COFFER_E_NO_SPACE;
        }
        if (!has_buffers(cleaner)) {
            return cleaner->flying > 0 ? 0 : cof_cleaner_cut(cleaner);
        }
        err = move_extent(cleaner, extent, pages_max, &pages);
        pages += pages == before ? 1u : 0u; /* one that is gone costs a look, too */
        if (err == 1) {
            return 0;
        }
        next_extent(cleaner);
        if (err == COFFER_E_CORRUPT || err == COFFER_E_LIMIT || err == COFFER_E_IO) {
            cof_log(cleaner->env, COFFER_LOG_WARN,
                    "extent %llu stays in segment %u, which does not become free: %s",
                    (unsigned long long)(extent & COF_EXTENT_MAX), cleaner->victim,
                    coffer_error_sentence(err));
            err = cleaner->error;
        }
    }
    if (err == 0 && cleaner->extent_next == cleaner->extent_count) {
        cleaner->stats.victims += cleaner->partial ? 0u : 1u;
        leave_victim(cleaner);
    }
    return err;
}

/* That there was no room is not the victim's fault. */
static void forgive(struct cof_cleaner *cleaner)
{
    struct cof_segment *victim = &cleaner->segments->table[cleaner->victim];
    victim->tries = (uint8_t)(victim->tries - (cleaner->partial ? 0u : 1u));
}

int cof_cleaner_step(struct cof_cleaner *cleaner, unsigned pages_max, bool wait)
{
    int err = cof_cleaner_poll(cleaner, wait);
    if (err < 0) {
        return err;
    }
    if (cleaner->state == COF_CLEANER_READ && cof_victim_is_read(cleaner, cleaner->now)) {
        err = cleaner->now->error != 0 ? cleaner->now->error : cof_victim_parse(cleaner);
        if (err == COFFER_E_NO_SPACE) {
            forgive(cleaner);
        } else if (err != 0) {
            cof_log(cleaner->env, COFFER_LOG_WARN, "segment %u is not cleaned: %s", cleaner->victim,
                    coffer_error_sentence(err));
        }
        if (err != 0) {
            leave_victim(cleaner);
            return err;
        }
        cleaner->state = COF_CLEANER_MOVE;
    }
    if (cleaner->state == COF_CLEANER_MOVE) {
        err = move_some(cleaner, pages_max);
        if (err == COFFER_E_NO_SPACE) {
            forgive(cleaner);
        }
        if (err != 0 && cleaner->state != COF_CLEANER_IDLE) {
            leave_victim(cleaner);
        }
    }
    return err < 0 ? err : cleaner->state == COF_CLEANER_MOVE && has_buffers(cleaner);
}
