/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service's wire by its operations: each one's good call, the members of its answer, and its
 * errors, as clients of AWS KMS know them.
 */
#include "wire_fixture.h"

static void keys_are_made_described_and_listed(void **state)
{
    struct wire_fixture *f = *state;
    char key[COFFER_KEY_ID_BYTES], body[200];

    good(f, "CreateKey",
         "{\"Description\":\"d\",\"Tags\":[{\"TagKey\":\"a\",\"TagValue\":\"b\"}]}");
    assert_string_equal(text_at(f, "KeyMetadata.Description"), "d");
    assert_string_equal(text_at(f, "KeyMetadata.KeyState"), "Enabled");
    assert_string_equal(text_at(f, "KeyMetadata.KeyUsage"), "ENCRYPT_DECRYPT");
    assert_string_equal(text_at(f, "KeyMetadata.KeySpec"), "SYMMETRIC_DEFAULT");
    assert_string_equal(text_at(f, "KeyMetadata.CustomerMasterKeySpec"), "SYMMETRIC_DEFAULT");
    assert_string_equal(text_at(f, "KeyMetadata.EncryptionAlgorithms.0"), "SYMMETRIC_DEFAULT");
    assert_string_equal(text_at(f, "KeyMetadata.Origin"), "AWS_KMS");
    assert_string_equal(text_at(f, "KeyMetadata.KeyManager"), "CUSTOMER");
    assert_string_equal(text_at(f, "KeyMetadata.AWSAccountId"), "000000000000");
    assert_int_equal(strlen(text_at(f, "KeyMetadata.CurrentKeyMaterialId")), 64);
    assert_true(json_is_real(at(f, "KeyMetadata.CreationDate")));
    assert_true(json_is_true(at(f, "KeyMetadata.Enabled")));
    assert_true(json_is_false(at(f, "KeyMetadata.MultiRegion")));
    assert_null(at(f, "KeyMetadata.DeletionDate"));
    snprintf(key, sizeof(key), "%s", text_at(f, "KeyMetadata.KeyId"));
    good(f, "ListKeys", "{\"Limit\":1}");
    assert_true(json_is_true(at(f, "Truncated")));
    snprintf(body, sizeof(body), "{\"Limit\":1,\"Marker\":\"%.100s\"}", text_at(f, "NextMarker"));
    good(f, "ListKeys", body);
    assert_true(json_is_false(at(f, "Truncated")));
    assert_null(at(f, "NextMarker"));
    bad(f, "ListKeys", "{\"Marker\":\"nonsense\"}", "InvalidMarkerException");
    bad(f, "DescribeKey", "{\"KeyId\":\"alias/none\"}", "NotFoundException");
    bad(f, "DescribeKey", "{\"KeyId\":\"00000000-0000-4000-8000-000000000000\"}",
        "NotFoundException");
    good(f, "UpdateKeyDescription", "{\"KeyId\":\"%K\",\"Description\":\"anew\"}");
    assert_int_equal(f->answer.body_bytes, 0);
    good(f, "DescribeKey", "{\"KeyId\":\"%A\"}");
    assert_string_equal(text_at(f, "KeyMetadata.Description"), "anew");
}

static void states_of_keys_have_their_errors(void **state)
{
    static const char encrypt[] = "{\"KeyId\":\"%K\",\"Plaintext\":\"QQ==\"}";
    struct wire_fixture *f = *state;

    good(f, "DisableKey", "{\"KeyId\":\"%K\"}");
    bad(f, "Encrypt", encrypt, "DisabledException");
    bad(f, "GenerateDataKey", "{\"KeyId\":\"%K\",\"KeySpec\":\"AES_256\"}", "DisabledException");
    bad(f, "CancelKeyDeletion", "{\"KeyId\":\"%K\"}", "KMSInvalidStateException");
    good(f, "EnableKey", "{\"KeyId\":\"%K\"}");
    bad(f, "ScheduleKeyDeletion", "{\"KeyId\":\"%K\",\"PendingWindowInDays\":6}",
        "ValidationException");
    bad(f, "ScheduleKeyDeletion", "{\"KeyId\":\"%K\",\"PendingWindowInDays\":31}",
        "ValidationException");
    good(f, "ScheduleKeyDeletion", "{\"KeyId\":\"%K\",\"PendingWindowInDays\":7}");
    assert_string_equal(text_at(f, "KeyState"), "PendingDeletion");
    assert_string_equal(text_at(f, "KeyId"), f->arn);
    assert_int_equal(json_integer_value(at(f, "PendingWindowInDays")), 7);
    assert_true(json_is_real(at(f, "DeletionDate")));
    bad(f, "Encrypt", encrypt, "KMSInvalidStateException");
    bad(f, "EnableKey", "{\"KeyId\":\"%K\"}", "KMSInvalidStateException");
    good(f, "DescribeKey", "{\"KeyId\":\"%K\"}");
    assert_true(json_is_real(at(f, "KeyMetadata.DeletionDate")));
    good(f, "CancelKeyDeletion", "{\"KeyId\":\"%K\"}");
    assert_string_equal(text_at(f, "KeyId"), f->arn);
    bad(f, "Encrypt", encrypt, "DisabledException");
}

