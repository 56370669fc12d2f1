/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two back ends of AES-256-GCM make the same bytes: of every length up to beyond a page's
 * inner loops, aligned or not, in place or not, with any additional data; what one sealed the other
 * opens, and both refuse the same. Then the choice between them, and what takes it back to EVP.
 *
 * Where intel-ipsec-mb isn't built in, or not for this processor, the comparisons are left out.
 */
#include "crypto/internal.h"

#include "base/testhook.h"
#include "common/prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE_BYTES 4096u
#define ROOM (PAGE_BYTES + 256u)
#define AAD_BYTES_MAX 100u
#define GUARD 0xa5u
#define NOBODY 65534u

/* Sanitizers make mlock a no-op that succeeds. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MLOCK_IS_REAL 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define MLOCK_IS_REAL 0
#endif
#endif
#ifndef MLOCK_IS_REAL
#define MLOCK_IS_REAL 1
#endif

static struct cof_env env;

/* One message in three buffers that begin anywhere, and its key in both forms. */
struct pair {
    struct cof_secret key;
    struct cof_schedule schedule;
    EVP_CIPHER_CTX *sealing, *opening;
    uint8_t nonce[COF_NONCE_BYTES];
    uint8_t aad[AAD_BYTES_MAX];
    uint8_t plain[ROOM], evp[ROOM], other[ROOM];
};

static struct pair p;
static struct prng prng;

static bool has_ipsec_mb(void)
{
    enum cof_ipsec_mb found = COF_IPSEC_MB_NONE;
    assert_int_equal(cof_ipsec_mb_find(&env, &found), 0);
    return found != COF_IPSEC_MB_NONE;
}

static void draw(uint8_t *bytes, size_t length_bytes)
{
    for (size_t i = 0; i < length_bytes; i++) {
        bytes[i] = (uint8_t)prng_next(&prng);
    }
}

static void draw_key(void)
{
    draw(p.key.bytes, sizeof p.key.bytes);
    draw(p.nonce, sizeof p.nonce);
    draw(p.aad, sizeof p.aad);
    draw(p.plain, sizeof p.plain);
    cof_ipsec_mb_expand(&p.key, &p.schedule);
    assert_int_equal(cof_gcm_key(p.sealing, 1, &p.key), 0);
    assert_int_equal(cof_gcm_key(p.opening, 0, &p.key), 0);
}

