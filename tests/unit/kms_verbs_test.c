/* SPDX-License-Identifier: Apache-2.0 */
/* Every verb of the key store, in every state of a key, through the public interface. */
#include "kms_fixture.h"

#define TEXT (const uint8_t *)"attack at dawn", 14

static char seen[4][300];
static unsigned seen_count;

static int see_key(void *ctx, const struct coffer_key_entry *entry)
{
    (void)ctx;
    snprintf(seen[seen_count++ % 4], sizeof(seen[0]), "%s", entry->key_id);
    return 0;
}

static int see_alias(void *ctx, const struct coffer_alias_entry *entry)
{
    (void)ctx;
    snprintf(seen[seen_count++ % 4], sizeof(seen[0]), "%s", entry->name);
    return 0;
}

static int stop_at_once(void *ctx, const struct coffer_key_entry *entry)
{
    (void)ctx;
    (void)entry;
    return 77;
}

static int decrypt(struct kms_fixture *f, const struct coffer_key_blob *blob,
                   const struct coffer_context *context, const char *expected)
{
    uint8_t plaintext[COFFER_PLAINTEXT_BYTES_MAX];
    size_t bytes = 99;
    int error;

    memset(plaintext, 0xee, sizeof(plaintext));
    error = coffer_keystore_decrypt(f->store, NULL, blob->bytes, blob->length_bytes, context,
                                    plaintext, sizeof(plaintext), &bytes, NULL, &f->fault);
    if (error != 0) {
        assert_int_equal(bytes, 99);
        assert_int_equal(plaintext[0], 0xee);
        assert_int_equal(f->fault.error, error);
    } else {
        assert_int_equal(bytes, strlen(expected));
        assert_memory_equal(plaintext, expected, bytes);
    }
    return error;
}

static void created_key_is_described_after_reopen(void **state)
{
    struct kms_fixture *f = *state;
    struct coffer_key_metadata made = *fixture_key(f);
    struct coffer_key_metadata *found = malloc(sizeof(*found));

    assert_int_equal(strlen(made.key_id), 36);
    assert_string_equal(made.description, "a key");
    assert_string_equal(made.key_spec, "SYMMETRIC_DEFAULT");
    assert_int_equal(made.state, COFFER_KEY_ENABLED);
    assert_int_equal(made.managed, 0);
    assert_non_null(strstr(made.arn, "arn:coffer:kms:local-1:000000000000:key/"));
    fixture_close(f);
    assert_int_equal(fixture_open(f), 0);
    found->size = sizeof(*found);
    assert_int_equal(coffer_keystore_describe_key(f->store, made.arn, found, &f->fault), 0);
    assert_memory_equal(found, &made, sizeof(made));
    free(found);
}

static void all_four_forms_name_the_same_key(void **state)
{
    struct kms_fixture *f = *state;
    static struct coffer_key_metadata made, found = {.size = sizeof(found)};
    const char *forms[4];
    unsigned i;

    made = *fixture_key(f);
    assert_int_equal(coffer_keystore_create_alias(f->store, "alias/a/b-c_D", made.arn, &f->fault),
                     0);
    forms[0] = made.key_id;
    forms[1] = made.arn;
    forms[2] = "alias/a/b-c_D";
    forms[3] = "arn:coffer:kms:local-1:000000000000:alias/a/b-c_D";
    for (i = 0; i < 4; i++) {
        assert_int_equal(coffer_keystore_describe_key(f->store, forms[i], &found, &f->fault), 0);
        assert_string_equal(found.arn, made.arn);
    }
}

