/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit trail, read: what a record says, the order of records, and the head, which shows a
 * trail that was cut off and can be checked without the store.
 */
#include "kms_fixture.h"

#include <openssl/evp.h>

#define EVENTS_MAX 16

struct seen {
    unsigned count;
    int stop_at; /* visit answers 7 there */
    uint64_t sequences[EVENTS_MAX], times_ns[EVENTS_MAX];
    char events[EVENTS_MAX][32], contexts[EVENTS_MAX][64], errors[EVENTS_MAX][32];
    char keys[EVENTS_MAX][COFFER_KEY_ARN_BYTES_MAX];
};

static int note(void *ctx, const struct coffer_audit_record *record)
{
    struct seen *seen = ctx;

    assert_int_equal(record->size, sizeof(*record));
    assert_true(seen->count < EVENTS_MAX);
    seen->sequences[seen->count] = record->sequence;
    seen->times_ns[seen->count] = record->time_ns;
    snprintf(seen->events[seen->count], sizeof(seen->events[0]), "%s", record->event);
    snprintf(seen->contexts[seen->count], sizeof(seen->contexts[0]), "%s", record->context);
    snprintf(seen->errors[seen->count], sizeof(seen->errors[0]), "%s", record->error);
    snprintf(seen->keys[seen->count], sizeof(seen->keys[0]), "%s", record->key_arn);
    seen->count++;
    return seen->stop_at != 0 && record->sequence == (uint64_t)seen->stop_at ? 7 : 0;
}

static int set_up(void **state)
{
    static struct kms_fixture f;

    fixture_init(&f);
    assert_int_equal(coffer_keystore_open(&f.opts, &f.store, &f.fault), 0);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    fixture_done(*state);
    return 0;
}

/* Three records: a key is made, used, and then used while it is disabled by nobody's leave. */
static void leave_three(struct kms_fixture *f, char ret_arn[COFFER_KEY_ARN_BYTES_MAX])
{
    static struct coffer_key_metadata key = {.size = sizeof(key)};
    static const struct coffer_context_pair pair = {"coffer:volume", "v"};
    static const struct coffer_context context = {&pair, 1};
    static struct coffer_key_blob blob;

    assert_int_equal(coffer_keystore_create_key(f->store, "k", &key, &f->fault), 0);
    assert_int_equal(coffer_keystore_encrypt(f->store, key.arn, (const uint8_t *)"x", 1, &context,
                                             &blob, NULL, &f->fault), 0);
    assert_int_not_equal(coffer_keystore_enable_key(f->store, "alias/none", &f->fault), 0);
    strcpy(ret_arn, key.arn);
}

static void records_are_seen_in_their_order(void **state)
{
    struct kms_fixture *f = *state;
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    struct seen seen = {0};
    unsigned i;

    leave_three(f, arn);
    assert_int_equal(coffer_keystore_audit_walk(f->store, note, &seen, NULL, NULL, &f->fault), 0);
    assert_int_equal(seen.count, 3);
    for (i = 0; i < seen.count; i++) {
        assert_int_equal(seen.sequences[i], i + 1);
        assert_true(i == 0 || seen.times_ns[i] >= seen.times_ns[i - 1]);
    }
    assert_string_equal(seen.events[0], "CreateKey");
    assert_string_equal(seen.events[1], "Encrypt");
    assert_string_equal(seen.contexts[1], "{\"coffer:volume\":\"v\"}");
    assert_string_equal(seen.keys[1], arn);
    assert_string_equal(seen.errors[1], "");
    assert_string_equal(seen.events[2], "EnableKey");
    assert_string_not_equal(seen.errors[2], "");
}

static void a_visit_ends_the_walk(void **state)
{
    struct kms_fixture *f = *state;
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    struct seen seen = {.stop_at = 2};

    leave_three(f, arn);
    assert_int_equal(coffer_keystore_audit_walk(f->store, note, &seen, NULL, NULL, &f->fault), 7);
    assert_int_equal(seen.count, 2);
}

static void nothing_is_shown_from_an_altered_record_on(void **state)
{
    struct kms_fixture *f = *state;
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    struct seen seen = {0};

    leave_three(f, arn);
    fixture_sql(f, "DROP TRIGGER audit_is_final;"
                   "UPDATE audit SET principal = 'somebody' WHERE seq = 2");
    assert_int_equal(coffer_keystore_audit_walk(f->store, note, &seen, NULL, NULL, &f->fault),
                     COFFER_E_TAMPER);
    assert_int_equal(seen.count, 1);
}

