/* SPDX-License-Identifier: Apache-2.0 */
/* Key stores of the schema versions 1 and 2, frozen in tests/images, open for ever. */
#include "kms/kms.h"
#include "kms_fixture.h"
#include "vector_fixture.h"

static json_t *manifest;
static int version; /* the image's */

static void image_path(char *path, size_t room, const char *suffix)
{
    const char *vectors = getenv("COFFER_VECTORS");

    if (vectors == NULL) {
        fail_msg("COFFER_VECTORS is not set: run it through ctest");
    }
    snprintf(path, room, "%s/../images/keystore-%d.%s", vectors, version, suffix);
}

static size_t slurp(const char *path, uint8_t *bytes, size_t room)
{
    FILE *in = fopen(path, "rb");
    size_t count;

    assert_non_null(in);
    count = fread(bytes, 1, room, in);
    assert_true(count < room);
    fclose(in);
    return count;
}

static int setup_image(void **state, int of_version)
{
    static uint8_t file[1 << 20];
    struct kms_fixture *f = malloc(sizeof(*f));
    char path[4096];

    assert_non_null(f);
    version = of_version;
    fixture_init(f);
    image_path(path, sizeof(path), "json");
    manifest = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(manifest);
    image_path(path, sizeof(path), "keys");
    fixture_write(f->path, file, slurp(path, file, sizeof(file)), 0600);
    f->opts.flags = 0;
    *state = f;
    return 0;
}

static int setup_1(void **state)
{
    return setup_image(state, 1);
}

static int setup_2(void **state)
{
    return setup_image(state, 2);
}

static int teardown(void **state)
{
    json_decref(manifest);
    return fixture_teardown(state);
}

static int decrypt(struct kms_fixture *f, const char *blob, const struct coffer_context *context)
{
    uint8_t bytes[COFFER_KEY_BLOB_BYTES_MAX], plaintext[64];
    size_t blob_bytes = unhex(text_of(manifest, blob), bytes, sizeof(bytes)), plaintext_bytes = 0;
    int error = coffer_keystore_decrypt(f->store, NULL, bytes, blob_bytes, context, plaintext,
                                        sizeof(plaintext), &plaintext_bytes, NULL, &f->fault);

    if (error == 0) {
        assert_int_equal(plaintext_bytes, 14);
        assert_memory_equal(plaintext, "attack at dawn", 14);
    }
    return error;
}

static int see_grant(void *ctx, const struct coffer_grant_entry *entry)
{
    ++*(unsigned *)ctx;
    assert_string_equal(entry->grant_id, text_of(manifest, "grant_id"));
    assert_string_equal(entry->name, "image");
    assert_int_equal(entry->operation_count, 2);
    assert_int_equal(entry->constraint, COFFER_GRANT_CONTEXT_SUBSET);
    assert_int_equal(entry->context.pair_count, 2);
    return 0;
}

/* Everything that the image holds is there. */
static void look(struct kms_fixture *f)
{
    static const struct coffer_context_pair pairs[] = {{"purpose", "image"}, {"volume", "v1"}};
    static const struct coffer_context context = {pairs, 2};
    static struct coffer_key_metadata key = {.size = sizeof(key)};
    struct coffer_keystore_info info = {.size = sizeof(info)};
    unsigned grants = 0;

    assert_int_equal(coffer_keystore_info_get(f->store, &info), 0);
    assert_int_equal(info.schema_version, 3);
    assert_int_equal(decrypt(f, "key_blob", &context), 0);
    assert_int_equal(decrypt(f, "key_blob", NULL), COFFER_E_KEY_CIPHERTEXT);
    assert_int_equal(decrypt(f, "managed_blob", NULL), 0);
    assert_int_equal(decrypt(f, "disabled_blob", NULL), COFFER_E_KEY_DISABLED);
    assert_int_equal(coffer_keystore_describe_key(f->store, "alias/image", &key, &f->fault), 0);
    assert_string_equal(key.arn, text_of(manifest, "key"));
    assert_string_equal(key.description, "the image's key");
    assert_int_equal(coffer_keystore_describe_key(f->store, NULL, &key, &f->fault), 0);
    assert_string_equal(key.arn, text_of(manifest, "managed"));
    assert_int_equal(key.managed, 1);
    assert_int_equal(coffer_keystore_list_grants(f->store, text_of(manifest, "key"), 0, NULL,
                                                 see_grant, &grants, NULL, &f->fault), 0);
    assert_int_equal(grants, 1);
}

static void first_open_for_writing_brings_it_up_to_date(void **state)
{
    struct kms_fixture *f = *state;
    uint64_t before = (uint64_t)number_of(manifest, "audit_records"), records = 0;

    assert_int_equal(number_of(manifest, "schema_version"), version);
    assert_int_equal(fixture_open(f), 0);
    assert_int_equal(coffer_keystore_audit_verify(f->store, &records, &f->fault), 0);
    assert_int_equal(records, before + 1);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM audit WHERE event ="
                                       " 'MigrateKeyStore'"), 1);
    look(f);
    assert_int_equal(coffer_keystore_enable_key(f->store, text_of(manifest, "disabled"), &f->fault),
                     0);
    assert_int_equal(decrypt(f, "disabled_blob", NULL), 0);
    assert_int_equal(coffer_keystore_disable_key(f->store, text_of(manifest, "disabled"),
                                                 &f->fault), 0);
    fixture_close(f);
    assert_int_equal(fixture_open(f), 0);
    look(f);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM schema_version"), 2);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM audit WHERE event ="
                                       " 'MigrateKeyStore'"), 1);
    assert_int_equal(fixture_number(f, "PRAGMA integrity_check = 1"), 0);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
}

