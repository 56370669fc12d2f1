/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel was told about the arena: locked, not dumped, guarded, wiped on fork; that what
 * can't be locked is refused; and that a forked child gets neither keys nor seals.
 */
#include "crypto/internal.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define ARENA_BYTES 4096u
#define SLOTS (ARENA_BYTES / COF_SECRET_BYTES - 1u)
#define NOBODY 65534u

/* Sanitizers make mlock a no-op that succeeds. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MLOCK_IS_REAL 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define MLOCK_IS_REAL 0
#endif
#endif
#ifndef MLOCK_IS_REAL
#define MLOCK_IS_REAL 1
#endif

static struct cof_env env;
static struct cof_arena *arena;

static int setup(void **state)
{
    (void)state;
    cof_env_init(&env, NULL);
    assert_int_equal(cof_arena_new(&env, ARENA_BYTES, &arena), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cof_arena_free(arena);
    assert_int_equal(atomic_load(&env.heap_bytes), 0);
    return 0;
}

static int is_zero(const struct cof_secret *secret)
{
    static const uint8_t zero[COF_SECRET_BYTES];
    return memcmp(secret->bytes, zero, sizeof zero) == 0;
}

static int is_wiped(const struct cof_schedule *schedule)
{
    static const struct cof_schedule zero;
    return memcmp(schedule, &zero, sizeof zero) == 0;
}

static struct cof_secret *new_drawn(void)
{
    struct cof_secret *secret = NULL;
    assert_int_equal(cof_secret_new(arena, &secret), 0);
    assert_true(is_zero(secret));
    assert_int_equal(cof_secret_draw(&env, secret), 0);
    assert_false(is_zero(secret));
    return secret;
}

/* ---- what the kernel was told ---- */

/* The VmFlags line of the mapping that holds address, with its permissions before it. */
static void read_mapping(const void *address, char *ret_text, size_t text_bytes)
{
    FILE *maps = fopen("/proc/self/smaps", "r");
    char line[512];
    int inside = 0;
    assert_non_null(maps);
    ret_text[0] = '\0';
    while (fgets(line, sizeof line, maps) != NULL) {
        unsigned long start, end;
        char access[8];
        if (sscanf(line, "%lx-%lx %7s", &start, &end, access) == 3) {
            inside = (uintptr_t)address >= start && (uintptr_t)address < end;
            if (inside) {
                snprintf(ret_text, text_bytes, "%s ", access);
            }
        } else if (inside && strncmp(line, "VmFlags:", 8) == 0) {
            strncat(ret_text, line + 8, text_bytes - strlen(ret_text) - 1);
            strncat(ret_text, " ", text_bytes - strlen(ret_text) - 1);
        }
    }
    fclose(maps);
}

static void the_kernel_locks_and_leaves_out_the_arena(void **state)
{
    (void)state;
    char flags[512];
    struct cof_secret *secret = new_drawn();
    read_mapping(secret, flags, sizeof flags);
    assert_non_null(strstr(flags, "rw-p"));
    assert_non_null(strstr(flags, " dd ")); /* not in core dumps */
    assert_non_null(strstr(flags, " wf ")); /* wiped on fork     */
    if (MLOCK_IS_REAL) {
        assert_non_null(strstr(flags, " lo "));
    }
    read_mapping(&env, flags, sizeof flags);
    assert_null(strstr(flags, " dd "));
    cof_secret_free(arena, secret);
}

static void and_the_expanded_keys(void **state)
{
    (void)state;
    char flags[512];
    struct cof_schedule *schedule;
    assert_null(cof_schedule_new(arena, 0));
    assert_int_equal(cof_arena_add_schedules(arena, 2 * ARENA_BYTES), 0);
    schedule = cof_schedule_new(arena, 0);
    assert_non_null(schedule);
    read_mapping(schedule, flags, sizeof flags);
    assert_non_null(strstr(flags, "rw-p"));
    assert_non_null(strstr(flags, " dd "));
    assert_non_null(strstr(flags, " wf "));
    if (MLOCK_IS_REAL) {
        assert_non_null(strstr(flags, " lo "));
    }
    cof_schedule_free(arena, schedule);
}

static int status_of_child(int (*run)(void *ctx), void *ctx)
{
    int status = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(run(ctx));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static int touch(void *at)
{
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    signal(SIGSEGV, SIG_DFL);
    *(volatile uint8_t *)at = 1;
    return 0;
}

static void guard_pages_stop_an_overrun(void **state)
{
    (void)state;
    struct cof_secret *first = new_drawn();
    uintptr_t page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
    uint8_t *base = (uint8_t *)first - (uintptr_t)first % page_bytes;
    int status = status_of_child(touch, base - 1);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    status = status_of_child(touch, base + ARENA_BYTES);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    status = status_of_child(touch, base + ARENA_BYTES - 1);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    cof_secret_free(arena, first);
}

/* As a user without CAP_IPC_LOCK, with the given limits; the child's status is the error. */
struct limits {
    rlim_t soft;
    rlim_t hard;
};

static int arena_under_limits(void *ctx)
{
    const struct limits *limits = ctx;
    struct rlimit limit = {limits->soft, limits->hard};
    struct cof_arena *limited = NULL;
    int error;
    if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0 || (getuid() == 0 && setuid(NOBODY) != 0)) {
        return 100;
    }
    error = cof_arena_new(&env, ARENA_BYTES, &limited);
    if (error != 0 && limited != NULL) {
        return 101;
    }
    cof_arena_free(limited);
    return -error;
}