static void unknown_keys_are_not_found(void **state)
{
    static const char *const names[] = {
        "", "x", "alias/", "alias/none", "00000000-0000-4000-8000-000000000000",
        "key/00000000-0000-4000-8000-000000000000",
        "arn:coffer:kms:local-2:000000000000:key/00000000-0000-4000-8000-000000000000",
        "arn:coffer:kms:local-1:000000000001:key/00000000-0000-4000-8000-000000000000",
        "arn:aws:kms:local-1:000000000000:alias/none", "00000000-0000-4000-8000-00000000000G"};
    static const char *const no_arns[] = {
        "arn:", "arn:coffer:kms:local-1:000000000000:00000000-0000-4000-8000-000000000000",
        "arn:coffer:iam::000000000000:root", "arn:coffer:kms:local-1:00000000000:alias/none",
        "arn:azure:kms:local-1:000000000000:alias/none"};
    struct kms_fixture *f = *state;
    static struct coffer_key_metadata found = {.size = sizeof(found)};
    struct coffer_key_blob blob;
    size_t i;

    for (i = 0; i < sizeof(no_arns) / sizeof(no_arns[0]); i++) {
        assert_int_equal(coffer_keystore_describe_key(f->store, no_arns[i], &found, &f->fault),
                         COFFER_E_ARN);
    }
    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_int_equal(coffer_keystore_describe_key(f->store, names[i], &found, &f->fault),
                         COFFER_E_KEY_NOT_FOUND);
        assert_int_equal(coffer_keystore_encrypt(f->store, names[i], TEXT, NULL, &blob, NULL,
                                                 &f->fault), COFFER_E_KEY_NOT_FOUND);
    }
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM key"), 0);
}

static void default_key_is_made_once_and_cannot_be_disabled(void **state)
{
    struct kms_fixture *f = *state;
    static struct coffer_key_metadata first = {.size = sizeof(first)};
    static struct coffer_key_metadata second = {.size = sizeof(second)};
    struct coffer_key_blob blob;

    assert_int_equal(fixture_number(f, "SELECT count(*) FROM key"), 0);
    assert_int_equal(coffer_keystore_encrypt(f->store, NULL, TEXT, NULL, &blob, NULL, &f->fault),
                     0);
    assert_int_equal(coffer_keystore_describe_key(f->store, COFFER_ALIAS_DEFAULT, &first,
                                                  &f->fault), 0);
    assert_int_equal(coffer_keystore_describe_key(f->store, NULL, &second, &f->fault), 0);
    assert_string_equal(first.arn, second.arn);
    assert_int_equal(first.managed, 1);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM key"), 1);
    assert_int_equal(coffer_keystore_disable_key(f->store, first.arn, &f->fault),
                     COFFER_E_KEY_ACCESS);
    assert_int_equal(coffer_keystore_create_alias(f->store, "alias/mine", first.arn, &f->fault),
                     COFFER_E_KEY_ACCESS);
    assert_int_equal(decrypt(f, &blob, NULL, "attack at dawn"), 0);
}

static void default_keys_of_two_regions_differ(void **state)
{
    struct kms_fixture *f = *state, other;
    static struct coffer_key_metadata first = {.size = sizeof(first)};
    static struct coffer_key_metadata second = {.size = sizeof(second)};

    fixture_init(&other);
    other.opts.region = "local-2";
    other.opts.account = "123456789012";
    assert_int_equal(fixture_open(&other), 0);
    assert_int_equal(coffer_keystore_describe_key(f->store, NULL, &first, &f->fault), 0);
    assert_int_equal(coffer_keystore_describe_key(other.store, NULL, &second, &f->fault), 0);
    assert_string_not_equal(first.key_id, second.key_id);
    assert_non_null(strstr(second.arn, "arn:coffer:kms:local-2:123456789012:key/"));
    assert_int_equal(coffer_keystore_describe_key(other.store, first.arn, &second, &other.fault),
                     COFFER_E_KEY_NOT_FOUND);
    fixture_done(&other);
}