static void a_kept_head_shows_a_trail_that_was_cut_off(void **state)
{
    struct kms_fixture *f = *state;
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    struct coffer_audit_head early = {.size = sizeof(early)}, late = {.size = sizeof(late)};

    leave_three(f, arn);
    assert_int_equal(coffer_keystore_audit_walk(f->store, NULL, NULL, NULL, &early, &f->fault), 0);
    assert_int_equal(early.records, 3);
    assert_int_equal(coffer_keystore_audit_walk(f->store, NULL, NULL, &early, &late, &f->fault), 0);
    assert_int_equal(late.records, 4);
    fixture_sql(f, "DROP TRIGGER audit_is_kept; DELETE FROM audit WHERE seq > 3");
    assert_int_equal(coffer_keystore_audit_walk(f->store, NULL, NULL, &late, NULL, &f->fault),
                     COFFER_E_TAMPER);
    assert_non_null(strstr(f->fault.detail, "cut off"));
    assert_int_equal(coffer_keystore_audit_walk(f->store, NULL, NULL, &early, NULL, &f->fault), 0);
}

static void another_trail_does_not_fit_a_kept_head(void **state)
{
    struct kms_fixture *f = *state;
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    struct coffer_audit_head head = {.size = sizeof(head)};

    leave_three(f, arn);
    assert_int_equal(coffer_keystore_audit_walk(f->store, NULL, NULL, NULL, &head, &f->fault), 0);
    head.digest[31] ^= 1;
    assert_int_equal(coffer_keystore_audit_walk(f->store, NULL, NULL, &head, NULL, &f->fault),
                     COFFER_E_TAMPER);
}

/* The check that docs/kms.md describes, by OpenSSL alone. */
static int check_signature(const struct coffer_audit_head *head, const uint8_t uuid[16])
{
    static const char label[] = "coffer/kms/audit/head/1";
    uint8_t message[sizeof(label) + 16 + 8 + sizeof(head->digest)], *at = message;
    EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, head->public_key,
                                                sizeof(head->public_key));
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned i;
    int good;

    memcpy(at, label, sizeof(label));
    memcpy(at + sizeof(label), uuid, 16);
    at += sizeof(label) + 16;
    for (i = 0; i < 8; i++) {
        *at++ = (uint8_t)(head->records >> (8 * i));
    }
    memcpy(at, head->digest, sizeof(head->digest));
    assert_int_equal(EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key), 1);
    good = EVP_DigestVerify(ctx, head->signature, sizeof(head->signature), message,
                            sizeof(message)) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    return good;
}

static void a_head_is_signed(void **state)
{
    struct kms_fixture *f = *state;
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    struct coffer_audit_head head = {.size = sizeof(head)}, again = {.size = sizeof(again)};
    struct coffer_keystore_info info = {.size = sizeof(info)};

    leave_three(f, arn);
    assert_int_equal(coffer_keystore_info_get(f->store, &info), 0);
    assert_int_equal(coffer_keystore_audit_walk(f->store, NULL, NULL, NULL, &head, &f->fault), 0);
    assert_int_equal(coffer_keystore_audit_walk(f->store, NULL, NULL, NULL, &again, &f->fault), 0);
    assert_memory_equal(head.public_key, again.public_key, sizeof(head.public_key));
    assert_true(check_signature(&head, info.uuid));
    head.records++;
    assert_false(check_signature(&head, info.uuid));
}

static void bad_arguments_are_refused(void **state)
{
    struct kms_fixture *f = *state;
    struct coffer_audit_head head = {.size = 1};

    assert_int_equal(coffer_keystore_audit_walk(NULL, NULL, NULL, NULL, NULL, NULL),
                     COFFER_E_INVALID);
    assert_int_equal(coffer_keystore_audit_walk(f->store, NULL, NULL, &head, NULL, NULL),
                     COFFER_E_INVALID);
    assert_int_equal(coffer_keystore_audit_walk(f->store, NULL, NULL, NULL, &head, NULL),
                     COFFER_E_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(records_are_seen_in_their_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_visit_ends_the_walk, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_is_shown_from_an_altered_record_on, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_kept_head_shows_a_trail_that_was_cut_off, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(another_trail_does_not_fit_a_kept_head, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_head_is_signed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_arguments_are_refused, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
