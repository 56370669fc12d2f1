/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies of the key store while others use it, coming back from a copy, and changing what seals the
 * root key: each whole or not at all, and nothing deleted comes back.
 */
#include "kms/verbs.h"
#include "kms_work.h"

#include <pthread.h>

static uint64_t check_store(struct kms_fixture *f)
{
    uint64_t rows = 0;
    int error = coffer_keystore_check(f->store, &rows, &f->fault);

    if (error != 0) {
        fail_msg("%s", f->fault.detail);
    }
    return rows;
}

static const char *beside(const struct kms_fixture *f, const char *name)
{
    static char paths[4][400];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof(paths[0]), "%s/%s", f->directory, name);
    return path;
}

/* Another store in the fixture's place. */
static void look_at(struct kms_fixture *f, const char *path)
{
    fixture_close(f);
    snprintf(f->path, sizeof(f->path), "%s", path);
    f->opts.flags = 0;
    assert_int_equal(fixture_open(f), 0);
}

/* Files that were built and never put in their place. */
static unsigned half_made(const struct kms_fixture *f)
{
    DIR *directory = opendir(f->directory);
    struct dirent *entry;
    unsigned files = 0;

    assert_non_null(directory);
    while ((entry = readdir(directory)) != NULL) {
        files += strstr(entry->d_name, ".new-") != NULL;
    }
    closedir(directory);
    return files;
}

static int has_key(struct kms_fixture *f, const char *key)
{
    static struct coffer_key_metadata metadata = {.size = sizeof(metadata)};
    int error = coffer_keystore_describe_key(f->store, key, &metadata, &f->fault);

    assert_true(error == 0 || error == COFFER_E_KEY_NOT_FOUND);
    return error == 0;
}

/* ---- backup ------------------------------------------------------------------------------ */

static void a_copy_opens_by_the_same_secret_and_has_everything(void **state)
{
    struct kms_fixture *f = *state;
    const char *copy = beside(f, "copy");
    struct coffer_key_blob blob;
    uint8_t back[16];
    size_t bytes = 0;
    struct stat about;
    char key[COFFER_KEY_ID_BYTES];

    strcpy(key, fixture_key(f)->key_id);
    assert_int_equal(coffer_keystore_create_alias(f->store, "alias/a", key, &f->fault), 0);
    assert_int_equal(coffer_keystore_encrypt(f->store, key, (const uint8_t *)"attack", 6, NULL,
                                             &blob, NULL, &f->fault),
                     0);
    assert_int_equal(coffer_keystore_backup(f->store, copy, &f->fault), 0);
    assert_int_equal(stat(copy, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
    assert_int_equal(fixture_files(f), 4); /* the store with its two, and one file */
    assert_int_equal(coffer_keystore_backup(f->store, copy, &f->fault), COFFER_E_EXISTS);
    assert_int_equal(fixture_files(f), 4);
    fixture_key(f); /* not in the copy */
    look_at(f, copy);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM key"), 1);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM audit WHERE event = 'BackupKeyStore'"
                                       " AND context LIKE '%/copy%'"),
                     1);
    assert_int_equal(coffer_keystore_decrypt(f->store, "alias/a", blob.bytes, blob.length_bytes,
                                             NULL, back, sizeof(back), &bytes, NULL, &f->fault),
                     0);
    assert_int_equal(bytes, 6);
    assert_memory_equal(back, "attack", 6);
    assert_true(check_store(f) > 5);
}

static void a_copy_needs_no_room_beside_it_to_be_read(void **state)
{
    struct kms_fixture *f = *state;
    const char *copy = beside(f, "copy");

    fixture_key(f);
    assert_int_equal(coffer_keystore_backup(f->store, copy, &f->fault), 0);
    fixture_close(f);
    unlink(f->path);
    f->opts.flags = COFFER_KEYSTORE_READ_ONLY;
    snprintf(f->path, sizeof(f->path), "%s", copy);
    assert_int_equal(fixture_open(f), 0);
    assert_true(check_store(f) > 3);
    assert_int_equal(fixture_files(f), 1);
}

static void a_store_opened_for_reading_is_copied_without_a_record(void **state)
{
    struct kms_fixture *f = *state;

    fixture_key(f);
    fixture_close(f);
    f->opts.flags = COFFER_KEYSTORE_READ_ONLY;
    assert_int_equal(fixture_open(f), 0);
    assert_int_equal(coffer_keystore_backup(f->store, beside(f, "copy"), &f->fault), 0);
    look_at(f, beside(f, "copy"));
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM audit WHERE event = 'BackupKeyStore'"),
                     0);
    check_store(f);
}

