/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provider.c - a key provider of one's own: where a token, a cloud's key service or an enclave
 * would stand, here one AES-256 key in this process, by OpenSSL. A wrapped key is
 *
 *     nonce (12) | AES-256-GCM of the 32 bytes (32) | tag (16)
 *
 * with the encryption context as associated data, in one canonical form: the pairs in order of
 * their keys, each string after its length. Without that form a context could be read two ways.
 *
 *     cc provider.c $(pkg-config --cflags --libs coffer libcrypto) && ./a.out DIRECTORY
 */
#include <coffer/coffer.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARN "arn:coffer:kms:local-1:000000000000:key/0b1c2d3e-4f50-4617-8293-a4b5c6d7e8f9"
#define NONCE_BYTES 12
#define TAG_BYTES 16
#define BLOB_BYTES (NONCE_BYTES + COFFER_KEY_BYTES + TAG_BYTES)
#define PAIRS_MAX 16u
#define CONTEXT_BYTES_MAX 8192u

struct keeper {
    unsigned char master[32]; /* a real provider keeps it where this process can't read it */
    unsigned wraps, unwraps;
};

static int by_key(const void *a, const void *b)
{
    const struct coffer_context_pair *left = (const struct coffer_context_pair *)a;
    const struct coffer_context_pair *right = (const struct coffer_context_pair *)b;
    return strcmp(left->key, right->key);
}

static int put_string(unsigned char *out, size_t *used, const char *text)
{
    size_t bytes = strlen(text);
    if (bytes > 0xffff || *used + 2 + bytes > CONTEXT_BYTES_MAX) {
        return COFFER_E_INVALID;
    }
    out[(*used)++] = (unsigned char)(bytes >> 8);
    out[(*used)++] = (unsigned char)(bytes & 0xff);
    memcpy(out + *used, text, bytes);
    *used += bytes;
    return 0;
}

static int canonical(const struct coffer_context *context, unsigned char *out, size_t *ret_bytes)
{
    struct coffer_context_pair pairs[PAIRS_MAX];
    unsigned i, count = context == NULL ? 0 : context->pair_count;
    size_t used = 0;
    if (count > PAIRS_MAX) {
        return COFFER_E_INVALID;
    }
    for (i = 0; i < count; i++) {
        pairs[i] = context->pairs[i];
    }
    qsort(pairs, count, sizeof pairs[0], by_key);
    for (i = 0; i < count; i++) {
        if ((i > 0 && strcmp(pairs[i - 1].key, pairs[i].key) == 0) ||
            put_string(out, &used, pairs[i].key) != 0 ||
            put_string(out, &used, pairs[i].value) != 0) {
            return COFFER_E_INVALID;
        }
    }
    *ret_bytes = used;
    return 0;
}

/* One pass of AES-256-GCM over a key, either way. KEY_CIPHERTEXT when the tag does not match. */
static int crypt_key(const struct keeper *keeper, int seal, const struct coffer_context *context,
                     const unsigned char *nonce, const unsigned char *in, unsigned char *out,
                     unsigned char *tag)
{
    unsigned char aad[CONTEXT_BYTES_MAX];
    size_t aad_bytes;
    int length, good;
    EVP_CIPHER_CTX *cipher;
    int error = canonical(context, aad, &aad_bytes);
    if (error != 0) {
        return error;
    }
    cipher = EVP_CIPHER_CTX_new();
    if (cipher == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    good = EVP_CipherInit_ex(cipher, EVP_aes_256_gcm(), NULL, keeper->master, nonce, seal) == 1 &&
           EVP_CipherUpdate(cipher, NULL, &length, aad, (int)aad_bytes) == 1 &&
           EVP_CipherUpdate(cipher, out, &length, in, COFFER_KEY_BYTES) == 1;
    error = good ? 0 : COFFER_E_CRYPTO;
    if (good && !seal) {
        good = EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag) == 1;
    }
    if (good && EVP_CipherFinal_ex(cipher, out + COFFER_KEY_BYTES, &length) != 1) {
        error = seal ? COFFER_E_CRYPTO : COFFER_E_KEY_CIPHERTEXT;
    } else if (good && seal) {
        error = EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, tag) == 1
                    ? 0
                    : COFFER_E_CRYPTO;
    }
    EVP_CIPHER_CTX_free(cipher);
    return error;
}

