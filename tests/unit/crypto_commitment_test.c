/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why wraps carry a commitment: one AES-GCM ciphertext is built here that opens under two volume
 * keys to two different data keys. Plain GCM takes it under both; cof_ek_unwrap must not.
 *
 * Construction: with 32 bytes of AAD and two blocks C1 C2 the tag under key k is
 *     A1 h^5 + A2 h^4 + C1 h^3 + C2 h^2 + L h + E_k(J0),   h = E_k(0),
 * linear in C2 over GF(2^128). Equal tags under both keys give C2 (h1^2 + h2^2) = the rest, and
 * h1 != h2 leaves exactly one solution for any C1.
 */
#include "crypto/internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define AAD_BYTES 32u

/* An element of GCM's field, in GCM's order: bit 0 is the highest bit of byte 0. */
struct element {
    uint8_t bytes[16];
};

static struct element add(struct element a, struct element b)
{
    for (unsigned i = 0; i < 16; i++) {
        a.bytes[i] ^= b.bytes[i];
    }
    return a;
}

/* SP 800-38D, algorithm 1. */
static struct element multiply(struct element x, struct element y)
{
    struct element z = {{0}};
    for (unsigned bit = 0; bit < 128; bit++) {
        int low = y.bytes[15] & 1;
        if ((x.bytes[bit / 8] >> (7 - bit % 8) & 1) != 0) {
            z = add(z, y);
        }
        for (unsigned i = 15; i > 0; i--) {
            y.bytes[i] = (uint8_t)(y.bytes[i] >> 1 | y.bytes[i - 1] << 7);
        }
        y.bytes[0] >>= 1;
        y.bytes[0] ^= low != 0 ? 0xe1 : 0;
    }
    return z;
}

/* x^(2^128 - 2). */
static struct element invert(struct element x)
{
    struct element result = {{0x80}};
    struct element power = x;
    for (unsigned i = 1; i < 128; i++) {
        power = multiply(power, power);
        result = multiply(result, power);
    }
    return result;
}

static struct element encrypt_block(const struct cof_secret *key, const uint8_t block[16])
{
    struct element out;
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    int done = 0;
    assert_int_equal(EVP_EncryptInit_ex2(context, EVP_aes_256_ecb(), key->bytes, NULL, NULL), 1);
    assert_int_equal(EVP_CIPHER_CTX_set_padding(context, 0), 1);
    assert_int_equal(EVP_EncryptUpdate(context, out.bytes, &done, block, 16), 1);
    EVP_CIPHER_CTX_free(context);
    return out;
}

static struct element element_at(const uint8_t *bytes)
{
    struct element element;
    memcpy(element.bytes, bytes, 16);
    return element;
}

/* Everything of the tag but C2's term, and h^2. */
struct equation {
    struct element rest;
    struct element factor;
};

static struct equation equation_of(const struct cof_secret *key, const uint8_t nonce[12],
                                   const uint8_t aad[AAD_BYTES], struct element c1)
{
    static const uint8_t zero[16];
    struct element lengths = {{0}};
    uint8_t j0[16] = {0};
    struct element h = encrypt_block(key, zero);
    struct equation equation;
    lengths.bytes[6] = 1;  /* 256 bits of AAD        */
    lengths.bytes[14] = 1; /* 256 bits of ciphertext */
    memcpy(j0, nonce, 12);
    j0[15] = 1;
    equation.factor = multiply(h, h);
    equation.rest = multiply(add(multiply(element_at(aad), h), element_at(aad + 16)), h);
    equation.rest = multiply(add(equation.rest, c1), multiply(equation.factor, h));
    equation.rest = add(equation.rest, multiply(lengths, h));
    equation.rest = add(equation.rest, encrypt_block(key, j0));
    return equation;
}

