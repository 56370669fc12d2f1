/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Imported material: what the openssl command wraps comes in, only the same comes back, and time
 * and deletion take it away; the key's state follows.
 */
#include "kms/import_row.h"
#include "kms_openssl.h"
#include "kms_work.h"

struct scene {
    struct kms_fixture *f;
    struct kms_openssl *o;
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    struct cof_kms_import_scratch *scratch;
    struct cof_kms_import_offer offer;
    uint8_t wrapped[4096];
    struct cof_kms_import import;
    uint8_t id[COF_KMS_MATERIAL_ID_BYTES];
};

static int setup(void **state)
{
    struct scene *s = calloc(1, sizeof(*s));
    void *part = NULL;

    assert_non_null(s);
    work_setup(&part);
    s->f = part;
    openssl_setup(&part);
    s->o = part;
    assert_int_equal(cof_kms_import_scratch_new(&s->scratch), 0);
    work_key(s->f, "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "EXTERNAL", s->arn);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct scene *s = *state;
    void *part = s->f;

    coffer_keystore_secret_free((uint8_t *)s->scratch);
    fixture_teardown(&part);
    part = s->o;
    openssl_teardown(&part);
    free(s);
    return 0;
}

/* ---- steps ------------------------------------------------------------------------------- */

static int get_parameters(struct scene *s, const char *arn, const char *spec, const char *algorithm)
{
    struct cof_kms_call call;

    assert_int_equal(cof_kms_import_draw(s->scratch, spec, &s->offer), 0);
    return WORK(s->f, &call, "GetParametersForImport",
                cof_kms_import_offer(&call, arn, spec, algorithm, s->scratch, &s->offer));
}

/* Wrap the file `material` to the offer, by the openssl command alone. */
static void wrap(struct scene *s, const char *hash, bool with_aes)
{
    openssl_write(s->o, "pub", s->offer.public_half, s->offer.public_bytes);
    openssl_run(s->o, with_aes ? "openssl rand -out aes 32 && openssl enc -id-aes256-wrap-pad "
                                 "-iv A65959A6 -in material -out second "
                                 "-K $(od -An -tx1 -v aes | tr -d ' \\n')"
                               : "cp material aes && : >second");
    openssl_run(s->o,
                "openssl pkeyutl -encrypt -pubin -keyform DER -inkey pub -in aes -out first "
                "-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:%s "
                "-pkeyopt rsa_mgf1_md:%s && cat first second >wrapped",
                hash, hash);
    s->import.wrapped.at = s->wrapped;
    s->import.wrapped.length_bytes = openssl_read(s->o, "wrapped", s->wrapped, sizeof(s->wrapped));
}

/* Parameters, and 32 bytes of first wrapped to them; import is ready to go, without expiry. */
static void prepare(struct scene *s, uint8_t first)
{
    uint8_t material[32];

    memset(material, 0x11, sizeof(material));
    material[0] = first;
    openssl_write(s->o, "material", material, sizeof(material));
    assert_int_equal(get_parameters(s, s->arn, "RSA_2048", "RSAES_OAEP_SHA_256"), 0);
    memset(&s->import, 0, sizeof(s->import));
    wrap(s, "sha256", false);
    s->import.key = s->arn;
    s->import.token.at = s->offer.token;
    s->import.token.length_bytes = s->offer.token_bytes;
    s->import.expiration_model = COF_KMS_MATERIAL_STAYS;
}

static int import(struct scene *s)
{
    struct cof_kms_call call;

    return WORK(s->f, &call, "ImportKeyMaterial",
                cof_kms_import(&call, &s->import, s->scratch, s->id));
}

static int drop(struct scene *s, const char *material_id, bool *ret_had)
{
    struct cof_kms_call call;
    uint8_t id[COF_KMS_MATERIAL_ID_BYTES];

    return WORK(s->f, &call, "DeleteImportedKeyMaterial",
                cof_kms_import_delete(&call, s->arn, material_id, id, ret_had));
}

static enum coffer_key_state state_of(struct scene *s)
{
    static struct cof_kms_key_row row;

    work_row(s->f, s->arn, &row);
    return row.state;
}

static struct coffer_key_blob sealed;

static int encrypt(struct scene *s)
{
    return coffer_keystore_encrypt(s->f->store, s->arn, (const uint8_t *)"attack at dawn", 14, NULL,
                                   &sealed, NULL, &s->f->fault);
}

static int decrypt(struct scene *s)
{
    uint8_t plaintext[64];
    size_t bytes = 0;
    int error = coffer_keystore_decrypt(s->f->store, NULL, sealed.bytes, sealed.length_bytes, NULL,
                                        plaintext, sizeof(plaintext), &bytes, NULL, &s->f->fault);

    if (error == 0) {
        assert_int_equal(bytes, 14);
        assert_memory_equal(plaintext, "attack at dawn", 14);
    }
    return error;
}

/* ---- cases ------------------------------------------------------------------------------- */

static void material_by_each_algorithm_makes_the_key_work(void **state)
{
    static const struct {
        const char *spec, *algorithm, *hash;
        bool with_aes;
    } ways[] = {{"RSA_2048", "RSAES_OAEP_SHA_1", "sha1", false},
                {"RSA_3072", "RSAES_OAEP_SHA_256", "sha256", false},
                {"RSA_4096", "RSA_AES_KEY_WRAP_SHA_1", "sha1", true},
                {"RSA_2048", "RSA_AES_KEY_WRAP_SHA_256", "sha256", true}};
    struct scene *s = *state;
    uint8_t id[COF_KMS_MATERIAL_ID_BYTES];
    size_t i;

    openssl_run(s->o, "openssl rand -out material 32");
    assert_int_equal(state_of(s), COFFER_KEY_PENDING_IMPORT);
    assert_int_equal(encrypt(s), COFFER_E_KEY_STATE);
    for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        assert_int_equal(get_parameters(s, s->arn, ways[i].spec, ways[i].algorithm), 0);
        assert_string_equal(s->offer.arn, s->arn);
        assert_true(s->offer.token_bytes <= 6144);
        assert_int_equal(s->offer.valid_to_ns, work_now_ns + WORK_DAY_NS);
        wrap(s, ways[i].hash, ways[i].with_aes);
        s->import.key = s->arn;
        s->import.token.at = s->offer.token;
        s->import.token.length_bytes = s->offer.token_bytes;
        s->import.expiration_model = COF_KMS_MATERIAL_STAYS;
        assert_int_equal(import(s), 0);
        /* The same bytes are the same material, however they come. */
        if (i > 0) {
            assert_memory_equal(id, s->id, sizeof(id));
            assert_int_equal(decrypt(s), 0);
        }
        memcpy(id, s->id, sizeof(id));
        assert_int_equal(state_of(s), COFFER_KEY_ENABLED);
        assert_int_equal(encrypt(s), 0);
        assert_int_equal(decrypt(s), 0);
    }
}

