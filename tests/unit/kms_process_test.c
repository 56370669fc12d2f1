/* SPDX-License-Identifier: Apache-2.0 */
/* Several processes and threads on one store; a process that dies; a process that forks. */
#include "kms_fixture.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static int wait_for(pid_t child)
{
    int status = 0;

    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* In a child: open the store anew and make keys, until count or for ever. */
static void make_keys(struct kms_fixture *f, int count, int report_fd)
{
    static struct coffer_key_metadata key = {.size = sizeof(key)};

    f->opts.busy_timeout_ms = 20000;
    if (fixture_open(f) != 0) {
        _exit(2);
    }
    for (; count != 0; count--) {
        if (coffer_keystore_create_key(f->store, NULL, &key, NULL) != 0) {
            _exit(3);
        }
        if (report_fd >= 0 && write(report_fd, key.key_id, 36) != 36) {
            _exit(4);
        }
    }
    fixture_close(f);
    _exit(0);
}

static void processes_share_a_store(void **state)
{
    struct kms_fixture *f = *state;
    static struct coffer_key_metadata key = {.size = sizeof(key)};
    uint64_t records = 0;
    pid_t children[3];
    int i;

    fixture_close(f);
    for (i = 0; i < 3; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            make_keys(f, 10, -1);
        }
    }
    for (i = 0; i < 3; i++) {
        assert_int_equal(wait_for(children[i]), 0);
    }
    assert_int_equal(fixture_open(f), 0);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM key"), 30);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM material"), 30);
    assert_int_equal(coffer_keystore_audit_verify(f->store, &records, &f->fault), 0);
    assert_int_equal(records, 30);
    assert_int_equal(coffer_keystore_describe_key(f->store, NULL, &key, &f->fault), 0);
}

static void racing_creators_get_one_store_and_one_default_key(void **state)
{
    struct kms_fixture *f = *state;
    pid_t children[4];
    int i;

    fixture_close(f);
    unlink(f->path);
    for (i = 0; i < 4; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            static struct coffer_key_metadata key = {.size = sizeof(key)};

            f->opts.busy_timeout_ms = 20000;
            if (fixture_open(f) != 0) {
                _exit(2);
            }
            _exit(coffer_keystore_describe_key(f->store, NULL, &key, NULL) == 0 ? 0 : 3);
        }
    }
    for (i = 0; i < 4; i++) {
        assert_int_equal(wait_for(children[i]), 0);
    }
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM key"), 1);
    assert_int_equal(fixture_open(f), 0);
    fixture_close(f);
    assert_int_equal(fixture_files(f), 1);
}

static void killed_process_loses_no_acknowledged_key(void **state)
{
    struct kms_fixture *f = *state;
    static struct coffer_key_metadata key = {.size = sizeof(key)};
    static char ids[20][37];
    int round;

    fixture_close(f);
    for (round = 0; round < 6; round++) {
        int ends[2], acknowledged = 0;
        char id[37] = "";
        pid_t child;

        assert_int_equal(pipe(ends), 0);
        child = fork();
        if (child == 0) {
            close(ends[0]);
            make_keys(f, -1, ends[1]);
        }
        close(ends[1]);
        /* It is at work on the next when it is killed, by a little more in each round. */
        while (acknowledged < 3 * round + 1) {
            assert_int_equal(read(ends[0], ids[acknowledged++], 36), 36);
        }
        usleep((useconds_t)(700 * round));
        kill(child, SIGKILL);
        assert_int_equal(wait_for(child), 1000 + SIGKILL);
        assert_int_equal(fixture_open(f), 0);
        while (acknowledged-- > 0) {
            assert_int_equal(
                coffer_keystore_describe_key(f->store, ids[acknowledged], &key, &f->fault), 0);
        }
        while (read(ends[0], id, 36) == 36) {
            assert_int_equal(coffer_keystore_describe_key(f->store, id, &key, &f->fault), 0);
        }
        close(ends[0]);
        fixture_close(f);
    }
}

