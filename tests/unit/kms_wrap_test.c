/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Material wrapped by the openssl command, opened; damage of any kind gives one answer; and no
 * private half stays behind in memory.
 */
#include "kms/pair/pair.h"
#include "kms/pair/wrap.h"
#include "kms_openssl.h"
#include "kms_search.h"

#include <coffer/error.h>
#include <coffer/keystore.h>
#include <openssl/err.h>

#define ROOM 4096u

static uint8_t *private_half, *material; /* secret memory */
static uint8_t public_half[COF_PAIR_PUBLIC_BYTES_MAX];
static uint8_t wrapped[ROOM];

static const struct cof_kms_spec *make_wrapping_key(const struct kms_openssl *o, const char *name)
{
    const struct cof_kms_spec *spec = cof_kms_spec_find(name);
    size_t bytes = 0;

    assert_int_equal(cof_pair_generate(spec, private_half), 0);
    assert_int_equal(cof_pair_public(spec, private_half, public_half, &bytes), 0);
    openssl_write(o, "pub", public_half, bytes);
    return spec;
}

/* As the service's users do it; leaves `wrapped`. */
static size_t wrap(const struct kms_openssl *o, const struct cof_wrap_algorithm *algorithm,
                   const void *bytes, size_t count)
{
    openssl_write(o, "material", bytes, count);
    openssl_run(o, "openssl rand -out aes 32");
    if (algorithm->with_aes) {
        openssl_run(o, "openssl enc -id-aes256-wrap-pad -iv A65959A6 -in material -out second "
                       "-K $(od -An -tx1 -v aes | tr -d ' \\n')");
    } else {
        openssl_run(o, "cp material aes && : >second");
    }
    openssl_run(o,
                "openssl pkeyutl -encrypt -pubin -keyform DER -inkey pub -in aes -out first "
                "-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:%s "
                "-pkeyopt rsa_mgf1_md:%s && cat first second >wrapped",
                algorithm->oaep.digest, algorithm->oaep.digest);
    return openssl_read(o, "wrapped", wrapped, sizeof(wrapped));
}

static int unwrap(const struct cof_kms_spec *spec, const struct cof_wrap_algorithm *algorithm,
                  size_t wrapped_bytes, size_t *ret_bytes)
{
    struct cof_kms_bytes input = {wrapped, wrapped_bytes};

    return cof_wrap_open(spec, private_half, algorithm, input, material, ROOM, ret_bytes);
}

static void what_openssl_wraps_opens(void **state)
{
    static const char *const specs[] = {"RSA_2048", "RSA_3072", "RSA_4096"};
    uint8_t secret[32];
    unsigned number;
    size_t i, k, bytes = 0;

    for (i = 0; i < 3; i++) {
        const struct cof_kms_spec *spec = make_wrapping_key(*state, specs[i]);

        for (number = 1; cof_wrap_algorithm(number) != NULL; number++) {
            const struct cof_wrap_algorithm *algorithm = cof_wrap_algorithm(number);
            size_t count;

            for (k = 0; k < sizeof(secret); k++) {
                secret[k] = (uint8_t)(31 * i + 7 * number + k);
            }
            count = wrap(*state, algorithm, secret, sizeof(secret));
            assert_int_equal(unwrap(spec, algorithm, count, &bytes), 0);
            assert_int_equal(bytes, sizeof(secret));
            assert_memory_equal(material, secret, bytes);
        }
        assert_int_equal(number, 5);
    }
}

static void a_private_key_passes_the_aes_wrap(void **state)
{
    const struct cof_kms_spec *spec = make_wrapping_key(*state, "RSA_2048");
    const struct cof_kms_spec *inner = cof_kms_spec_find("RSA_2048");
    const struct cof_wrap_algorithm *algorithm =
        cof_wrap_algorithm(cof_wrap_number("RSA_AES_KEY_WRAP_SHA_256"));
    uint8_t der[ROOM], read[COF_PAIR_BYTES_MAX];
    struct cof_kms_bytes opened = {material, 0};
    size_t der_bytes, count;

    openssl_run(*state, "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 "
                        "-outform DER -out any && openssl pkcs8 -topk8 -nocrypt -inform DER "
                        "-in any -outform DER -out inner");
    der_bytes = openssl_read(*state, "inner", der, sizeof(der));
    count = wrap(*state, algorithm, der, der_bytes);
    assert_int_equal(unwrap(spec, algorithm, count, &opened.length_bytes), 0);
    assert_int_equal(opened.length_bytes, der_bytes);
    assert_memory_equal(material, der, der_bytes);
    assert_int_equal(cof_pair_from_pkcs8(inner, opened, read), 0);
}

static void every_damage_gives_one_answer_and_no_bytes(void **state)
{
    const struct cof_kms_spec *spec = make_wrapping_key(*state, "RSA_2048");
    uint8_t secret[32] = {1, 2, 3}, zeros[ROOM] = {0};
    unsigned number;
    size_t i, bytes = 77;

    for (number = 1; number <= 4; number++) {
        const struct cof_wrap_algorithm *algorithm = cof_wrap_algorithm(number);
        size_t count = wrap(*state, algorithm, secret, sizeof(secret));

        for (i = 0; i < count; i += 17) {
            wrapped[i] ^= 0x10;
            assert_int_equal(unwrap(spec, algorithm, count, &bytes), COFFER_E_KEY_CIPHERTEXT);
            assert_memory_equal(material, zeros, ROOM);
            wrapped[i] ^= 0x10;
        }
        for (i = 0; i < count; i += 23) {
            assert_int_equal(unwrap(spec, algorithm, i, &bytes), COFFER_E_KEY_CIPHERTEXT);
        }
        assert_int_equal(unwrap(spec, algorithm, count + 8, &bytes), COFFER_E_KEY_CIPHERTEXT);
        assert_int_equal(bytes, 77);
        /* The other hash, and the other way. */
        assert_int_equal(unwrap(spec, cof_wrap_algorithm(5 - number), count, &bytes),
                         COFFER_E_KEY_CIPHERTEXT);
        assert_int_equal(unwrap(spec, algorithm, count, &bytes), 0);
        assert_int_equal(bytes, 32);
        bytes = 77;
    }
    assert_int_equal(ERR_peek_error(), 0);
    assert_int_equal(cof_wrap_number("RSAES_PKCS1_V1_5"), 0);
    assert_null(cof_wrap_algorithm(0));
    assert_null(cof_wrap_algorithm(5));
}