static void context_must_match_exactly(void **state)
{
    struct kms_fixture *f = *state;
    struct coffer_context_pair a_bc[] = {{"a", "bc"}}, ab_c[] = {{"ab", "c"}};
    struct coffer_context_pair upper[] = {{"A", "bc"}};
    struct coffer_context_pair two[] = {{"a", "bc"}, {"b", ""}};
    struct coffer_context_pair turned[] = {{"b", ""}, {"a", "bc"}};
    struct coffer_context context = {a_bc, 1}, shifted = {ab_c, 1}, cased = {upper, 1};
    struct coffer_context more = {two, 2}, back = {turned, 2}, empty = {NULL, 0};
    struct coffer_key_blob blob;

    assert_int_equal(coffer_keystore_encrypt(f->store, NULL, TEXT, &context, &blob, NULL,
                                             &f->fault), 0);
    assert_int_equal(decrypt(f, &blob, &context, "attack at dawn"), 0);
    assert_int_equal(decrypt(f, &blob, &shifted, ""), COFFER_E_KEY_CIPHERTEXT);
    assert_int_equal(decrypt(f, &blob, &cased, ""), COFFER_E_KEY_CIPHERTEXT);
    assert_int_equal(decrypt(f, &blob, &more, ""), COFFER_E_KEY_CIPHERTEXT);
    assert_int_equal(decrypt(f, &blob, NULL, ""), COFFER_E_KEY_CIPHERTEXT);
    assert_int_equal(coffer_keystore_encrypt(f->store, NULL, TEXT, &more, &blob, NULL, &f->fault),
                     0);
    assert_int_equal(decrypt(f, &blob, &back, "attack at dawn"), 0);
    assert_int_equal(coffer_keystore_encrypt(f->store, NULL, TEXT, NULL, &blob, NULL, &f->fault),
                     0);
    assert_int_equal(decrypt(f, &blob, &empty, "attack at dawn"), 0);
}

static void encrypt_takes_1_to_4096_bytes_and_never_repeats(void **state)
{
    struct kms_fixture *f = *state;
    static uint8_t text[COFFER_PLAINTEXT_BYTES_MAX + 1], back[COFFER_PLAINTEXT_BYTES_MAX];
    struct coffer_key_blob blob, again;
    size_t bytes = 0;

    memset(text, 'x', sizeof(text));
    assert_int_equal(coffer_keystore_encrypt(f->store, NULL, text, 0, NULL, &blob, NULL,
                                             &f->fault), COFFER_E_INVALID);
    assert_int_equal(coffer_keystore_encrypt(f->store, NULL, text, 4097, NULL, &blob, NULL,
                                             &f->fault), COFFER_E_INVALID);
    assert_int_equal(coffer_keystore_encrypt(f->store, NULL, text, 4096, NULL, &blob, NULL,
                                             &f->fault), 0);
    assert_true(blob.length_bytes <= COFFER_KEY_BLOB_BYTES_MAX);
    assert_int_equal(coffer_keystore_decrypt(f->store, NULL, blob.bytes, blob.length_bytes, NULL,
                                             back, 4095, &bytes, NULL, &f->fault),
                     COFFER_E_RANGE);
    assert_int_equal(coffer_keystore_decrypt(f->store, NULL, blob.bytes, blob.length_bytes, NULL,
                                             back, 4096, &bytes, NULL, &f->fault), 0);
    assert_int_equal(bytes, 4096);
    assert_memory_equal(back, text, 4096);
    assert_int_equal(coffer_keystore_encrypt(f->store, NULL, text, 1, NULL, &blob, NULL,
                                             &f->fault), 0);
    assert_int_equal(coffer_keystore_encrypt(f->store, NULL, text, 1, NULL, &again, NULL,
                                             &f->fault), 0);
    assert_int_equal(blob.length_bytes, again.length_bytes);
    assert_memory_not_equal(blob.bytes, again.bytes, blob.length_bytes);
}