static void aliases_name_keys(void **state)
{
    struct wire_fixture *f = *state;

    good(f, "CreateAlias", "{\"AliasName\":\"alias/one\",\"TargetKeyId\":\"%K\"}");
    bad(f, "CreateAlias", "{\"AliasName\":\"alias/one\",\"TargetKeyId\":\"%K\"}",
        "AlreadyExistsException");
    bad(f, "CreateAlias", "{\"AliasName\":\"one\",\"TargetKeyId\":\"%K\"}",
        "InvalidAliasNameException");
    good(f, "DescribeKey", "{\"KeyId\":\"alias/one\"}");
    assert_string_equal(text_at(f, "KeyMetadata.Arn"), f->arn);
    good(f, "ListAliases", "{\"KeyId\":\"%K\"}");
    assert_string_equal(text_at(f, "Aliases.0.AliasName"), "alias/one");
    assert_string_equal(text_at(f, "Aliases.0.TargetKeyId"), f->key_id);
    assert_non_null(strstr(text_at(f, "Aliases.0.AliasArn"), ":alias/one"));
    assert_true(json_is_real(at(f, "Aliases.0.LastUpdatedDate")));
    bad(f, "UpdateAlias", "{\"AliasName\":\"alias/two\",\"TargetKeyId\":\"%K\"}",
        "NotFoundException");
    good(f, "UpdateAlias", "{\"AliasName\":\"alias/one\",\"TargetKeyId\":\"%K\"}");
    good(f, "DeleteAlias", "{\"AliasName\":\"alias/one\"}");
    bad(f, "DeleteAlias", "{\"AliasName\":\"alias/one\"}", "NotFoundException");
}

static void contexts_that_join_alike_differ(void **state)
{
    struct wire_fixture *f = *state;
    char blob[9000], body[9200];

    good(f, "Encrypt",
         "{\"KeyId\":\"%K\",\"Plaintext\":\"c2VjcmV0\",\"EncryptionContext\":{\"a\":\"bc\"}}");
    assert_string_equal(text_at(f, "KeyId"), f->arn);
    assert_string_equal(text_at(f, "EncryptionAlgorithm"), "SYMMETRIC_DEFAULT");
    snprintf(blob, sizeof(blob), "%s", text_at(f, "CiphertextBlob"));
    snprintf(body, sizeof(body), "{\"CiphertextBlob\":\"%s\",\"EncryptionContext\":{\"ab\":\"c\"}}",
             blob);
    bad(f, "Decrypt", body, "InvalidCiphertextException");
    snprintf(body, sizeof(body), "{\"CiphertextBlob\":\"%s\"}", blob);
    bad(f, "Decrypt", body, "InvalidCiphertextException");
    snprintf(body, sizeof(body), "{\"CiphertextBlob\":\"%s\",\"EncryptionContext\":{\"a\":\"bc\"}}",
             blob);
    good(f, "Decrypt", body);
    assert_string_equal(text_at(f, "Plaintext"), "c2VjcmV0");
    assert_string_equal(text_at(f, "KeyId"), f->arn);
    assert_int_equal(strlen(text_at(f, "KeyMaterialId")), 64);
    /* Another key named: IncorrectKey. */
    good(f, "CreateKey", "{}");
    snprintf(body, sizeof(body),
             "{\"KeyId\":\"%s\",\"CiphertextBlob\":\"%s\",\"EncryptionContext\":{\"a\":\"bc\"}}",
             text_at(f, "KeyMetadata.KeyId"), blob);
    bad(f, "Decrypt", body, "IncorrectKeyException");
}