static int setup(void **state)
{
    (void)state;
    cof_env_init(&env, NULL);
    prng.state = 5;
    assert_int_equal(cof_gcm_context_new(&p.sealing), 0);
    assert_int_equal(cof_gcm_context_new(&p.opening), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    EVP_CIPHER_CTX_free(p.sealing);
    EVP_CIPHER_CTX_free(p.opening);
    assert_int_equal(atomic_load(&env.heap_bytes), 0);
    return 0;
}

/* Nothing is written before the message or behind it. */
static void check_guards(const uint8_t buffer[ROOM], size_t at, size_t length_bytes)
{
    for (size_t i = 0; i < ROOM; i++) {
        assert_true((i >= at && i < at + length_bytes) || buffer[i] == GUARD);
    }
}

static void both_seal_the_same(size_t length_bytes, size_t aad_bytes, size_t at, size_t other_at)
{
    struct cof_gcm_message message = {p.nonce,      p.aad,        aad_bytes,
                                      p.plain + at, length_bytes, p.evp + at};
    uint8_t tags[2][COF_TAG_BYTES];
    memset(p.evp, GUARD, sizeof p.evp);
    memset(p.other, GUARD, sizeof p.other);
    assert_int_equal(cof_evp_seal(p.sealing, &message, tags[0]), 0);
    message.out = p.other + other_at;
    assert_int_equal(cof_ipsec_mb_seal(&p.schedule, &message, tags[1]), 0);
    assert_memory_equal(p.evp + at, p.other + other_at, length_bytes);
    assert_memory_equal(tags[0], tags[1], COF_TAG_BYTES);
    check_guards(p.other, other_at, length_bytes);
    /* What the first sealed the second opens, in place, and the reverse. */
    message.in = message.out = p.evp + at;
    assert_int_equal(cof_ipsec_mb_open(&p.schedule, &message, tags[0]), 0);
    assert_memory_equal(p.evp + at, p.plain + at, length_bytes);
    check_guards(p.evp, at, length_bytes);
    message.in = message.out = p.other + other_at;
    assert_int_equal(cof_evp_open(p.opening, &message, tags[1]), 0);
    assert_memory_equal(p.other + other_at, p.plain + at, length_bytes);
}

static void every_length_comes_out_the_same(void **state)
{
    (void)state;
    if (!has_ipsec_mb()) {
        skip();
    }
    for (size_t length = 1; length <= PAGE_BYTES + 1u; length += length < 1100 ? 1 : 37) {
        draw_key();
        both_seal_the_same(length, length % (AAD_BYTES_MAX + 1u), length % 64, length / 64 % 64);
    }
    for (size_t length = PAGE_BYTES - 64u; length <= PAGE_BYTES + 64u; length++) {
        both_seal_the_same(length, COF_AAD_BYTES, 0, 0);
    }
}

/* The control: comparisons that can't fail would pass with any expanded key. */
static void a_changed_expanded_key_is_noticed(void **state)
{
    (void)state;
    struct cof_gcm_message message = {p.nonce, p.aad, COF_AAD_BYTES, p.plain, PAGE_BYTES, p.evp};
    uint8_t tags[2][COF_TAG_BYTES];
    if (!has_ipsec_mb()) {
        skip();
    }
    draw_key();
    p.schedule.bytes[0] ^= 1u;
    assert_int_equal(cof_evp_seal(p.sealing, &message, tags[0]), 0);
    message.out = p.other;
    assert_int_equal(cof_ipsec_mb_seal(&p.schedule, &message, tags[1]), 0);
    assert_memory_not_equal(p.evp, p.other, PAGE_BYTES);
    assert_memory_not_equal(tags[0], tags[1], COF_TAG_BYTES);
    assert_int_equal(cof_ipsec_mb_open(&p.schedule, &message, tags[0]), COFFER_E_TAMPER);
}

static void any_alignment_and_additional_data(void **state)
{
    (void)state;
    if (!has_ipsec_mb()) {
        skip();
    }
    draw_key();
    for (size_t at = 0; at < 128; at++) {
        both_seal_the_same(PAGE_BYTES, COF_AAD_BYTES, at, 128 - at);
    }
    for (size_t aad = 0; aad <= AAD_BYTES_MAX; aad++) {
        both_seal_the_same(PAGE_BYTES, aad, 0, 0);
    }
}

static void sealing_in_place_is_the_same(void **state)
{
    (void)state;
    struct cof_gcm_message message = {p.nonce, p.aad, COF_AAD_BYTES, p.plain, PAGE_BYTES, p.evp};
    uint8_t tags[2][COF_TAG_BYTES];
    if (!has_ipsec_mb()) {
        skip();
    }
    draw_key();
    assert_int_equal(cof_evp_seal(p.sealing, &message, tags[0]), 0);
    message.out = p.plain;
    assert_int_equal(cof_ipsec_mb_seal(&p.schedule, &message, tags[1]), 0);
    assert_memory_equal(p.plain, p.evp, PAGE_BYTES);
    assert_memory_equal(tags[0], tags[1], COF_TAG_BYTES);
}

static void refused_by_both(const struct cof_gcm_message *message, const uint8_t tag[COF_TAG_BYTES])
{
    assert_int_equal(cof_evp_open(p.opening, message, tag), COFFER_E_TAMPER);
    assert_int_equal(cof_ipsec_mb_open(&p.schedule, message, tag), COFFER_E_TAMPER);
}

static void both_refuse_each_changed_bit(void **state)
{
    (void)state;
    const size_t length = 257;
    struct cof_gcm_message message = {p.nonce, p.aad, COF_AAD_BYTES, p.plain, length, p.evp};
    uint8_t tag[COF_TAG_BYTES];
    if (!has_ipsec_mb()) {
        skip();
    }
    draw_key();
    assert_int_equal(cof_ipsec_mb_seal(&p.schedule, &message, tag), 0);
    message.in = p.evp;
    message.out = p.other;
    for (unsigned bit = 0; bit < 8 * COF_TAG_BYTES; bit++) {
        tag[bit / 8] ^= (uint8_t)(1u << bit % 8);
        refused_by_both(&message, tag);
        tag[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (unsigned bit = 0; bit < 8 * COF_AAD_BYTES; bit++) {
        p.aad[bit / 8] ^= (uint8_t)(1u << bit % 8);
        refused_by_both(&message, tag);
        p.aad[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (unsigned bit = 0; bit < 8 * length; bit += 3) {
        p.evp[bit / 8] ^= (uint8_t)(1u << bit % 8);
        refused_by_both(&message, tag);
        p.evp[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(cof_ipsec_mb_open(&p.schedule, &message, tag), 0);
}

/* What the library refuses it says nowhere: a message without additional data that has some. */
static void what_the_library_refuses_is_an_error(void **state)
{
    (void)state;
    struct cof_gcm_message message = {p.nonce, NULL, COF_AAD_BYTES, p.plain, PAGE_BYTES, p.evp};
    uint8_t tag[COF_TAG_BYTES] = {0};
    if (!has_ipsec_mb()) {
        skip();
    }
    draw_key();
    assert_int_equal(cof_ipsec_mb_seal(&p.schedule, &message, tag), COFFER_E_CRYPTO);
    assert_int_equal(cof_ipsec_mb_open(&p.schedule, &message, tag), COFFER_E_CRYPTO);
}

/* ---- pages, through the room's interface ---- */

struct room {
    struct cof_arena *arena;
    struct cof_ek_seal *ek;
    struct cof_aead *aead;
    struct cof_subkey_seal *seal;
    struct cof_subkey_open *open;
    enum coffer_cipher_backend chosen;
};

static const uint8_t info[COF_SUBKEY_INFO_BYTES] = {3};

static int draw_same(void *ctx, void *buffer, size_t bytes)
{
    (void)ctx;
    memset(buffer, 9, bytes);
    return 0;
}

static void room_open(struct room *room, enum coffer_cipher_backend wanted, size_t bytes)
{
    memset(room, 0, sizeof *room);
    assert_int_equal(cof_arena_new(&env, 4096, &room->arena), 0);
    assert_int_equal(cof_cipher_choose(&env, room->arena, wanted, bytes, &room->chosen), 0);
    assert_int_equal(cof_ek_draw(&env, room->arena, &room->ek), 0);
    assert_int_equal(cof_aead_new(&env, room->arena, &room->aead), 0);
    assert_int_equal(cof_subkey_seal_new(room->ek, info, &room->seal), 0);
    assert_int_equal(cof_subkey_open_new(room->ek, NULL, info, &room->open), 0);
}

static void room_close(struct room *room)
{
    cof_aead_free(room->aead);
    cof_subkey_seal_free(room->seal);
    cof_subkey_open_free(room->open);
    cof_ek_seal_free(room->ek);
    assert_int_equal(cof_arena_schedules_free(room->arena), cof_arena_schedules(room->arena));
    cof_arena_free(room->arena);
}

static unsigned recorded;

static void on_seal(const uint8_t key[32], const uint8_t nonce[12])
{
    (void)key;
    (void)nonce;
    recorded++;
}

static void pages_of_one_open_with_the_other(void **state)
{
    (void)state;
    struct room rooms[2];
    uint8_t aad[COF_AAD_BYTES] = {4}, tag[COF_TAG_BYTES];
    env.api.random = draw_same; /* the same data key twice */
    room_open(&rooms[0], COFFER_CIPHER_EVP, 65536);
    room_open(&rooms[1], COFFER_CIPHER_IPSEC_MB, 65536);
    cof_test_on_seal = on_seal;
    recorded = 0;
    for (unsigned i = 0; i < 64; i++) {
        struct room *from = &rooms[i % 2], *to = &rooms[1 - i % 2];
        size_t length = i < 32 ? PAGE_BYTES : i * 65u;
        draw(p.plain, sizeof p.plain);
        assert_int_equal(
            cof_page_seal(from->aead, from->seal, 0, i, aad, p.plain, length, p.evp, tag), 0);
        assert_int_equal(cof_page_open(to->aead, to->open, 0, i, aad, p.evp, length, tag, p.other),
                         0);
        assert_memory_equal(p.other, p.plain, length);
        tag[i % COF_TAG_BYTES] ^= 0x10u;
        assert_int_equal(cof_page_open(to->aead, to->open, 0, i, aad, p.evp, length, tag, p.other),
                         COFFER_E_TAMPER);
        memset(p.plain, 0, length);
        assert_memory_equal(p.other, p.plain, length);
    }
    cof_test_on_seal = NULL;
    assert_int_equal(recorded, 64);
    room_close(&rooms[0]);
    room_close(&rooms[1]);
}

/* Room for two: they are the aead's, which expands a key whenever it meets another. */
static void without_room_for_its_own_a_subkey_borrows(void **state)
{
    (void)state;
    struct room room;
    struct cof_subkey_seal *second = NULL;
    uint8_t aad[COF_AAD_BYTES] = {4}, other_info[COF_SUBKEY_INFO_BYTES] = {7};
    uint8_t tags[4][COF_TAG_BYTES], sealed[4][64];
    room_open(&room, COFFER_CIPHER_IPSEC_MB, 4096);
    if (room.chosen == COFFER_CIPHER_IPSEC_MB) {
        assert_int_equal(cof_arena_schedules(room.arena), 3);
        assert_non_null(room.seal->key.schedule);
        assert_null(room.open->key.schedule);
    }
    assert_int_equal(cof_subkey_seal_new(room.ek, other_info, &second), 0);
    assert_null(second->key.schedule);
    memset(p.plain, 1, 64);
    for (unsigned i = 0; i < 4; i++) {
        const struct cof_subkey_seal *by = i % 2 == 0 ? room.seal : second;
        assert_int_equal(
            cof_page_seal(room.aead, by, 0, i / 2, aad, p.plain, 64, sealed[i], tags[i]), 0);
    }
    assert_memory_not_equal(sealed[0], sealed[1], 64);
    for (unsigned i = 0; i < 4; i += 2) {
        assert_int_equal(
            cof_page_open(room.aead, room.open, 0, i / 2, aad, sealed[i], 64, tags[i], p.other), 0);
        assert_memory_equal(p.other, p.plain, 64);
        assert_int_equal(cof_page_open(room.aead, room.open, 0, i / 2, aad, sealed[i + 1], 64,
                                       tags[i + 1], p.other),
                         COFFER_E_TAMPER);
    }
    cof_subkey_seal_free(second);
    room_close(&room);
}

static void expanded_keys_are_wiped(void **state)
{
    (void)state;
    static const struct cof_schedule none;
    struct room room;
    const struct cof_schedule *own;
    room_open(&room, COFFER_CIPHER_IPSEC_MB, 65536);
    own = room.seal->key.schedule;
    if (own != NULL) {
        assert_memory_not_equal(own, &none, 15 * 16); /* the round keys */
        cof_subkey_seal_free(room.seal);
        room.seal = NULL;
        assert_memory_equal(own, &none, sizeof none);
    }
    room_close(&room);
}

/* ---- the choice ---- */

static enum coffer_cipher_backend chosen_of(enum coffer_cipher_backend wanted, size_t bytes)
{
    struct room room;
    enum coffer_cipher_backend chosen;
    room_open(&room, wanted, bytes);
    chosen = room.chosen;
    assert_int_equal(room.seal->key.schedule != NULL, chosen == COFFER_CIPHER_IPSEC_MB);
    assert_int_equal(cof_arena_schedules(room.arena) != 0, chosen == COFFER_CIPHER_IPSEC_MB);
    room_close(&room);
    return chosen;
}

static void the_choice_is_obeyed_where_it_can_be(void **state)
{
    (void)state;
    enum coffer_cipher_backend fast = has_ipsec_mb() ? COFFER_CIPHER_IPSEC_MB : COFFER_CIPHER_EVP;
    assert_int_equal(chosen_of(COFFER_CIPHER_EVP, 65536), COFFER_CIPHER_EVP);
    assert_int_equal(chosen_of(COFFER_CIPHER_IPSEC_MB, 65536), fast);
    if (COF_TEST_CIPHER == COF_TEST_CIPHER_EVP) {
        assert_int_equal(chosen_of(COFFER_CIPHER_AUTO, 65536), COFFER_CIPHER_EVP);
    } else if (COF_TEST_CIPHER != COF_TEST_CIPHER_AUTO) {
        assert_int_equal(chosen_of(COFFER_CIPHER_AUTO, 65536), fast);
    }
    assert_string_equal(coffer_cipher_backend_name(COFFER_CIPHER_AUTO), "auto");
    assert_string_equal(coffer_cipher_backend_name(COFFER_CIPHER_EVP), "evp");
    assert_string_equal(coffer_cipher_backend_name(COFFER_CIPHER_IPSEC_MB), "ipsec-mb");
    assert_string_equal(coffer_cipher_backend_name((enum coffer_cipher_backend)7), "unknown");
}

static unsigned warnings;

static void count_warnings(void *ctx, enum coffer_log_level level, const char *message)
{
    (void)ctx;
    warnings += level == COFFER_LOG_WARN && strstr(message, "OpenSSL is used") != NULL;
}

static void a_wrong_answer_leaves_it_to_evp(void **state)
{
    (void)state;
    bool there = has_ipsec_mb();
    env.api.log = count_warnings;
    warnings = 0;
    cof_test_break = COF_BREAK_KNOWN_ANSWER;
    assert_int_equal(chosen_of(COFFER_CIPHER_IPSEC_MB, 65536), COFFER_CIPHER_EVP);
    cof_test_break = COF_BREAK_NONE;
    assert_int_equal(warnings, there ? 1 : 0);
}

/* As a user without CAP_IPC_LOCK: enough for the slots, not for expanded keys beside them. */
static int under_limit(void)
{
    struct rlimit limit = {8192, 8192};
    if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0 || (getuid() == 0 && setuid(NOBODY) != 0)) {
        return 100;
    }
    return (int)chosen_of(COFFER_CIPHER_IPSEC_MB, 65536);
}

static void without_locked_memory_it_is_evp(void **state)
{
    (void)state;
    int status = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(under_limit());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (MLOCK_IS_REAL) {
        assert_int_equal(WEXITSTATUS(status), COFFER_CIPHER_EVP);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(every_length_comes_out_the_same),
        CASE(a_changed_expanded_key_is_noticed),
        CASE(any_alignment_and_additional_data),
        CASE(sealing_in_place_is_the_same),
        CASE(both_refuse_each_changed_bit),
        CASE(what_the_library_refuses_is_an_error),
        CASE(pages_of_one_open_with_the_other),
        CASE(without_room_for_its_own_a_subkey_borrows),
        CASE(expanded_keys_are_wiped),
        CASE(the_choice_is_obeyed_where_it_can_be),
        CASE(a_wrong_answer_leaves_it_to_evp),
        CASE(without_locked_memory_it_is_evp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