static void disabled_key_refuses_use_and_enabling_brings_it_back(void **state)
{
    struct kms_fixture *f = *state;
    struct coffer_key_metadata key = *fixture_key(f);
    static struct coffer_key_metadata found = {.size = sizeof(found)};
    const char *const operations[] = {"Decrypt"};
    struct coffer_grant_opts grant = {.size = sizeof(grant), .key = key.key_id, .grantee = "engine",
                                      .operations = operations, .operation_count = 1};
    struct coffer_key_blob blob, other;
    char grant_id[COFFER_GRANT_ID_BYTES];

    assert_int_equal(coffer_keystore_encrypt(f->store, key.arn, TEXT, NULL, &blob, NULL,
                                             &f->fault), 0);
    assert_int_equal(coffer_keystore_disable_key(f->store, key.key_id, &f->fault), 0);
    assert_int_equal(coffer_keystore_disable_key(f->store, key.key_id, &f->fault), 0);
    assert_int_equal(coffer_keystore_describe_key(f->store, key.key_id, &found, &f->fault), 0);
    assert_int_equal(found.state, COFFER_KEY_IS_DISABLED);
    assert_int_equal(coffer_keystore_encrypt(f->store, key.arn, TEXT, NULL, &other, NULL,
                                             &f->fault), COFFER_E_KEY_DISABLED);
    assert_int_equal(decrypt(f, &blob, NULL, ""), COFFER_E_KEY_DISABLED);
    assert_int_equal(coffer_keystore_generate_data_key(f->store, key.arn, 32, NULL, NULL, &other,
                                                       NULL, &f->fault), COFFER_E_KEY_DISABLED);
    assert_int_equal(coffer_keystore_re_encrypt(f->store, NULL, blob.bytes, blob.length_bytes, NULL,
                                                NULL, NULL, &other, NULL, NULL, &f->fault),
                     COFFER_E_KEY_DISABLED);
    assert_int_equal(coffer_keystore_create_grant(f->store, &grant, grant_id, &f->fault),
                     COFFER_E_KEY_DISABLED);
    fixture_close(f);
    assert_int_equal(fixture_open(f), 0);
    assert_int_equal(decrypt(f, &blob, NULL, ""), COFFER_E_KEY_DISABLED);
    assert_int_equal(coffer_keystore_enable_key(f->store, key.arn, &f->fault), 0);
    assert_int_equal(decrypt(f, &blob, NULL, "attack at dawn"), 0);
}

static void destination_of_re_encrypt_must_be_enabled(void **state)
{
    struct kms_fixture *f = *state;
    struct coffer_key_metadata key = *fixture_key(f);
    struct coffer_key_blob blob, other;

    assert_int_equal(coffer_keystore_encrypt(f->store, NULL, TEXT, NULL, &blob, NULL, &f->fault),
                     0);
    assert_int_equal(coffer_keystore_disable_key(f->store, key.arn, &f->fault), 0);
    assert_int_equal(coffer_keystore_re_encrypt(f->store, NULL, blob.bytes, blob.length_bytes, NULL,
                                                key.arn, NULL, &other, NULL, NULL, &f->fault),
                     COFFER_E_KEY_DISABLED);
}

static void re_encrypt_moves_to_another_key_and_context(void **state)
{
    struct kms_fixture *f = *state;
    struct coffer_key_metadata from = *fixture_key(f), to = *fixture_key(f);
    struct coffer_context_pair before[] = {{"v", "1"}}, after[] = {{"v", "2"}};
    struct coffer_context source = {before, 1}, destination = {after, 1};
    struct coffer_key_blob blob, moved;
    struct coffer_key_used used_from, used_to;

    assert_int_equal(coffer_keystore_encrypt(f->store, from.arn, TEXT, &source, &blob, NULL,
                                             &f->fault), 0);
    assert_int_equal(coffer_keystore_re_encrypt(f->store, NULL, blob.bytes, blob.length_bytes,
                                                &destination, to.arn, &destination, &moved, NULL,
                                                NULL, &f->fault), COFFER_E_KEY_CIPHERTEXT);
    assert_int_equal(coffer_keystore_re_encrypt(f->store, to.arn, blob.bytes, blob.length_bytes,
                                                &source, to.arn, &destination, &moved, NULL, NULL,
                                                &f->fault), COFFER_E_KEY_INCORRECT);
    assert_int_equal(coffer_keystore_re_encrypt(f->store, from.key_id, blob.bytes,
                                                blob.length_bytes, &source, to.key_id, &destination,
                                                &moved, &used_from, &used_to, &f->fault), 0);
    assert_string_equal(used_from.arn, from.arn);
    assert_string_equal(used_to.arn, to.arn);
    assert_string_equal(used_to.material_id, to.material_id);
    assert_int_equal(coffer_keystore_disable_key(f->store, from.arn, &f->fault), 0);
    assert_int_equal(decrypt(f, &moved, &destination, "attack at dawn"), 0);
    assert_int_equal(decrypt(f, &moved, &source, ""), COFFER_E_KEY_CIPHERTEXT);
}