static int wrap(struct keeper *keeper, const unsigned char *key,
                const struct coffer_context *context, struct coffer_key_blob *ret_blob)
{
    struct coffer_key_blob blob;
    int error;
    if (RAND_bytes(blob.bytes, NONCE_BYTES) != 1) {
        return COFFER_E_CRYPTO;
    }
    error = crypt_key(keeper, 1, context, blob.bytes, key, blob.bytes + NONCE_BYTES,
                      blob.bytes + NONCE_BYTES + COFFER_KEY_BYTES);
    if (error == 0) {
        blob.length_bytes = BLOB_BYTES;
        *ret_blob = blob;
        keeper->wraps++;
    }
    return error;
}

static int known(const char *key)
{
    return key == NULL || strcmp(key, ARN) == 0 || strcmp(key, "alias/example") == 0;
}

static int describe(void *ctx, const char *key, struct coffer_key_info *ret_info)
{
    (void)ctx;
    if (!known(key)) {
        return COFFER_E_KEY_NOT_FOUND;
    }
    memset(ret_info, 0, sizeof *ret_info);
    memcpy(ret_info->arn, ARN, sizeof ARN);
    ret_info->state = COFFER_KEY_ENABLED;
    return 0;
}

static int generate(void *ctx, const char *key_arn, const struct coffer_context *context,
                    struct coffer_key_blob *ret_blob)
{
    struct keeper *keeper = (struct keeper *)ctx;
    unsigned char key[COFFER_KEY_BYTES];
    int error;
    if (!known(key_arn)) {
        return COFFER_E_KEY_NOT_FOUND;
    }
    if (RAND_bytes(key, sizeof key) != 1) {
        return COFFER_E_CRYPTO;
    }
    error = wrap(keeper, key, context, ret_blob);
    OPENSSL_cleanse(key, sizeof key);
    return error;
}

static int decrypt(void *ctx, const char *key_arn, const struct coffer_key_blob *blob,
                   const struct coffer_context *context, uint8_t key_bytes[COFFER_KEY_BYTES])
{
    struct keeper *keeper = (struct keeper *)ctx;
    unsigned char opened[COFFER_KEY_BYTES], tag[TAG_BYTES];
    int error;
    if (!known(key_arn)) {
        return COFFER_E_KEY_NOT_FOUND;
    }
    if (blob->length_bytes != BLOB_BYTES) {
        return COFFER_E_KEY_CIPHERTEXT;
    }
    memcpy(tag, blob->bytes + NONCE_BYTES + COFFER_KEY_BYTES, TAG_BYTES);
    error = crypt_key(keeper, 0, context, blob->bytes, blob->bytes + NONCE_BYTES, opened, tag);
    if (error == 0) {
        memcpy(key_bytes, opened, COFFER_KEY_BYTES);
        keeper->unwraps++;
    }
    OPENSSL_cleanse(opened, sizeof opened);
    return error;
}

static int re_encrypt(void *ctx, const struct coffer_key_blob *blob,
                      const struct coffer_context *source_context, const char *destination_key_arn,
                      const struct coffer_context *destination_context,
                      struct coffer_key_blob *ret_blob)
{
    unsigned char key[COFFER_KEY_BYTES];
    int error = known(destination_key_arn) ? decrypt(ctx, ARN, blob, source_context, key)
                                           : COFFER_E_KEY_NOT_FOUND;
    if (error == 0) {
        error = wrap((struct keeper *)ctx, key, destination_context, ret_blob);
        OPENSSL_cleanse(key, sizeof key);
    }
    return error;
}

