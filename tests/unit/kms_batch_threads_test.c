/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Group commit: threads that call at once share a commit, and its fate.
 *
 * A test makes them call at once by an announcement of its own: while it stands, whoever is done
 * waits for it, however the threads are scheduled.
 */
#include "kms/store_sql.h"
#include "kms/testhook.h"
#include "kms/verbs.h"
#include "kms_work.h"

#include <coffer/kms.h>
#include <pthread.h>
#include <sched.h>

#define THREADS 12u

static const uint8_t plaintext[] = "attack at dawn";

struct caller_thread {
    struct kms_fixture *f;
    unsigned number;
    bool refused; /* calls for a key that isn't there */
    pthread_t thread;
    struct coffer_key_blob blob;
    struct coffer_fault fault;
    int error;
};

static struct caller_thread threads[THREADS];

/* Its record is known by its context. */
static void *encrypt(void *ctx)
{
    struct caller_thread *t = ctx;
    char number[16];
    struct coffer_context_pair pair = {"number", number};
    struct coffer_context context = {&pair, 1};

    snprintf(number, sizeof(number), "%u", t->number);
    t->error = coffer_keystore_encrypt(t->f->store, t->refused ? "alias/none" : NULL, plaintext,
                                       sizeof(plaintext), &context, &t->blob, NULL, &t->fault);
    return NULL;
}

static void start(struct kms_fixture *f, bool every_other_refused)
{
    for (unsigned i = 0; i < THREADS; i++) {
        threads[i] = (struct caller_thread){
            .f = f, .number = i, .refused = every_other_refused && i % 2 == 1};
        assert_int_equal(pthread_create(&threads[i].thread, NULL, encrypt, &threads[i]), 0);
    }
}

static void join(void)
{
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i].thread, NULL), 0);
    }
}

/* Until all threads have done their work and wait for the commit. */
static void await_batch(struct coffer_keystore *store)
{
    unsigned count = 0;

    while (count < THREADS) {
        sched_yield();
        (void)pthread_mutex_lock(&store->lock);
        count = store->batch.count;
        (void)pthread_mutex_unlock(&store->lock);
    }
}

/* All threads in one batch that nobody has committed yet. */
static void start_batch(struct kms_fixture *f, bool every_other_refused)
{
    cof_kms_batch_announce(f->store);
    start(f, every_other_refused);
    await_batch(f->store);
}

/* The default key, so that no thread has to make it. */
static int setup(void **state)
{
    struct kms_fixture *f;
    struct coffer_key_blob blob;
    int status = work_setup(state);

    f = *state;
    assert_int_equal(coffer_keystore_encrypt(f->store, NULL, plaintext, sizeof(plaintext), NULL,
                                             &blob, NULL, &f->fault),
                     0);
    return status;
}

static int teardown(void **state)
{
    cof_kms_test_break = COF_KMS_BREAK_NONE;
    fixture_done(*state);
    free(*state);
    return 0;
}

struct records {
    unsigned of_thread[THREADS], refused[THREADS];
    uint64_t all;
};

static int count_record(void *ctx, const struct coffer_audit_record *record)
{
    struct records *records = ctx;
    unsigned number;

    records->all++;
    if (sscanf(record->context, "{\"number\":\"%u\"}", &number) == 1 && number < THREADS) {
        records->of_thread[number]++;
        records->refused[number] += record->error[0] != '\0';
    }
    return 0;
}

/* What the trail holds in a file that was opened anew. */
static struct records reopen_and_count(struct kms_fixture *f)
{
    struct records records = {0};
    uint64_t rows = 0;

    fixture_close(f);
    assert_int_equal(fixture_open(f), 0);
    assert_int_equal(
        coffer_keystore_audit_walk(f->store, count_record, &records, NULL, NULL, &f->fault), 0);
    assert_int_equal(coffer_keystore_check(f->store, &rows, &f->fault), 0);
    return records;
}

/* ---- one fate ---------------------------------------------------------------------------- */

static void calls_share_a_commit_and_all_are_on_record(void **state)
{
    struct kms_fixture *f = *state;
    uint64_t before = f->store->batch.number;
    struct records records;

    start_batch(f, false);
    assert_int_equal(f->store->batch.number, before + 1);
    cof_kms_batch_withdraw(f->store);
    join();
    assert_int_equal(f->store->batch.number, before + 1);
    records = reopen_and_count(f);
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(threads[i].error, 0);
        assert_int_equal(records.of_thread[i], 1);
    }
}

static void nobody_is_answered_before_the_commit(void **state)
{
    struct kms_fixture *f = *state;
    int64_t before = fixture_number(f, "SELECT count(*) FROM audit");

    start_batch(f, false);
    /* Another connection sees what is committed. */
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM audit"), before);
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_not_equal(pthread_tryjoin_np(threads[i].thread, NULL), 0);
    }
    cof_kms_batch_withdraw(f->store);
    join();
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM audit"), before + (int)THREADS);
}

