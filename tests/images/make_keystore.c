/* SPDX-License-Identifier: Apache-2.0 */
/*
 * make_keystore.c - a key store as this build makes it, to be frozen: make_keystore PREFIX writes
 * PREFIX.keys and PREFIX.json, which says what it holds.
 *
 * The passphrase is "correct horse"; Argon2id is as cheap as can be, for the tests' sake. Keys are
 * random: another run gives another store of the same content.
 */
#include <coffer/keystore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct coffer_fault fault;

static int passphrase(void *ctx, int creating, uint8_t *buffer, size_t capacity, size_t *ret_bytes)
{
    static const char words[] = "correct horse";

    (void)ctx;
    (void)creating;
    (void)capacity;
    memcpy(buffer, words, sizeof(words) - 1);
    *ret_bytes = sizeof(words) - 1;
    return 0;
}

static void must(int error, const char *what)
{
    if (error != 0) {
        fprintf(stderr, "make_keystore: %s: %s\n", what, fault.detail);
        exit(1);
    }
}

static void print_blob(FILE *out, const char *name, const struct coffer_key_blob *blob)
{
    size_t i;

    fprintf(out, "  \"%s\": \"", name);
    for (i = 0; i < blob->length_bytes; i++) {
        fprintf(out, "%02x", blob->bytes[i]);
    }
    fprintf(out, "\",\n");
}

/* Blobs under a key with an alias and grants, under one that is disabled, under the default key. */
static void fill(struct coffer_keystore *store, FILE *out)
{
    static const char *const operations[] = {"Decrypt", "RetireGrant"};
    static const struct coffer_context_pair pairs[] = {{"volume", "v1"}, {"purpose", "image"}};
    static const struct coffer_context context = {pairs, 2};
    static const uint8_t text[] = "attack at dawn";
    static struct coffer_key_metadata key = {.size = sizeof(key)};
    static struct coffer_key_metadata off = {.size = sizeof(off)};
    static struct coffer_key_metadata managed = {.size = sizeof(managed)};
    static struct coffer_key_blob blob;
    struct coffer_grant_opts grant = {.size = sizeof(grant),
                                      .key = key.arn,
                                      .grantee = "arn:coffer:iam::000000000000:role/reader",
                                      .retiring_principal = "arn:coffer:iam::000000000000:root",
                                      .name = "image",
                                      .operations = operations,
                                      .operation_count = 2,
                                      .constraint = COFFER_GRANT_CONTEXT_SUBSET,
                                      .context = &context};
    char grant_id[COFFER_GRANT_ID_BYTES];

    must(coffer_keystore_create_key(store, "the image's key", &key, &fault), "create-key");
    must(coffer_keystore_create_alias(store, "alias/image", key.arn, &fault), "create-alias");
    must(coffer_keystore_create_grant(store, &grant, grant_id, &fault), "create-grant");
    must(coffer_keystore_create_key(store, "", &off, &fault), "create-key");
    must(coffer_keystore_describe_key(store, NULL, &managed, &fault), "describe-key");
    fprintf(out, "{\n  \"key\": \"%s\",\n  \"disabled\": \"%s\",\n  \"managed\": \"%s\",\n", key.arn,
            off.arn, managed.arn);
    fprintf(out, "  \"grant_id\": \"%s\",\n", grant_id);
    must(coffer_keystore_encrypt(store, "alias/image", text, 14, &context, &blob, NULL, &fault),
         "encrypt");
    print_blob(out, "key_blob", &blob);
    must(coffer_keystore_encrypt(store, off.arn, text, 14, NULL, &blob, NULL, &fault), "encrypt");
    print_blob(out, "disabled_blob", &blob);
    must(coffer_keystore_encrypt(store, NULL, text, 14, NULL, &blob, NULL, &fault), "encrypt");
    print_blob(out, "managed_blob", &blob);
    must(coffer_keystore_disable_key(store, off.arn, &fault), "disable-key");
}

int main(int argc, char **argv)
{
    char path[600], json[600];
    struct coffer_keystore_opts opts = {.size = sizeof(opts),
                                        .path = path,
                                        .flags = COFFER_KEYSTORE_CREATE,
                                        .passphrase = passphrase,
                                        .argon2_memory_kib = 8,
                                        .argon2_passes = 1};
    struct coffer_keystore_info info = {.size = sizeof(info)};
    struct coffer_keystore *store = NULL;
    uint64_t records = 0;
    FILE *out;

    if (argc != 2) {
        fprintf(stderr, "usage: make_keystore PREFIX\n");
        return 2;
    }
    snprintf(path, sizeof(path), "%s.keys", argv[1]);
    snprintf(json, sizeof(json), "%s.json", argv[1]);
    out = fopen(json, "wx");
    if (out == NULL || access(path, F_OK) == 0) {
        fprintf(stderr, "make_keystore: %s or %s is there or can't be made\n", path, json);
        return 1;
    }
    must(coffer_keystore_open(&opts, &store, &fault), "open");
    fill(store, out);
    must(coffer_keystore_info_get(store, &info), "info");
    must(coffer_keystore_audit_verify(store, &records, &fault), "audit");
    fprintf(out, "  \"schema_version\": %u,\n  \"audit_records\": %llu\n}\n", info.schema_version,
            (unsigned long long)records + 1);
    coffer_keystore_close(store);
    return fclose(out) == 0 && chmod(path, 0644) == 0 ? 0 : 1;
}