static void a_copy_that_fails_leaves_nothing(void **state)
{
    struct kms_fixture *f = *state;

    fixture_key(f);
    assert_int_equal(coffer_keystore_backup(f->store, beside(f, "no/such"), &f->fault),
                     COFFER_E_NOT_FOUND);
    assert_int_equal(coffer_keystore_backup(f->store, "", &f->fault), COFFER_E_INVALID);
    fixture_sql(f, "UPDATE key SET description = 'x' WHERE managed = 0");
    assert_int_equal(coffer_keystore_backup(f->store, beside(f, "copy"), &f->fault),
                     COFFER_E_TAMPER);
    assert_int_equal(fixture_files(f), 3);
}

struct writer {
    struct kms_fixture fixture;
    int stop;
    unsigned made;
};

static void *write_on(void *ctx)
{
    struct writer *w = ctx;

    while (!__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE)) {
        static struct coffer_key_metadata key = {.size = sizeof(key)};

        if (coffer_keystore_create_key(w->fixture.store, "w", &key, NULL) != 0) {
            break;
        }
        __atomic_add_fetch(&w->made, 1, __ATOMIC_RELEASE);
    }
    return NULL;
}

static void a_copy_is_of_one_moment_while_others_write(void **state)
{
    struct kms_fixture *f = *state;
    struct writer w = {.fixture = *f};
    pthread_t thread;
    unsigned before[8], after[8], i;
    int64_t keys;

    assert_int_equal(coffer_keystore_open(&f->opts, &w.fixture.store, &f->fault), 0);
    assert_int_equal(pthread_create(&thread, NULL, write_on, &w), 0);
    while (__atomic_load_n(&w.made, __ATOMIC_ACQUIRE) < 3) {
        sched_yield();
    }
    f->opts.busy_timeout_ms = 5000;
    for (i = 0; i < 8; i++) {
        char name[16];

        snprintf(name, sizeof(name), "copy%u", i);
        before[i] = __atomic_load_n(&w.made, __ATOMIC_ACQUIRE);
        assert_int_equal(coffer_keystore_backup(w.fixture.store, beside(f, name), &f->fault), 0);
        after[i] = __atomic_load_n(&w.made, __ATOMIC_ACQUIRE);
    }
    __atomic_store_n(&w.stop, 1, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    coffer_keystore_close(w.fixture.store);
    for (i = 0; i < 8; i++) {
        char name[16];

        snprintf(name, sizeof(name), "copy%u", i);
        look_at(f, beside(f, name));
        check_store(f);
        keys = fixture_number(f, "SELECT count(*) FROM key");
        assert_true(keys >= before[i] && keys <= after[i] + 1);
    }
}

/* ---- restore ----------------------------------------------------------------------------- */

static void a_copy_comes_back_where_nothing_is(void **state)
{
    struct kms_fixture *f = *state;
    char key[COFFER_KEY_ID_BYTES], path[sizeof(f->path)];
    const char *copy = beside(f, "copy");

    strcpy(key, fixture_key(f)->key_id);
    strcpy(path, f->path);
    assert_int_equal(coffer_keystore_backup(f->store, copy, &f->fault), 0);
    f->opts.flags = 0;
    assert_int_equal(coffer_keystore_restore(&f->opts, copy, 0, &f->fault), COFFER_E_EXISTS);
    fixture_close(f);
    unlink(path);
    assert_int_equal(coffer_keystore_restore(&f->opts, copy, 0, &f->fault), 0);
    assert_int_equal(fixture_files(f), 2);
    look_at(f, path);
    assert_true(has_key(f, key));
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM audit WHERE event = 'RestoreKeyStore'"
                                       " AND error = '' AND context LIKE '%/copy%'"),
                     1);
    check_store(f);
}