static void damaged_blobs_are_invalid_ciphertexts(void **state)
{
    struct wire_fixture *f = *state;
    char blob[9000], body[9200];
    size_t length;

    good(f, "Encrypt", "{\"KeyId\":\"%K\",\"Plaintext\":\"c2VjcmV0\"}");
    snprintf(blob, sizeof(blob), "%s", text_at(f, "CiphertextBlob"));
    length = strlen(blob) / 4 * 4;
    for (size_t cut = 4; cut < length; cut += 4) {
        snprintf(body, sizeof(body), "{\"CiphertextBlob\":\"%.*s\"}", (int)cut, blob);
        bad(f, "Decrypt", body, "InvalidCiphertextException");
    }
    snprintf(body, sizeof(body), "{\"CiphertextBlob\":\"%.*sAAAA%s\"}", 24, blob, blob + 28);
    bad(f, "Decrypt", body, "InvalidCiphertextException");
    memset(body, 'A', sizeof(body));
    length = (size_t)snprintf(body, sizeof(body), "{\"CiphertextBlob\":\"");
    body[length] = 'A';
    snprintf(body + length + 6144 / 3 * 4, 8, "\"}");
    bad(f, "Decrypt", body, "InvalidCiphertextException");
    snprintf(body + length + 6147 / 3 * 4, 8, "\"}");
    body[length + 6144 / 3 * 4] = 'A';
    body[length + 6144 / 3 * 4 + 1] = 'A';
    body[length + 6144 / 3 * 4 + 2] = 'A';
    bad(f, "Decrypt", body, "ValidationException");
    assert_non_null(strstr(message(f), "Member must have length less than or equal to 6144"));
}

/* Of a key that is not here the answer says nothing but that. */
static void a_foreign_blob_is_denied(void **state)
{
    struct wire_fixture *f = *state, other;
    char body[9200];

    memset(&other, 0, sizeof(other));
    fixture_init(&other.kms);
    assert_int_equal(fixture_open(&other.kms), 0);
    memcpy(other.key_id, fixture_key(&other.kms)->key_id, sizeof(other.key_id));
    good(&other, "Encrypt", "{\"KeyId\":\"%K\",\"Plaintext\":\"QQ==\"}");
    snprintf(body, sizeof(body), "{\"CiphertextBlob\":\"%s\"}", text_at(&other, "CiphertextBlob"));
    bad(f, "Decrypt", body, "AccessDeniedException");
    assert_int_equal(f->answer.status, 400);
    assert_non_null(json_object_get(f->value, "Message"));
    assert_null(json_object_get(f->value, "message"));
    assert_non_null(strstr(message(f), "does not exist"));
    forget(&other);
    fixture_done(&other.kms);
}

static void data_keys_have_one_length(void **state)
{
    struct wire_fixture *f = *state;

    good(f, "GenerateDataKey", "{\"KeyId\":\"%K\",\"KeySpec\":\"AES_128\"}");
    assert_int_equal(strlen(text_at(f, "Plaintext")), 24);
    assert_int_equal(strlen(text_at(f, "KeyMaterialId")), 64);
    good(f, "GenerateDataKeyWithoutPlaintext", "{\"KeyId\":\"%K\",\"NumberOfBytes\":1024}");
    assert_null(at(f, "Plaintext"));
    assert_string_equal(text_at(f, "KeyId"), f->arn);
    bad(f, "GenerateDataKey", "{\"KeyId\":\"%K\"}", "ValidationException");
    bad(f, "GenerateDataKey", "{\"KeyId\":\"%K\",\"KeySpec\":\"AES_128\",\"NumberOfBytes\":16}",
        "ValidationException");
    bad(f, "GenerateDataKey", "{\"KeyId\":\"%K\",\"NumberOfBytes\":1025}", "ValidationException");
    good(f, "GenerateRandom", "{\"NumberOfBytes\":3}");
    assert_int_equal(strlen(text_at(f, "Plaintext")), 4);
    bad(f, "GenerateRandom", "{}", "ValidationException");
}