static void a_refused_call_undoes_nothing_of_the_others(void **state)
{
    struct kms_fixture *f = *state;
    struct records records;

    start_batch(f, true);
    cof_kms_batch_withdraw(f->store);
    join();
    records = reopen_and_count(f);
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(threads[i].error, i % 2 == 1 ? COFFER_E_KEY_NOT_FOUND : 0);
        assert_int_equal(records.of_thread[i], 1);
        assert_int_equal(records.refused[i], i % 2);
    }
}

static void a_commit_that_fails_fails_all_of_its_calls(void **state)
{
    struct kms_fixture *f = *state;
    struct coffer_key_metadata key = {.size = sizeof(key)};
    struct records before = reopen_and_count(f), records;

    start_batch(f, true);
    (void)pthread_mutex_lock(&f->store->lock);
    cof_kms_test_break = COF_KMS_BREAK_FAIL_COMMIT;
    (void)pthread_mutex_unlock(&f->store->lock);
    cof_kms_batch_withdraw(f->store);
    join();
    cof_kms_test_break = COF_KMS_BREAK_NONE;
    for (unsigned i = 0; i < THREADS; i++) {
        /* What went wrong first is what a caller hears of. */
        assert_int_equal(threads[i].error, i % 2 == 1 ? COFFER_E_KEY_NOT_FOUND : COFFER_E_NO_SPACE);
        assert_int_equal(threads[i].fault.error, threads[i].error);
        assert_int_equal(threads[i].blob.length_bytes, 0);
    }
    assert_int_equal(coffer_keystore_create_key(f->store, NULL, &key, &f->fault), 0);
    records = reopen_and_count(f);
    /* Its own look, the making of a key; nothing of the threads'. */
    assert_int_equal(records.all, before.all + 2 + 1);
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(records.of_thread[i], 0);
    }
}

static void a_transaction_that_is_lost_fails_who_waits_and_who_comes(void **state)
{
    struct kms_fixture *f = *state;
    bool announced = true;
    struct cof_kms_caller caller = {.announced = &announced};
    struct cof_kms_call call;
    struct records records;

    start_batch(f, false);
    /* As an error of the disk may do it. */
    (void)pthread_mutex_lock(&f->store->lock);
    assert_int_equal(sqlite3_exec(f->store->db->sqlite, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    (void)pthread_mutex_unlock(&f->store->lock);
    assert_int_equal(
        cof_kms_call_begin_as(&call, f->store, "Test", COF_KMS_CHANGES, &caller, &f->fault),
        COFFER_E_IO);
    join();
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(threads[i].error, COFFER_E_IO);
    }
    records = reopen_and_count(f);
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(records.of_thread[i], 0);
    }
}

static void a_call_that_loses_the_transaction_fails_and_the_next_works(void **state)
{
    struct kms_fixture *f = *state;
    static struct cof_kms_key_row row;
    struct coffer_key_metadata key = {.size = sizeof(key)};
    const struct cof_kms_create_key params = {.description = "lost"};
    struct cof_kms_call call;
    int error;

    work_begin(f, &call, "CreateKey");
    error = cof_kms_create_key(&call, &params, &row);
    assert_int_equal(sqlite3_exec(f->store->db->sqlite, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(work_end(&call, error), COFFER_E_IO);
    assert_int_equal(coffer_keystore_describe_key(f->store, row.key_id, &key, &f->fault),
                     COFFER_E_KEY_NOT_FOUND);
    (void)reopen_and_count(f);
}

/* ---- who rests on what failed ------------------------------------------------------------ */

static void a_call_that_saw_what_failed_fails(void **state)
{
    struct kms_fixture *f = *state;
    struct cof_kms_caller caller = {0};
    struct cof_kms_call call;

    start_batch(f, false);
    assert_int_equal(cof_kms_batch_look(f->store, &caller.seen_batch), 0);
    cof_kms_batch_look_away(f->store);
    assert_int_equal(caller.seen_batch, f->store->batch.number);
    cof_kms_test_break = COF_KMS_BREAK_FAIL_COMMIT;
    cof_kms_batch_withdraw(f->store);
    join();
    cof_kms_test_break = COF_KMS_BREAK_NONE;
    assert_int_equal(
        cof_kms_call_begin_as(&call, f->store, "Test", COF_KMS_CHANGES, &caller, &f->fault),
        COFFER_E_IO);
    assert_int_equal(cof_kms_batch_look(f->store, &caller.seen_batch), 0);
    cof_kms_batch_look_away(f->store);
    assert_int_equal(caller.seen_batch, 0);
    assert_int_equal(
        cof_kms_call_begin_as(&call, f->store, "Test", COF_KMS_CHANGES, &caller, &f->fault), 0);
    assert_int_equal(work_end(&call, 0), 0);
}

/* ---- when it is committed ---------------------------------------------------------------- */

static void a_lone_caller_waits_for_nobody(void **state)
{
    struct kms_fixture *f = *state;
    struct coffer_key_metadata key = {.size = sizeof(key)};
    uint64_t before = f->store->batch.number;

    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(coffer_keystore_describe_key(f->store, NULL, &key, &f->fault), 0);
        assert_int_equal(f->store->batch.number, before + i);
        assert_false(f->store->batch.open);
    }
}

static void who_is_alone_is_alone(void **state)
{
    struct kms_fixture *f = *state;
    struct cof_kms_call call;
    uint64_t before = f->store->batch.number;

    start_batch(f, false);
    assert_int_equal(cof_kms_call_begin(&call, f->store, "Test", COF_KMS_ALONE, &f->fault), 0);
    /* The others are answered, though somebody is on his way. */
    join();
    assert_int_equal(f->store->batch.number, before + 2);
    assert_int_equal(f->store->batch.count, 0);
    assert_int_equal(work_end(&call, 0), 0);
    assert_false(f->store->batch.open);
    cof_kms_batch_withdraw(f->store);
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(threads[i].error, 0);
    }
}