static int create_grant(void *ctx, const char *key_arn, const char *grantee, const char *name,
                        const char *const *operations, unsigned operation_count,
                        const struct coffer_context *context, char ret_grant_id[65])
{
    (void)ctx, (void)key_arn, (void)grantee, (void)name, (void)operations;
    (void)operation_count, (void)context, (void)ret_grant_id;
    return COFFER_E_UNSUPPORTED; /* one key, one user */
}

static int retire_grant(void *ctx, const char *key_arn, const char *grant_id)
{
    (void)ctx, (void)key_arn, (void)grant_id;
    return COFFER_E_UNSUPPORTED;
}

static struct coffer_fault fault;

static void must(int error, const char *what)
{
    if (error != 0) {
        fprintf(stderr, "%s: %s: %s\n", what, coffer_error_sentence(error), fault.detail);
        exit(1);
    }
}

static struct coffer_store *make_store(const char *path, const struct coffer_key_provider *provider)
{
    struct coffer_store_create_opts create;
    struct coffer_store_opts open;
    struct coffer_volume_create_opts volume;
    struct coffer_store *store;

    memset(&create, 0, sizeof create);
    create.size = sizeof create;
    create.path = path;
    create.size_bytes = 1ull << 30;
    must(coffer_store_create(&create, &fault), "create the store");

    memset(&open, 0, sizeof open);
    open.size = sizeof open;
    open.path = path;
    must(coffer_store_open(&open, &store, &fault), "open the store");

    memset(&volume, 0, sizeof volume);
    volume.size = sizeof volume;
    volume.name = "secret";
    volume.size_bytes = 16ull << 20;
    volume.kms_key_id = "alias/example";
    volume.provider = provider;
    must(coffer_volume_create(store, &volume, &fault), "create the volume");
    return store;
}

int main(int argc, char **argv)
{
    static unsigned char page[COFFER_PAGE_BYTES];
    static struct keeper keeper, stranger;
    struct coffer_key_provider_ops ops;
    struct coffer_key_provider provider, wrong;
    struct coffer_volume_open_opts open;
    struct coffer_store *store;
    struct coffer_volume *volume;
    char path[4096];
    int error;

    if (argc != 2) {
        fprintf(stderr, "usage: provider DIRECTORY\n");
        return 2;
    }
    snprintf(path, sizeof path, "%s/provider.coffer", argv[1]);
    if (RAND_bytes(keeper.master, sizeof keeper.master) != 1 ||
        RAND_bytes(stranger.master, sizeof stranger.master) != 1) {
        return 1;
    }
    memset(&ops, 0, sizeof ops);
    ops.size = sizeof ops;
    ops.describe = describe;
    ops.generate_data_key_without_plaintext = generate;
    ops.decrypt = decrypt;
    ops.re_encrypt = re_encrypt;
    ops.create_grant = create_grant;
    ops.retire_grant = retire_grant;
    provider.ops = wrong.ops = &ops;
    provider.ctx = &keeper;
    wrong.ctx = &stranger;
    store = make_store(path, &provider);

    memset(&open, 0, sizeof open);
    open.size = sizeof open;
    open.name = "secret";
    open.provider = &wrong;
    error = coffer_volume_open(store, &open, &volume, &fault);
    printf("with another master key: %s\n", coffer_error_name(error));
    if (error == 0) {
        return 1;
    }
    open.provider = &provider;
    must(coffer_volume_open(store, &open, &volume, &fault), "open the volume");
    memset(page, 0x42, sizeof page);
    must(coffer_volume_write(volume, page, 0, sizeof page, COFFER_IO_FUA, &fault), "write");
    memset(page, 0, sizeof page);
    must(coffer_volume_read(volume, page, 0, sizeof page, &fault), "read");
    must(coffer_volume_close(volume), "close the volume");
    must(coffer_store_close(store), "close the store");
    printf("%u keys wrapped, %u unwrapped\n", keeper.wraps, keeper.unwraps);
    OPENSSL_cleanse(keeper.master, sizeof keeper.master);
    return page[0] == 0x42 && keeper.wraps >= 1 && keeper.unwraps >= 1 ? 0 : 1;
}