static void only_keys_of_external_origin_take_material(void **state)
{
    struct scene *s = *state;
    char own[COFFER_KEY_ARN_BYTES_MAX];

    work_key(s->f, "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "AWS_KMS", own);
    assert_int_equal(get_parameters(s, own, "RSA_2048", "RSAES_OAEP_SHA_256"),
                     COFFER_E_UNSUPPORTED);
    assert_int_equal(get_parameters(s, "alias/none", "RSA_2048", "RSAES_OAEP_SHA_256"),
                     COFFER_E_INVALID);
    assert_int_equal(get_parameters(s, s->arn, "RSA_2048", "RSAES_PKCS1_V1_5"),
                     COFFER_E_UNSUPPORTED);
    assert_int_equal(cof_kms_import_draw(s->scratch, "RSA_1024", &s->offer),
                     COFFER_E_UNSUPPORTED);
    assert_int_equal(cof_kms_import_draw(s->scratch, "ECC_NIST_P256", &s->offer),
                     COFFER_E_UNSUPPORTED);
    prepare(s, 1);
    s->import.key = own;
    assert_int_equal(import(s), COFFER_E_UNSUPPORTED);
}

static void tokens_are_for_their_key_and_a_day(void **state)
{
    struct scene *s = *state;
    char other[COFFER_KEY_ARN_BYTES_MAX];
    size_t i;

    prepare(s, 1);
    work_key(s->f, "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "EXTERNAL", other);
    s->import.key = other;
    assert_int_equal(import(s), COFFER_E_IMPORT_TOKEN);
    s->import.key = s->arn;
    for (i = 0; i < s->offer.token_bytes; i += 11) {
        s->offer.token[i] ^= 4;
        assert_int_equal(import(s), COFFER_E_IMPORT_TOKEN);
        s->offer.token[i] ^= 4;
    }
    for (i = 0; i <= s->offer.token_bytes; i += 53) {
        s->import.token.length_bytes = i;
        assert_int_equal(import(s), COFFER_E_IMPORT_TOKEN);
    }
    s->import.token.length_bytes = s->offer.token_bytes;
    work_now_ns += WORK_DAY_NS;
    assert_int_equal(import(s), COFFER_E_IMPORT_EXPIRED);
    work_now_ns -= 1;
    assert_int_equal(import(s), 0);
    /* Within its day it serves again. */
    assert_int_equal(import(s), 0);
}

static void garbage_does_not_open_and_odd_lengths_are_no_material(void **state)
{
    struct scene *s = *state;

    prepare(s, 1);
    s->wrapped[7] ^= 1;
    assert_int_equal(import(s), COFFER_E_KEY_CIPHERTEXT);
    s->import.wrapped.length_bytes = 1;
    assert_int_equal(import(s), COFFER_E_KEY_CIPHERTEXT);
    openssl_write(s->o, "material", "0123456789abcdef", 16);
    wrap(s, "sha256", false);
    assert_int_equal(import(s), COFFER_E_KEY_MATERIAL);
    assert_int_equal(state_of(s), COFFER_KEY_PENDING_IMPORT);
    /* Wrapped to the key of an earlier token. */
    prepare(s, 1);
    assert_int_equal(get_parameters(s, s->arn, "RSA_2048", "RSAES_OAEP_SHA_256"), 0);
    assert_int_equal(import(s), COFFER_E_KEY_CIPHERTEXT);
}

static void only_the_same_material_comes_back(void **state)
{
    struct scene *s = *state;
    bool had = false;

    prepare(s, 1);
    assert_int_equal(import(s), 0);
    assert_int_equal(encrypt(s), 0);
    assert_int_equal(drop(s, NULL, &had), 0);
    assert_true(had);
    assert_int_equal(state_of(s), COFFER_KEY_PENDING_IMPORT);
    assert_int_equal(decrypt(s), COFFER_E_KEY_STATE);
    assert_int_equal(fixture_number(s->f, "SELECT count(*) FROM material WHERE sealed IS NULL"), 1);
    assert_int_equal(drop(s, NULL, &had), 0);
    prepare(s, 2);
    assert_int_equal(import(s), COFFER_E_KEY_MATERIAL);
    assert_int_equal(state_of(s), COFFER_KEY_PENDING_IMPORT);
    prepare(s, 1);
    assert_int_equal(import(s), 0);
    assert_int_equal(state_of(s), COFFER_KEY_ENABLED);
    assert_int_equal(decrypt(s), 0);
}

static void material_expires_when_its_time_comes(void **state)
{
    static struct cof_kms_key_row row;
    struct scene *s = *state;
    struct cof_kms_call call;

    prepare(s, 1);
    s->import.expiration_model = NULL;
    assert_int_equal(import(s), COFFER_E_INVALID);
    s->import.valid_to_ns = work_now_ns;
    assert_int_equal(import(s), COFFER_E_INVALID);
    s->import.valid_to_ns = work_now_ns + 366 * WORK_DAY_NS;
    assert_int_equal(import(s), COFFER_E_INVALID);
    s->import.expiration_model = COF_KMS_MATERIAL_STAYS;
    s->import.valid_to_ns = work_now_ns + WORK_HOUR_NS;
    assert_int_equal(import(s), COFFER_E_INVALID);
    s->import.expiration_model = "NEVER";
    assert_int_equal(import(s), COFFER_E_INVALID);
    s->import.expiration_model = COF_KMS_MATERIAL_EXPIRES;
    assert_int_equal(import(s), 0);
    assert_int_equal(encrypt(s), 0);
    work_row(s->f, s->arn, &row);
    assert_int_equal(row.valid_to_ns, work_now_ns + WORK_HOUR_NS);
    assert_string_equal(row.expiration_model, COF_KMS_MATERIAL_EXPIRES);
    /* A moment before nothing goes; at its time it does. */
    assert_int_equal(
        WORK(s->f, &call, "Test", cof_kms_import_expire(&call, &row, row.valid_to_ns - 1)), 0);
    assert_int_equal(decrypt(s), 0);
    assert_int_equal(
        WORK(s->f, &call, "Test", cof_kms_import_expire(&call, &row, work_now_ns + WORK_HOUR_NS)),
        0);
    assert_int_equal(state_of(s), COFFER_KEY_PENDING_IMPORT);
    work_row(s->f, s->arn, &row);
    assert_int_equal(row.valid_to_ns, 0);
    assert_string_equal(row.expiration_model, "");
    assert_int_equal(decrypt(s), COFFER_E_KEY_STATE);
    s->import.expiration_model = COF_KMS_MATERIAL_STAYS;
    s->import.valid_to_ns = 0;
    assert_int_equal(import(s), 0);
    assert_int_equal(decrypt(s), 0);
}

static void new_material_waits_for_its_rotation(void **state)
{
    struct scene *s = *state;
    char hex[65], first_hex[65];
    bool had = false;

    prepare(s, 1);
    s->import.import_type = COF_KMS_IMPORT_EXISTING;
    assert_int_equal(import(s), COFFER_E_KEY_MATERIAL);
    s->import.import_type = "OTHER";
    assert_int_equal(import(s), COFFER_E_INVALID);
    s->import.import_type = COF_KMS_IMPORT_NEW;
    assert_int_equal(import(s), 0);
    cof_kms_hex(s->id, sizeof(s->id), first_hex);
    assert_int_equal(encrypt(s), 0);
    assert_int_equal(import(s), COFFER_E_KEY_MATERIAL);
    /* A second one, which nothing uses yet. */
    prepare(s, 2);
    s->import.import_type = COF_KMS_IMPORT_NEW;
    s->import.material_id = first_hex;
    assert_int_equal(import(s), COFFER_E_INVALID);
    s->import.material_id = NULL;
    s->import.description = "of the second year";
    assert_int_equal(import(s), 0);
    cof_kms_hex(s->id, sizeof(s->id), hex);
    assert_int_equal(fixture_number(s->f, "SELECT count(*) FROM material WHERE state = 2 AND "
                                          "description = 'of the second year'"),
                     1);
    assert_int_equal(decrypt(s), 0);
    prepare(s, 3);
    s->import.import_type = COF_KMS_IMPORT_NEW;
    assert_int_equal(import(s), COFFER_E_KEY_STATE);
    /* Dropping it changes nothing for the key, and makes room for another. */
    assert_int_equal(drop(s, hex, &had), 0);
    assert_int_equal(state_of(s), COFFER_KEY_ENABLED);
    assert_int_equal(import(s), 0);
    /* Ids must be those of the bytes. */
    prepare(s, 1);
    s->import.material_id = hex;
    assert_int_equal(import(s), COFFER_E_KEY_MATERIAL);
    s->import.material_id = "00";
    assert_int_equal(import(s), COFFER_E_INVALID);
    s->import.material_id = first_hex;
    assert_int_equal(import(s), 0);
    assert_int_equal(drop(s, hex, &had), COFFER_E_INVALID);
    assert_int_equal(drop(s, "abc", &had), COFFER_E_INVALID);
}

static void states_decide_what_may_come_and_go(void **state)
{
    static struct cof_kms_key_row row;
    struct scene *s = *state;
    bool had = true;

    assert_int_equal(drop(s, NULL, &had), 0);
    assert_false(had);
    prepare(s, 1);
    work_set_state(s->f, s->arn, COFFER_KEY_PENDING_DELETION);
    assert_int_equal(import(s), COFFER_E_KEY_STATE);
    assert_int_equal(get_parameters(s, s->arn, "RSA_2048", "RSAES_OAEP_SHA_256"),
                     COFFER_E_KEY_STATE);
    work_set_state(s->f, s->arn, COFFER_KEY_PENDING_IMPORT);
    prepare(s, 1);
    assert_int_equal(import(s), 0);
    /* Disabled stays so when the same comes again, and is lost with the material. */
    work_set_state(s->f, s->arn, COFFER_KEY_IS_DISABLED);
    assert_int_equal(import(s), 0);
    assert_int_equal(state_of(s), COFFER_KEY_IS_DISABLED);
    assert_int_equal(drop(s, NULL, &had), 0);
    assert_int_equal(state_of(s), COFFER_KEY_PENDING_IMPORT);
    assert_int_equal(import(s), 0);
    /* Pending deletion stays, and ends where there is no material. */
    work_set_state(s->f, s->arn, COFFER_KEY_PENDING_DELETION);
    assert_int_equal(drop(s, NULL, &had), 0);
    work_row(s->f, s->arn, &row);
    assert_int_equal(row.state, COFFER_KEY_PENDING_DELETION);
    assert_int_equal(row.resume_state, COFFER_KEY_PENDING_IMPORT);
}

static void macs_and_pairs_are_imported_too(void **state)
{
    static const struct {
        const char *spec, *usage, *make;
    } kinds[] = {{"HMAC_384", "GENERATE_VERIFY_MAC", "openssl rand -out material 48"},
                 {"ECC_NIST_P256", "SIGN_VERIFY",
                  "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out any && "
                  "openssl pkcs8 -topk8 -nocrypt -in any -outform DER -out material"},
                 {"RSA_2048", "ENCRYPT_DECRYPT",
                  "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out any && "
                  "openssl pkcs8 -topk8 -nocrypt -in any -outform DER -out material"}};
    static struct cof_kms_key_row row;
    struct scene *s = *state;
    size_t i;

    for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        work_key(s->f, kinds[i].spec, kinds[i].usage, "EXTERNAL", s->arn);
        prepare(s, 1);
        assert_int_equal(import(s), COFFER_E_KEY_MATERIAL);
        openssl_run(s->o, "%s", kinds[i].make);
        assert_int_equal(get_parameters(s, s->arn, "RSA_2048", "RSA_AES_KEY_WRAP_SHA_256"), 0);
        s->import.token.length_bytes = s->offer.token_bytes;
        wrap(s, "sha256", true);
        s->import.description = "not for these";
        assert_int_equal(import(s), COFFER_E_INVALID);
        s->import.description = NULL;
        assert_int_equal(import(s), 0);
        assert_int_equal(import(s), 0);
        work_row(s->f, s->arn, &row);
        assert_int_equal(row.state, COFFER_KEY_ENABLED);
        if (i > 0) {
            openssl_write(s->o, "ours", row.public_key, row.public_key_bytes);
            openssl_run(s->o, "openssl pkey -in any -pubout -outform DER -out theirs && "
                              "cmp ours theirs");
        }
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(material_by_each_algorithm_makes_the_key_work),
        CASE(only_keys_of_external_origin_take_material),
        CASE(tokens_are_for_their_key_and_a_day),
        CASE(garbage_does_not_open_and_odd_lengths_are_no_material),
        CASE(only_the_same_material_comes_back),
        CASE(material_expires_when_its_time_comes),
        CASE(new_material_waits_for_its_rotation),
        CASE(states_decide_what_may_come_and_go),
        CASE(macs_and_pairs_are_imported_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
