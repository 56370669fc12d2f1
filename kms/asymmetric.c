/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/asymmetric.c - signatures, MACs, key agreement, RSA encryption; asymmetric.h says what each
 * takes.
 *
 * Invariants: a key does what its usage says and nothing else; private halves are in locked scratch
 * from their unsealing to the end of the work; MACs are compared in constant time. Under the
 * store's lock.
 */
#include "asymmetric.h"

#include "secret.h"

#include <string.h>

/* ---- what all have in common ------------------------------------------------------------- */

/* The algorithm of that name for the key, if key and algorithm are for usage. */
static int choose_algorithm(struct cof_kms_call *call, const struct cof_kms_key_row *row,
                            const char *usage, const char *name,
                            const struct cof_kms_algorithm **ret_algorithm)
{
    const struct cof_kms_spec *spec = cof_kms_spec_find(row->key_spec);
    const struct cof_kms_algorithm *algorithm = NULL;

    if (spec != NULL && strcmp(row->key_usage, usage) == 0) {
        algorithm = cof_kms_algorithm_find(spec, usage, name);
    }
    if (algorithm == NULL) {
        return cof_kms_fault(call->fault, COFFER_E_KEY_USAGE,
                             "%s is a %s key for %s, and not for %.40s", row->key_id, row->key_spec,
                             row->key_usage, name);
    }
    *ret_algorithm = algorithm;
    return 0;
}

/* Find the key, allowed and usable, and its algorithm. */
static int find_key(struct cof_kms_call *call, const char *key, const char *action,
                    const char *usage, const char *algorithm, struct cof_kms_key_row *row,
                    const struct cof_kms_algorithm **ret_algorithm)
{
    int error = cof_kms_key_find(call, key, false, row);

    if (error == 0) {
        error = cof_kms_authorize(call, row, action);
    }
    if (error == 0) {
        error = cof_kms_key_usable(call, row);
    }
    return error == 0 ? choose_algorithm(call, row, usage, algorithm, ret_algorithm) : error;
}

/* Find the message's key and its algorithm, and check the message. */
static int begin_work(struct cof_kms_call *call, const struct cof_kms_message *message,
                      const char *action, const char *usage, struct cof_kms_key_row *row,
                      const struct cof_kms_algorithm **ret_algorithm)
{
    int error =
        find_key(call, message->key, action, usage, message->algorithm, row, ret_algorithm);

    if (error == 0 && (message->bytes.length_bytes == 0 ||
                       message->bytes.length_bytes > COF_KMS_MESSAGE_BYTES_MAX)) {
        return cof_kms_fault(call->fault, COFFER_E_INVALID,
                             "a message has 1 to %u bytes, not %zu: give its digest",
                             COF_KMS_MESSAGE_BYTES_MAX, message->bytes.length_bytes);
    }
    return error;
}

static int end_work(struct cof_kms_call *call, int error)
{
    cof_kms_wipe(call->ks->secrets->material, sizeof(call->ks->secrets->material));
    return error;
}

/* ---- signatures -------------------------------------------------------------------------- */

static int check_digest(struct cof_kms_call *call, const struct cof_kms_message *message,
                        const struct cof_kms_algorithm *algorithm)
{
    if (!message->is_digest || message->bytes.length_bytes == algorithm->digest_bytes) {
        return 0;
    }
    return cof_kms_fault(call->fault, COFFER_E_INVALID,
                         algorithm->digest != NULL ? "%s takes a digest of %zu bytes"
                                                   : "%s takes messages only: give MessageType RAW",
                         algorithm->name, algorithm->digest_bytes);
}

int cof_kms_sign(struct cof_kms_call *call, const struct cof_kms_message *message,
                 uint8_t ret_signature[COF_PAIR_SIGNATURE_BYTES_MAX], size_t *ret_signature_bytes)
{
    const struct cof_kms_algorithm *algorithm = NULL;
    struct cof_kms_key_row row;
    int error = begin_work(call, message, "kms:Sign", COF_KMS_USAGE_SIGN, &row, &algorithm);

    if (error == 0) {
        error = check_digest(call, message, algorithm);
    }
    if (error == 0) {
        error = cof_kms_key_material(call, &row, row.material_id);
    }
    if (error != 0) {
        return error;
    }
    error = cof_pair_sign(cof_kms_spec_find(row.key_spec), call->ks->secrets->material, algorithm,
                          message->is_digest, message->bytes, ret_signature, ret_signature_bytes);
    return end_work(call, error == 0 ? 0 : cof_kms_fault(call->fault, error, NULL));
}

