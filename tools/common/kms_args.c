/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/kms_args.c - from options and environment to an open key store and its provider.
 *
 * Invariants: nothing is opened before it is needed; nothing is made on disk before it is known
 * that a root secret can be had; a failed open is remembered, so nobody is asked twice. One thread.
 */
#include "kms_args.h"
#include "error.h"
#include "kms_engine.h"
#include "kms_remote.h"
#include "kms_secret.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PATH_BYTES 1024

/* ---- where ------------------------------------------------------------------------------- */

static const char *environment(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

static int default_path(char path[PATH_BYTES], struct coffer_fault *fault)
{
    const char *data = environment("XDG_DATA_HOME");
    const char *home = environment("HOME");
    int bytes;
    /* The XDG rules: a relative directory there is to be ignored. */
    if (data != NULL && data[0] == '/') {
        bytes = snprintf(path, PATH_BYTES, "%s/coffer/keys", data);
    } else if (home != NULL) {
        bytes = snprintf(path, PATH_BYTES, "%s/.local/share/coffer/keys", home);
    } else {
        return cof_tool_secret_fail(fault, COFFER_E_INVALID,
                                    "neither XDG_DATA_HOME nor HOME is set: name the key store "
                                    "with --kms file:PATH");
    }
    if (bytes >= PATH_BYTES) {
        return cof_tool_secret_fail(fault, COFFER_E_INVALID, "the key store's path is too long");
    }
    return 0;
}

static const char *source_uri(const struct cof_tool_call *call)
{
    return cof_tool_text(call, "source-kms", environment("COFFER_SOURCE_KMS"));
}

static const char *uri_of(const struct cof_tool_kms *kms)
{
    return kms->source ? source_uri(kms->call)
                       : cof_tool_text(kms->call, "kms", environment("COFFER_KMS"));
}

static int find_path(const struct cof_tool_kms *kms, char path[PATH_BYTES], bool *ret_default,
                     struct coffer_fault *fault)
{
    const char *uri = uri_of(kms);
    *ret_default = uri == NULL;
    if (uri == NULL) {
        return default_path(path, fault);
    }
    if (strncmp(uri, "file:", 5) != 0 || uri[5] == '\0') {
        return cof_tool_secret_fail(fault, COFFER_E_INVALID,
                                    "'%.80s' names no key service: give file:PATH or https://HOST",
                                    uri);
    }
    if (strlen(uri + 5) >= PATH_BYTES) {
        return cof_tool_secret_fail(fault, COFFER_E_INVALID, "the key store's path is too long");
    }
    strcpy(path, uri + 5);
    return 0;
}

/* Make the directories above path, for their owner only. */
static int make_parents(const char *path, struct coffer_fault *fault)
{
    char parent[PATH_BYTES];
    for (const char *at = strchr(path + 1, '/'); at != NULL; at = strchr(at + 1, '/')) {
        snprintf(parent, sizeof parent, "%.*s", (int)(at - path), path);
        if (mkdir(parent, 0700) != 0 && errno != EEXIST) {
            int error = errno == ENOSPC ? COFFER_E_NO_SPACE : COFFER_E_ACCESS;
            return cof_tool_secret_fail(fault, error, "directory %.100s: %s", parent,
                                        strerror(errno));
        }
    }
    return 0;
}

/* ---- from what --------------------------------------------------------------------------- */

static int check_fd(const struct cof_tool_call *call, struct cof_tool_secret_source *source)
{
    uint64_t fd = cof_tool_number(call, "passphrase-fd", 0);
    if (fd > INT_MAX) {
        return cof_tool_secret_fail(source->fault, COFFER_E_INVALID,
                                    "--passphrase-fd takes the number of an open descriptor");
    }
    source->fd = (int)fd;
    return 0;
}

static int find_source(const struct cof_tool_call *call, struct cof_tool_secret_source *source)
{
    bool has_fd = cof_tool_given(call, "passphrase-fd");
    source->fd = -1;
    source->file = cof_tool_text(call, "passphrase-file", NULL);
    source->command = cof_tool_text(call, "passphrase-command", NULL);
    source->root_key_file = cof_tool_text(call, "root-key-file", NULL);
    int given = (source->file != NULL) + has_fd + (source->command != NULL) +
                (source->root_key_file != NULL);
    if (given > 1) {
        return cof_tool_secret_fail(source->fault, COFFER_E_INVALID,
                                    "--passphrase-file, --passphrase-fd, --passphrase-command and "
                                    "--root-key-file exclude each other: give one");
    }
    if (given == 1) {
        return has_fd ? check_fd(call, source) : 0;
    }
    source->file = environment("COFFER_PASSPHRASE_FILE");
    source->root_key_file = environment("COFFER_ROOT_KEY_FILE");
    if (source->file != NULL && source->root_key_file != NULL) {
        return cof_tool_secret_fail(source->fault, COFFER_E_INVALID,
                                    "COFFER_PASSPHRASE_FILE and COFFER_ROOT_KEY_FILE are both set: "
                                    "unset one");
    }
    return 0;
}

/* The second store's own secret, if it has one. */
static int find_own_source(const struct cof_tool_call *call, struct cof_tool_secret_source *source)
{
    const char *file = cof_tool_text(call, "source-passphrase-file", NULL);
    const char *root_key_file = cof_tool_text(call, "source-root-key-file", NULL);
    bool none = file == NULL && root_key_file == NULL;
    source->fd = -1;
    source->file = none ? environment("COFFER_SOURCE_PASSPHRASE_FILE") : file;
    source->root_key_file = none ? environment("COFFER_SOURCE_ROOT_KEY_FILE") : root_key_file;
    if (source->file != NULL && source->root_key_file != NULL) {
        return cof_tool_secret_fail(source->fault, COFFER_E_INVALID,
                                    "the source's key store is sealed by a passphrase or by a root "
                                    "key file: give one");
    }
    if (source->file != NULL || source->root_key_file != NULL) {
        return 0;
    }
    if (cof_tool_given(call, "passphrase-fd")) {
        return cof_tool_secret_fail(source->fault, COFFER_E_INVALID,
                                    "--passphrase-fd is read for the destination's key store: give "
                                    "--source-passphrase-file or --source-root-key-file, too");
    }
    return find_source(call, source);
}

static bool source_there(const struct cof_tool_secret_source *source)
{
    return source->file != NULL || source->fd >= 0 || source->command != NULL ||
           source->root_key_file != NULL || cof_tool_secret_terminal();
}

/* ---- open -------------------------------------------------------------------------------- */

static const char *root_name(enum coffer_root_kind kind)
{
    if (kind == COFFER_ROOT_TOKEN) {
        return "key in the PKCS#11 token";
    }
    return kind == COFFER_ROOT_TPM ? "TPM and its file" : "root key file";
}

static void tell_made(const struct cof_tool_kms *kms, const char *path)
{
    struct coffer_keystore_info info = {.size = sizeof info};
    if (coffer_keystore_info_get(kms->store, &info) != 0 || !info.created_now) {
        return;
    }
    if (info.root_kind == COFFER_ROOT_PASSPHRASE) {
        cof_tool_note(kms->call,
                      "made the key store %s (account %s, region %s), sealed by the passphrase "
                      "(Argon2id, %u MiB, %u passes); without it every key is lost",
                      path, info.account, info.region, info.argon2_memory_kib / 1024,
                      info.argon2_passes);
    } else {
        cof_tool_note(kms->call,
                      "made the key store %s (account %s, region %s), sealed by the %s; without it "
                      "every key is lost",
                      path, info.account, info.region, root_name(info.root_kind));
    }
}

/* What is said of the first store only. */
static const char *option(const struct cof_tool_kms *kms, const char *name)
{
    return kms->source ? NULL : cof_tool_text(kms->call, name, NULL);
}

/* Call use with the options of an open at path. */
static int use_at(struct cof_tool_kms *kms, const char *path, struct cof_tool_secret_source *source,
                  cof_tool_kms_use_fn use, void *ctx)
{
    struct coffer_keystore_opts opts = {.size = sizeof opts,
                                        .path = path,
                                        .account = option(kms, "account"),
                                        .region = option(kms, "region"),
                                        .flags = kms->flags,
                                        .root_key_file = source->root_key_file};
    struct coffer_fault source_fault = {0};
    if (source->root_key_file == NULL) {
        opts.passphrase = cof_tool_secret_read;
        opts.passphrase_ctx = source;
    }
    if (source->root_key_file != NULL && strncmp(source->root_key_file, "tpm2:", 5) == 0) {
        /* tpm2-tss would tell its own troubles, in its own words, beside ours. */
        (void)setenv("TSS2_LOG", "all+none", 0);
    }
    source->fault = &source_fault;
    int error = use(ctx, &opts, &kms->fault);
    if (error != 0 && source_fault.error == error) {
        /* The source's own sentence says more than that it could not be read. */
        kms->fault = source_fault;
    }
    return error;
}

int cof_tool_kms_use(struct cof_tool_kms *kms, cof_tool_kms_use_fn use, void *ctx)
{
    char path[PATH_BYTES];
    bool is_default = false;
    struct cof_tool_secret_source source = {.prompt = kms->call->program->name,
                                            .path = path,
                                            .fault = &kms->fault};
    int error = find_path(kms, path, &is_default, &kms->fault);
    if (error == 0) {
        error = kms->source ? find_own_source(kms->call, &source) : find_source(kms->call, &source);
    }
    if (error == 0 && is_default && (kms->flags & COFFER_KEYSTORE_CREATE) != 0 &&
        source_there(&source)) {
        error = make_parents(path, &kms->fault);
    }
    return error == 0 ? use_at(kms, path, &source, use, ctx) : error;
}

static int open_file(void *ctx, const struct coffer_keystore_opts *opts, struct coffer_fault *fault)
{
    struct cof_tool_kms *kms = ctx;
    int error = coffer_keystore_open(opts, &kms->store, fault);
    if (error == 0) {
        tell_made(kms, opts->path);
    }
    return error;
}

int cof_tool_kms_connect_as(struct cof_tool_kms *kms, struct cof_tool_engine *engine,
                            struct coffer_kms_client **ret_client)
{
    return cof_tool_kms_connect(uri_of(kms), option(kms, "region"),
                                cof_tool_text(kms->call, "kms-ca-file", NULL), engine, ret_client,
                                &kms->fault);
}

int cof_tool_kms_open(struct cof_tool_kms *kms)
{
    if (kms->store != NULL || kms->client != NULL || kms->open_error != 0) {
        return kms->open_error;
    }
    if (cof_tool_kms_is_remote(uri_of(kms))) {
        kms->open_error = cof_tool_kms_connect_as(kms, NULL, &kms->client);
        return kms->open_error;
    }
    kms->open_error = cof_tool_kms_use(kms, open_file, kms);
    return kms->open_error;
}

/* ---- the session -------------------------------------------------------------------------- */

void cof_tool_kms_init(struct cof_tool_kms *kms, const struct cof_tool_call *call, unsigned flags,
                       struct coffer_key_provider *ret_provider)
{
    memset(kms, 0, sizeof *kms);
    kms->call = call;
    kms->flags = flags;
    kms->sides[0].kms = kms;
    kms->sides[1] = (struct cof_tool_kms_side){kms, true};
    if (ret_provider != NULL) {
        cof_tool_kms_provider(kms, cof_tool_kms_has_engine(kms), ret_provider);
    }
}

void cof_tool_kms_init_source(struct cof_tool_kms *kms, const struct cof_tool_call *call,
                              unsigned flags, struct coffer_key_provider *ret_provider)
{
    cof_tool_kms_init(kms, call, flags, ret_provider);
    kms->source = true;
}

bool cof_tool_kms_two(const struct cof_tool_call *call)
{
    struct cof_tool_kms first = {.call = call};
    struct cof_tool_kms second = {.call = call, .source = true};
    char paths[2][PATH_BYTES];
    struct stat stats[2];
    bool is_default;
    if (source_uri(call) == NULL) {
        return false;
    }
    if (cof_tool_kms_is_remote(uri_of(&first)) || cof_tool_kms_is_remote(uri_of(&second))) {
        return uri_of(&first) == NULL || strcmp(uri_of(&first), uri_of(&second)) != 0;
    }
    if (find_path(&first, paths[0], &is_default, &first.fault) != 0 ||
        find_path(&second, paths[1], &is_default, &second.fault) != 0) {
        return true;
    }
    return strcmp(paths[0], paths[1]) != 0 &&
           (stat(paths[0], &stats[0]) != 0 || stat(paths[1], &stats[1]) != 0 ||
            stats[0].st_dev != stats[1].st_dev || stats[0].st_ino != stats[1].st_ino);
}

int cof_tool_kms_call(struct cof_tool_kms *kms, const struct coffer_kms_request *request,
                      struct coffer_kms_answer *ret_answer)
{
    return kms->client != NULL
               ? coffer_kms_client_call(kms->client, request->operation, request->body,
                                        request->body_bytes, ret_answer, &kms->fault)
               : coffer_kms_call(kms->store, request, ret_answer);
}

int cof_tool_kms_region(struct cof_tool_kms *kms, char ret_region[33])
{
    struct coffer_keystore_info info = {.size = sizeof info};
    if (kms->client != NULL) {
        snprintf(ret_region, 33, "%s", coffer_kms_client_region(kms->client));
        return 0;
    }
    int error = coffer_keystore_info_get(kms->store, &info);
    if (error == 0) {
        memcpy(ret_region, info.region, sizeof info.region);
    }
    return error;
}

void cof_tool_kms_fault(struct cof_tool_kms *kms, struct coffer_fault *ret_fault)
{
    if (kms->engine_failed && kms->engine_client != NULL) {
        coffer_kms_client_provider_fault(kms->engine_client, ret_fault);
    } else if (kms->client != NULL && kms->open_error == 0) {
        coffer_kms_client_provider_fault(kms->client, ret_fault);
    } else if (kms->store != NULL && kms->open_error == 0) {
        coffer_keystore_provider_fault(kms->store, ret_fault);
    } else {
        *ret_fault = kms->fault;
        ret_fault->error = kms->open_error;
    }
}

void cof_tool_kms_done(struct cof_tool_kms *kms)
{
    coffer_keystore_close(kms->store);
    coffer_kms_client_free(kms->client);
    coffer_kms_client_free(kms->engine_client);
    kms->engine_client = NULL;
    kms->store = NULL;
    kms->client = NULL;
}