static void reading_only_changes_no_byte(void **state)
{
    static uint8_t before[1 << 20], after[1 << 20];
    struct kms_fixture *f = *state;
    size_t bytes = slurp(f->path, before, sizeof(before));

    f->opts.flags = COFFER_KEYSTORE_READ_ONLY;
    assert_int_equal(fixture_open(f), 0);
    look(f);
    fixture_close(f);
    assert_int_equal(slurp(f->path, after, sizeof(after)), bytes);
    assert_memory_equal(before, after, bytes);
    f->opts.flags = 0;
    assert_int_equal(fixture_open(f), 0);
    look(f);
}

static void edited_rows_are_found_out_and_nothing_changes(void **state)
{
    static const char *const edits[][2] = {
        {"UPDATE store SET created_ns = created_ns + 1",
         "UPDATE store SET created_ns = created_ns - 1; -- "},
        {"UPDATE key SET state = 0 WHERE state = 1", "UPDATE key SET state = 1 WHERE key_id ="},
        {"UPDATE alias SET created_ns = created_ns + 1",
         "UPDATE alias SET created_ns = created_ns - 1; -- "},
        {"UPDATE key_grant SET operations = 'Decrypt'",
         "UPDATE key_grant SET operations = 'Decrypt,RetireGrant'; --"}};
    struct kms_fixture *f = *state;
    const char *disabled = strrchr(text_of(manifest, "disabled"), '/') + 1;
    /* Other rows keep their MACs since version 2: who reads one finds it out. */
    size_t count = version == 1 ? sizeof(edits) / sizeof(edits[0]) : 1, i;

    for (i = 0; i < count; i++) {
        char restore[200];

        fixture_sql(f, edits[i][0]);
        assert_int_equal(fixture_open(f), COFFER_E_TAMPER);
        assert_int_equal(fixture_number(f, "SELECT max(version) FROM schema_version"),
                         version);
        assert_int_equal(fixture_number(f, "SELECT schema_version FROM store"), version);
        f->opts.flags = COFFER_KEYSTORE_READ_ONLY;
        assert_int_equal(fixture_open(f), COFFER_E_TAMPER);
        f->opts.flags = 0;
        snprintf(restore, sizeof(restore), "%s '%s'", edits[i][1], disabled);
        fixture_sql(f, restore);
    }
    assert_int_equal(fixture_open(f), 0);
    look(f);
}

static void a_header_of_the_old_version_is_no_header_of_the_new(void **state)
{
    struct kms_fixture *f = *state;

    fixture_sql(f, "CREATE TABLE kept AS SELECT * FROM store");
    assert_int_equal(fixture_open(f), COFFER_E_TAMPER);
    fixture_sql(f, "CREATE TEMP TABLE x (y); DROP TABLE kept");
    assert_int_equal(fixture_open(f), 0);
    fixture_close(f);
    fixture_sql(f, version == 1 ? "UPDATE store SET schema_version = 1"
                                : "UPDATE store SET schema_version = 2");
    assert_int_equal(fixture_open(f), COFFER_E_TAMPER);
    fixture_sql(f, "UPDATE store SET schema_version = 3");
    assert_int_equal(fixture_open(f), 0);
}

/* Uses that an older program recorded count. */
static void the_last_use_is_known_from_before(void **state)
{
    struct kms_fixture *f = *state;
    static struct cof_kms_audit_use use;

    assert_int_equal(fixture_open(f), 0);
    assert_int_equal(cof_kms_db_audit_last_use(f->store->db, text_of(manifest, "key"), &use,
                                               &f->fault), 0);
    assert_string_equal(use.event, "Encrypt");
    assert_int_equal(use.seq,
                     fixture_number(f, "SELECT min(seq) FROM audit WHERE event = 'Encrypt'"));
    assert_int_equal(decrypt(f, "managed_blob", NULL), 0);
    assert_int_equal(cof_kms_db_audit_last_use(f->store->db, text_of(manifest, "managed"), &use,
                                               &f->fault), 0);
    assert_string_equal(use.event, "Decrypt");
}

#define CASE(name)                                               \
    cmocka_unit_test_setup_teardown(name, setup_1, teardown), \
        cmocka_unit_test_setup_teardown(name, setup_2, teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(first_open_for_writing_brings_it_up_to_date),
        CASE(reading_only_changes_no_byte),
        CASE(the_last_use_is_known_from_before),
        CASE(edited_rows_are_found_out_and_nothing_changes),
        CASE(a_header_of_the_old_version_is_no_header_of_the_new)};

    return cmocka_run_group_tests_name("kms migrate", tests, NULL, NULL);
}