/* An AES key of another length than the one that the service takes. */
static void a_short_aes_key_is_refused(void **state)
{
    const struct cof_kms_spec *spec = make_wrapping_key(*state, "RSA_2048");
    const struct cof_wrap_algorithm *algorithm =
        cof_wrap_algorithm(cof_wrap_number("RSA_AES_KEY_WRAP_SHA_256"));
    uint8_t secret[32] = {9};
    size_t count, bytes = 0;

    openssl_write(*state, "material", secret, sizeof(secret));
    openssl_run(*state, "openssl rand -out aes 16; openssl enc -id-aes128-wrap-pad -iv A65959A6 "
                        "-in material -out second -K $(od -An -tx1 -v aes | tr -d ' \\n') && "
                        "openssl pkeyutl -encrypt -pubin -keyform DER -inkey pub -in aes "
                        "-out first -pkeyopt rsa_padding_mode:oaep "
                        "-pkeyopt rsa_oaep_md:sha256 && cat first second >wrapped");
    count = openssl_read(*state, "wrapped", wrapped, sizeof(wrapped));
    assert_int_equal(count, 256 + 40);
    assert_int_equal(unwrap(spec, algorithm, count, &bytes), COFFER_E_KEY_CIPHERTEXT);
}

/* ---- what stays in memory ---------------------------------------------------------------- */

#define LOOKED_FOR 5u

/* Something of each private part, as it lies in our layout (little endian) and the other way. */
static void mask_parts(const struct cof_kms_spec *spec, uint8_t masked[LOOKED_FOR][SEARCH_BYTES])
{
    size_t width = spec->bits / 8, i;
    const size_t at[LOOKED_FOR - 1] = {width + 4 + 40, 2 * width + 4 + 40,
                                       2 * width + width / 2 + 4 + 40, 4 * width + 4 + 40};
    uint8_t turned[SEARCH_BYTES];

    for (i = 0; i < LOOKED_FOR - 1; i++) {
        search_mask(private_half + at[i], masked[i]);
    }
    for (i = 0; i < SEARCH_BYTES; i++) {
        turned[i] = private_half[at[1] + SEARCH_BYTES - 1 - i];
    }
    search_mask(turned, masked[LOOKED_FOR - 1]);
    memset(turned, 0, sizeof(turned));
}

static void no_private_half_stays_in_memory(void **state)
{
    const struct cof_kms_spec *spec = make_wrapping_key(*state, "RSA_2048");
    const struct cof_kms_algorithm *sign =
        cof_kms_algorithm_find(spec, "SIGN_VERIFY", "RSASSA_PSS_SHA_256");
    struct cof_kms_bytes message = {(const uint8_t *)"abc", 3}, der = {material, 0};
    uint8_t masked[LOOKED_FOR][SEARCH_BYTES], signature[COF_PAIR_SIGNATURE_BYTES_MAX];
    uint8_t secret[32] = {5};
    unsigned found[LOOKED_FOR], i;
    size_t bytes = 0, count;

    mask_parts(spec, masked);
    assert_int_equal(cof_pair_sign(spec, private_half, sign, false, message, signature, &bytes), 0);
    assert_int_equal(cof_pair_to_pkcs8(spec, private_half, material, &der.length_bytes), 0);
    /* The search finds what is there: the layout, and the DER in big endian. */
    search_memory(masked, LOOKED_FOR, found);
    for (i = 0; i < LOOKED_FOR; i++) {
        assert_int_equal(found[i], 1);
    }
    assert_int_equal(cof_pair_from_pkcs8(spec, der, private_half), 0);
    count = wrap(*state, cof_wrap_algorithm(4), secret, sizeof(secret));
    assert_int_equal(unwrap(spec, cof_wrap_algorithm(4), count, &bytes), 0);
    memset(private_half, 0, COF_PAIR_BYTES_MAX);
    memset(material, 0, ROOM);
    search_memory(masked, LOOKED_FOR, found);
    for (i = 0; i < LOOKED_FOR; i++) {
        assert_int_equal(found[i], 0);
    }
}

static int setup(void **state)
{
    assert_int_equal(coffer_keystore_secret_new(COF_PAIR_BYTES_MAX, &private_half), 0);
    assert_int_equal(coffer_keystore_secret_new(ROOM, &material), 0);
    return openssl_setup(state);
}

static int teardown(void **state)
{
    coffer_keystore_secret_free(private_half);
    coffer_keystore_secret_free(material);
    return openssl_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_openssl_wraps_opens),
        cmocka_unit_test(a_private_key_passes_the_aes_wrap),
        cmocka_unit_test(every_damage_gives_one_answer_and_no_bytes),
        cmocka_unit_test(a_short_aes_key_is_refused),
        cmocka_unit_test(no_private_half_stays_in_memory),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