static void ciphertexts_are_moved_one_by_one_and_many_at_once(void **state)
{
    struct wire_fixture *f = *state;
    char blob[9000], body[19000];

    good(f, "Encrypt",
         "{\"KeyId\":\"%K\",\"Plaintext\":\"c2VjcmV0\",\"EncryptionContext\":{\"a\":\"b\"}}");
    snprintf(blob, sizeof(blob), "%s", text_at(f, "CiphertextBlob"));
    snprintf(body, sizeof(body),
             "{\"CiphertextBlob\":\"%s\",\"SourceEncryptionContext\":{\"a\":\"b\"},"
             "\"DestinationKeyId\":\"%%K\",\"DestinationEncryptionContext\":{\"c\":\"d\"}}",
             blob);
    good(f, "ReEncrypt", body);
    assert_string_equal(text_at(f, "SourceKeyId"), f->arn);
    assert_string_equal(text_at(f, "KeyId"), f->arn);
    assert_string_equal(text_at(f, "SourceKeyMaterialId"), text_at(f, "DestinationKeyMaterialId"));
    assert_string_equal(text_at(f, "SourceEncryptionAlgorithm"), "SYMMETRIC_DEFAULT");
    snprintf(body, sizeof(body),
             "{\"DestinationKeyId\":\"%%K\",\"Entries\":[{\"CiphertextBlob\":\"%s\","
             "\"SourceEncryptionContext\":{\"a\":\"b\"}},{\"CiphertextBlob\":\"QUJD\"}]}",
             blob);
    good(f, "CofferReEncryptBatch", body);
    assert_string_equal(text_at(f, "Results.0.KeyId"), f->arn);
    assert_string_equal(text_at(f, "Results.1.Error.__type"), "InvalidCiphertextException");
    snprintf(body, sizeof(body), "{\"CiphertextBlob\":\"%.8000s\"}",
             text_at(f, "Results.0.CiphertextBlob"));
    good(f, "Decrypt", body);
    assert_string_equal(text_at(f, "Plaintext"), "c2VjcmV0");
    bad(f, "CofferReEncryptBatch", "{\"DestinationKeyId\":\"%K\",\"Entries\":[]}",
        "ValidationException");
    good(f, "CofferExportPlaintext", "{\"KeyId\":\"%K\",\"EncryptionContext\":{\"to\":\"f\"}}");
    bad(f, "CofferExportPlaintext", "{\"EncryptionContext\":{}}", "ValidationException");
    bad(f, "CofferExportPlaintext", "{\"KeyId\":\"alias/none\"}", "NotFoundException");
    good(f, "CofferExportPlaintext",
         "{\"KeyId\":\"arn:coffer:kms:local-1:999999999999:key/"
         "00000000-0000-4000-8000-000000000000\"}");
}

static void a_dry_run_ends_in_its_own_error(void **state)
{
    struct wire_fixture *f = *state;

    bad(f, "Encrypt", "{\"KeyId\":\"%K\",\"Plaintext\":\"QQ==\",\"DryRun\":true}",
        "DryRunOperationException");
    bad(f, "GenerateDataKey", "{\"KeyId\":\"%K\",\"KeySpec\":\"AES_256\",\"DryRun\":true}",
        "DryRunOperationException");
    bad(f, "CreateGrant",
        "{\"KeyId\":\"%K\",\"GranteePrincipal\":\"arn:coffer:iam::000000000000:user/u\","
        "\"Operations\":[\"Decrypt\"],\"DryRun\":true}",
        "DryRunOperationException");
    good(f, "ListGrants", "{\"KeyId\":\"%K\"}");
    assert_int_equal(json_array_size(at(f, "Grants")), 0);
    good(f, "DisableKey", "{\"KeyId\":\"%K\"}");
    bad(f, "Encrypt", "{\"KeyId\":\"%K\",\"Plaintext\":\"QQ==\",\"DryRun\":true}",
        "DisabledException");
}

static void grants_are_made_listed_and_given_up(void **state)
{
    static const char make[] =
        "{\"KeyId\":\"%K\",\"GranteePrincipal\":\"arn:coffer:iam::000000000000:user/u\","
        "\"RetiringPrincipal\":\"arn:coffer:iam::000000000000:user/r\","
        "\"Operations\":[\"Encrypt\",\"Decrypt\"],\"Name\":\"n\","
        "\"Constraints\":{\"EncryptionContextSubset\":{\"a\":\"b\"}}}";
    struct wire_fixture *f = *state;
    char id[100], body[9000];

    good(f, "CreateGrant", make);
    snprintf(id, sizeof(id), "%s", text_at(f, "GrantId"));
    assert_true(strlen(text_at(f, "GrantToken")) > 0);
    good(f, "CreateGrant", make);
    assert_string_equal(text_at(f, "GrantId"), id);
    good(f, "ListGrants", "{\"KeyId\":\"%K\"}");
    assert_int_equal(json_array_size(at(f, "Grants")), 1);
    assert_string_equal(text_at(f, "Grants.0.GrantId"), id);
    assert_string_equal(text_at(f, "Grants.0.KeyId"), f->arn);
    assert_string_equal(text_at(f, "Grants.0.Name"), "n");
    assert_string_equal(text_at(f, "Grants.0.Constraints.EncryptionContextSubset.a"), "b");
    assert_int_equal(json_array_size(at(f, "Grants.0.Operations")), 2);
    assert_non_null(text_at(f, "Grants.0.IssuingAccount"));
    good(f, "ListRetirableGrants",
         "{\"RetiringPrincipal\":\"arn:coffer:iam::000000000000:user/r\"}");
    assert_string_equal(text_at(f, "Grants.0.GrantId"), id);
    snprintf(body, sizeof(body), "{\"KeyId\":\"%%K\",\"GrantId\":\"%s\"}", id);
    good(f, "RevokeGrant", body);
    bad(f, "RevokeGrant", body, "NotFoundException");
    good(f, "CreateGrant", make);
    snprintf(body, sizeof(body), "{\"GrantToken\":\"%.8000s\"}", text_at(f, "GrantToken"));
    good(f, "RetireGrant", body);
    bad(f, "RetireGrant", "{\"GrantToken\":\"nonsense\"}", "InvalidGrantTokenException");
    bad(f, "Encrypt", "{\"KeyId\":\"%K\",\"Plaintext\":\"QQ==\",\"GrantTokens\":[\"nonsense\"]}",
        "InvalidGrantTokenException");
    bad(f, "RetireGrant", "{}", "ValidationException");
}

