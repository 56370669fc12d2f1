/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms_fixture.h - a key store in a directory of its own, cheap to open, and ways to look into it.
 */
#ifndef KMS_FIXTURE_H
#define KMS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <coffer/keystore.h>
#include <dirent.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct kms_fixture {
    char directory[64];
    char path[96];
    char key_file[96];
    const char *passphrase;
    int asked;          /* calls of the passphrase callback     */
    int asked_creating; /* its argument in the last of them     */
    struct coffer_keystore_opts opts;
    struct coffer_keystore *store;
    struct coffer_fault fault;
};

static inline int fixture_passphrase(void *ctx, int creating, uint8_t *buffer, size_t capacity,
                                     size_t *ret_bytes)
{
    struct kms_fixture *f = ctx;
    size_t bytes = strlen(f->passphrase);

    f->asked++;
    f->asked_creating = creating;
    if (bytes > capacity) {
        return COFFER_E_INVALID;
    }
    memcpy(buffer, f->passphrase, bytes);
    *ret_bytes = bytes;
    return 0;
}

static inline void fixture_write(const char *path, const void *bytes, size_t count, mode_t mode)
{
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, mode);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, count), count);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

/* Names a store that isn't there yet. */
static inline void fixture_init(struct kms_fixture *f)
{
    memset(f, 0, sizeof(*f));
    strcpy(f->directory, "/tmp/coffer-kms-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    snprintf(f->path, sizeof(f->path), "%s/keys", f->directory);
    snprintf(f->key_file, sizeof(f->key_file), "%s/root", f->directory);
    f->passphrase = "correct horse";
    f->opts.size = sizeof(f->opts);
    f->opts.path = f->path;
    f->opts.flags = COFFER_KEYSTORE_CREATE;
    f->opts.passphrase = fixture_passphrase;
    f->opts.passphrase_ctx = f;
    f->opts.argon2_memory_kib = 8;
    f->opts.argon2_passes = 1;
    f->opts.busy_timeout_ms = 200;
}

static inline int fixture_open(struct kms_fixture *f)
{
    memset(&f->fault, 0, sizeof(f->fault));
    return coffer_keystore_open(&f->opts, &f->store, &f->fault);
}

static inline void fixture_close(struct kms_fixture *f)
{
    coffer_keystore_close(f->store);
    f->store = NULL;
}

static inline unsigned fixture_files(const struct kms_fixture *f)
{
    DIR *directory = opendir(f->directory);
    struct dirent *entry;
    unsigned files = 0;

    assert_non_null(directory);
    while ((entry = readdir(directory)) != NULL) {
        files += entry->d_name[0] != '.';
    }
    closedir(directory);
    return files;
}

static inline void fixture_done(struct kms_fixture *f)
{
    char path[400];
    DIR *directory = opendir(f->directory);
    struct dirent *entry;

    fixture_close(f);
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        snprintf(path, sizeof(path), "%s/%s", f->directory, entry->d_name);
        unlink(path);
    }
    closedir(directory);
    rmdir(f->directory);
}

static inline int fixture_setup(void **state)
{
    struct kms_fixture *f = malloc(sizeof(*f));

    assert_non_null(f);
    fixture_init(f);
    assert_int_equal(fixture_open(f), 0);
    *state = f;
    return 0;
}

static inline int fixture_teardown(void **state)
{
    fixture_done(*state);
    free(*state);
    return 0;
}

/* Run SQL on the file, beside the store. */
static inline void fixture_sql(const struct kms_fixture *f, const char *sql)
{
    sqlite3 *db = NULL;
    char *why = NULL;

    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 2000);
    if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK) {
        fail_msg("%s: %s", sql, why);
    }
    sqlite3_close(db);
}

static inline int64_t fixture_number(const struct kms_fixture *f, const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = NULL;
    int64_t number;

    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    number = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return number;
}

/* A fresh key; its metadata stays until the next call. */
static inline const struct coffer_key_metadata *fixture_key(struct kms_fixture *f)
{
    static struct coffer_key_metadata key;

    key.size = sizeof(key);
    assert_int_equal(coffer_keystore_create_key(f->store, "a key", &key, &f->fault), 0);
    return &key;
}

#endif
