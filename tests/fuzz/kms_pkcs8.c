/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/kms_pkcs8 - private keys that callers import, and public ones. What is accepted is written
 * again and read again, to the same halves. A public key, which stands in the store's rows, is used
 * for what it may be used for, whatever it is.
 */
#include "fuzz/fuzz_driver.h"

#include "kms/pair/pair.h"

static const char *const names[] = {"ECC_NIST_P256", "ECC_NIST_EDWARDS25519", "ECC_NIST_P521",
                                    "RSA_2048"};

/* A SubjectPublicKeyInfo: 1 when it encrypts, or finds a signature wrong, which it must be. */
static int use_public(const struct cof_kms_spec *spec, struct cof_kms_bytes der)
{
    static const uint8_t zeros[64];
    struct cof_kms_bytes message = {zeros, 32}, signature = {zeros, 64};
    const struct cof_kms_algorithm *algorithm = NULL;
    int used = 0;
    while ((algorithm = cof_kms_algorithm_next(spec, COF_KMS_USAGE_SIGN, algorithm)) != NULL) {
        int error = cof_pair_verify(der, algorithm, false, message, signature);
        harness_require(error != 0, "zeros are a signature by %s", algorithm->name);
        used |= error == COFFER_E_TAMPER;
    }
    while ((algorithm = cof_kms_algorithm_next(spec, COF_KMS_USAGE_ENCRYPT, algorithm)) != NULL) {
        uint8_t ciphertext[COF_PAIR_SIGNATURE_BYTES_MAX];
        used |= cof_pair_encrypt(spec, der, algorithm, message, ciphertext) == 0;
    }
    return used;
}

/* The first byte chooses the spec, and in its third bit the public half. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t half[COF_PAIR_BYTES_MAX], again[COF_PAIR_BYTES_MAX];
    static uint8_t der[COF_PAIR_PKCS8_BYTES_MAX];
    struct cof_kms_bytes input = {data + 1, size - 1}, written = {der, 0};
    const struct cof_kms_spec *spec;
    if (size < 2) {
        return 0;
    }
    spec = cof_kms_spec_find(names[data[0] % 4u]);
    if ((data[0] & 4u) != 0) {
        return use_public(spec, input);
    }
    if (cof_pair_from_pkcs8(spec, input, half) != 0) {
        return 0;
    }
    harness_require(cof_pair_to_pkcs8(spec, half, der, &written.length_bytes) == 0,
                    "an accepted key can't be written");
    harness_require(cof_pair_from_pkcs8(spec, written, again) == 0, "a written key can't be read");
    harness_require(memcmp(half, again, spec->material_bytes) == 0, "it is another key");
    return 1;
}

size_t fuzz_seed(unsigned number, uint8_t *bytes, size_t room)
{
    static uint8_t half[COF_PAIR_BYTES_MAX];
    const struct cof_kms_spec *spec;
    size_t count = 0;
    if (number > 7 || room < 1 + COF_PAIR_PKCS8_BYTES_MAX) {
        return 0;
    }
    spec = cof_kms_spec_find(names[number % 4]);
    bytes[0] = (uint8_t)number;
    harness_require(cof_pair_generate(spec, half) == 0 &&
                        (number < 4 ? cof_pair_to_pkcs8(spec, half, bytes + 1, &count)
                                    : cof_pair_public(spec, half, bytes + 1, &count)) == 0,
                    "no key");
    return 1 + count;
}

FUZZ_MAIN("fuzz_kms_pkcs8", 4000)