static void what_cannot_be_locked_is_refused(void **state)
{
    (void)state;
    struct limits none = {0, 0};
    struct limits soft_only = {0, 65536};
    int status;
    if (!MLOCK_IS_REAL) {
        skip();
    }
    status = status_of_child(arena_under_limits, &none);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), -COFFER_E_LOCKED_MEMORY);
    status = status_of_child(arena_under_limits, &soft_only);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- fork ---- */

struct keys {
    struct cof_vk *vk;
    struct cof_ek_seal *ek;
    struct cof_subkey_seal *seal;
    struct cof_subkey_open *open;
    struct cof_aead *aead;
    uint8_t page[64];
    uint8_t tag[COF_TAG_BYTES];
};

static int fill_ones(void *ctx, uint8_t bytes[COF_SECRET_BYTES])
{
    (void)ctx;
    memset(bytes, 1, COF_SECRET_BYTES);
    return 0;
}

static int try_everything(void *ctx)
{
    struct keys *keys = ctx;
    const uint8_t info[COF_SUBKEY_INFO_BYTES] = {0};
    const uint8_t aad[COF_AAD_BYTES] = {0};
    uint8_t out[64], nonce[12], wrapped[COF_WRAPPED_EK_BYTES], commitment[32], tag[16];
    struct cof_secret *secret = NULL;
    struct cof_subkey_seal *subkey = NULL;
    struct cof_ek_seal *ek = NULL;
    const int refused = COFFER_E_FORKED;
    if (cof_arena_usable(arena) != refused || !is_zero(keys->seal->key.secret) ||
        !is_zero(keys->ek->key.secret) || !is_zero(keys->vk->root)) {
        return 1;
    }
    if (keys->seal->key.schedule != NULL && !is_wiped(keys->seal->key.schedule)) {
        return 5;
    }
    if (cof_page_seal(keys->aead, keys->seal, 0, 1, aad, keys->page, 64, out, tag) != refused ||
        cof_page_open(keys->aead, keys->open, 0, 0, aad, keys->page, 64, keys->tag, out) !=
            refused) {
        return 2;
    }
    if (cof_vk_seal_record(keys->vk, aad, 32, keys->page, 64, out, nonce, tag) != refused ||
        cof_ek_wrap(keys->vk, keys->ek, aad, 32, nonce, wrapped, commitment) != refused) {
        return 3;
    }
    if (cof_secret_new(arena, &secret) != refused || cof_arena_slots_free(arena) != 0 ||
        cof_subkey_seal_new(keys->ek, info, &subkey) != refused ||
        cof_ek_draw(&env, arena, &ek) != refused || cof_schedule_new(arena, 0) != NULL) {
        return 4;
    }
    cof_subkey_seal_free(keys->seal);
    cof_ek_seal_free(keys->ek);
    cof_arena_free(arena);
    return 0;
}

static void try_in_a_child(enum coffer_cipher_backend backend)
{
    static const uint8_t info[COF_SUBKEY_INFO_BYTES] = {1};
    uint8_t aad[COF_AAD_BYTES] = {0};
    uint8_t plain[64] = {0};
    enum coffer_cipher_backend chosen;
    struct keys keys;
    int status;
    memset(&keys, 0, sizeof keys);
    assert_int_equal(cof_cipher_choose(&env, arena, backend, 65536, &chosen), 0);
    assert_int_equal(cof_vk_new(&env, arena, fill_ones, NULL, &keys.vk), 0);
    assert_int_equal(cof_ek_draw(&env, arena, &keys.ek), 0);
    assert_int_equal(cof_subkey_seal_new(keys.ek, info, &keys.seal), 0);
    assert_int_equal(cof_subkey_open_new(keys.ek, NULL, info, &keys.open), 0);
    assert_int_equal(cof_aead_new(&env, arena, &keys.aead), 0);
    assert_int_equal(cof_page_seal(keys.aead, keys.seal, 0, 0, aad, plain, 64, keys.page, keys.tag),
                     0);
    assert_int_equal(chosen == COFFER_CIPHER_IPSEC_MB, keys.seal->key.schedule != NULL);
    status = status_of_child(try_everything, &keys);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(
        cof_page_open(keys.aead, keys.open, 0, 0, aad, keys.page, 64, keys.tag, keys.page), 0);
    cof_aead_free(keys.aead);
    cof_subkey_open_free(keys.open);
    cof_subkey_seal_free(keys.seal);
    cof_ek_seal_free(keys.ek);
    cof_vk_free(keys.vk);
    assert_int_equal(cof_arena_slots_free(arena), SLOTS);
}

static void a_forked_child_has_no_keys_and_seals_nothing(void **state)
{
    (void)state;
    try_in_a_child(COFFER_CIPHER_EVP);
}

static void nor_has_it_expanded_ones(void **state)
{
    (void)state;
    try_in_a_child(COFFER_CIPHER_IPSEC_MB);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(the_kernel_locks_and_leaves_out_the_arena),
        CASE(and_the_expanded_keys),
        CASE(guard_pages_stop_an_overrun),
        CASE(what_cannot_be_locked_is_refused),
        CASE(a_forked_child_has_no_keys_and_seals_nothing),
        CASE(nor_has_it_expanded_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