int cof_kms_verify(struct cof_kms_call *call, const struct cof_kms_message *message,
                   struct cof_kms_bytes signature)
{
    const struct cof_kms_algorithm *algorithm = NULL;
    struct cof_kms_bytes public_half;
    struct cof_kms_key_row row;
    int error = begin_work(call, message, "kms:Verify", COF_KMS_USAGE_SIGN, &row, &algorithm);

    if (error == 0) {
        error = check_digest(call, message, algorithm);
    }
    if (error != 0) {
        return error;
    }
    public_half.at = row.public_key;
    public_half.length_bytes = row.public_key_bytes;
    error = cof_pair_verify(public_half, algorithm, message->is_digest, message->bytes, signature);
    if (error == COFFER_E_TAMPER) {
        return cof_kms_fault(call->fault, COFFER_E_SIGNATURE_INVALID,
                             "the signature is not of this message by %s", row.key_id);
    }
    return error == 0 ? 0 : cof_kms_fault(call->fault, error, NULL);
}

int cof_kms_public_key(struct cof_kms_call *call, const char *key, struct cof_kms_key_row *ret_row)
{
    int error = cof_kms_key_find(call, key, false, ret_row);

    if (error == 0) {
        error = cof_kms_authorize(call, ret_row, "kms:GetPublicKey");
    }
    if (error == 0) {
        error = cof_kms_key_usable(call, ret_row);
    }
    if (error == 0 && ret_row->public_key_bytes == 0) {
        return cof_kms_fault(call->fault, COFFER_E_UNSUPPORTED,
                             "%s is a %s key, which has no public half", ret_row->arn,
                             ret_row->key_spec);
    }
    return error;
}

/* ---- MACs -------------------------------------------------------------------------------- */

static int make_mac(struct cof_kms_call *call, const struct cof_kms_message *message,
                    const char *action, uint8_t mac[COF_KMS_MAC_TAG_BYTES_MAX], size_t *mac_bytes)
{
    const struct cof_kms_algorithm *algorithm = NULL;
    struct cof_kms_bytes key = {call->ks->secrets->material, 0};
    struct cof_kms_key_row row;
    int error = begin_work(call, message, action, COF_KMS_USAGE_MAC, &row, &algorithm);

    if (error == 0) {
        error = cof_kms_key_material(call, &row, row.material_id);
    }
    if (error != 0) {
        return error;
    }
    key.length_bytes = cof_kms_spec_find(row.key_spec)->material_bytes;
    error = cof_kms_hmac_by(algorithm->digest, key, message->bytes, mac, algorithm->digest_bytes);
    *mac_bytes = algorithm->digest_bytes;
    return end_work(call, error == 0 ? 0 : cof_kms_fault(call->fault, error, NULL));
}

int cof_kms_generate_mac(struct cof_kms_call *call, const struct cof_kms_message *message,
                         uint8_t ret_mac[COF_KMS_MAC_TAG_BYTES_MAX], size_t *ret_mac_bytes)
{
    uint8_t mac[COF_KMS_MAC_TAG_BYTES_MAX];
    size_t bytes = 0;
    int error = make_mac(call, message, "kms:GenerateMac", mac, &bytes);

    if (error == 0) {
        memcpy(ret_mac, mac, bytes);
        *ret_mac_bytes = bytes;
    }
    cof_kms_wipe(mac, sizeof(mac));
    return error;
}

int cof_kms_verify_mac(struct cof_kms_call *call, const struct cof_kms_message *message,
                       struct cof_kms_bytes mac)
{
    uint8_t expected[COF_KMS_MAC_TAG_BYTES_MAX];
    size_t bytes = 0;
    int error = make_mac(call, message, "kms:VerifyMac", expected, &bytes);

