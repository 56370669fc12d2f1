/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cofferkms/store.c - the key store's file as a whole: describe, check, backup, restore, another
 * secret for its root key. They work on files: a service elsewhere has none to give. One thread.
 */
#include "common/error.h"
#include "common/kms_secret.h"
#include "common/output.h"
#include "verbs.h"
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define SCHEMA_VERSION 1u

/* ---- what is printed --------------------------------------------------------------------- */

static void uuid_text(const uint8_t uuid[16], char text[37])
{
    char *out = text;
    for (unsigned i = 0; i < 16; i++) {
        out += sprintf(out, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", uuid[i]);
    }
}

static json_t *summary_json(const char *path, const struct coffer_keystore_summary *summary)
{
    const struct coffer_keystore_info *info = &summary->info;
    bool passphrase = info->root_kind == COFFER_ROOT_PASSPHRASE;
    char id[37];
    uuid_text(info->uuid, id);
    json_t *value = json_pack(
        "{s:s, s:s, s:s, s:s, s:o, s:I, s:s, s:o, s:I, s:I, s:I}", "File", path, "StoreId", id,
        "Account", info->account, "Region", info->region, "CreationDate",
        cof_key_time_json(info->created_ns), "SchemaVersion", (json_int_t)info->schema_version,
        "SealedBy", coffer_keystore_root_kind_name(info->root_kind), "SealedSince",
        cof_key_time_json(summary->root_since_ns), "SealChanges", (json_int_t)summary->root_changes,
        "Keys", (json_int_t)summary->keys, "AuditRecords", (json_int_t)summary->audit_records);
    if (value != NULL && passphrase) {
        json_object_set_new(value, "Argon2Memory",
                            json_integer((json_int_t)info->argon2_memory_kib * 1024));
        json_object_set_new(value, "Argon2Passes", json_integer(info->argon2_passes));
        json_object_set_new(value, "Argon2Lanes", json_integer(info->argon2_lanes));
    }
    return value;
}

static int fail(const struct cof_tool_call *call, int error, struct coffer_fault *fault,
                const char *what)
{
    fault->stage = COFFER_STAGE_NONE;
    return cof_tool_fail(call, error, fault, NULL, "%s", what);
}

static int print_summary(const struct cof_tool_call *call, const char *path)
{
    struct coffer_keystore_summary summary = {.size = sizeof summary};
    struct cof_tool_view view = {.schema_version = SCHEMA_VERSION, .byte_fields = "Argon2Memory"};
    struct coffer_fault fault = {0};
    int error = coffer_keystore_inspect(path, &summary, &fault);
    return error != 0 ? fail(call, error, &fault, "cannot describe the key store")
                      : cof_tool_print(call, summary_json(path, &summary), &view);
}

/* ---- describe, check, backup ------------------------------------------------------------- */

static int keep_path(void *ctx, const struct coffer_keystore_opts *opts, struct coffer_fault *fault)
{
    (void)fault;
    snprintf(ctx, PATH_MAX, "%s", opts->path);
    return 0;
}

int cof_key_store_describe(struct cof_tool_call *call)
{
    struct cof_tool_kms kms;
    char path[PATH_MAX];
    cof_tool_kms_init(&kms, call, 0, NULL);
    int error = cof_tool_kms_use(&kms, keep_path, path);
    return error != 0 ? fail(call, error, &kms.fault, "cannot describe the key store")
                      : print_summary(call, path);
}

/* Open the store for writing; an exit code. */
static int open_store(struct cof_tool_call *call, struct cof_tool_kms *kms)
{
    cof_tool_kms_init(kms, call, 0, NULL);
    int error = cof_tool_kms_open(kms);
    if (error == 0 && kms->store == NULL) {
        error = cof_tool_secret_fail(&kms->fault, COFFER_E_UNSUPPORTED,
                                     "this is done where the key store's file is: give file:PATH");
    }
    if (error == 0) {
        return 0;
    }
    cof_tool_kms_done(kms);
    return fail(call, error, &kms->fault, "cannot open the key store");
}

int cof_key_store_check(struct cof_tool_call *call)
{
    struct cof_tool_view view = {.schema_version = SCHEMA_VERSION};
    struct cof_tool_kms kms;
    uint64_t rows = 0;
    int exit_code = open_store(call, &kms);
    if (exit_code != 0) {
        return exit_code;
    }
    int error = coffer_keystore_check(kms.store, &rows, &kms.fault);
    cof_tool_kms_done(&kms);
    return error != 0 ? fail(call, error, &kms.fault, "the key store is not sound")
                      : cof_tool_print(call, json_pack("{s:I}", "Rows", (json_int_t)rows), &view);
}

int cof_key_store_backup(struct cof_tool_call *call)
{
    const char *to = cof_tool_text(call, "to", NULL);
    struct cof_tool_kms kms;
    if (to == NULL) {
        return cof_tool_usage(call, "MissingParameter",
                              "--to is missing: name a file for the copy");
    }
    int exit_code = open_store(call, &kms);
    if (exit_code != 0) {
        return exit_code;
    }
    int error = coffer_keystore_backup(kms.store, to, &kms.fault);
    cof_tool_kms_done(&kms);
    return error != 0 ? fail(call, error, &kms.fault, "cannot copy the key store")
                      : print_summary(call, to);
}

/* ---- restore ----------------------------------------------------------------------------- */

struct restore {
    const char *from;
    unsigned flags;
    char path[PATH_MAX];
};

static int restore(void *ctx, const struct coffer_keystore_opts *opts, struct coffer_fault *fault)
{
    struct restore *work = ctx;
    snprintf(work->path, sizeof work->path, "%s", opts->path);
    return coffer_keystore_restore(opts, work->from, work->flags, fault);
}

int cof_key_store_restore(struct cof_tool_call *call)
{
    struct restore work = {.from = cof_tool_text(call, "from", NULL),
                           .flags = cof_tool_given(call, "force") ? COFFER_RESTORE_REPLACE : 0};
    struct cof_tool_kms kms;
    if (work.from == NULL) {
        return cof_tool_usage(call, "MissingParameter", "--from is missing: name the copy");
    }
    cof_tool_kms_init(&kms, call, 0, NULL);
    int error = cof_tool_kms_use(&kms, restore, &work);
    if (error != 0) {
        return cof_tool_fail(call, error, &kms.fault,
                             error == COFFER_E_EXISTS ? "--force replaces it, and keeps it beside"
                                                      : NULL,
                             "cannot put the copy back");
    }
    return print_summary(call, work.path);
}

/* ---- rekey-root -------------------------------------------------------------------------- */

static int read_cost(struct cof_tool_call *call, struct coffer_keystore_root_opts *opts)
{
    uint64_t memory = cof_tool_size(call, "argon2-memory", 0);
    uint64_t passes = cof_tool_number(call, "argon2-passes", 0);
    uint64_t lanes = cof_tool_number(call, "argon2-lanes", 0);
    bool given = cof_tool_given(call, "argon2-memory") || cof_tool_given(call, "argon2-passes") ||
                 cof_tool_given(call, "argon2-lanes");
    if (given && opts->root_key_file != NULL) {
        return cof_tool_usage(call, "InvalidParameterCombination",
                              "a root key file has no cost: leave the --argon2 options out");
    }
    if (memory / 1024 > UINT32_MAX || passes > UINT32_MAX || lanes > UINT32_MAX ||
        memory % 1024 != 0) {
        return cof_tool_usage(call, NULL, "the cost of Argon2id is out of bounds");
    }
    opts->argon2_memory_kib = (uint32_t)(memory / 1024);
    opts->argon2_passes = (uint32_t)passes;
    opts->argon2_lanes = (uint32_t)lanes;
    return 0;
}

/* Change the secret of an open store; an exit code. */
static int change(struct cof_tool_call *call, struct cof_tool_kms *kms,
                  struct coffer_keystore_root_opts *opts, const char *path)
{
    struct coffer_fault fault = {0}, source_fault = {0};
    struct cof_tool_secret_source source = {.prompt = call->program->name,
                                            .path = path,
                                            .file =
                                                cof_tool_text(call, "new-passphrase-file", NULL),
                                            .fd = -1,
                                            .fault = &source_fault};
    if (opts->root_key_file == NULL) {
        opts->passphrase = cof_tool_secret_read;
        opts->passphrase_ctx = &source;
    }
    int error = coffer_keystore_root_change(kms->store, opts, &fault);
    if (error == 0) {
        return 0;
    }
    return fail(call, error, source_fault.error == error ? &source_fault : &fault,
                "the secret was not changed");
}

int cof_key_store_rekey_root(struct cof_tool_call *call)
{
    struct coffer_keystore_root_opts opts = {
        .size = sizeof opts, .root_key_file = cof_tool_text(call, "new-root-key-file", NULL)};
    struct cof_tool_kms kms;
    char path[PATH_MAX];
    if (opts.root_key_file != NULL && cof_tool_given(call, "new-passphrase-file")) {
        return cof_tool_usage(call, "InvalidParameterCombination",
                              "--new-passphrase-file and --new-root-key-file exclude each other");
    }
    int exit_code = read_cost(call, &opts);
    if (exit_code == 0) {
        exit_code = open_store(call, &kms);
    }
    if (exit_code != 0) {
        return exit_code;
    }
    int error = cof_tool_kms_use(&kms, keep_path, path);
    exit_code = error == 0 ? change(call, &kms, &opts, path)
                           : fail(call, error, &kms.fault, "the secret was not changed");
    cof_tool_kms_done(&kms);
    if (exit_code != 0) {
        return exit_code;
    }
    cof_tool_note(call, "copies of the key store that were made before open by the old secret");
    return print_summary(call, path);
}
