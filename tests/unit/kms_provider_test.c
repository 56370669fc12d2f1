/* SPDX-License-Identifier: Apache-2.0 */
/* The key store as the engine sees it: coffer/keys.h. */
#include "kms_fixture.h"

#include <coffer/kms.h>

static const char *const operations[] = {"Decrypt", "ReEncryptFrom", "GenerateDataKey", "Decrypt"};

static void ask(struct kms_fixture *f, const char *operation, const char *body)
{
    struct coffer_kms_request request = {.size = sizeof(request),
                                         .operation = operation,
                                         .body = (const uint8_t *)body,
                                         .body_bytes = strlen(body)};
    struct coffer_kms_answer answer = {.size = sizeof(answer)};

    assert_int_equal(coffer_kms_call(f->store, &request, &answer), 0);
    assert_string_equal(answer.error, "");
    coffer_kms_answer_done(&answer);
}

static struct coffer_key_provider provider_of(struct kms_fixture *f)
{
    struct coffer_key_provider provider = {NULL, NULL};

    assert_int_equal(coffer_keystore_provider(f->store, &provider), 0);
    assert_int_equal(provider.ops->size, sizeof(struct coffer_key_provider_ops));
    return provider;
}

static void volume_key_goes_out_wrapped_and_comes_back(void **state)
{
    struct kms_fixture *f = *state;
    struct coffer_key_provider p = provider_of(f);
    struct coffer_context_pair pairs[] = {{"volume", "1"}, {"key", "2"}};
    struct coffer_context_pair other_pairs[] = {{"volume", "2"}};
    struct coffer_context context = {pairs, 2}, other = {other_pairs, 1};
    struct coffer_key_info info, second;
    struct coffer_key_blob blob, moved;
    struct coffer_fault fault;
    uint8_t *key = NULL, *again = NULL;
    size_t bytes = 0;

    assert_int_equal(coffer_keystore_secret_new(32, &key), 0);
    assert_int_equal(coffer_keystore_secret_new(32, &again), 0);
    assert_int_equal(p.ops->describe(p.ctx, NULL, &info), 0);
    assert_int_equal(info.managed, 1);
    assert_int_equal(info.state, COFFER_KEY_ENABLED);
    assert_int_equal(p.ops->generate_data_key_without_plaintext(p.ctx, info.arn, &context, &blob),
                     0);
    assert_int_equal(p.ops->decrypt(p.ctx, info.arn, &blob, &context, key), 0);
    assert_int_equal(coffer_keystore_decrypt(f->store, NULL, blob.bytes, blob.length_bytes,
                                             &context, again, 32, &bytes, NULL, &fault),
                     0);
    assert_memory_equal(key, again, 32);
    assert_memory_not_equal(key, ((uint8_t[32]){0}), 32);
    assert_int_equal(p.ops->decrypt(p.ctx, info.arn, &blob, &other, again),
                     COFFER_E_KEY_CIPHERTEXT);
    coffer_keystore_provider_fault(f->store, &fault);
    assert_int_equal(fault.error, COFFER_E_KEY_CIPHERTEXT);
    assert_true(strlen(fault.detail) > 10);
    assert_int_equal(p.ops->describe(p.ctx, fixture_key(f)->key_id, &second), 0);
    assert_int_equal(second.managed, 0);
    assert_int_equal(p.ops->re_encrypt(p.ctx, &blob, &context, second.arn, &other, &moved), 0);
    assert_int_equal(p.ops->decrypt(p.ctx, second.arn, &moved, &other, again), 0);
    assert_memory_equal(key, again, 32);
    assert_int_equal(p.ops->decrypt(p.ctx, info.arn, &moved, &other, again),
                     COFFER_E_KEY_INCORRECT);
    coffer_keystore_secret_free(key);
    coffer_keystore_secret_free(again);
}

static void blob_of_another_length_is_no_volume_key(void **state)
{
    struct kms_fixture *f = *state;
    struct coffer_key_provider p = provider_of(f);
    size_t lengths[] = {16, 31, 33, 64}, i;
    struct coffer_key_info info;
    struct coffer_key_blob blob;
    uint8_t key[64];

    assert_int_equal(p.ops->describe(p.ctx, NULL, &info), 0);
    for (i = 0; i < 4; i++) {
        memset(key, 0, sizeof(key));
        assert_int_equal(coffer_keystore_generate_data_key(f->store, NULL, lengths[i], NULL, NULL,
                                                           &blob, NULL, &f->fault), 0);
        assert_int_equal(p.ops->decrypt(p.ctx, info.arn, &blob, NULL, key),
                         COFFER_E_KEY_CIPHERTEXT);
        assert_int_equal(key[32], 0);
    }
}

