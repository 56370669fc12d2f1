/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/kms_file - the store's file, or a copy of it, with bytes changed under it.
 *
 * An input is a flag and edits of six bytes: page, offset in it, how and with what. The file is
 * then opened for reading or writing, or is the copy that a store is restored from. Either it is
 * refused with a sentence, or whatever it answers is what was stored: no edit makes a key another,
 * or a blob open to other bytes.
 */
#include "fuzz/fuzz_driver.h"
#include "fuzz/fuzz_keystore.h"

#include <coffer/kms.h>

#define EDITS_MAX 16u
#define FILE_BYTES_MAX (1u << 20)
#define PAGE_BYTES 4096u

static uint8_t sound[FILE_BYTES_MAX], edited[FILE_BYTES_MAX];
static size_t sound_bytes;
static struct coffer_key_blob blob;
static const uint8_t plaintext[] = "what only this key opens";

static void make_file(void)
{
    struct coffer_fault fault = {0};
    char path[320];
    FILE *file;
    fuzz_keystore_make();
    harness_require(coffer_keystore_create_alias(fuzz_keystore, "alias/a", fuzz_key.key_id,
                                                 &fault) == 0 &&
                        coffer_keystore_encrypt(fuzz_keystore, fuzz_key.key_id, plaintext,
                                                sizeof plaintext, NULL, &blob, NULL, &fault) == 0,
                    "no blob: %s", fault.detail);
    fuzz_keystore_close();
    file = fopen(fuzz_path("keys", path), "rb");
    harness_require(file != NULL, "no file");
    sound_bytes = fread(sound, 1, sizeof sound, file);
    harness_require(sound_bytes > PAGE_BYTES && sound_bytes < sizeof sound, "%zu bytes",
                    sound_bytes);
    fclose(file);
}

static void edit(const uint8_t *how)
{
    size_t at = (how[0] * (size_t)PAGE_BYTES + (how[1] | (size_t)how[2] << 8) % PAGE_BYTES) %
                sound_bytes;
    size_t count = how[3] % 3 == 2 ? 4 : 1;
    for (size_t i = 0; i < count && at + i < sound_bytes; i++) {
        edited[at + i] = how[3] % 3 == 0 ? (uint8_t)(edited[at + i] ^ how[4]) : how[4 + i % 2];
    }
}

/* What the open store says is so. */
static void look(void)
{
    static uint8_t opened[COFFER_PLAINTEXT_BYTES_MAX];
    static struct coffer_key_metadata key;
    struct coffer_fault fault = {0};
    size_t count = 0;
    uint64_t rows = 0;
    key = (struct coffer_key_metadata){.size = sizeof key};
    if (coffer_keystore_describe_key(fuzz_keystore, "alias/a", &key, &fault) == 0) {
        harness_require(strcmp(key.arn, fuzz_key.arn) == 0 && key.state == fuzz_key.state,
                        "the alias names another key");
    }
    if (coffer_keystore_decrypt(fuzz_keystore, NULL, blob.bytes, blob.length_bytes, NULL, opened,
                                sizeof opened, &count, NULL, &fault) == 0) {
        harness_require(count == sizeof plaintext && memcmp(opened, plaintext, count) == 0,
                        "another plaintext");
    }
    if (coffer_keystore_check(fuzz_keystore, &rows, &fault) != 0) {
        harness_require(fault.detail[0] != '\0', "refused without a word");
    }
}

static int open_and_look(const char *name, unsigned flags)
{
    struct coffer_fault fault = {0};
    if (fuzz_keystore_open(name, flags, &fault) != 0) {
        harness_require(fault.error != 0 && fault.detail[0] != '\0', "refused without a word");
        return 0;
    }
    look();
    fuzz_keystore_close();
    return 1;
}

static bool restore(const char *from)
{
    char to[320], root[320];
    struct coffer_keystore_opts opts = {.size = sizeof opts,
                                        .path = fuzz_path("restored", to),
                                        .root_key_file = fuzz_path("root", root)};
    struct coffer_fault fault = {0};
    fuzz_write(root, FUZZ_ROOT, 32);
    if (coffer_keystore_restore(&opts, from, 0, &fault) != 0) {
        harness_require(fault.detail[0] != '\0', "refused without a word");
        harness_require(access(to, F_OK) != 0, "a store in the place of one that was refused");
        return false;
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[320];
    if (sound_bytes == 0) {
        make_file();
    }
    if (size < 1) {
        return 0;
    }
    memcpy(edited, sound, sound_bytes);
    for (size_t at = 1; at + 6 <= size && at / 6 < EDITS_MAX; at += 6) {
        edit(data + at);
    }
    fuzz_directory_clear();
    fuzz_write(fuzz_path("keys", path), edited, sound_bytes);
    switch (data[0] % 4u) {
    case 0:
        return open_and_look("keys", 0);
    case 1:
        return restore(path) ? open_and_look("restored", 0) : 0;
    default:
        return open_and_look("keys", COFFER_KEYSTORE_READ_ONLY);
    }
}

size_t fuzz_seed(unsigned number, uint8_t *bytes, size_t room)
{
    if (number > 3 || room < 64) {
        return 0;
    }
    /* Edits that change nothing: xor with zero. */
    memset(bytes, 0, 64);
    bytes[0] = (uint8_t)number;
    for (unsigned i = 0; i < number; i++) {
        bytes[1 + 6 * i] = (uint8_t)(i * 7);
    }
    return (size_t)1 + 6 * number;
}

FUZZ_MAIN("fuzz_kms_file", 600)