static void what_was_deleted_since_the_copy_does_not_come_back(void **state)
{
    struct kms_fixture *f = *state;
    const char *copy = beside(f, "copy");
    char key[COFFER_KEY_ID_BYTES], kept[COFFER_KEY_ID_BYTES], path[sizeof(f->path)];
    static struct cof_kms_key_row row;
    struct cof_kms_tombstone_row dead;
    struct cof_kms_call call;

    strcpy(key, fixture_key(f)->key_id);
    strcpy(kept, fixture_key(f)->key_id);
    strcpy(path, f->path);
    assert_int_equal(coffer_keystore_create_alias(f->store, "alias/dead", key, &f->fault), 0);
    assert_int_equal(coffer_keystore_backup(f->store, copy, &f->fault), 0);
    work_row(f, key, &row);
    memset(&dead, 0, sizeof(dead));
    strcpy(dead.arn, row.arn);
    strcpy(dead.key_id, row.key_id);
    dead.deleted_ns = 5;
    work_begin(f, &call, "DeleteKey");
    assert_int_equal(cof_kms_db_key_remove(f->store->db, row.arn, &f->fault), 0);
    assert_int_equal(work_end(&call, cof_kms_db_tombstone_set(f->store->db, &dead, &f->fault)), 0);
    assert_false(has_key(f, key));
    fixture_close(f);
    f->opts.flags = 0;
    assert_int_equal(coffer_keystore_restore(&f->opts, copy, COFFER_RESTORE_REPLACE, &f->fault), 0);
    look_at(f, path);
    assert_true(has_key(f, kept));
    assert_false(has_key(f, key));
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM tombstone"), 1);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM audit WHERE event = 'DeleteKey'"), 1);
    check_store(f);
    /* The copy by itself had it: it is the burial that keeps it out. */
    look_at(f, copy);
    assert_true(has_key(f, key));
}

static void the_ledger_alone_keeps_what_was_deleted_away(void **state)
{
    struct kms_fixture *f = *state;
    const char *copy = beside(f, "copy");
    char key[COFFER_KEY_ID_BYTES], kept[COFFER_KEY_ID_BYTES], path[sizeof(f->path)];
    static struct cof_kms_key_row row;
    struct cof_kms_call call;
    uint64_t records;

    strcpy(key, fixture_key(f)->key_id);
    strcpy(kept, fixture_key(f)->key_id);
    strcpy(path, f->path);
    assert_int_equal(coffer_keystore_backup(f->store, copy, &f->fault), 0);
    assert_int_equal(
        WORK(f, &call, "ScheduleKeyDeletion", cof_kms_schedule_key_deletion(&call, key, 7, &row)),
        0);
    work_now_ns += 8 * WORK_DAY_NS;
    assert_false(has_key(f, key));
    fixture_close(f);
    unlink(path);
    f->opts.flags = 0;
    assert_int_equal(coffer_keystore_restore(&f->opts, copy, 0, &f->fault), 0);
    look_at(f, path);
    assert_true(has_key(f, kept));
    assert_false(has_key(f, key));
    check_store(f);
    /* The trail is shorter than it was, and that was meant. */
    assert_int_equal(coffer_keystore_audit_verify(f->store, &records, &f->fault), 0);
}

static void deleted_material_does_not_come_back(void **state)
{
    struct kms_fixture *f = *state;
    const char *copy = beside(f, "copy");
    char arn[COFFER_KEY_ARN_BYTES_MAX], path[sizeof(f->path)];
    static struct cof_kms_key_row row;
    struct cof_kms_material_row material;
    struct cof_kms_tombstone_row dead;
    struct cof_kms_call call;

    strcpy(path, f->path);
    work_key(f, "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "AWS_KMS", arn);
    assert_int_equal(coffer_keystore_backup(f->store, copy, &f->fault), 0);
    work_row(f, arn, &row);
    memset(&dead, 0, sizeof(dead));
    strcpy(dead.arn, row.arn);
    strcpy(dead.key_id, row.key_id);
    memcpy(dead.material_id, row.material_id, sizeof(dead.material_id));
    work_begin(f, &call, "DeleteImportedKeyMaterial");
    assert_int_equal(
        cof_kms_db_material_get(f->store->db, arn, row.material_id, &material, &f->fault), 0);
    material.sealed_bytes = 0;
    assert_int_equal(cof_kms_db_material_set(f->store->db, &material, &f->fault), 0);
    assert_int_equal(work_end(&call, cof_kms_db_tombstone_set(f->store->db, &dead, &f->fault)), 0);
    fixture_close(f);
    f->opts.flags = 0;
    assert_int_equal(coffer_keystore_restore(&f->opts, copy, COFFER_RESTORE_REPLACE, &f->fault), 0);
    look_at(f, path);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM material WHERE sealed IS NOT NULL"),
                     0);
    check_store(f);
}