static void describe_works_on_a_disabled_key_and_use_does_not(void **state)
{
    struct kms_fixture *f = *state;
    struct coffer_key_provider p = provider_of(f);
    struct coffer_key_info info;
    struct coffer_key_blob blob;
    char id[COFFER_KEY_ID_BYTES];

    strcpy(id, fixture_key(f)->key_id);
    assert_int_equal(coffer_keystore_disable_key(f->store, id, &f->fault), 0);
    assert_int_equal(p.ops->describe(p.ctx, id, &info), 0);
    assert_int_equal(info.state, COFFER_KEY_IS_DISABLED);
    assert_int_equal(p.ops->generate_data_key_without_plaintext(p.ctx, info.arn, NULL, &blob),
                     COFFER_E_KEY_DISABLED);
    assert_int_equal(p.ops->describe(p.ctx, "alias/none", &info), COFFER_E_KEY_NOT_FOUND);
}

static int see_grant(void *ctx, const struct coffer_grant_entry *entry)
{
    unsigned *seen = ctx;

    ++*seen;
    assert_string_equal(entry->grantee, "engine");
    assert_int_equal(entry->operation_count, 3);
    assert_string_equal(entry->operations[0], "Decrypt");
    assert_int_equal(entry->constraint, COFFER_GRANT_CONTEXT_SUBSET);
    assert_int_equal(entry->context.pair_count, 1);
    assert_string_equal(entry->context.pairs[0].value, "1");
    return 0;
}

static void grants_are_recorded_and_retired(void **state)
{
    struct kms_fixture *f = *state;
    struct coffer_key_provider p = provider_of(f);
    struct coffer_context_pair pairs[] = {{"volume", "1"}};
    struct coffer_context context = {pairs, 1};
    struct coffer_key_info info;
    char id[65], second[65];
    unsigned seen = 0;

    assert_int_equal(p.ops->describe(p.ctx, NULL, &info), 0);
    assert_int_equal(p.ops->create_grant(p.ctx, info.arn, "engine", NULL, operations, 4, &context,
                                         id), 0);
    assert_int_equal(strlen(id), 64);
    assert_int_equal(p.ops->create_grant(p.ctx, info.arn, "engine", NULL, operations, 4, &context,
                                         second), 0);
    assert_string_not_equal(id, second);
    assert_int_equal(coffer_keystore_list_grants(f->store, info.arn, 0, NULL, see_grant, &seen,
                                                 NULL, &f->fault), 0);
    assert_int_equal(seen, 2);
    assert_int_equal(p.ops->retire_grant(p.ctx, fixture_key(f)->arn, id), COFFER_E_NOT_FOUND);
    assert_int_equal(p.ops->retire_grant(p.ctx, info.arn, id), 0);
    assert_int_equal(p.ops->retire_grant(p.ctx, info.arn, id), COFFER_E_NOT_FOUND);
    assert_int_equal(p.ops->retire_grant(p.ctx, info.arn, "x"), COFFER_E_GRANT_ID);
    assert_int_equal(p.ops->create_grant(p.ctx, info.arn, "", NULL, operations, 4, NULL, id),
                     COFFER_E_INVALID);
    assert_int_equal(p.ops->create_grant(p.ctx, info.arn, "engine", NULL, operations, 0, NULL, id),
                     COFFER_E_INVALID);
}

static void named_grant_is_made_once_a_key(void **state)
{
    struct kms_fixture *f = *state;
    struct coffer_key_metadata first = *fixture_key(f), second = *fixture_key(f);
    struct coffer_grant_opts opts = {.size = sizeof(opts), .key = first.arn, .grantee = "engine",
                                     .name = "volume-1", .operations = operations,
                                     .operation_count = 2};
    char id[65], again[65], other[65];

    assert_int_equal(coffer_keystore_create_grant(f->store, &opts, id, &f->fault), 0);
    assert_int_equal(coffer_keystore_create_grant(f->store, &opts, again, &f->fault), 0);
    assert_string_equal(id, again);
    opts.key = second.arn;
    assert_int_equal(coffer_keystore_create_grant(f->store, &opts, other, &f->fault), 0);
    assert_string_not_equal(id, other);
    opts.operation_count = 1;
    assert_int_equal(coffer_keystore_create_grant(f->store, &opts, other, &f->fault),
                     COFFER_E_EXISTS);
    opts.constraint = COFFER_GRANT_CONTEXT_SUBSET;
    assert_int_equal(coffer_keystore_create_grant(f->store, &opts, other, &f->fault),
                     COFFER_E_INVALID);
}

