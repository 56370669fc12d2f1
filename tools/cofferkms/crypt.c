/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cofferkms/crypt.c - encrypt, decrypt, re-encrypt, generate-data-key.
 *
 * Plaintext lies in locked memory until it is printed; what printing needs of it is wiped.
 */
#include "common/error.h"
#include "common/output.h"
#include "verbs.h"
#include <string.h>

#define ALGORITHM "SYMMETRIC_DEFAULT"

int cof_key_encrypt(struct cof_tool_call *call)
{
    struct cof_key_run run;
    struct cof_key_context_arg context;
    static struct coffer_key_blob blob;
    struct coffer_key_used used;
    uint8_t *plaintext = NULL;
    size_t count = 0;
    int exit_code = cof_key_context_read(call, "encryption-context", &context);
    if (exit_code != 0) {
        return exit_code;
    }
    exit_code = cof_key_run_begin(&run, call, COFFER_KEYSTORE_CREATE, "key-id plaintext");
    if (exit_code != 0) {
        cof_key_context_done(&context);
        return exit_code;
    }
    exit_code = cof_key_bytes_read(call, "plaintext", COF_KEY_BYTES_SECRET,
                                   COFFER_PLAINTEXT_BYTES_MAX, &plaintext, &count);
    int error = 0;
    if (exit_code == 0) {
        error = coffer_keystore_encrypt(run.kms.store, cof_tool_text(call, "key-id", NULL),
                                        plaintext, count, &context.context, &blob, &used,
                                        &run.fault);
    }
    coffer_keystore_secret_free(plaintext);
    cof_key_context_done(&context);
    int end_code = cof_key_run_end(&run, error, "cannot encrypt");
    if (exit_code != 0 || end_code != 0) {
        return exit_code != 0 ? exit_code : end_code;
    }
    return cof_tool_print(call,
                          json_pack("{s:o, s:s, s:s}", "CiphertextBlob",
                                    cof_key_base64_json(blob.bytes, blob.length_bytes), "KeyId",
                                    used.arn, "EncryptionAlgorithm", ALGORITHM),
                          NULL);
}

/* Decrypt what --ciphertext-blob names and print it. */
static int decrypt_blob(struct cof_key_run *run, const uint8_t *blob, size_t blob_bytes,
                        const struct coffer_context *context)
{
    struct cof_tool_call *call = run->call;
    struct coffer_key_used used;
    uint8_t *plaintext = NULL;
    size_t count = 0;
    json_t *value = NULL;
    int error = coffer_keystore_secret_new(COFFER_PLAINTEXT_BYTES_MAX, &plaintext);
    if (error == 0) {
        error = coffer_keystore_decrypt(run->kms.store, cof_tool_text(call, "key-id", NULL), blob,
                                        blob_bytes, context, plaintext,
                                        COFFER_PLAINTEXT_BYTES_MAX, &count, &used, &run->fault);
    }
    if (error == 0) {
        value = json_pack("{s:s, s:o, s:s, s:s}", "KeyId", used.arn, "Plaintext",
                          cof_key_base64_json(plaintext, count), "EncryptionAlgorithm", ALGORITHM,
                          "KeyMaterialId", used.material_id);
    }
    coffer_keystore_secret_free(plaintext);
    int exit_code = cof_key_run_end(run, error, "cannot decrypt");
    return exit_code != 0 ? exit_code : cof_tool_print(call, value, NULL);
}

int cof_key_decrypt(struct cof_tool_call *call)
{
    struct cof_key_run run;
    struct cof_key_context_arg context;
    uint8_t *blob = NULL;
    size_t blob_bytes = 0;
    int exit_code = cof_key_context_read(call, "encryption-context", &context);
    if (exit_code == 0) {
        exit_code = cof_key_run_begin(&run, call, 0, "ciphertext-blob");
    }
    if (exit_code != 0) {
        cof_key_context_done(&context);
        return exit_code;
    }
    exit_code = cof_key_bytes_read(call, "ciphertext-blob", COF_KEY_BYTES_PUBLIC,
                                   COFFER_KEY_BLOB_BYTES_MAX, &blob, &blob_bytes);
    if (exit_code != 0) {
        cof_key_run_end(&run, 0, "");
    } else {
        exit_code = decrypt_blob(&run, blob, blob_bytes, &context.context);
    }
    coffer_keystore_secret_free(blob);
    cof_key_context_done(&context);
    return exit_code;
}

/* Re-encrypt blob and print the new one. */
static int move_blob(struct cof_key_run *run, const uint8_t *blob, size_t blob_bytes,
                     const struct coffer_context *source,
                     const struct coffer_context *destination)
{
    struct cof_tool_call *call = run->call;
    static struct coffer_key_blob moved;
    struct coffer_key_used from, to;
    int error = coffer_keystore_re_encrypt(
        run->kms.store, cof_tool_text(call, "source-key-id", NULL), blob, blob_bytes, source,
        cof_tool_text(call, "destination-key-id", NULL), destination, &moved, &from, &to,
        &run->fault);
    int exit_code = cof_key_run_end(run, error, "cannot re-encrypt");
    if (exit_code != 0) {
        return exit_code;
    }
    return cof_tool_print(
        call,
        json_pack("{s:o, s:s, s:s, s:s, s:s, s:s, s:s}", "CiphertextBlob",
                  cof_key_base64_json(moved.bytes, moved.length_bytes), "SourceKeyId", from.arn,
                  "KeyId", to.arn, "SourceEncryptionAlgorithm", ALGORITHM,
                  "DestinationEncryptionAlgorithm", ALGORITHM, "SourceKeyMaterialId",
                  from.material_id, "DestinationKeyMaterialId", to.material_id),
        NULL);
}