static void a_store_in_use_is_not_replaced(void **state)
{
    struct kms_fixture *f = *state;
    const char *copy = beside(f, "copy");

    fixture_key(f);
    assert_int_equal(coffer_keystore_backup(f->store, copy, &f->fault), 0);
    f->opts.flags = 0;
    assert_int_equal(coffer_keystore_restore(&f->opts, copy, COFFER_RESTORE_REPLACE, &f->fault),
                     COFFER_E_BUSY);
    assert_int_equal(fixture_files(f), 4);
    fixture_key(f); /* and the handle goes on */
    check_store(f);
}

static void a_damaged_store_is_replaced_and_kept(void **state)
{
    struct kms_fixture *f = *state;
    const char *copy = beside(f, "copy");
    char key[COFFER_KEY_ID_BYTES], path[sizeof(f->path)];

    strcpy(key, fixture_key(f)->key_id);
    strcpy(path, f->path);
    assert_int_equal(coffer_keystore_backup(f->store, copy, &f->fault), 0);
    fixture_close(f);
    fixture_write(path, "garbage, and a log beside it", 28, 0600);
    fixture_write(beside(f, "keys-wal"), "log", 3, 0600);
    f->opts.flags = 0;
    assert_int_equal(coffer_keystore_restore(&f->opts, copy, COFFER_RESTORE_REPLACE, &f->fault), 0);
    assert_int_equal(fixture_files(f), 4); /* store, copy, and the old two */
    look_at(f, path);
    assert_true(has_key(f, key));
    check_store(f);
}

static void a_log_without_its_store_is_never_played_into_another(void **state)
{
    struct kms_fixture *f = *state;
    const char *copy = beside(f, "copy");

    fixture_key(f);
    assert_int_equal(coffer_keystore_backup(f->store, copy, &f->fault), 0);
    fixture_close(f);
    unlink(f->path);
    fixture_write(beside(f, "keys-wal"), "log", 3, 0600);
    f->opts.flags = 0;
    assert_int_equal(coffer_keystore_restore(&f->opts, copy, 0, &f->fault), COFFER_E_CONFLICT);
    f->opts.flags = COFFER_KEYSTORE_CREATE;
    assert_int_equal(fixture_open(f), COFFER_E_CONFLICT);
    assert_int_equal(fixture_files(f), 2);
}

static void a_bad_copy_or_secret_changes_nothing(void **state)
{
    struct kms_fixture *f = *state;
    const char *copy = beside(f, "copy");
    char path[sizeof(f->path)];
    struct stat before, after;

    fixture_key(f);
    strcpy(path, f->path);
    assert_int_equal(coffer_keystore_backup(f->store, copy, &f->fault), 0);
    fixture_close(f);
    assert_int_equal(stat(path, &before), 0);
    f->opts.flags = 0;
    f->passphrase = "another";
    assert_int_equal(coffer_keystore_restore(&f->opts, copy, COFFER_RESTORE_REPLACE, &f->fault),
                     COFFER_E_PASSPHRASE);
    f->passphrase = "correct horse";
    strcpy(f->path, copy);
    fixture_sql(f, "UPDATE material SET version = 2");
    strcpy(f->path, path);
    assert_int_equal(coffer_keystore_restore(&f->opts, copy, COFFER_RESTORE_REPLACE, &f->fault),
                     COFFER_E_TAMPER);
    assert_int_equal(
        coffer_keystore_restore(&f->opts, beside(f, "none"), COFFER_RESTORE_REPLACE, &f->fault),
        COFFER_E_NOT_FOUND);
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    assert_int_equal(half_made(f), 0);
}

/* ---- the root secret --------------------------------------------------------------------- */

static struct coffer_keystore_root_opts new_secret(struct kms_fixture *f, const char *passphrase)
{
    struct coffer_keystore_root_opts opts = {.size = sizeof(opts),
                                             .passphrase = fixture_passphrase,
                                             .passphrase_ctx = f,
                                             .argon2_memory_kib = 16,
                                             .argon2_passes = 2};

    f->passphrase = passphrase;
    return opts;
}

/* Whether bytes stand in any file of the directory. */
static int stands_anywhere(const struct kms_fixture *f, const uint8_t *bytes, size_t count)
{
    static uint8_t content[4 << 20];
    DIR *directory = opendir(f->directory);
    struct dirent *entry;
    int found = 0;

    assert_non_null(directory);
    while ((entry = readdir(directory)) != NULL) {
        int fd = open(beside(f, entry->d_name), O_RDONLY);
        ssize_t got = read(fd, content, sizeof(content));

        found |= got > 0 && memmem(content, (size_t)got, bytes, count) != NULL;
        close(fd);
    }
    closedir(directory);
    return found;
}