static void keys_have_a_policy_and_tags(void **state)
{
    struct wire_fixture *f = *state;

    good(f, "ListKeyPolicies", "{\"KeyId\":\"%K\"}");
    assert_string_equal(text_at(f, "PolicyNames.0"), "default");
    good(f, "GetKeyPolicy", "{\"KeyId\":\"%K\"}");
    assert_string_equal(text_at(f, "PolicyName"), "default");
    assert_non_null(strstr(text_at(f, "Policy"), "Statement"));
    bad(f, "PutKeyPolicy", "{\"KeyId\":\"%K\",\"Policy\":\"{\"}",
        "MalformedPolicyDocumentException");
    bad(f, "GetKeyPolicy", "{\"KeyId\":\"%K\",\"PolicyName\":\"other\"}", "NotFoundException");
    good(f, "TagResource", "{\"KeyId\":\"%K\",\"Tags\":[{\"TagKey\":\"a\",\"TagValue\":\"b\"}]}");
    bad(f, "TagResource", "{\"KeyId\":\"%K\",\"Tags\":[{\"TagKey\":\"aws:a\",\"TagValue\":\"b\"}]}",
        "TagException");
    good(f, "ListResourceTags", "{\"KeyId\":\"%K\"}");
    assert_string_equal(text_at(f, "Tags.0.TagKey"), "a");
    assert_string_equal(text_at(f, "Tags.0.TagValue"), "b");
    good(f, "UntagResource", "{\"KeyId\":\"%K\",\"TagKeys\":[\"a\"]}");
    good(f, "ListResourceTags", "{\"KeyId\":\"%K\"}");
    assert_int_equal(json_array_size(at(f, "Tags")), 0);
}

static void keys_rotate(void **state)
{
    struct wire_fixture *f = *state;

    good(f, "GetKeyRotationStatus", "{\"KeyId\":\"%K\"}");
    assert_true(json_is_false(at(f, "KeyRotationEnabled")));
    bad(f, "EnableKeyRotation", "{\"KeyId\":\"%K\",\"RotationPeriodInDays\":89}",
        "ValidationException");
    good(f, "EnableKeyRotation", "{\"KeyId\":\"%K\",\"RotationPeriodInDays\":90}");
    good(f, "GetKeyRotationStatus", "{\"KeyId\":\"%K\"}");
    assert_true(json_is_true(at(f, "KeyRotationEnabled")));
    assert_int_equal(json_integer_value(at(f, "RotationPeriodInDays")), 90);
    assert_true(json_is_real(at(f, "NextRotationDate")));
    good(f, "RotateKeyOnDemand", "{\"KeyId\":\"%K\"}");
    assert_string_equal(text_at(f, "KeyId"), f->arn);
    good(f, "ListKeyRotations", "{\"KeyId\":\"%K\"}");
    assert_int_equal(json_array_size(at(f, "Rotations")), 1);
    assert_string_equal(text_at(f, "Rotations.0.RotationType"), "ON_DEMAND");
    assert_true(json_is_real(at(f, "Rotations.0.RotationDate")));
    good(f, "DisableKeyRotation", "{\"KeyId\":\"%K\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, wire_setup, wire_teardown)
        CASE(keys_are_made_described_and_listed),
        CASE(states_of_keys_have_their_errors),
        CASE(aliases_name_keys),
        CASE(contexts_that_join_alike_differ),
        CASE(damaged_blobs_are_invalid_ciphertexts),
        CASE(a_foreign_blob_is_denied),
        CASE(data_keys_have_one_length),
        CASE(ciphertexts_are_moved_one_by_one_and_many_at_once),
        CASE(a_dry_run_ends_in_its_own_error),
        CASE(grants_are_made_listed_and_given_up),
        CASE(keys_have_a_policy_and_tags),
        CASE(keys_rotate),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
