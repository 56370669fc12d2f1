/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypto/secret.c - one locked mapping for all key material, cut into slots of 32 bytes.
 *
 * Layout: guard page | slot 0: canary | slots 1 .. n-1 | guard page.
 *
 * 1. The mapping is locked, left out of core dumps and wiped on fork before a slot is handed out;
 *    when the kernel refuses any of these there is no arena.
 * 2. A slot that is not in use is all zero.
 * 3. Links of the free list stand outside: an overrun of ordinary heap can't reach a key through
 *    them, and the arena holds nothing but keys and the canary.
 *
 * Any thread. A forked child finds the canary gone: there every slot is zero and no lock is taken,
 * since its owner may not exist in the child.
 */
#include "crypto/internal.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define CANARY UINT64_C(0x636f666665720a1a)
#define FREE_LIST_END 0u /* slot 0 is the canary's and never free */
#define IN_USE UINT32_MAX
#define SLOTS_MAX ((size_t)1 << 26)

struct cof_arena {
    struct cof_env *env;
    uint8_t *mapping; /* with both guard pages */
    size_t mapping_bytes;
    struct cof_secret *slots;
    size_t slots_bytes;
    const volatile uint64_t *canary;
    pthread_mutex_t lock;
    uint32_t *next; /* a slot: the next free one, or IN_USE */
    uint32_t first_free;
    uint32_t free_count;
};

/* The soft limit is a default, not a decision: up to the hard one the process may lock. */
static int lock_pages(const void *start, size_t bytes)
{
    struct rlimit limit;
    if (mlock(start, bytes) == 0) {
        return 0;
    }
    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_cur == limit.rlim_max) {
        return COFFER_E_LOCKED_MEMORY;
    }
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0 || mlock(start, bytes) != 0) {
        return COFFER_E_LOCKED_MEMORY;
    }
    return 0;
}

static int harden(struct cof_secret *slots, size_t bytes)
{
    if (mprotect(slots, bytes, PROT_READ | PROT_WRITE) != 0) {
        return COFFER_E_NO_MEMORY;
    }
    if (lock_pages(slots, bytes) != 0 || madvise(slots, bytes, MADV_DONTDUMP) != 0 ||
        madvise(slots, bytes, MADV_WIPEONFORK) != 0) {
        return COFFER_E_LOCKED_MEMORY;
    }
    return 0;
}

static int map_slots(struct cof_arena *arena, size_t page_bytes)
{
    void *mapping;
    arena->mapping_bytes = arena->slots_bytes + 2 * page_bytes;
    mapping = mmap(NULL, arena->mapping_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED) {
        return COFFER_E_NO_MEMORY;
    }
    arena->mapping = mapping;
    arena->slots = (void *)(arena->mapping + page_bytes);
    return harden(arena->slots, arena->slots_bytes);
}

static int link_slots(struct cof_arena *arena)
{
    uint32_t count = (uint32_t)(arena->slots_bytes / COF_SECRET_BYTES);
    uint64_t canary = CANARY;
    arena->next = cof_calloc(arena->env, count, sizeof *arena->next);
    if (arena->next == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    arena->next[0] = IN_USE;
    for (uint32_t i = 1; i + 1 < count; i++) {
        arena->next[i] = i + 1;
    }
    arena->next[count - 1] = FREE_LIST_END;
    arena->first_free = 1;
    arena->free_count = count - 1;
    memcpy(arena->slots[0].bytes, &canary, sizeof canary);
    arena->canary = (const volatile uint64_t *)(const void *)arena->slots;
    return 0;
}

int cof_arena_new(struct cof_env *env, size_t bytes, struct cof_arena **ret_arena)
{
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    struct cof_arena *arena;
    int error;
    if (bytes == 0 || bytes > SLOTS_MAX * COF_SECRET_BYTES) {
        return COFFER_E_INVALID;
    }
    arena = cof_calloc(env, 1, sizeof *arena);
    if (arena == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    arena->env = env;
    arena->slots_bytes = (bytes + page_bytes - 1) / page_bytes * page_bytes;
    if (pthread_mutex_init(&arena->lock, NULL) != 0) {
        cof_free(env, arena);
        return COFFER_E_NO_MEMORY;
    }
    error = map_slots(arena, page_bytes);
    if (error == 0) {
        error = link_slots(arena);
    }
    if (error != 0) {
        cof_arena_free(arena);
        return error;
    }
    *ret_arena = arena;
    return 0;
}

void cof_arena_free(struct cof_arena *arena)
{
    if (arena == NULL) {
        return;
    }
    /* Without a canary nothing was written yet (or this is a child): there is nothing to wipe. */
    if (arena->canary != NULL) {
        cof_wipe(arena->slots, arena->slots_bytes);
    }
    if (arena->mapping != NULL) {
        munmap(arena->mapping, arena->mapping_bytes);
    }
    cof_free(arena->env, arena->next);
    pthread_mutex_destroy(&arena->lock);
    cof_free(arena->env, arena);
}

int cof_arena_usable(const struct cof_arena *arena)
{
    return *arena->canary == CANARY ? 0 : COFFER_E_FORKED;
}

int cof_secret_new(struct cof_arena *arena, struct cof_secret **ret_secret)
{
    uint32_t slot;
    int error = cof_arena_usable(arena);
    if (error != 0) {
        return error;
    }
    pthread_mutex_lock(&arena->lock);
    slot = arena->first_free;
    if (slot != FREE_LIST_END) {
        arena->first_free = arena->next[slot];
        arena->next[slot] = IN_USE;
        arena->free_count--;
    }
    pthread_mutex_unlock(&arena->lock);
    if (slot == FREE_LIST_END) {
        return COFFER_E_LIMIT;
    }
    *ret_secret = &arena->slots[slot];
    return 0;
}

void cof_secret_free(struct cof_arena *arena, struct cof_secret *secret)
{
    uint32_t slot;
    if (secret == NULL || cof_arena_usable(arena) != 0) {
        return;
    }
    slot = (uint32_t)(secret - arena->slots);
    cof_wipe(secret, sizeof *secret);
    pthread_mutex_lock(&arena->lock);
    assert(slot > 0 && slot < arena->slots_bytes / COF_SECRET_BYTES);
    assert(arena->next[slot] == IN_USE);
    arena->next[slot] = arena->first_free;
    arena->first_free = slot;
    arena->free_count++;
    pthread_mutex_unlock(&arena->lock);
}

int cof_secret_fill(struct cof_secret *secret,
                    int (*fill)(void *ctx, uint8_t bytes[COF_SECRET_BYTES]), void *ctx)
{
    int error = fill(ctx, secret->bytes);
    if (error != 0) {
        cof_wipe(secret, sizeof *secret);
    }
    return error;
}

int cof_secret_draw(struct cof_env *env, struct cof_secret *secret)
{
    int error = cof_random(env, secret->bytes, sizeof secret->bytes);
    if (error != 0) {
        cof_wipe(secret, sizeof *secret);
    }
    return error;
}

unsigned cof_arena_slots_free(struct cof_arena *arena)
{
    unsigned count;
    if (cof_arena_usable(arena) != 0) {
        return 0;
    }
    pthread_mutex_lock(&arena->lock);
    count = arena->free_count;
    pthread_mutex_unlock(&arena->lock);
    return count;
}