static void another_passphrase_seals_and_the_old_one_opens_nothing(void **state)
{
    struct kms_fixture *f = *state;
    struct coffer_keystore_root_opts opts = new_secret(f, "better");
    struct coffer_keystore *other = NULL;
    uint8_t sealed[COF_KMS_SEALED_BYTES];
    struct coffer_keystore_info info = {.size = sizeof(info)};
    uint64_t rows;
    char key[COFFER_KEY_ID_BYTES];

    f->passphrase = "correct horse";
    assert_int_equal(coffer_keystore_open(&f->opts, &other, &f->fault), 0);
    strcpy(key, fixture_key(f)->key_id);
    memcpy(sealed, f->store->header.sealed_root, sizeof(sealed));
    assert_true(stands_anywhere(f, sealed, sizeof(sealed)));
    f->passphrase = "better";
    f->asked_creating = 0;
    assert_int_equal(coffer_keystore_root_change(f->store, &opts, &f->fault), 0);
    assert_int_equal(f->asked_creating, 1);
    assert_false(stands_anywhere(f, sealed, sizeof(sealed)));
    assert_int_equal(coffer_keystore_info_get(f->store, &info), 0);
    assert_int_equal(info.argon2_memory_kib, 16);
    /* Who has it open goes on, here and there. */
    assert_true(has_key(f, key));
    assert_int_equal(coffer_keystore_check(other, &rows, &f->fault), 0);
    coffer_keystore_close(other);
    fixture_close(f);
    f->passphrase = "correct horse";
    assert_int_equal(fixture_open(f), COFFER_E_PASSPHRASE);
    assert_non_null(strstr(f->fault.detail, "set on 2030-03-17 17:46 UTC"));
    f->passphrase = "better";
    assert_int_equal(fixture_open(f), 0);
    assert_true(has_key(f, key));
    check_store(f);
}

static void a_copy_from_before_opens_by_the_old_secret(void **state)
{
    struct kms_fixture *f = *state;
    struct coffer_keystore_root_opts opts;
    struct coffer_keystore_summary summary = {.size = sizeof(summary)};
    const char *copy = beside(f, "copy");
    char path[sizeof(f->path)];

    fixture_key(f);
    strcpy(path, f->path);
    assert_int_equal(coffer_keystore_backup(f->store, copy, &f->fault), 0);
    work_now_ns += WORK_DAY_NS;
    opts = new_secret(f, "better");
    assert_int_equal(coffer_keystore_root_change(f->store, &opts, &f->fault), 0);
    assert_int_equal(coffer_keystore_inspect(copy, &summary, &f->fault), 0);
    assert_int_equal(summary.root_changes, 0);
    assert_int_equal(summary.root_since_ns, WORK_BEGAN_NS);
    assert_int_equal(coffer_keystore_inspect(path, &summary, &f->fault), 0);
    assert_int_equal(summary.root_changes, 1);
    assert_int_equal(summary.root_since_ns, WORK_BEGAN_NS + WORK_DAY_NS);
    assert_int_equal(summary.keys, 1);
    assert_int_equal(summary.info.argon2_passes, 2);
    f->passphrase = "correct horse";
    look_at(f, copy);
    check_store(f);
}

static void a_passphrase_becomes_a_key_file_and_back(void **state)
{
    struct kms_fixture *f = *state;
    struct coffer_keystore_root_opts opts = {.size = sizeof(opts), .root_key_file = f->key_file};
    struct coffer_keystore_info info = {.size = sizeof(info)};
    char key[COFFER_KEY_ID_BYTES];
    uint8_t bytes[32];

    memset(bytes, 7, sizeof(bytes));
    fixture_write(f->key_file, bytes, sizeof(bytes), 0600);
    strcpy(key, fixture_key(f)->key_id);
    assert_int_equal(coffer_keystore_root_change(f->store, &opts, &f->fault), 0);
    fixture_close(f);
    assert_int_equal(fixture_open(f), COFFER_E_PASSPHRASE);
    f->opts.passphrase = NULL;
    f->opts.root_key_file = f->key_file;
    assert_int_equal(fixture_open(f), 0);
    assert_int_equal(coffer_keystore_info_get(f->store, &info), 0);
    assert_int_equal(info.root_kind, COFFER_ROOT_KEY_FILE);
    assert_int_equal(info.argon2_memory_kib, 0);
    opts = new_secret(f, "again");
    assert_int_equal(coffer_keystore_root_change(f->store, &opts, &f->fault), 0);
    fixture_close(f);
    assert_int_equal(fixture_open(f), COFFER_E_PASSPHRASE);
    f->opts.passphrase = fixture_passphrase;
    f->opts.root_key_file = NULL;
    assert_int_equal(fixture_open(f), 0);
    assert_true(has_key(f, key));
    check_store(f);
}

