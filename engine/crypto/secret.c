/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypto/secret.c - locked memory for all key material: slots of 32 bytes, and expanded keys.
 *
 * Layout of the slots' mapping: guard page | slot 0: canary | slots 1 .. n-1 | guard page. That of
 * the expanded keys is the same without a canary, and need not be there.
 *
 * 1. A mapping is locked, left out of core dumps and wiped on fork before an item is handed out;
 *    when the kernel refuses any of these there is none.
 * 2. An item that is not in use is all zero.
 * 3. Links of the free lists stand outside: an overrun of ordinary heap can't reach a key through
 *    them, and the arena holds nothing but keys and the canary.
 *
 * Any thread. A forked child finds the canary gone: there every item is zero and no lock is taken,
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
#define FREE_LIST_END (UINT32_MAX - 1u)
#define IN_USE UINT32_MAX
#define SLOTS_MAX ((size_t)1 << 26)

/* One mapping, cut into items of one size. */
struct pool {
    uint8_t *mapping; /* with both guard pages; NULL: no pool */
    size_t mapping_bytes;
    uint8_t *items;
    size_t item_bytes;
    size_t items_bytes; /* whole pages */
    uint32_t count;
    uint32_t *next; /* an item: the next free one, or IN_USE */
    uint32_t first_free;
    uint32_t free_count;
};