int cof_key_re_encrypt(struct cof_tool_call *call)
{
    struct cof_key_run run;
    struct cof_key_context_arg source = {{NULL, 0}, NULL, NULL};
    struct cof_key_context_arg destination = {{NULL, 0}, NULL, NULL};
    uint8_t *blob = NULL;
    size_t blob_bytes = 0;
    int exit_code = cof_key_context_read(call, "source-encryption-context", &source);
    if (exit_code == 0) {
        exit_code = cof_key_context_read(call, "destination-encryption-context", &destination);
    }
    if (exit_code == 0) {
        exit_code = cof_key_run_begin(&run, call, 0, "ciphertext-blob destination-key-id");
    }
    if (exit_code == 0) {
        exit_code = cof_key_bytes_read(call, "ciphertext-blob", COF_KEY_BYTES_PUBLIC,
                                       COFFER_KEY_BLOB_BYTES_MAX, &blob, &blob_bytes);
        if (exit_code != 0) {
            cof_key_run_end(&run, 0, "");
        } else {
            exit_code = move_blob(&run, blob, blob_bytes, &source.context, &destination.context);
        }
    }
    coffer_keystore_secret_free(blob);
    cof_key_context_done(&source);
    cof_key_context_done(&destination);
    return exit_code;
}

/* ---- data keys --------------------------------------------------------------------------- */

static int find_length(struct cof_tool_call *call, size_t *ret_bytes)
{
    const char *spec = cof_tool_text(call, "key-spec", NULL);
    uint64_t bytes = cof_tool_number(call, "number-of-bytes", 0);
    if ((spec != NULL) == cof_tool_given(call, "number-of-bytes")) {
        return cof_tool_usage(call, "InvalidParameterCombination",
                              "give exactly one of --key-spec and --number-of-bytes");
    }
    if (spec != NULL && strncmp(spec, "AES_", 4) != 0) {
        return cof_tool_usage(call, NULL, "--key-spec of a data key is AES_256 or AES_128");
    }
    if (spec != NULL) {
        bytes = strcmp(spec, "AES_256") == 0 ? 32 : 16;
    }
    if (bytes == 0 || bytes > COFFER_DATA_KEY_BYTES_MAX) {
        return cof_tool_usage(call, NULL, "--number-of-bytes is 1 to %u",
                              COFFER_DATA_KEY_BYTES_MAX);
    }
    *ret_bytes = (size_t)bytes;
    return 0;
}

/* Draw a data key and print it; plaintext is NULL when it is not to be seen. */
static int draw(struct cof_key_run *run, size_t bytes, const struct coffer_context *context,
                uint8_t *plaintext)
{
    static struct coffer_key_blob blob;
    struct coffer_key_used used;
    json_t *value = NULL;
    int error = coffer_keystore_generate_data_key(run->kms.store,
                                                  cof_tool_text(run->call, "key-id", NULL), bytes,
                                                  context, plaintext, &blob, &used, &run->fault);
    if (error == 0) {
        value = json_pack("{s:o, s:s, s:s}", "CiphertextBlob",
                          cof_key_base64_json(blob.bytes, blob.length_bytes), "KeyId", used.arn,
                          "KeyMaterialId", used.material_id);
    }
    if (value != NULL && plaintext != NULL) {
        json_object_set_new(value, "Plaintext", cof_key_base64_json(plaintext, bytes));
    }
    int exit_code = cof_key_run_end(run, error, "cannot make a data key");
    return exit_code != 0 ? exit_code : cof_tool_print(run->call, value, NULL);
}

static int generate(struct cof_tool_call *call, bool with_plaintext)
{
    struct cof_key_run run;
    struct cof_key_context_arg context;
    uint8_t *plaintext = NULL;
    size_t bytes = 0;
    int error = 0;
    int exit_code = find_length(call, &bytes);
    if (exit_code != 0) {
        return exit_code;
    }
    exit_code = cof_key_context_read(call, "encryption-context", &context);
    if (exit_code == 0) {
        exit_code = cof_key_run_begin(&run, call, COFFER_KEYSTORE_CREATE, "key-id");
    }
    if (exit_code == 0 && with_plaintext) {
        error = coffer_keystore_secret_new(bytes, &plaintext);
        if (error != 0) {
            exit_code = cof_key_run_end(&run, error, "cannot make a data key");
        }
    }
    if (exit_code == 0) {
        exit_code = draw(&run, bytes, &context.context, plaintext);
    }
    coffer_keystore_secret_free(plaintext);
    cof_key_context_done(&context);
    return exit_code;
}

int cof_key_generate_data_key(struct cof_tool_call *call)
{
    return generate(call, true);
}

int cof_key_generate_data_key_without_plaintext(struct cof_tool_call *call)
{
    return generate(call, false);
}
