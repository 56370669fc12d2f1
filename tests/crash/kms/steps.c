/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/kms/steps.c - what is done to a whole store (backup, restore, another root secret) is
 * killed before each of its writes, one after the other, until it comes through.
 *
 * A scene is a directory with a store, its ledger, and an older copy: the store has a key that the
 * copy lacks, and destroyed one that the copy has. After a death the store opens, holds together,
 * and verifies against its ledger; it is as before or as after, has nothing that was destroyed, and
 * the operation, done again, succeeds. What was acknowledged is done.
 */
#include "runs.h"

#include "common/harness.h"
#include "disk.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define WRITES_MAX 2000u

static const uint8_t text[] = "attack at dawn";

static struct {
    char base[PATH_MAX], work[PATH_MAX];
    uint64_t now_ns;
    char old_key[COFFER_KEY_ARN_BYTES_MAX], dead_key[COFFER_KEY_ARN_BYTES_MAX];
    char new_key[COFFER_KEY_ARN_BYTES_MAX];
    struct coffer_key_blob blob; /* under old_key */
    struct run_counts *counts;
    bool lie;
} scene;

/* ---- stores ------------------------------------------------------------------------------ */

static uint64_t clock_of(void *ctx)
{
    return *(const uint64_t *)ctx;
}

static int passphrase(void *ctx, int creating, uint8_t *buffer, size_t capacity, size_t *ret_bytes)
{
    size_t bytes = strlen(ctx);
    (void)creating;
    if (bytes > capacity) {
        return COFFER_E_INVALID;
    }
    memcpy(buffer, ctx, bytes);
    *ret_bytes = bytes;
    return 0;
}

static char old_secret[] = "killed", new_secret[] = "killed again";