static void only_who_is_alone_may_bury(void **state)
{
    struct kms_fixture *f = *state;
    struct cof_kms_material_row material = {.key_arn = "arn:coffer:kms:r:000000000000:key/k"};
    struct cof_kms_call call;

    assert_int_equal(cof_kms_call_begin(&call, f->store, "Test", COF_KMS_CHANGES, &f->fault), 0);
    assert_int_equal(cof_kms_material_bury(&call, &material), COFFER_E_INTERNAL);
    assert_int_equal(work_end(&call, cof_kms_material_raise(&call, &material)), COFFER_E_INTERNAL);
}

/* ---- in any order ------------------------------------------------------------------------ */

#define CALLS 40u

struct plaintext_thread {
    struct kms_fixture *f;
    pthread_t thread;
};

/* Plaintexts are each caller's own, though all pass through one scratch. */
static void *generate_and_open(void *ctx)
{
    struct plaintext_thread *t = ctx;
    struct coffer_keystore *store = t->f->store;
    uint8_t drawn[64], opened[64];
    struct coffer_key_blob blob;
    struct coffer_fault fault;
    size_t bytes = 0;

    for (unsigned i = 0; i < CALLS; i++) {
        if (coffer_keystore_generate_data_key(store, NULL, sizeof(drawn), NULL, drawn, &blob, NULL,
                                              &fault) != 0 ||
            coffer_keystore_decrypt(store, NULL, blob.bytes, blob.length_bytes, NULL, opened,
                                    sizeof(opened), &bytes, NULL, &fault) != 0 ||
            bytes != sizeof(drawn) || memcmp(drawn, opened, sizeof(drawn)) != 0 ||
            coffer_keystore_decrypt(store, NULL, blob.bytes, blob.length_bytes - 1, NULL, opened,
                                    sizeof(opened), &bytes, NULL,
                                    &fault) != COFFER_E_KEY_CIPHERTEXT) {
            return "a plaintext went wrong";
        }
        if (i % 10 == 0 && coffer_kms_tick(store, &fault) != 0) {
            return "a tick failed";
        }
    }
    return NULL;
}

static void threads_get_their_own_plaintexts(void **state)
{
    struct kms_fixture *f = *state;
    struct plaintext_thread all[6];
    struct records before = reopen_and_count(f), records;

    for (unsigned i = 0; i < 6; i++) {
        all[i].f = f;
        assert_int_equal(pthread_create(&all[i].thread, NULL, generate_and_open, &all[i]), 0);
    }
    for (unsigned i = 0; i < 6; i++) {
        void *trouble = NULL;

        assert_int_equal(pthread_join(all[i].thread, &trouble), 0);
        assert_null(trouble);
    }
    records = reopen_and_count(f);
    assert_int_equal(records.all, before.all + 2 + 6 * 3 * CALLS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(calls_share_a_commit_and_all_are_on_record, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(nobody_is_answered_before_the_commit, setup, teardown),
        cmocka_unit_test_setup_teardown(a_refused_call_undoes_nothing_of_the_others, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_commit_that_fails_fails_all_of_its_calls, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_transaction_that_is_lost_fails_who_waits_and_who_comes,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_call_that_loses_the_transaction_fails_and_the_next_works,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_call_that_saw_what_failed_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lone_caller_waits_for_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(who_is_alone_is_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(only_who_is_alone_may_bury, setup, teardown),
        cmocka_unit_test_setup_teardown(threads_get_their_own_plaintexts, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
