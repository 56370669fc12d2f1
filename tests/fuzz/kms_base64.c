/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/kms_base64 - a text is taken if and only if it is what its bytes are written as, and bytes
 * come back as they were.
 */
#include "fuzz/fuzz_driver.h"

#include "kms/base64.h"

#include <openssl/evp.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t decoded[FUZZ_ROOM], again[FUZZ_ROOM];
    static char text[COF_KMS_BASE64_ROOM(FUZZ_ROOM)];
    static unsigned char other[COF_KMS_BASE64_ROOM(FUZZ_ROOM)];
    size_t count = 0, length;
    if (size > FUZZ_ROOM) {
        return 0;
    }
    length = cof_kms_base64_encode((struct cof_kms_bytes){data, size}, text);
    harness_require(length == (size_t)EVP_EncodeBlock(other, data, (int)size) &&
                        memcmp(text, other, length + 1) == 0,
                    "OpenSSL writes it otherwise");
    harness_require(cof_kms_base64_decode(text, length, again, &count) == 0 && count == size &&
                        memcmp(again, data, size) == 0,
                    "bytes don't come back");
    if (cof_kms_base64_decode((const char *)data, size, decoded, &count) != 0) {
        return 0;
    }
    length = cof_kms_base64_encode((struct cof_kms_bytes){decoded, count}, text);
    harness_require(length == size && memcmp(text, data, size) == 0, "a second spelling was taken");
    return 1;
}

size_t fuzz_seed(unsigned number, uint8_t *bytes, size_t room)
{
    static const char *const seeds[] = {"QUJD", "QUI=", "QQ==", "////++++QUJDREVGRw=="};
    if (number >= sizeof seeds / sizeof seeds[0] || room < 64) {
        return 0;
    }
    memcpy(bytes, seeds[number], strlen(seeds[number]));
    return strlen(seeds[number]);
}

FUZZ_MAIN("fuzz_kms_base64", 500000)
