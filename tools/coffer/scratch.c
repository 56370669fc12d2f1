/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/scratch.c - made for one measurement and removed with all its files.
 *
 * The key store is a real one, sealed by a random root key, in a directory of mode 0700 beside the
 * store, so that what is measured is what users have.
 */
#include "scratch.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define ROOT_KEY_BYTES 32
#define STORE_ROOM_BYTES ((uint64_t)1 << 30)

static const char name[] = "bench";

static int fail(const struct cli_scratch *scratch, int error, const struct coffer_fault *fault,
                const char *what)
{
    return cof_tool_fail(scratch->call, error, fault, NULL, "%s %s", what, scratch->store_path);
}

static int write_root_key(const struct cli_scratch *scratch, char path[PATH_MAX])
{
    uint8_t key[ROOT_KEY_BYTES];
    snprintf(path, PATH_MAX, "%.*s/root", PATH_MAX - 8, scratch->folder);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || getrandom(key, sizeof key, 0) != (ssize_t)sizeof key ||
        write(fd, key, sizeof key) != (ssize_t)sizeof key) {
        int error = errno;
        if (fd >= 0) {
            close(fd);
        }
        return cof_tool_fail_errno(scratch->call, error, NULL, "cannot make %s", path);
    }
    explicit_bzero(key, sizeof key);
    close(fd);
    return 0;
}

static int make_keys(struct cli_scratch *scratch)
{
    char root[PATH_MAX];
    char path[PATH_MAX];
    struct coffer_fault fault = cli_no_fault();
    int length = snprintf(scratch->folder, sizeof scratch->folder - 16, "%s.keys.XXXXXX",
                          scratch->store_path);
    if (length < 0 || (size_t)length >= sizeof scratch->folder - 16 ||
        mkdtemp(scratch->folder) == NULL) {
        scratch->folder[0] = '\0';
        return cof_tool_fail_errno(scratch->call, errno, NULL, "cannot make a directory for keys");
    }
    int exit_code = write_root_key(scratch, root);
    if (exit_code != 0) {
        return exit_code;
    }
    snprintf(path, sizeof path, "%.*s/keys", PATH_MAX - 8, scratch->folder);
    struct coffer_keystore_opts opts = {.size = sizeof opts, .path = path, .root_key_file = root,
                                        .flags = COFFER_KEYSTORE_CREATE};
    int error = coffer_keystore_open(&opts, &scratch->keys, &fault);
    if (error == 0) {
        error = coffer_keystore_provider(scratch->keys, &scratch->provider);
    }
    return error != 0 ? fail(scratch, error, &fault, "cannot make a key store beside") : 0;
}

static int make_store(struct cli_scratch *scratch, uint64_t size_bytes)
{
    struct coffer_fault fault = cli_no_fault();
    /* Room for what is overwritten while no cleaner has taken it back. */
    struct coffer_store_create_opts create = {.size = sizeof create, .path = scratch->store_path,
                                              .size_bytes = 4 * size_bytes + STORE_ROOM_BYTES};
    int error = coffer_store_create(&create, &fault);
    if (error != 0) {
        return fail(scratch, error, &fault, "cannot make the store");
    }
    scratch->store_made = true;
    struct coffer_store_opts opts = {.size = sizeof opts, .path = scratch->store_path};
    int exit_code = cli_cipher_take(scratch->call, &opts.cipher_backend);
    if (exit_code != 0) {
        return exit_code;
    }
    if (cof_tool_given(scratch->call, "buffered")) {
        opts.flags |= COFFER_OPEN_BUFFERED;
    }
    error = coffer_store_open(&opts, &scratch->store, &fault);
    return error != 0 ? fail(scratch, error, &fault, "cannot open the store") : 0;
}

static int make_volume(struct cli_scratch *scratch, uint64_t size_bytes)
{
    struct coffer_fault fault = cli_no_fault();
    struct coffer_volume_create_opts create = {.size = sizeof create, .name = name,
                                               .size_bytes = size_bytes,
                                               .provider = &scratch->provider};
    struct coffer_volume_open_opts opts = {.size = sizeof opts, .name = name,
                                           .provider = &scratch->provider};
    int error = coffer_volume_create(scratch->store, &create, &fault);
    if (error == 0) {
        error = coffer_volume_open(scratch->store, &opts, &scratch->volume, &fault);
    }
    return error != 0 ? fail(scratch, error, &fault, "cannot make a volume in") : 0;
}

int cli_scratch_open(struct cli_scratch *scratch, const struct cof_tool_call *call,
                     const char *path, uint64_t size_bytes)
{
    memset(scratch, 0, sizeof *scratch);
    scratch->call = call;
    if (strlen(path) >= sizeof scratch->store_path - 32) {
        return cof_tool_usage(call, NULL, "--file: the path is too long");
    }
    if (access(path, F_OK) == 0) {
        return cof_tool_fail(call, COFFER_E_EXISTS, NULL, "name a file that is not there",
                             "cannot make a scratch store at %s", path);
    }
    strcpy(scratch->store_path, path);
    int exit_code = make_keys(scratch);
    if (exit_code == 0) {
        exit_code = make_store(scratch, size_bytes);
    }
    return exit_code != 0 ? exit_code : make_volume(scratch, size_bytes);
}

static void remove_keys(const struct cli_scratch *scratch)
{
    static const char *const files[] = {"root", "keys", "keys-wal", "keys-shm", "keys-journal"};
    char path[PATH_MAX];
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "%.*s/%s", PATH_MAX - 16, scratch->folder, files[i]);
        unlink(path);
    }
    if (rmdir(scratch->folder) != 0) {
        cof_tool_note(scratch->call, "could not remove %s: %s", scratch->folder, strerror(errno));
    }
}

void cli_scratch_close(struct cli_scratch *scratch)
{
    /* Whatever closing finds, the store is removed next. */
    int volume_error = coffer_volume_close(scratch->volume);
    int store_error = coffer_store_close(scratch->store);
    (void)volume_error;
    (void)store_error;
    coffer_keystore_close(scratch->keys);
    if (scratch->store_made) {
        unlink(scratch->store_path);
    }
    if (scratch->folder[0] != '\0') {
        remove_keys(scratch);
    }
    memset(scratch, 0, sizeof *scratch);
}