static void decrypt_with_another_key_than_the_blobs_is_refused(void **state)
{
    struct kms_fixture *f = *state, other;
    struct coffer_key_metadata key = *fixture_key(f), wrong = *fixture_key(f);
    struct coffer_key_blob blob;
    uint8_t back[64];
    size_t bytes = 0;

    assert_int_equal(coffer_keystore_encrypt(f->store, key.arn, TEXT, NULL, &blob, NULL,
                                             &f->fault), 0);
    assert_int_equal(coffer_keystore_decrypt(f->store, wrong.arn, blob.bytes, blob.length_bytes,
                                             NULL, back, sizeof(back), &bytes, NULL, &f->fault),
                     COFFER_E_KEY_INCORRECT);
    assert_int_equal(coffer_keystore_decrypt(f->store, key.key_id, blob.bytes, blob.length_bytes,
                                             NULL, back, sizeof(back), &bytes, NULL, &f->fault), 0);
    /* A blob of another store: that it exists elsewhere must not show. */
    fixture_init(&other);
    assert_int_equal(fixture_open(&other), 0);
    assert_int_equal(decrypt(&other, &blob, NULL, ""), COFFER_E_KEY_ACCESS);
    fixture_done(&other);
}

static void data_key_is_returned_in_clear_and_wrapped(void **state)
{
    struct kms_fixture *f = *state;
    static uint8_t key[COFFER_DATA_KEY_BYTES_MAX], back[COFFER_DATA_KEY_BYTES_MAX];
    static const uint8_t zeros[COFFER_DATA_KEY_BYTES_MAX];
    size_t lengths[] = {1, 16, 32, 1024}, i, bytes = 0;
    struct coffer_key_blob blob;

    for (i = 0; i < 4; i++) {
        memset(key, 0, sizeof(key));
        assert_int_equal(coffer_keystore_generate_data_key(f->store, NULL, lengths[i], NULL, key,
                                                           &blob, NULL, &f->fault), 0);
        assert_int_equal(coffer_keystore_decrypt(f->store, NULL, blob.bytes, blob.length_bytes,
                                                 NULL, back, sizeof(back), &bytes, NULL, &f->fault),
                         0);
        assert_int_equal(bytes, lengths[i]);
        assert_memory_equal(back, key, bytes);
        if (lengths[i] > 1) {
            assert_memory_not_equal(key, zeros, bytes);
        }
    }
    assert_int_equal(coffer_keystore_generate_data_key(f->store, NULL, 0, NULL, NULL, &blob, NULL,
                                                       &f->fault), COFFER_E_INVALID);
    assert_int_equal(coffer_keystore_generate_data_key(f->store, NULL, 1025, NULL, NULL, &blob,
                                                       NULL, &f->fault), COFFER_E_INVALID);
}

static void alias_rules_hold(void **state)
{
    static const char *const bad[] = {"", "alias/", "a", "alias/a b", "alias/a:b", "alias/\xc3\xa9",
                                      "ALIAS/a"};
    struct kms_fixture *f = *state;
    struct coffer_key_metadata key = *fixture_key(f);
    char name[COFFER_ALIAS_BYTES_MAX + 1];
    size_t i;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(coffer_keystore_create_alias(f->store, bad[i], key.arn, &f->fault),
                         COFFER_E_ALIAS_NAME);
    }
    assert_int_equal(coffer_keystore_create_alias(f->store, "alias/coffer/x", key.arn, &f->fault),
                     COFFER_E_KEY_ACCESS);
    assert_int_equal(coffer_keystore_create_alias(f->store, "alias/aws/x", key.arn, &f->fault),
                     COFFER_E_KEY_ACCESS);
    assert_int_equal(coffer_keystore_create_alias(f->store, "alias/x", key.arn, &f->fault), 0);
    assert_int_equal(coffer_keystore_create_alias(f->store, "alias/x", key.arn, &f->fault),
                     COFFER_E_EXISTS);
    assert_int_equal(coffer_keystore_create_alias(f->store, "alias/y", "alias/x", &f->fault),
                     COFFER_E_INVALID);
    assert_int_equal(coffer_keystore_enable_key(f->store, "alias/x", &f->fault), COFFER_E_INVALID);
    memset(name, 'n', sizeof(name));
    memcpy(name, "alias/", 6);
    name[256] = '\0';
    assert_int_equal(coffer_keystore_create_alias(f->store, name, key.arn, &f->fault), 0);
    name[256] = 'n';
    name[257] = '\0';
    assert_int_equal(coffer_keystore_create_alias(f->store, name, key.arn, &f->fault),
                     COFFER_E_ALIAS_NAME);
    for (i = 2; i < 50; i++) {
        snprintf(name, sizeof(name), "alias/n%02zu", i);
        assert_int_equal(coffer_keystore_create_alias(f->store, name, key.arn, &f->fault), 0);
    }
    assert_int_equal(coffer_keystore_create_alias(f->store, "alias/z", key.arn, &f->fault),
                     COFFER_E_LIMIT);
}