/* Alice may make grants for the engine by the engine; the engine has them and nothing else. */
static void each_provider_has_its_own_principals_rights(void **state)
{
    static const char alice[] = "arn:coffer:iam::000000000000:user/alice";
    static const char session[] = "arn:coffer:sts::000000000000:assumed-role/coffer-engine/h";
    static const char role[] = "arn:coffer:iam::000000000000:role/coffer-engine";
    static const char policy[] =
        "{\"PolicyDocument\":\"{\\\"Version\\\":\\\"2012-10-17\\\",\\\"Statement\\\":[{"
        "\\\"Effect\\\":\\\"Allow\\\",\\\"Action\\\":[\\\"kms:CreateGrant\\\","
        "\\\"kms:GenerateDataKeyWithoutPlaintext\\\"],\\\"Resource\\\":\\\"*\\\",\\\"Condition"
        "\\\":{\\\"StringEquals\\\":{\\\"kms:ViaService\\\":\\\"engine\\\"}}}]}\","
        "\"PolicyName\":\"p\"}";
    struct kms_fixture *f = *state;
    struct coffer_context_pair pairs[] = {{"volume", "1"}}, others[] = {{"volume", "2"}};
    struct coffer_context context = {pairs, 1}, other = {others, 1};
    struct coffer_key_provider root = provider_of(f), by_alice, engine, again;
    struct coffer_key_info info;
    struct coffer_key_blob blob;
    char id[65], arn[COFFER_PRINCIPAL_BYTES_MAX];
    uint8_t key[32];

    assert_int_equal(coffer_keystore_provider_as(f->store, alice, &by_alice), 0);
    assert_int_equal(coffer_keystore_provider_as(f->store, session, &engine), 0);
    assert_int_equal(coffer_keystore_provider_as(f->store, session, &again), 0);
    assert_ptr_equal(engine.ctx, again.ctx);
    assert_int_equal(coffer_keystore_provider_as(f->store, "alice", &again), COFFER_E_INVALID);
    assert_int_equal(root.ops->principal(root.ctx, arn), COFFER_E_UNSUPPORTED);
    assert_int_equal(engine.ops->principal(engine.ctx, arn), 0);
    assert_string_equal(arn, role);
    assert_int_equal(root.ops->describe(root.ctx, fixture_key(f)->arn, &info), 0);
    assert_int_equal(by_alice.ops->create_grant(by_alice.ctx, info.arn, role, "n", operations, 2,
                                                &context, id),
                     COFFER_E_KEY_ACCESS);
    ask(f, "CreateUser", "{\"UserName\":\"alice\"}");
    ask(f, "PutPolicy", policy);
    ask(f, "AttachUserPolicy",
        "{\"UserName\":\"alice\",\"PolicyArn\":\"arn:coffer:iam::000000000000:policy/p\"}");
    assert_int_equal(by_alice.ops->create_grant(by_alice.ctx, info.arn, role, "n", operations, 2,
                                                &context, id), 0);
    assert_int_equal(by_alice.ops->generate_data_key_without_plaintext(by_alice.ctx, info.arn,
                                                                       &context, &blob), 0);
    assert_int_equal(by_alice.ops->decrypt(by_alice.ctx, info.arn, &blob, &context, key),
                     COFFER_E_KEY_ACCESS);
    assert_int_equal(engine.ops->decrypt(engine.ctx, info.arn, &blob, &context, key), 0);
    assert_int_equal(engine.ops->decrypt(engine.ctx, info.arn, &blob, &other, key),
                     COFFER_E_KEY_ACCESS);
    assert_int_equal(engine.ops->describe(engine.ctx, info.arn, &info), COFFER_E_KEY_ACCESS);
    assert_int_equal(engine.ops->retire_grant(engine.ctx, info.arn, id),
                     COFFER_E_KEY_ACCESS);
    assert_int_equal(root.ops->retire_grant(root.ctx, info.arn, id), 0);
    assert_int_equal(engine.ops->decrypt(engine.ctx, info.arn, &blob, &context, key),
                     COFFER_E_KEY_ACCESS);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(volume_key_goes_out_wrapped_and_comes_back),
        CASE(blob_of_another_length_is_no_volume_key),
        CASE(describe_works_on_a_disabled_key_and_use_does_not),
        CASE(grants_are_recorded_and_retired),
        CASE(named_grant_is_made_once_a_key),
        CASE(each_provider_has_its_own_principals_rights),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