struct cof_arena {
    struct cof_env *env;
    struct pool slots;
    struct pool schedules;
    const volatile uint64_t *canary;
    pthread_mutex_t lock;
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

static int harden(void *items, size_t bytes)
{
    if (mprotect(items, bytes, PROT_READ | PROT_WRITE) != 0) {
        return COFFER_E_NO_MEMORY;
    }
    if (lock_pages(items, bytes) != 0 || madvise(items, bytes, MADV_DONTDUMP) != 0 ||
        madvise(items, bytes, MADV_WIPEONFORK) != 0) {
        return COFFER_E_LOCKED_MEMORY;
    }
    return 0;
}

static int map_items(struct pool *pool, size_t page_bytes)
{
    void *mapping;
    pool->mapping_bytes = pool->items_bytes + 2 * page_bytes;
    mapping = mmap(NULL, pool->mapping_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED) {
        return COFFER_E_NO_MEMORY;
    }
    pool->mapping = mapping;
    pool->items = pool->mapping + page_bytes;
    return harden(pool->items, pool->items_bytes);
}

static void pool_done(struct pool *pool, struct cof_env *env)
{
    if (pool->mapping != NULL) {
        munmap(pool->mapping, pool->mapping_bytes);
    }
    cof_free(env, pool->next);
    memset(pool, 0, sizeof *pool);
}

static int pool_init(struct pool *pool, struct cof_env *env, size_t bytes, size_t item_bytes)
{
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    int error;
    pool->item_bytes = item_bytes;
    pool->items_bytes = (bytes + page_bytes - 1) / page_bytes * page_bytes;
    pool->count = (uint32_t)(pool->items_bytes / item_bytes);
    pool->next = cof_calloc(env, pool->count, sizeof *pool->next);
    error = pool->next != NULL ? map_items(pool, page_bytes) : COFFER_E_NO_MEMORY;
    if (error != 0) {
        pool_done(pool, env);
        return error;
    }
    for (uint32_t i = 0; i + 1 < pool->count; i++) {
        pool->next[i] = i + 1;
    }
    pool->next[pool->count - 1] = FREE_LIST_END;
    pool->free_count = pool->count;
    return 0;
}

static void *pool_take(struct pool *pool, unsigned keep)
{
    uint32_t item = pool->first_free;
    if (pool->free_count <= keep) {
        return NULL;
    }
    pool->first_free = pool->next[item];
    pool->next[item] = IN_USE;
    pool->free_count--;
    return pool->items + item * pool->item_bytes;
}

/* The item is wiped already. */
static void pool_give(struct pool *pool, const void *memory)
{
    size_t at = (size_t)((const uint8_t *)memory - pool->items);
    uint32_t item = (uint32_t)(at / pool->item_bytes);
    assert(at % pool->item_bytes == 0 && item < pool->count && pool->next[item] == IN_USE);
    pool->next[item] = pool->first_free;
    pool->first_free = item;
    pool->free_count++;
}

int cof_arena_new(struct cof_env *env, size_t bytes, struct cof_arena **ret_arena)
{
    uint64_t canary = CANARY;
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
    if (pthread_mutex_init(&arena->lock, NULL) != 0) {
        cof_free(env, arena);
        return COFFER_E_NO_MEMORY;
    }
    error = pool_init(&arena->slots, env, bytes, COF_SECRET_BYTES);
    if (error != 0) {
        cof_arena_free(arena);
        return error;
    }
    arena->canary = (const volatile uint64_t *)pool_take(&arena->slots, 0);
    memcpy(arena->slots.items, &canary, sizeof canary);
    *ret_arena = arena;
    return 0;
}

int cof_arena_add_schedules(struct cof_arena *arena, size_t bytes)
{
    assert(arena->schedules.mapping == NULL);
    if (bytes == 0 || bytes > SLOTS_MAX * COF_SECRET_BYTES) {
        return COFFER_E_INVALID;
    }
    return pool_init(&arena->schedules, arena->env, bytes, COF_SCHEDULE_BYTES);
}

void cof_arena_free(struct cof_arena *arena)
{
    if (arena == NULL) {
        return;
    }
    /* Without a canary nothing was written yet (or this is a child): there is nothing to wipe. */
    if (arena->canary != NULL) {
        cof_wipe(arena->slots.items, arena->slots.items_bytes);
    }
    if (arena->schedules.mapping != NULL) {
        cof_wipe(arena->schedules.items, arena->schedules.items_bytes);
    }
    pool_done(&arena->slots, arena->env);
    pool_done(&arena->schedules, arena->env);
    pthread_mutex_destroy(&arena->lock);
    cof_free(arena->env, arena);
}

int cof_arena_usable(const struct cof_arena *arena)
{
    return *arena->canary == CANARY ? 0 : COFFER_E_FORKED;
}

static void *take(struct cof_arena *arena, struct pool *pool, unsigned keep)
{
    void *memory;
    pthread_mutex_lock(&arena->lock);
    memory = pool_take(pool, keep);
    pthread_mutex_unlock(&arena->lock);
    return memory;
}

static void give(struct cof_arena *arena, struct pool *pool, void *memory)
{
    if (memory == NULL || cof_arena_usable(arena) != 0) {
        return;
    }
    cof_wipe(memory, pool->item_bytes);
    pthread_mutex_lock(&arena->lock);
    pool_give(pool, memory);
    pthread_mutex_unlock(&arena->lock);
}

static unsigned free_count(struct cof_arena *arena, const struct pool *pool)
{
    unsigned count;
    if (cof_arena_usable(arena) != 0) {
        return 0;
    }
    pthread_mutex_lock(&arena->lock);
    count = pool->free_count;
    pthread_mutex_unlock(&arena->lock);
    return count;
}

int cof_secret_new(struct cof_arena *arena, struct cof_secret **ret_secret)
{
    struct cof_secret *secret;
    int error = cof_arena_usable(arena);
    if (error != 0) {
        return error;
    }
    secret = take(arena, &arena->slots, 0);
    if (secret == NULL) {
        return COFFER_E_LIMIT;
    }
    *ret_secret = secret;
    return 0;
}

void cof_secret_free(struct cof_arena *arena, struct cof_secret *secret)
{
    give(arena, &arena->slots, secret);
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
    return free_count(arena, &arena->slots);
}

struct cof_schedule *cof_schedule_new(struct cof_arena *arena, unsigned keep)
{
    return cof_arena_usable(arena) == 0 ? take(arena, &arena->schedules, keep) : NULL;
}

void cof_schedule_free(struct cof_arena *arena, struct cof_schedule *schedule)
{
    give(arena, &arena->schedules, schedule);
}

unsigned cof_arena_schedules(const struct cof_arena *arena)
{
    return arena->schedules.count;
}

unsigned cof_arena_schedules_free(struct cof_arena *arena)
{
    return free_count(arena, &arena->schedules);
}