static void listings_come_in_pages(void **state)
{
    struct kms_fixture *f = *state;
    struct coffer_key_metadata key = *fixture_key(f);
    char marker[COFFER_MARKER_BYTES_MAX] = "untouched";
    char first[300], second[300];

    assert_int_equal(coffer_keystore_list_keys(f->store, 1, NULL, see_key, NULL, marker, &f->fault),
                     0);
    assert_string_equal(marker, "");
    fixture_key(f);
    fixture_key(f);
    seen_count = 0;
    assert_int_equal(coffer_keystore_list_keys(f->store, 2, NULL, see_key, NULL, marker, &f->fault),
                     0);
    assert_int_equal(seen_count, 2);
    strcpy(first, seen[0]);
    strcpy(second, seen[1]);
    assert_non_null(strstr(marker, second));
    /* A marker is signed, and good for its own listing alone. */
    assert_int_equal(coffer_keystore_list_keys(f->store, 0, second, see_key, NULL, NULL, &f->fault),
                     COFFER_E_MARKER);
    assert_int_equal(coffer_keystore_list_aliases(f->store, NULL, 0, marker, see_alias, NULL, NULL,
                                                  &f->fault), COFFER_E_MARKER);
    assert_int_equal(coffer_keystore_list_keys(f->store, 2, marker, see_key, NULL, marker,
                                               &f->fault), 0);
    assert_int_equal(seen_count, 3);
    assert_string_equal(marker, "");
    assert_string_not_equal(seen[2], first);
    assert_string_not_equal(seen[2], second);
    assert_int_equal(coffer_keystore_list_keys(f->store, 0, "alias/a", see_key, NULL, marker,
                                               &f->fault), COFFER_E_MARKER);
    assert_int_equal(coffer_keystore_list_keys(f->store, 0, NULL, stop_at_once, NULL, NULL,
                                               &f->fault), 77);

    assert_int_equal(coffer_keystore_create_alias(f->store, "alias/b", key.arn, &f->fault), 0);
    assert_int_equal(coffer_keystore_create_alias(f->store, "alias/a", key.arn, &f->fault), 0);
    assert_int_equal(coffer_keystore_create_alias(f->store, "alias/c", fixture_key(f)->arn,
                                                  &f->fault), 0);
    seen_count = 0;
    assert_int_equal(coffer_keystore_list_aliases(f->store, key.key_id, 1, NULL, see_alias, NULL,
                                                  marker, &f->fault), 0);
    assert_string_equal(seen[0], "alias/a");
    assert_int_equal(coffer_keystore_list_aliases(f->store, key.key_id, 1, marker, see_alias, NULL,
                                                  marker, &f->fault), 0);
    assert_string_equal(seen[1], "alias/b");
    assert_string_equal(marker, "");
    seen_count = 0;
    assert_int_equal(coffer_keystore_list_aliases(f->store, NULL, 0, NULL, see_alias, NULL, NULL,
                                                  &f->fault), 0);
    assert_int_equal(seen_count, 3);
}

static void description_is_bounded_utf8(void **state)
{
    struct kms_fixture *f = *state;
    static char text[COFFER_DESCRIPTION_BYTES_MAX + 2];
    static struct coffer_key_metadata key = {.size = sizeof(key)};

    memset(text, 'd', sizeof(text) - 1);
    assert_int_equal(coffer_keystore_create_key(f->store, text, &key, &f->fault), COFFER_E_INVALID);
    assert_int_equal(coffer_keystore_create_key(f->store, "\xff", &key, &f->fault),
                     COFFER_E_INVALID);
    text[COFFER_DESCRIPTION_BYTES_MAX] = '\0';
    assert_int_equal(coffer_keystore_create_key(f->store, text, &key, &f->fault), 0);
    assert_int_equal(strlen(key.description), COFFER_DESCRIPTION_BYTES_MAX);
    assert_int_equal(coffer_keystore_create_key(f->store, NULL, &key, &f->fault), 0);
    assert_string_equal(key.description, "");
}