static void forked_child_is_told_to_open_anew(void **state)
{
    struct kms_fixture *f = *state;
    struct coffer_key_blob blob;
    pid_t child;

    child = fork();
    if (child == 0) {
        int error = coffer_keystore_encrypt(f->store, NULL, (const uint8_t *)"x", 1, NULL, &blob,
                                            NULL, NULL);

        coffer_keystore_close(f->store);
        _exit(error == COFFER_E_FORKED ? 0 : 1);
    }
    assert_int_equal(wait_for(child), 0);
    assert_int_equal(coffer_keystore_encrypt(f->store, NULL, (const uint8_t *)"x", 1, NULL, &blob,
                                             NULL, &f->fault), 0);
}

static void held_store_is_busy_after_the_timeout(void **state)
{
    struct kms_fixture *f = *state;
    static struct coffer_key_metadata key = {.size = sizeof(key)};
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(coffer_keystore_create_key(f->store, NULL, &key, &f->fault), COFFER_E_BUSY);
    assert_int_equal(f->fault.error, COFFER_E_BUSY);
    assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(coffer_keystore_create_key(f->store, NULL, &key, &f->fault), 0);
}

static void full_file_system_is_no_space(void **state)
{
    struct kms_fixture *f = *state;
    pid_t child = fork();

    fixture_close(f);
    if (child == 0) {
        /* A limit on the file's size stands in for a full device: SQLite gets EFBIG or ENOSPC. */
        static struct coffer_key_metadata key = {.size = sizeof(key)};
        struct rlimit limit = {160 << 10, 160 << 10};
        int made = 0, error = 0;

        signal(SIGXFSZ, SIG_IGN);
        f->store = NULL;
        if (fixture_open(f) != 0 || setrlimit(RLIMIT_FSIZE, &limit) != 0) {
            _exit(2);
        }
        while (error == 0 && made < 1000) {
            error = coffer_keystore_create_key(f->store, NULL, &key, NULL);
            made += error == 0;
        }
        _exit(made > 0 && (error == COFFER_E_NO_SPACE || error == COFFER_E_IO) ? 0 : 3);
    }
    assert_int_equal(wait_for(child), 0);
    assert_int_equal(fixture_open(f), 0);
    assert_int_equal(fixture_number(f, "SELECT (SELECT count(*) FROM key) ="
                                       " (SELECT count(*) FROM material)"), 1);
    fixture_key(f);
}

static void *encrypt_often(void *argument)
{
    struct kms_fixture *f = argument;
    struct coffer_key_blob blob;
    uint8_t back[16];
    size_t bytes = 0;
    int i;

    for (i = 0; i < 20; i++) {
        if (coffer_keystore_encrypt(f->store, NULL, (const uint8_t *)"thread", 6, NULL, &blob, NULL,
                                    NULL) != 0 ||
            coffer_keystore_decrypt(f->store, NULL, blob.bytes, blob.length_bytes, NULL, back,
                                    sizeof(back), &bytes, NULL, NULL) != 0 ||
            bytes != 6 || memcmp(back, "thread", 6) != 0) {
            return f;
        }
    }
    return NULL;
}

static void threads_share_a_handle(void **state)
{
    struct kms_fixture *f = *state;
    pthread_t threads[4];
    void *result;
    int i;

    for (i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, encrypt_often, f), 0);
    }
    for (i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_null(result);
    }
    /* 160 calls, and the default key's own two records. */
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM audit"), 162);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(processes_share_a_store),
        CASE(racing_creators_get_one_store_and_one_default_key),
        CASE(killed_process_loses_no_acknowledged_key),
        CASE(forked_child_is_told_to_open_anew),
        CASE(held_store_is_busy_after_the_timeout),
        CASE(full_file_system_is_no_space),
        CASE(threads_share_a_handle),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