/* Ciphertext and tag that both keys accept. */
static void forge(const struct cof_secret *first, const struct cof_secret *second,
                  const uint8_t nonce[12], const uint8_t aad[AAD_BYTES],
                  uint8_t forged[COF_WRAPPED_EK_BYTES])
{
    struct element c1, c2, tag;
    struct equation one, two;
    memset(c1.bytes, 0x5a, sizeof c1.bytes);
    one = equation_of(first, nonce, aad, c1);
    two = equation_of(second, nonce, aad, c1);
    c2 = multiply(add(one.rest, two.rest), invert(add(one.factor, two.factor)));
    tag = add(one.rest, multiply(c2, one.factor));
    memcpy(forged, c1.bytes, 16);
    memcpy(forged + 16, c2.bytes, 16);
    memcpy(forged + 32, tag.bytes, 16);
}

static int fill(void *ctx, uint8_t bytes[COF_SECRET_BYTES])
{
    memset(bytes, *(const int *)ctx, COF_SECRET_BYTES);
    return 0;
}

static struct cof_env env;
static struct cof_arena *arena;
static struct cof_vk *keys[2];
static const uint8_t nonce[COF_NONCE_BYTES] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
static const uint8_t aad[AAD_BYTES] = {0xaa, 0xbb, [31] = 0xcc};

static int setup(void **state)
{
    (void)state;
    cof_env_init(&env, NULL);
    assert_int_equal(cof_arena_new(&env, 4096, &arena), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(cof_vk_new(&env, arena, fill, &i, &keys[i]), 0);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cof_vk_free(keys[0]);
    cof_vk_free(keys[1]);
    cof_arena_free(arena);
    return 0;
}

static int unwrap(struct cof_vk *vk, const uint8_t *forged, const uint8_t *commitment)
{
    struct cof_ek_open *ek = NULL;
    int error = cof_ek_unwrap(&env, arena, vk, aad, sizeof aad, nonce, forged, commitment, &ek);
    assert_int_equal(ek != NULL, error == 0);
    cof_ek_open_free(ek);
    return error;
}

static void the_field_arithmetic_holds(void **state)
{
    (void)state;
    struct element one = {{0x80}};
    struct element x;
    for (unsigned i = 0; i < 16; i++) {
        x.bytes[i] = (uint8_t)(i * 31u + 5u);
    }
    assert_memory_equal(multiply(x, one).bytes, x.bytes, 16);
    assert_memory_equal(multiply(x, invert(x)).bytes, one.bytes, 16);
}

static void one_wrap_opens_under_two_volume_keys_but_for_its_commitment(void **state)
{
    (void)state;
    uint8_t forged[COF_WRAPPED_EK_BYTES];
    struct cof_secret plain[2];
    uint8_t commitment[2][COF_COMMITMENT_BYTES];
    forge(keys[0]->wrap, keys[1]->wrap, nonce, aad, forged);
    for (unsigned i = 0; i < 2; i++) {
        struct cof_gcm_message message = {nonce, aad, sizeof aad, forged, 32, plain[i].bytes};
        assert_int_equal(cof_gcm_open_once(keys[i]->wrap, &message, forged + 32), 0);
        assert_int_equal(cof_kdf_expand(&plain[i], "coffer/ek/commit/1", NULL, 0, commitment[i]),
                         0);
    }
    assert_memory_not_equal(plain[0].bytes, plain[1].bytes, sizeof plain[0]);
    assert_int_equal(unwrap(keys[0], forged, commitment[0]), 0);
    assert_int_equal(unwrap(keys[1], forged, commitment[0]), COFFER_E_COMMIT);
    assert_int_equal(unwrap(keys[0], forged, commitment[1]), COFFER_E_COMMIT);
    assert_int_equal(unwrap(keys[1], forged, commitment[1]), 0);
}

static void a_wrap_that_was_not_built_so_opens_under_one(void **state)
{
    (void)state;
    uint8_t forged[COF_WRAPPED_EK_BYTES];
    uint8_t commitment[COF_COMMITMENT_BYTES] = {0};
    forge(keys[0]->wrap, keys[0]->wrap, nonce, aad, forged);
    assert_int_equal(unwrap(keys[0], forged, commitment), COFFER_E_COMMIT);
    assert_int_equal(unwrap(keys[1], forged, commitment), COFFER_E_TAMPER);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(the_field_arithmetic_holds),
        CASE(one_wrap_opens_under_two_volume_keys_but_for_its_commitment),
        CASE(a_wrap_that_was_not_built_so_opens_under_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
