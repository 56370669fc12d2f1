/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/pkcs8 - private keys that callers import. What is accepted is written again and read again,
 * to the same halves.
 */
#include "fuzz/fuzz_driver.h"

#include "kms/pair/pair.h"

static const char *const names[] = {"ECC_NIST_P256", "ECC_NIST_EDWARDS25519", "ECC_NIST_P521",
                                    "RSA_2048"};

/* The first byte chooses the spec. */
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
    if (number > 3 || room < 1 + COF_PAIR_PKCS8_BYTES_MAX) {
        return 0;
    }
    spec = cof_kms_spec_find(names[number]);
    bytes[0] = (uint8_t)number;
    harness_require(cof_pair_generate(spec, half) == 0 &&
                        cof_pair_to_pkcs8(spec, half, bytes + 1, &count) == 0,
                    "no key");
    return 1 + count;
}

FUZZ_MAIN("fuzz_pkcs8", 20000)