static const char *in(const char *directory, const char *name)
{
    static char paths[4][PATH_MAX + 16];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

/* Texts of what it gives outlive the call. */
static struct coffer_keystore_opts opts_of(const char *path, char *secret)
{
    static struct coffer_env env;
    env = (struct coffer_env){.size = sizeof env, .wall_ns = clock_of, .ctx = &scene.now_ns};
    return (struct coffer_keystore_opts){.size = sizeof(struct coffer_keystore_opts),
                                         .path = path,
                                         .passphrase = passphrase,
                                         .passphrase_ctx = secret,
                                         .env = &env,
                                         .argon2_memory_kib = 8,
                                         .argon2_passes = 1};
}

static struct coffer_keystore *open_store(const char *path, char *secret, unsigned flags)
{
    struct coffer_keystore_opts opts = opts_of(path, secret);
    struct coffer_keystore *store = NULL;
    struct coffer_fault fault = {0};
    opts.flags = flags;
    int error = coffer_keystore_open(&opts, &store, &fault);
    harness_require(error == 0, "open %s: %s: %s", path, coffer_error_name(error), fault.detail);
    return store;
}

static void must(int error, const char *what, const struct coffer_fault *fault)
{
    harness_require(error == 0, "%s: %s: %s", what, coffer_error_name(error), fault->detail);
}

static void make_key(struct coffer_keystore *store, char arn[COFFER_KEY_ARN_BYTES_MAX])
{
    struct coffer_key_metadata key = {.size = sizeof key};
    struct coffer_fault fault = {0};
    must(coffer_keystore_create_key(store, "", &key, &fault), "create-key", &fault);
    memcpy(arn, key.arn, sizeof key.arn);
}

static void destroy(struct coffer_keystore *store, const char *arn)
{
    static struct cof_kms_key_row row;
    struct coffer_fault fault = {0};
    struct cof_kms_call call;
    int error = cof_kms_call_begin(&call, store, "ScheduleKeyDeletion", COF_KMS_CHANGES, &fault);
    must(error, "begin", &fault);
    error = cof_kms_call_settle(&call, cof_kms_schedule_key_deletion(&call, arn, 7, &row));
    cof_kms_call_leave(&call);
    must(error, "schedule-key-deletion", &fault);
    scene.now_ns += 8 * DAY_NS;
    must(cof_kms_tick(store, &fault), "tick", &fault);
}

static void shell(const char *format, const char *one, const char *two)
{
    char command[3 * PATH_MAX];
    snprintf(command, sizeof command, format, one, two);
    harness_require(system(command) == 0, "%s", command);
}

static void set_scene(const char *directory)
{
    struct coffer_fault fault = {0};
    snprintf(scene.base, sizeof scene.base, "%s/base", directory);
    snprintf(scene.work, sizeof scene.work, "%s/scene", directory);
    shell("rm -rf -- '%s' && mkdir -- '%s'", scene.base, scene.base);
    scene.now_ns = BEGAN_NS;
    struct coffer_keystore *store =
        open_store(in(scene.base, "keys"), old_secret, COFFER_KEYSTORE_CREATE);
    make_key(store, scene.old_key);
    make_key(store, scene.dead_key);
    must(coffer_keystore_encrypt(store, scene.old_key, text, sizeof text, NULL, &scene.blob, NULL,
                                 &fault),
         "encrypt", &fault);
    must(coffer_keystore_backup(store, in(scene.base, "copy"), &fault), "backup", &fault);
    make_key(store, scene.new_key);
    destroy(store, scene.dead_key);
    coffer_keystore_close(store);
}

/* ---- operations -------------------------------------------------------------------------- */

static bool is_there(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0;
}

static int backup(struct coffer_fault *fault)
{
    struct coffer_keystore *store = open_store(in(scene.work, "keys"), old_secret, 0);
    int error = coffer_keystore_backup(store, in(scene.work, "new-copy"), fault);
    coffer_keystore_close(store);
    return error;
}

static int restore(struct coffer_fault *fault)
{
    struct coffer_keystore_opts opts = opts_of(in(scene.work, "keys"), old_secret);
    return coffer_keystore_restore(&opts, in(scene.work, "copy"), 0, fault);
}

static int restore_over(struct coffer_fault *fault)
{
    struct coffer_keystore_opts opts = opts_of(in(scene.work, "keys"), old_secret);
    return coffer_keystore_restore(&opts, in(scene.work, "copy"), COFFER_RESTORE_REPLACE, fault);
}

static int rekey(struct coffer_fault *fault)
{
    struct coffer_keystore_root_opts root = {.size = sizeof root,
                                             .passphrase = passphrase,
                                             .passphrase_ctx = new_secret,
                                             .argon2_memory_kib = 8,
                                             .argon2_passes = 1};
    struct coffer_keystore *store = open_store(in(scene.work, "keys"), old_secret, 0);
    int error = coffer_keystore_root_change(store, &root, fault);
    coffer_keystore_close(store);
    return error;
}

/* ---- looking ----------------------------------------------------------------------------- */

/* What holds in any store here; whether it has the key that the older copy lacks. */
static bool look_into(const char *path, char *secret)
{
    struct coffer_keystore *store = open_store(path, secret, 0);
    struct coffer_key_metadata key = {.size = sizeof key};
    struct coffer_fault fault = {0};
    uint8_t plain[64];
    uint64_t rows = 0, records = 0;
    size_t bytes = 0;
    must(coffer_keystore_check(store, &rows, &fault), "check", &fault);
    must(coffer_keystore_audit_verify(store, &records, &fault), "audit verify", &fault);
    must(coffer_keystore_decrypt(store, NULL, scene.blob.bytes, scene.blob.length_bytes, NULL,
                                 plain, sizeof plain, &bytes, NULL, &fault),
         "decrypt", &fault);
    harness_require(bytes == sizeof text && memcmp(plain, text, bytes) == 0, "another plaintext");
    int error = coffer_keystore_describe_key(store, scene.dead_key, &key, &fault);
    harness_require(error == COFFER_E_KEY_NOT_FOUND, "a key that was destroyed is back");
    error = coffer_keystore_describe_key(store, scene.new_key, &key, &fault);
    harness_require(error == 0 || error == COFFER_E_KEY_NOT_FOUND, "describe-key: %s",
                    coffer_error_name(error));
    coffer_keystore_close(store);
    scene.counts->rows += rows;
    return error == 0;
}

static bool look_at_backup(void)
{
    const char *copy = in(scene.work, "new-copy");
    harness_require(look_into(in(scene.work, "keys"), old_secret), "the store went back");
    if (!is_there(copy)) {
        return false;
    }
    harness_require(look_into(copy, old_secret), "the copy is of another time");
    return true;
}

static bool look_at_restore(void)
{
    const char *path = in(scene.work, "keys");
    if (!is_there(path)) {
        return false;
    }
    harness_require(!look_into(path, old_secret), "the copy has what it lacks");
    return true;
}

static bool look_at_restore_over(void)
{
    return !look_into(in(scene.work, "keys"), old_secret);
}

static bool look_at_rekey(void)
{
    const char *path = in(scene.work, "keys");
    struct coffer_keystore_opts opts = opts_of(path, new_secret);
    struct coffer_keystore *store = NULL;
    int error = coffer_keystore_open(&opts, &store, NULL);
    coffer_keystore_close(store);
    harness_require(error == 0 || error == COFFER_E_PASSPHRASE, "the new secret: %s",
                    coffer_error_name(error));
    harness_require(look_into(path, error == 0 ? new_secret : old_secret), "the store went back");
    if (error != 0) {
        return false;
    }
    opts = opts_of(path, old_secret);
    error = coffer_keystore_open(&opts, &store, NULL);
    harness_require(error == COFFER_E_PASSPHRASE, "both secrets open it");
    return true;
}

static const struct operation {
    const char *name;
    const char *gone; /* what is missing at the beginning, or NULL */
    int (*run)(struct coffer_fault *fault);
    bool (*is_done)(void); /* fails the case when the store is neither as before nor as after */
} operations[] = {{"backup", NULL, backup, look_at_backup},
                  {"restore", "keys", restore, look_at_restore},
                  {"restore --force", NULL, restore_over, look_at_restore_over},
                  {"rekey-root", NULL, rekey, look_at_rekey}};

/* ---- deaths ------------------------------------------------------------------------------ */

struct death {
    const struct operation *operation;
    uint64_t writes; /* before it */
    bool came_through;
};

/* Whether it came through, in a child that dies before that many writes. */
static bool run_and_die(const struct death *death)
{
    struct coffer_fault fault = {0};
    int status = 0;
    fflush(stdout);
    pid_t pid = fork();
    harness_require(pid >= 0, "fork: %s", strerror(errno));
    if (pid == 0) {
        disk_die_after(death->writes);
        _exit(death->operation->run(&fault) == 0 ? 0 : 3);
    }
    (void)waitpid(pid, &status, 0);
    harness_require((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) ||
                        (WIFEXITED(status) && WEXITSTATUS(status) == 0),
                    "it failed by itself, status %d", status);
    return WIFEXITED(status);
}

static void one_death(void *ctx)
{
    struct death *death = ctx;
    const struct operation *operation = death->operation;
    struct coffer_fault fault = {0};
    shell("rm -rf -- '%1$s' && cp -r -- '%2$s' '%1$s'", scene.work, scene.base);
    if (operation->gone != NULL) {
        shell("rm -- '%s/%s'", scene.work, operation->gone);
    }
    death->came_through = run_and_die(death);
    bool done = operation->is_done();
    harness_require(done || !(death->came_through || scene.lie), "what was acknowledged is lost");
    if (!done) {
        must(operation->run(&fault), "once more", &fault);
        harness_require(operation->is_done(), "it succeeded, and nothing was done");
    }
    scene.counts->deaths += !death->came_through;
    scene.counts->steps += death->came_through;
}

void step_run(const char *directory, bool lie, struct run_counts *counts)
{
    scene.counts = counts;
    scene.lie = lie;
    set_scene(directory);
    for (unsigned i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        struct death death = {&operations[i], 0, false};
        for (; !death.came_through && harness_failures() == 0; death.writes++) {
            harness_context("kms --whole: %s, before write %llu", operations[i].name,
                            (unsigned long long)death.writes);
            harness_require(death.writes < WRITES_MAX, "%s never ends", operations[i].name);
            (void)harness_run(one_death, &death);
        }
    }
}