    if (error == 0 && (mac.length_bytes != bytes || !cof_kms_equal(mac.at, expected, bytes))) {
        error = cof_kms_fault(call->fault, COFFER_E_MAC_INVALID,
                              "the MAC is not of this message and key");
    }
    /* The right one is a forgery's worth. */
    cof_kms_wipe(expected, sizeof(expected));
    return error;
}

/* ---- key agreement ----------------------------------------------------------------------- */

int cof_kms_derive_secret(struct cof_kms_call *call, const char *key, const char *algorithm_name,
                          struct cof_kms_bytes peer_half, struct cof_kms_key_row *ret_row,
                          size_t *ret_secret_bytes)
{
    struct cof_kms_secrets *secrets = call->ks->secrets;
    const struct cof_kms_algorithm *algorithm = NULL;
    int error = find_key(call, key, "kms:DeriveSharedSecret", COF_KMS_USAGE_AGREE, algorithm_name,
                         ret_row, &algorithm);

    if (error == 0) {
        error = cof_kms_key_material(call, ret_row, ret_row->material_id);
    }
    if (error != 0) {
        return error;
    }
    error = cof_pair_agree(cof_kms_spec_find(ret_row->key_spec), secrets->material, peer_half,
                           secrets->plaintext, ret_secret_bytes);
    if (error == COFFER_E_INVALID) {
        (void)cof_kms_fault(call->fault, error,
                            "PublicKey is no public key of %s in DER (SubjectPublicKeyInfo)",
                            ret_row->key_spec);
    } else if (error != 0) {
        (void)cof_kms_fault(call->fault, error, NULL);
    }
    return end_work(call, error);
}

/* ---- RSA encryption ---------------------------------------------------------------------- */

int cof_kms_rsa_encrypt(struct cof_kms_call *call, const struct cof_kms_key_row *row,
                        const char *algorithm_name, struct cof_kms_bytes plaintext,
                        uint8_t ret_ciphertext[COF_PAIR_SIGNATURE_BYTES_MAX],
                        size_t *ret_ciphertext_bytes)
{
    const struct cof_kms_spec *spec = cof_kms_spec_find(row->key_spec);
    struct cof_kms_bytes public_half = {row->public_key, row->public_key_bytes};
    const struct cof_kms_algorithm *algorithm = NULL;
    int error = choose_algorithm(call, row, COF_KMS_USAGE_ENCRYPT, algorithm_name, &algorithm);

    if (error != 0) {
        return error;
    }
    if (plaintext.length_bytes == 0 ||
        plaintext.length_bytes > cof_pair_plaintext_max(spec, algorithm)) {
        return cof_kms_fault(call->fault, COFFER_E_INVALID,
                             "%s under a %s key takes 1 to %zu bytes, not %zu", algorithm->name,
                             spec->name, cof_pair_plaintext_max(spec, algorithm),
                             plaintext.length_bytes);
    }
    error = cof_pair_encrypt(spec, public_half, algorithm, plaintext, ret_ciphertext);
    if (error != 0) {
        return cof_kms_fault(call->fault, error, NULL);
    }
    *ret_ciphertext_bytes = spec->bits / 8;
    return 0;
}

int cof_kms_rsa_decrypt(struct cof_kms_call *call, const struct cof_kms_key_row *row,
                        const char *algorithm_name, struct cof_kms_bytes ciphertext,
                        size_t *ret_plaintext_bytes)
{
    struct cof_kms_secrets *secrets = call->ks->secrets;
    const struct cof_kms_algorithm *algorithm = NULL;
    int error = choose_algorithm(call, row, COF_KMS_USAGE_ENCRYPT, algorithm_name, &algorithm);

    if (error == 0) {
        error = cof_kms_key_material(call, row, row->material_id);
    }
    if (error != 0) {
        return error;
    }
    error = cof_pair_decrypt(cof_kms_spec_find(row->key_spec), secrets->material, algorithm,
                             ciphertext, secrets->plaintext, ret_plaintext_bytes);
    if (error == COFFER_E_KEY_CIPHERTEXT) {
        (void)cof_kms_fault(call->fault, error, "the ciphertext does not open under %s by %s",
                            row->key_id, algorithm->name);
    } else if (error != 0) {
        (void)cof_kms_fault(call->fault, error, NULL);
    }
    return end_work(call, error);
}
