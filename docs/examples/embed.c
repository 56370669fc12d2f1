/* SPDX-License-Identifier: Apache-2.0 */
/*
 * embed.c - the whole way: a key store, a store, an encrypted volume, a write that is durable, and
 * what is read back after everything was closed.
 *
 *     cc embed.c $(pkg-config --cflags --libs coffer-kms coffer) && ./a.out DIRECTORY
 */
#include <coffer/coffer.h>
#include <coffer/keystore.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define VOLUME_BYTES (64ull << 20)
#define TEXT "a ledger line that nobody else may read"

static struct coffer_fault fault;

static void must(int error, const char *what)
{
    if (error != 0) {
        fprintf(stderr, "%s: %s: %s\n", what, coffer_error_sentence(error), fault.detail);
        exit(1);
    }
}

/* The root key seals the key store. Keep it away from both the store and the key store. */
static void make_root_key(const char *path)
{
    unsigned char key[32];
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (fd < 0 || getrandom(key, sizeof key, 0) != (ssize_t)sizeof key ||
        write(fd, key, sizeof key) != (ssize_t)sizeof key || fsync(fd) != 0 || close(fd) != 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        exit(1);
    }
    explicit_bzero(key, sizeof key);
}

static struct coffer_keystore *open_keys(const char *path, const char *root_key_file)
{
    struct coffer_keystore_opts opts;
    struct coffer_keystore *keys;
    memset(&opts, 0, sizeof opts);
    opts.size = sizeof opts;
    opts.path = path;
    opts.root_key_file = root_key_file;
    opts.flags = COFFER_KEYSTORE_CREATE;
    must(coffer_keystore_open(&opts, &keys, &fault), "open the key store");
    return keys;
}

static void create(const char *path, const struct coffer_key_provider *provider)
{
    struct coffer_store_create_opts create;
    struct coffer_store_opts open;
    struct coffer_volume_create_opts volume;
    struct coffer_store *store;

    memset(&create, 0, sizeof create);
    create.size = sizeof create;
    create.path = path;
    create.size_bytes = 1ull << 30; /* sparse: the file takes what is written */
    must(coffer_store_create(&create, &fault), "create the store");

    memset(&open, 0, sizeof open);
    open.size = sizeof open;
    open.path = path;
    must(coffer_store_open(&open, &store, &fault), "open the store");

    memset(&volume, 0, sizeof volume);
    volume.size = sizeof volume;
    volume.name = "ledger";
    volume.size_bytes = VOLUME_BYTES;
    volume.kms_key_id = NULL; /* the account's managed default key */
    volume.provider = provider;
    must(coffer_volume_create(store, &volume, &fault), "create the volume");
    must(coffer_store_close(store), "close the store");
}

static struct coffer_volume *open_volume(const char *path,
                                         const struct coffer_key_provider *provider,
                                         struct coffer_store **ret_store)
{
    struct coffer_store_opts opts;
    struct coffer_volume_open_opts volume_opts;
    struct coffer_volume *volume;

    memset(&opts, 0, sizeof opts);
    opts.size = sizeof opts;
    opts.path = path;
    must(coffer_store_open(&opts, ret_store, &fault), "open the store");

    memset(&volume_opts, 0, sizeof volume_opts);
    volume_opts.size = sizeof volume_opts;
    volume_opts.name = "ledger";
    volume_opts.provider = provider;
    volume_opts.pin.use_encrypted = 1; /* never be handed a plain volume of that name */
    volume_opts.pin.encrypted = 1;
    must(coffer_volume_open(*ret_store, &volume_opts, &volume, &fault), "open the volume");
    return volume;
}

int main(int argc, char **argv)
{
    static unsigned char page[COFFER_PAGE_BYTES];
    char store_path[4096], keys_path[4096], root_path[4096];
    struct coffer_key_provider provider;
    struct coffer_keystore *keys;
    struct coffer_store *store;
    struct coffer_volume *volume;
    struct coffer_volume_info info;

    if (argc != 2) {
        fprintf(stderr, "usage: embed DIRECTORY\n");
        return 2;
    }
    snprintf(store_path, sizeof store_path, "%s/embed.coffer", argv[1]);
    snprintf(keys_path, sizeof keys_path, "%s/embed.keys", argv[1]);
    snprintf(root_path, sizeof root_path, "%s/embed.root", argv[1]);

    make_root_key(root_path);
    keys = open_keys(keys_path, root_path);
    must(coffer_keystore_provider(keys, &provider), "the provider");
    create(store_path, &provider);

    volume = open_volume(store_path, &provider, &store);
    memcpy(page, TEXT, sizeof TEXT);
    must(coffer_volume_write(volume, page, 8192, sizeof page, 0, &fault), "write");
    must(coffer_volume_flush(volume, &fault), "flush"); /* now it survives the loss of power */
    must(coffer_volume_close(volume), "close the volume");
    must(coffer_store_close(store), "close the store");

    volume = open_volume(store_path, &provider, &store);
    memset(page, 0, sizeof page);
    must(coffer_volume_read(volume, page, 8192, sizeof page, &fault), "read");
    memset(&info, 0, sizeof info);
    info.size = sizeof info;
    must(coffer_volume_info_get(volume, &info), "describe");
    printf("%s, %s, under %s\n", info.name, info.encrypted ? "encrypted" : "plain", info.key_arn);
    printf("read back: %s\n", (const char *)page);
    must(coffer_volume_close(volume), "close the volume");
    must(coffer_store_close(store), "close the store");
    coffer_keystore_close(keys);
    return memcmp(page, TEXT, sizeof TEXT) == 0 && info.encrypted ? 0 : 1;
}
