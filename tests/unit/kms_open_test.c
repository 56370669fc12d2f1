/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a key store: every way in which it is refused, and that nothing is left behind. */
#include "kms_fixture.h"

static void refused(struct kms_fixture *f, int error)
{
    f->store = NULL;
    assert_int_equal(fixture_open(f), error);
    assert_null(f->store);
    assert_int_equal(f->fault.error, error);
    assert_true(strlen(f->fault.detail) > 10);
}

static void new_store_has_mode_0600_and_defaults(void **state)
{
    struct kms_fixture *f = *state;
    struct coffer_keystore_info info = {.size = sizeof(info)};
    struct stat about;

    assert_int_equal(coffer_keystore_info_get(f->store, &info), 0);
    assert_string_equal(info.account, "000000000000");
    assert_string_equal(info.region, "local-1");
    assert_int_equal(info.created_now, 1);
    assert_int_equal(info.root_kind, COFFER_ROOT_PASSPHRASE);
    assert_int_equal(f->asked_creating, 1);
    assert_int_equal(stat(f->path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
    fixture_close(f);
    assert_int_equal(fixture_files(f), 1);
    assert_int_equal(fixture_open(f), 0);
    assert_int_equal(coffer_keystore_info_get(f->store, &info), 0);
    assert_int_equal(info.created_now, 0);
    assert_int_equal(f->asked_creating, 0);
}

static void wrong_passphrase_is_refused(void **state)
{
    struct kms_fixture *f = *state;

    fixture_close(f);
    f->passphrase = "correct horsf";
    refused(f, COFFER_E_PASSPHRASE);
    f->passphrase = "";
    refused(f, COFFER_E_PASSPHRASE);
    f->passphrase = "correct horse";
    assert_int_equal(fixture_open(f), 0);
}

static void missing_store_is_not_found_and_not_made(void **state)
{
    struct kms_fixture *f = *state;

    fixture_close(f);
    unlink(f->path);
    f->opts.flags = 0;
    f->asked = 0;
    refused(f, COFFER_E_NOT_FOUND);
    assert_int_equal(f->asked, 0);
    assert_int_equal(fixture_files(f), 0);
}

static void failed_creation_leaves_nothing(void **state)
{
    struct kms_fixture *f = *state;

    fixture_close(f);
    unlink(f->path);
    f->passphrase = "";
    refused(f, COFFER_E_PASSPHRASE);
    f->passphrase = "x";
    f->opts.argon2_memory_kib = 4;
    refused(f, COFFER_E_INVALID);
    assert_int_equal(fixture_files(f), 0);
    assert_int_equal(chmod(f->directory, 0500), 0);
    f->opts.argon2_memory_kib = 8;
    if (geteuid() != 0) {
        refused(f, COFFER_E_ACCESS);
    }
    assert_int_equal(chmod(f->directory, 0700), 0);
    assert_int_equal(fixture_files(f), 0);
}

static void other_account_or_region_is_refused(void **state)
{
    struct kms_fixture *f = *state;

    fixture_close(f);
    f->opts.account = "000000000001";
    refused(f, COFFER_E_INVALID);
    assert_non_null(strstr(f->fault.detail, "000000000001"));
    f->opts.account = NULL;
    f->opts.region = "local-2";
    refused(f, COFFER_E_INVALID);
    f->opts.region = "UPPER";
    refused(f, COFFER_E_INVALID);
    f->opts.region = "";
    refused(f, COFFER_E_INVALID);
    f->opts.region = "local-1";
    f->opts.account = "12345678901";
    refused(f, COFFER_E_INVALID);
    f->opts.account = COFFER_ACCOUNT_DEFAULT;
    assert_int_equal(fixture_open(f), 0);
}

static void options_that_contradict_are_refused(void **state)
{
    struct kms_fixture *f = *state;

    fixture_close(f);
    f->opts.root_key_file = f->key_file;
    refused(f, COFFER_E_INVALID);
    f->opts.root_key_file = NULL;
    f->opts.passphrase = NULL;
    refused(f, COFFER_E_INVALID);
    f->opts.passphrase = fixture_passphrase;
    f->opts.flags = COFFER_KEYSTORE_CREATE | COFFER_KEYSTORE_READ_ONLY;
    refused(f, COFFER_E_INVALID);
    f->opts.flags = 1u << 9;
    refused(f, COFFER_E_INVALID);
    f->opts.flags = 0;
    f->opts.size--;
    refused(f, COFFER_E_INVALID);
}

static void foreign_files_are_not_stores(void **state)
{
    struct kms_fixture *f = *state;
    static char noise[8192];

    fixture_close(f);
    unlink(f->path);
    fixture_write(f->path, "", 0, 0600);
    refused(f, COFFER_E_NOT_A_STORE);
    memset(noise, 'x', sizeof(noise));
    fixture_write(f->path, noise, sizeof(noise), 0600);
    refused(f, COFFER_E_NOT_A_STORE);
    unlink(f->path);
    fixture_sql(f, "CREATE TABLE other (x)");
    refused(f, COFFER_E_NOT_A_STORE);
    unlink(f->path);
    assert_int_equal(mkdir(f->path, 0700), 0);
    refused(f, COFFER_E_NOT_A_STORE);
    rmdir(f->path);
}

static void newer_schema_is_too_new(void **state)
{
    struct kms_fixture *f = *state;

    fixture_close(f);
    fixture_sql(f, "INSERT INTO schema_version VALUES (4, 0)");
    f->asked = 0;
    refused(f, COFFER_E_TOO_NEW);
    assert_int_equal(f->asked, 0);
    fixture_sql(f, "DELETE FROM schema_version");
    refused(f, COFFER_E_CORRUPT);
}

static void altered_tables_and_triggers_are_refused(void **state)
{
    struct kms_fixture *f = *state;

    fixture_close(f);
    fixture_sql(f, "CREATE TRIGGER extra AFTER INSERT ON key BEGIN SELECT 1; END");
    refused(f, COFFER_E_TAMPER);
    fixture_sql(f, "DROP TRIGGER extra; DROP TRIGGER audit_is_kept");
    refused(f, COFFER_E_TAMPER);
}

static void truncated_store_is_refused(void **state)
{
    struct kms_fixture *f = *state;
    struct stat about;
    off_t size;

    fixture_close(f);
    assert_int_equal(stat(f->path, &about), 0);
    for (size = about.st_size - 4096; size > 0; size -= 4096) {
        int error;

        assert_int_equal(truncate(f->path, size), 0);
        f->store = NULL;
        error = fixture_open(f);
        assert_null(f->store);
        assert_true(error == COFFER_E_CORRUPT || error == COFFER_E_NOT_A_STORE ||
                    error == COFFER_E_TAMPER || error == COFFER_E_IO);
    }
}

static void key_file_opens_what_it_sealed(void **state)
{
    struct kms_fixture *f = *state;
    uint8_t root[32] = {1, 2, 3};
    char hex[66];
    unsigned i;

    fixture_close(f);
    unlink(f->path);
    fixture_write(f->key_file, root, sizeof(root), 0600);
    f->opts.passphrase = NULL;
    f->opts.root_key_file = f->key_file;
    assert_int_equal(fixture_open(f), 0);
    fixture_close(f);
    for (i = 0; i < 32; i++) {
        snprintf(hex + 2 * i, 3, i % 2 ? "%02x" : "%02X", root[i]);
    }
    hex[64] = '\n';
    fixture_write(f->key_file, hex, 65, 0600);
    assert_int_equal(fixture_open(f), 0);
    fixture_close(f);
    fixture_write(f->key_file, hex, 64, 0600);
    assert_int_equal(fixture_open(f), 0);
    fixture_close(f);
    root[31] = 1;
    fixture_write(f->key_file, root, sizeof(root), 0600);
    refused(f, COFFER_E_PASSPHRASE);
    f->opts.root_key_file = NULL;
    f->opts.passphrase = fixture_passphrase;
    refused(f, COFFER_E_PASSPHRASE);
    assert_non_null(strstr(f->fault.detail, "root key file"));
}

static void key_file_that_others_can_read_or_of_a_wrong_length_is_refused(void **state)
{
    struct kms_fixture *f = *state;
    uint8_t root[100] = {7};
    size_t lengths[] = {0, 31, 33, 63, 65, 66, 100}, i;
    mode_t modes[] = {0640, 0604, 0620, 0660, 0777};

    fixture_close(f);
    unlink(f->path);
    f->opts.passphrase = NULL;
    f->opts.root_key_file = f->key_file;
    refused(f, COFFER_E_NOT_FOUND);
    for (i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        fixture_write(f->key_file, root, 32, modes[i]);
        refused(f, COFFER_E_ACCESS);
    }
    for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        fixture_write(f->key_file, root, lengths[i], 0600);
        refused(f, COFFER_E_INVALID);
    }
    unlink(f->key_file);
    assert_int_equal(mkfifo(f->key_file, 0600), 0);
    refused(f, COFFER_E_INVALID);
    unlink(f->key_file);
    assert_int_equal(fixture_files(f), 0);
}

/* As systemd gives it: root's own, with the bits of an access list's mask. */
static void key_file_of_root_that_its_group_can_read_is_taken(void **state)
{
    struct kms_fixture *f = *state;
    uint8_t root[32] = {7};

    fixture_close(f);
    unlink(f->path);
    f->opts.passphrase = NULL;
    f->opts.root_key_file = f->key_file;
    fixture_write(f->key_file, root, sizeof(root), 0440);
    if (geteuid() != 0 || chown(f->key_file, 0, 0) != 0) {
        refused(f, COFFER_E_ACCESS);
        unlink(f->key_file);
        return;
    }
    assert_int_equal(fixture_open(f), 0);
    fixture_close(f);
    assert_int_equal(chown(f->key_file, 0, 1), 0);
    refused(f, COFFER_E_ACCESS);
    assert_int_equal(chown(f->key_file, 1, 0), 0);
    refused(f, COFFER_E_ACCESS);
    assert_int_equal(chown(f->key_file, 0, 0), 0);
    assert_int_equal(chmod(f->key_file, 0460), 0);
    refused(f, COFFER_E_ACCESS);
    assert_int_equal(chmod(f->key_file, 0444), 0);
    refused(f, COFFER_E_ACCESS);
    unlink(f->key_file);
}

static void read_only_store_decrypts_and_writes_nothing(void **state)
{
    struct kms_fixture *f = *state;
    struct coffer_key_blob blob;
    struct coffer_key_metadata *key = malloc(sizeof(*key));
    uint8_t plaintext[16];
    size_t bytes = 0;
    char id[COFFER_KEY_ID_BYTES];
    int64_t records;

    strcpy(id, fixture_key(f)->key_id);
    assert_int_equal(coffer_keystore_encrypt(f->store, id, (const uint8_t *)"hello", 5, NULL, &blob,
                                             NULL, &f->fault), 0);
    fixture_close(f);
    records = fixture_number(f, "SELECT count(*) FROM audit");
    f->opts.flags = COFFER_KEYSTORE_READ_ONLY;
    assert_int_equal(fixture_open(f), 0);
    assert_int_equal(coffer_keystore_decrypt(f->store, NULL, blob.bytes, blob.length_bytes, NULL,
                                             plaintext, sizeof(plaintext), &bytes, NULL, &f->fault),
                     0);
    assert_int_equal(bytes, 5);
    assert_memory_equal(plaintext, "hello", 5);
    assert_int_equal(coffer_keystore_disable_key(f->store, id, &f->fault), COFFER_E_READ_ONLY);
    assert_int_equal(coffer_keystore_encrypt(f->store, id, plaintext, 5, NULL, &blob, NULL,
                                             &f->fault), COFFER_E_READ_ONLY);
    key->size = sizeof(*key);
    assert_int_equal(coffer_keystore_describe_key(f->store, NULL, key, &f->fault),
                     COFFER_E_KEY_NOT_FOUND);
    assert_int_equal(coffer_keystore_describe_key(f->store, id, key, &f->fault), 0);
    fixture_close(f);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM audit"), records);
    free(key);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(new_store_has_mode_0600_and_defaults),
        CASE(wrong_passphrase_is_refused),
        CASE(missing_store_is_not_found_and_not_made),
        CASE(failed_creation_leaves_nothing),
        CASE(other_account_or_region_is_refused),
        CASE(options_that_contradict_are_refused),
        CASE(foreign_files_are_not_stores),
        CASE(newer_schema_is_too_new),
        CASE(altered_tables_and_triggers_are_refused),
        CASE(truncated_store_is_refused),
        CASE(key_file_opens_what_it_sealed),
        CASE(key_file_that_others_can_read_or_of_a_wrong_length_is_refused),
        CASE(key_file_of_root_that_its_group_can_read_is_taken),
        CASE(read_only_store_decrypts_and_writes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