static void every_call_leaves_one_record_failed_ones_included(void **state)
{
    struct kms_fixture *f = *state;
    struct coffer_key_metadata key = *fixture_key(f);
    struct coffer_context_pair pair[] = {{"volume", "v\"1"}};
    struct coffer_context context = {pair, 1};
    struct coffer_key_blob blob;
    uint64_t records = 0;

    assert_int_equal(coffer_keystore_encrypt(f->store, key.arn, TEXT, &context, &blob, NULL,
                                             &f->fault), 0);
    assert_int_equal(decrypt(f, &blob, NULL, ""), COFFER_E_KEY_CIPHERTEXT);
    assert_int_equal(coffer_keystore_disable_key(f->store, key.arn, &f->fault), 0);
    assert_int_equal(coffer_keystore_encrypt(f->store, key.arn, TEXT, &context, &blob, NULL,
                                             &f->fault), COFFER_E_KEY_DISABLED);
    assert_int_equal(coffer_keystore_audit_verify(f->store, &records, &f->fault), 0);
    assert_int_equal(records, 5);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM audit"), 6);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM audit WHERE event = 'Encrypt' AND"
                                       " context = '{\"volume\":\"v\\\"1\"}'"), 2);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM audit WHERE event = 'Encrypt' AND"
                                       " error = 'KEY_DISABLED' AND key_arn <> ''"), 1);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM audit WHERE event = 'Decrypt' AND"
                                       " error = 'KEY_CIPHERTEXT'"), 1);
}

static void null_arguments_are_refused(void **state)
{
    struct kms_fixture *f = *state;
    struct coffer_key_blob blob;
    uint64_t records;
    size_t bytes;

    assert_int_equal(coffer_keystore_create_key(f->store, NULL, NULL, NULL), COFFER_E_INVALID);
    assert_int_equal(coffer_keystore_enable_key(f->store, NULL, NULL), COFFER_E_INVALID);
    assert_int_equal(coffer_keystore_encrypt(f->store, NULL, NULL, 1, NULL, &blob, NULL, NULL),
                     COFFER_E_INVALID);
    assert_int_equal(coffer_keystore_decrypt(f->store, NULL, NULL, 1, NULL, NULL, 0, &bytes, NULL,
                                             NULL), COFFER_E_INVALID);
    assert_int_equal(coffer_keystore_create_alias(f->store, NULL, NULL, NULL), COFFER_E_INVALID);
    assert_int_equal(coffer_keystore_list_keys(f->store, 0, NULL, NULL, NULL, NULL, NULL),
                     COFFER_E_INVALID);
    assert_int_equal(coffer_keystore_audit_verify(NULL, &records, NULL), COFFER_E_INVALID);
    coffer_keystore_close(NULL);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(created_key_is_described_after_reopen),
        CASE(all_four_forms_name_the_same_key),
        CASE(unknown_keys_are_not_found),
        CASE(default_key_is_made_once_and_cannot_be_disabled),
        CASE(default_keys_of_two_regions_differ),
        CASE(context_must_match_exactly),
        CASE(encrypt_takes_1_to_4096_bytes_and_never_repeats),
        CASE(disabled_key_refuses_use_and_enabling_brings_it_back),
        CASE(destination_of_re_encrypt_must_be_enabled),
        CASE(re_encrypt_moves_to_another_key_and_context),
        CASE(decrypt_with_another_key_than_the_blobs_is_refused),
        CASE(data_key_is_returned_in_clear_and_wrapped),
        CASE(alias_rules_hold),
        CASE(listings_come_in_pages),
        CASE(description_is_bounded_utf8),
        CASE(every_call_leaves_one_record_failed_ones_included),
        CASE(null_arguments_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
