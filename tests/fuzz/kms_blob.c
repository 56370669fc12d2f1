/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/kms_blob - ciphertext blobs, and the contexts that they are bound to.
 *
 * The first byte says what the rest is. 0: a blob; what parses lies within it, and only the one
 * that was made opens. 1: fields of a blob that is then sealed under the right key, as only another
 * version of the program could: header and lengths may be anything. 2: pairs of a context, each
 * text ended by a NUL; sorted or refused, and sorted again to the same. 3: a packed context.
 */
#include "fuzz/fuzz_driver.h"

#include "kms/blob.h"
#include "kms/context.h"

#define ARN "arn:coffer:kms:local-1:000000000000:key/00000000-0000-4000-8000-000000000000"
#define PAIRS_MAX 40u

static const uint8_t key[COF_KMS_KEY_BYTES] = {7, 7};
static struct cof_kms_material material = {.id = {1, 2, 3}, .key = key};
static uint8_t subkey[COF_KMS_SUBKEY_BYTES];
static struct coffer_key_blob made;
static struct cof_kms_env env;

/* A blob that another process made of the same would open as well. */
static int fixed_random(void *ctx, void *buffer, size_t bytes)
{
    (void)ctx;
    memset(buffer, 0x33, bytes);
    return 0;
}

static void make(void)
{
    static struct coffer_env fixed = {.size = sizeof fixed, .random = fixed_random};
    static const uint8_t plaintext[] = "sixteen bytes!!";
    struct cof_kms_bytes context = {NULL, 0}, text = {plaintext, sizeof plaintext};
    cof_kms_env_init(&env, &fixed);
    harness_require(
        cof_kms_blob_seal(&env, &material, ARN, context, text, subkey, &made) == 0, "no blob");
}

static bool within(const uint8_t *at, size_t count, struct cof_kms_bytes bytes)
{
    return at >= bytes.at && count <= bytes.length_bytes &&
           (size_t)(at - bytes.at) <= bytes.length_bytes - count;
}

static int open_blob(struct cof_kms_bytes bytes)
{
    static uint8_t plaintext[COFFER_PLAINTEXT_BYTES_MAX];
    struct cof_kms_bytes context = {NULL, 0};
    struct cof_kms_blob_view view;
    bool same = bytes.length_bytes == made.length_bytes &&
                memcmp(bytes.at, made.bytes, made.length_bytes) == 0;
    int error = cof_kms_blob_parse(bytes, &view);
    if (error != 0) {
        harness_require(error == COFFER_E_KEY_CIPHERTEXT && !same, "error %d", error);
        return 0;
    }
    harness_require(memchr(view.arn, '\0', sizeof view.arn) != NULL &&
                        view.ciphertext.length_bytes <= sizeof plaintext &&
                        within(view.header.at, view.header.length_bytes, bytes) &&
                        within(view.ciphertext.at, view.ciphertext.length_bytes, bytes) &&
                        within(view.tag, COF_KMS_TAG_BYTES, bytes) &&
                        within(view.material_id, sizeof material.id, bytes),
                    "a part of the blob lies outside of it");
    error = cof_kms_blob_open(&material, &view, context, subkey, plaintext);
    harness_require(error == 0 || error == COFFER_E_KEY_CIPHERTEXT, "error %d", error);
    harness_require((error == 0) == same, "a blob that was not made opens, or the one that was "
                                          "does not");
    return 1;
}

/* Bytes of the header over those of the made one, and then a seal that fits. */
static int open_forged(const uint8_t *data, size_t size)
{
    static uint8_t bytes[COFFER_KEY_BLOB_BYTES_MAX], plaintext[COFFER_PLAINTEXT_BYTES_MAX];
    struct cof_kms_bytes blob = {bytes, 0}, salt = {bytes + 40, 32},
                         info = {material.id, sizeof material.id};
    struct cof_kms_blob_view view;
    size_t count = size < sizeof bytes ? size : sizeof bytes;
    if (count < 120 + COF_KMS_TAG_BYTES) {
        return 0;
    }
    memcpy(bytes, data, count);
    memcpy(bytes, made.bytes, 6);
    blob.length_bytes = count;
    harness_require(cof_kms_derive(key, salt, "coffer/kms/blob/1", info, subkey,
                                   sizeof subkey) == 0,
                    "no subkey");
    memcpy(bytes + 72, subkey + COF_KMS_KEY_BYTES, COF_KMS_KEY_BYTES);
    if (cof_kms_blob_parse(blob, &view) != 0) {
        return 0;
    }
    harness_require(
        cof_kms_gcm_seal(subkey, view.nonce, view.header,
                         (struct cof_kms_bytes){view.ciphertext.at, view.ciphertext.length_bytes},
                         bytes + (view.ciphertext.at - bytes), bytes + (view.tag - bytes)) == 0,
        "nothing seals");
    harness_require(cof_kms_blob_open(&material, &view, (struct cof_kms_bytes){NULL, 0}, subkey,
                                      plaintext) == 0,
                    "what was sealed does not open");
    return 1;
}

