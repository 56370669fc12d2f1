/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/target.c - see target.h.
 */
#include "common/target.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

int cof_bench_complain(const char *what, int error, const struct coffer_fault *fault)
{
    fprintf(stderr, "%s: %s: %s (%s)", program_invocation_short_name, what,
            coffer_error_sentence(error), coffer_error_name(error));
    if (fault != NULL && fault->detail[0] != '\0') {
        fprintf(stderr, ": %s", fault->detail);
    }
    if (fault != NULL && fault->os_errno != 0) {
        fprintf(stderr, ": %s", strerror(fault->os_errno));
    }
    fputc('\n', stderr);
    return error;
}

/* A root key file of 32 random bytes, unless there is one. */
static int make_root_key(const char *path)
{
    uint8_t bytes[32];
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        return errno == EEXIST ? 0 : COFFER_E_IO;
    }
    int error = COFFER_E_IO;
    if (getrandom(bytes, sizeof bytes, 0) == (ssize_t)sizeof bytes &&
        write(fd, bytes, sizeof bytes) == (ssize_t)sizeof bytes) {
        error = 0;
    }
    if (close(fd) != 0) {
        error = COFFER_E_IO;
    }
    explicit_bzero(bytes, sizeof bytes);
    return error;
}

static int open_keys(const char *directory, struct cof_bench_target *target)
{
    char keys_path[PATH_MAX];
    char root_path[PATH_MAX];
    int keys_length = snprintf(keys_path, sizeof keys_path, "%s/keys", directory);
    int root_length = snprintf(root_path, sizeof root_path, "%s/root.key", directory);
    if (keys_length < 0 || keys_length >= PATH_MAX || root_length < 0 || root_length >= PATH_MAX) {
        return cof_bench_complain("the path of --keys", COFFER_E_INVALID, NULL);
    }
    if (mkdir(directory, 0700) != 0 && errno != EEXIST) {
        return cof_bench_complain("making the directory of --keys", COFFER_E_IO, NULL);
    }
    int error = make_root_key(root_path);
    if (error != 0) {
        return cof_bench_complain("making the root key", error, NULL);
    }
    struct coffer_fault fault;
    memset(&fault, 0, sizeof fault);
    struct coffer_keystore_opts opts = {.size = sizeof opts,
                                        .path = keys_path,
                                        .flags = COFFER_KEYSTORE_CREATE,
                                        .root_key_file = root_path};
    error = coffer_keystore_open(&opts, &target->keys, &fault);
    if (error == 0) {
        error = coffer_keystore_provider(target->keys, &target->provider);
    }
    return error == 0 ? 0 : cof_bench_complain("opening the key store", error, &fault);
}

static int create_store(const struct cof_bench_options *options)
{
    struct coffer_fault fault;
    memset(&fault, 0, sizeof fault);
    struct coffer_store_create_opts opts = {.size = sizeof opts,
                                            .path = options->file,
                                            .device = options->device,
                                            .size_bytes = options->store_bytes,
                                            .segment_bytes = (uint32_t)options->segment_bytes};
    int error = coffer_store_create(&opts, &fault);
    return error == 0 ? 0 : cof_bench_complain("creating the store", error, &fault);
}

static int create_volume(const struct cof_bench_options *options, struct cof_bench_target *target)
{
    struct coffer_fault fault;
    memset(&fault, 0, sizeof fault);
    struct coffer_volume_create_opts opts = {.size = sizeof opts,
                                             .name = options->volume,
                                             .size_bytes = options->size_bytes,
                                             .not_encrypted = options->keys == NULL,
                                             .provider =
                                                 options->keys == NULL ? NULL : &target->provider};
    int error = coffer_volume_create(target->store, &opts, &fault);
    return error == 0 ? 0 : cof_bench_complain("creating the volume", error, &fault);
}

static int open_store(const struct cof_bench_options *options, struct cof_bench_target *target)
{
    struct coffer_fault fault;
    memset(&fault, 0, sizeof fault);
    struct coffer_store_opts opts = {.size = sizeof opts,
                                     .path = options->file,
                                     .device = options->device,
                                     .flags = options->background ? COFFER_OPEN_BACKGROUND : 0,
                                     .staging_bytes = options->staging_bytes,
                                     .delta_entries_max = options->delta_entries_max,
                                     .node_cache_bytes = options->node_cache_bytes,
                                     .tag_cache_bytes = options->tag_cache_bytes,
                                     .placement_bytes = options->placement_bytes,
                                     .key_arena_bytes = options->key_arena_bytes,
                                     .checkpoint_ns = options->checkpoint_ns,
                                     .sync_ns = options->sync_ns,
                                     .cleaner_heads = (uint32_t)options->cleaner_heads,
                                     .cipher_backend = options->cipher};
    uint64_t start_ns = cof_load_now_ns();
    int error = coffer_store_open(&opts, &target->store, &fault);
    target->store_open_ns = cof_load_now_ns() - start_ns;
    return error == 0 ? 0 : cof_bench_complain("opening the store", error, &fault);
}

static int open_volume(const struct cof_bench_options *options, struct cof_bench_target *target)
{
    struct coffer_fault fault;
    memset(&fault, 0, sizeof fault);
    struct coffer_volume_open_opts opts = {.size = sizeof opts,
                                           .name = options->volume,
                                           .provider =
                                               options->keys == NULL ? NULL : &target->provider};
    uint64_t start_ns = cof_load_now_ns();
    int error = coffer_volume_open(target->store, &opts, &target->volume, &fault);
    target->volume_open_ns = cof_load_now_ns() - start_ns;
    return error == 0 ? 0 : cof_bench_complain("opening the volume", error, &fault);
}

int cof_bench_target_open(const struct cof_bench_options *options,
                          struct cof_bench_target *ret_target)
{
    struct cof_bench_target target;
    memset(&target, 0, sizeof target);
    int error = options->keys == NULL ? 0 : open_keys(options->keys, &target);
    if (error == 0 && options->create) {
        error = create_store(options);
    }
    if (error == 0) {
        error = open_store(options, &target);
    }
    if (error == 0 && (options->create || options->add_volume)) {
        error = create_volume(options, &target);
    }
    if (error == 0) {
        error = open_volume(options, &target);
    }
    if (error != 0) {
        int ignored = cof_bench_target_close(&target);
        (void)ignored; /* the first error is the one to report */
        return error;
    }
    *ret_target = target;
    return 0;
}

int cof_bench_target_close(struct cof_bench_target *target)
{
    uint64_t start_ns = cof_load_now_ns();
    int error = coffer_volume_close(target->volume);
    int store_error = coffer_store_close(target->store);
    target->close_ns = cof_load_now_ns() - start_ns;
    coffer_keystore_close(target->keys);
    target->volume = NULL;
    target->store = NULL;
    target->keys = NULL;
    if (error == 0) {
        error = store_error;
    }
    return error == 0 ? 0 : cof_bench_complain("closing", error, NULL);
}