static int no_passphrase(void *ctx, int creating, uint8_t *buffer, size_t capacity,
                         size_t *ret_bytes)
{
    (void)ctx;
    (void)creating;
    (void)buffer;
    (void)capacity;
    (void)ret_bytes;
    return COFFER_E_CANCELLED;
}

static void a_change_that_fails_leaves_the_old_secret(void **state)
{
    struct kms_fixture *f = *state;
    struct coffer_keystore_root_opts opts = new_secret(f, "correct horse");

    opts.argon2_memory_kib = 1;
    assert_int_equal(coffer_keystore_root_change(f->store, &opts, &f->fault), COFFER_E_INVALID);
    opts = new_secret(f, "correct horse");
    opts.root_key_file = f->key_file;
    assert_int_equal(coffer_keystore_root_change(f->store, &opts, &f->fault), COFFER_E_INVALID);
    opts.passphrase = NULL;
    assert_int_equal(coffer_keystore_root_change(f->store, &opts, &f->fault), COFFER_E_NOT_FOUND);
    opts = new_secret(f, "");
    assert_int_equal(coffer_keystore_root_change(f->store, &opts, &f->fault), COFFER_E_PASSPHRASE);
    opts.passphrase = no_passphrase;
    assert_int_equal(coffer_keystore_root_change(f->store, &opts, &f->fault), COFFER_E_CANCELLED);
    fixture_close(f);
    f->passphrase = "correct horse";
    f->opts.flags = COFFER_KEYSTORE_READ_ONLY;
    assert_int_equal(fixture_open(f), 0);
    opts = new_secret(f, "correct horse");
    assert_int_equal(coffer_keystore_root_change(f->store, &opts, &f->fault), COFFER_E_READ_ONLY);
}

/* ---- looking through --------------------------------------------------------------------- */

static void the_check_finds_what_does_not_hold_together(void **state)
{
    static const char *const edits[] = {
        "DELETE FROM material", "UPDATE alias SET key_arn = key_arn, updated_ns = 3",
        "UPDATE key SET state = 1 WHERE managed = 0", "DELETE FROM audit WHERE seq = 2",
        "PRAGMA foreign_keys = OFF; DELETE FROM key"};
    struct kms_fixture *f = *state;
    size_t i;

    for (i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
        uint64_t rows = 77;
        sqlite3 *db = NULL;

        fixture_close(f);
        unlink(f->path);
        assert_int_equal(fixture_open(f), 0);
        assert_int_equal(
            coffer_keystore_create_alias(f->store, "alias/a", fixture_key(f)->key_id, &f->fault),
            0);
        check_store(f);
        /* As someone would who leaves the triggers as they were. */
        assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, "DROP TRIGGER audit_is_kept", NULL, NULL, NULL), 0);
        assert_int_equal(sqlite3_exec(db, edits[i], NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(db);
        assert_int_equal(coffer_keystore_check(f->store, &rows, &f->fault), COFFER_E_TAMPER);
        assert_int_equal(rows, 77);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, work_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_copy_opens_by_the_same_secret_and_has_everything),
        CASE(a_copy_needs_no_room_beside_it_to_be_read),
        CASE(a_store_opened_for_reading_is_copied_without_a_record),
        CASE(a_copy_that_fails_leaves_nothing),
        CASE(a_copy_is_of_one_moment_while_others_write),
        CASE(a_copy_comes_back_where_nothing_is),
        CASE(what_was_deleted_since_the_copy_does_not_come_back),
        CASE(the_ledger_alone_keeps_what_was_deleted_away),
        CASE(deleted_material_does_not_come_back),
        CASE(a_store_in_use_is_not_replaced),
        CASE(a_damaged_store_is_replaced_and_kept),
        CASE(a_log_without_its_store_is_never_played_into_another),
        CASE(a_bad_copy_or_secret_changes_nothing),
        CASE(another_passphrase_seals_and_the_old_one_opens_nothing),
        CASE(a_copy_from_before_opens_by_the_old_secret),
        CASE(a_passphrase_becomes_a_key_file_and_back),
        CASE(a_change_that_fails_leaves_the_old_secret),
        CASE(the_check_finds_what_does_not_hold_together),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