/* What unpacks is shown as JSON; what also packs gives the same bytes. */
static int unpack_context(const uint8_t *data, size_t size)
{
    static uint8_t again[COFFER_CONTEXT_BYTES_MAX];
    struct cof_kms_bytes packed = {data, size}, twin = {NULL, 0};
    struct cof_kms_context context = {NULL, 0, NULL};
    struct coffer_fault fault;
    char *json = NULL;
    int error = cof_kms_context_json(&env, packed, &json);
    cof_kms_free(&env, json);
    if (cof_kms_context_unpack(&env, packed, &context) != 0) {
        harness_require(error != 0, "shown, and can't be read");
        return 0;
    }
    if (cof_kms_context_pack(&env, &(struct coffer_context){context.pairs, context.pair_count},
                             again, &twin, &fault) == 0) {
        harness_require(twin.length_bytes == 0 || size == 0 || again[0] == data[0] ||
                            twin.length_bytes != size,
                        "another number of pairs");
    }
    cof_kms_context_free(&env, &context);
    return 1;
}

static int pack_context(const uint8_t *data, size_t size)
{
    static char text[FUZZ_ROOM + 1];
    static uint8_t packed[COFFER_CONTEXT_BYTES_MAX], again[COFFER_CONTEXT_BYTES_MAX];
    struct coffer_context_pair pairs[PAIRS_MAX], reversed[PAIRS_MAX];
    struct coffer_context context = {pairs, 0}, other = {reversed, 0};
    struct cof_kms_bytes bytes = {NULL, 0}, twin = {NULL, 0};
    const char *at = text, *end;
    memcpy(text, data, size);
    text[size] = '\0';
    end = text + size;
    while (at < end && context.pair_count < PAIRS_MAX) {
        const char *value = at + strlen(at) + 1;
        if (value > end) {
            break;
        }
        pairs[context.pair_count++] = (struct coffer_context_pair){at, value};
        at = value + strlen(value) + 1;
    }
    for (unsigned i = 0; i < context.pair_count; i++) {
        reversed[i] = pairs[context.pair_count - 1 - i];
    }
    other.pair_count = context.pair_count;
    struct coffer_fault fault = {0};
    int error = cof_kms_context_pack(&env, &context, packed, &bytes, &fault);
    harness_require(error == 0 || fault.detail[0] != '\0', "refused without a word");
    harness_require(error == cof_kms_context_pack(&env, &other, again, &twin, &fault),
                    "the order of the pairs matters");
    if (error != 0) {
        return 0;
    }
    harness_require(bytes.length_bytes == twin.length_bytes &&
                        memcmp(bytes.at, twin.at, bytes.length_bytes) == 0,
                    "two canonical forms");
    harness_require(unpack_context(bytes.at, bytes.length_bytes) == 1,
                    "a packed context can't be read");
    return 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (made.length_bytes == 0) {
        make();
    }
    if (size < 2 || size > FUZZ_ROOM) {
        return 0;
    }
    switch (data[0] % 4u) {
    case 0:
        return open_blob((struct cof_kms_bytes){data + 1, size - 1});
    case 1:
        return open_forged(data + 1, size - 1);
    case 2:
        return pack_context(data + 1, size - 1);
    default:
        return unpack_context(data + 1, size - 1);
    }
}

size_t fuzz_seed(unsigned number, uint8_t *bytes, size_t room)
{
    static const char pairs[] = "volume\0v1\0App\0backup";
    if (made.length_bytes == 0) {
        make();
    }
    static const char packed[] = "\1\0\0\0\3\0\0\0App\6\0\0\0backup";
    if (number > 3 || room < 1 + sizeof made.bytes) {
        return 0;
    }
    bytes[0] = (uint8_t)number;
    if (number == 2) {
        memcpy(bytes + 1, pairs, sizeof pairs);
        return 1 + sizeof pairs;
    }
    if (number == 3) {
        memcpy(bytes + 1, packed, sizeof packed - 1);
        return sizeof packed;
    }
    memcpy(bytes + 1, made.bytes, made.length_bytes);
    return 1 + made.length_bytes;
}

FUZZ_MAIN("fuzz_kms_blob", 200000)
