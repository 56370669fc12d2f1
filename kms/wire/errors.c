/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/wire/errors.c - one table from the library's errors to the names and statuses of AWS KMS.
 *
 * Status 500 tells a client to try again; only what may pass by itself, or is the service's own
 * fault, has it. Pure; any thread.
 */
#include "wire/errors.h"

#include <stddef.h>
#include <string.h>

static const struct cof_wire_error table[] = {
    {COFFER_E_INVALID, 400, COF_WIRE_VALIDATION},
    {COFFER_E_RANGE, 400, COF_WIRE_VALIDATION},
    {COFFER_E_EXISTS, 400, "AlreadyExistsException"},
    {COFFER_E_KEY_NOT_FOUND, 400, "NotFoundException"},
    {COFFER_E_NOT_FOUND, 400, "NotFoundException"},
    {COFFER_E_KEY_ACCESS, 400, COF_WIRE_ACCESS_DENIED},
    {COFFER_E_KEY_DISABLED, 400, "DisabledException"},
    {COFFER_E_KEY_STATE, 400, "KMSInvalidStateException"},
    {COFFER_E_KEY_UNREACHABLE, 500, "KeyUnavailableException"},
    {COFFER_E_KEY_CIPHERTEXT, 400, "InvalidCiphertextException"},
    {COFFER_E_KEY_USAGE, 400, "InvalidKeyUsageException"},
    {COFFER_E_KEY_INCORRECT, 400, "IncorrectKeyException"},
    {COFFER_E_KEY_MATERIAL, 400, "IncorrectKeyMaterialException"},
    {COFFER_E_LIMIT, 400, "LimitExceededException"},
    {COFFER_E_UNSUPPORTED, 400, "UnsupportedOperationException"},
    {COFFER_E_READ_ONLY, 400, "UnsupportedOperationException"},
    {COFFER_E_DRY_RUN, 400, "DryRunOperationException"},
    {COFFER_E_CONFLICT, 400, "ConflictException"},
    {COFFER_E_THROTTLED, 400, "ThrottlingException"},
    {COFFER_E_BUSY, 500, "DependencyTimeoutException"},
    {COFFER_E_TIMEOUT, 500, "DependencyTimeoutException"},
    {COFFER_E_MARKER, 400, "InvalidMarkerException"},
    {COFFER_E_ALIAS_NAME, 400, "InvalidAliasNameException"},
    {COFFER_E_ARN, 400, "InvalidArnException"},
    {COFFER_E_TAG, 400, "TagException"},
    {COFFER_E_POLICY, 400, "MalformedPolicyDocumentException"},
    {COFFER_E_GRANT_ID, 400, "InvalidGrantIdException"},
    {COFFER_E_GRANT_TOKEN, 400, "InvalidGrantTokenException"},
    {COFFER_E_IMPORT_TOKEN, 400, "InvalidImportTokenException"},
    {COFFER_E_IMPORT_EXPIRED, 400, "ExpiredImportTokenException"},
    {COFFER_E_MAC_INVALID, 400, "KMSInvalidMacException"},
    {COFFER_E_SIGNATURE_INVALID, 400, "KMSInvalidSignatureException"},
    {COFFER_E_KEY_STORE_NOT_FOUND, 400, "CustomKeyStoreNotFoundException"},
    {COFFER_E_KEY_STORE_STATE, 400, "CustomKeyStoreInvalidStateException"},
    {COFFER_E_KEY_STORE_IN_USE, 400, "CustomKeyStoreHasCMKsException"},
    {COFFER_E_KEY_STORE_NAME, 400, "CustomKeyStoreNameInUseException"},
    {COFFER_E_AUTH_MISSING, 403, "MissingAuthenticationToken"},
    {COFFER_E_AUTH_INCOMPLETE, 400, "IncompleteSignature"},
    {COFFER_E_AUTH_UNKNOWN, 403, "InvalidClientTokenId"},
    {COFFER_E_AUTH_SIGNATURE, 403, "SignatureDoesNotMatch"},
    {COFFER_E_AUTH_EXPIRED, 403, "ExpiredTokenException"},
};

static const struct cof_wire_error internal = {COFFER_E_INTERNAL, 500, COF_WIRE_INTERNAL};

#define TABLE_COUNT (sizeof(table) / sizeof(table[0]))

const struct cof_wire_error *cof_wire_error_of(int code)
{
    size_t i;

    for (i = 0; i < TABLE_COUNT; i++) {
        if (table[i].code == code) {
            return &table[i];
        }
    }
    return &internal;
}

int cof_wire_code_of(const char *name)
{
    for (size_t i = 0; i < TABLE_COUNT; i++) {
        if (strcmp(table[i].name, name) == 0) {
            return table[i].code;
        }
    }
    return 0;
}

int cof_wire_error_known(const char *name)
{
    static const char *const others[] = {COF_WIRE_UNKNOWN_OPERATION, COF_WIRE_SERIALIZATION,
                                         COF_WIRE_TOO_LARGE, COF_WIRE_INTERNAL};
    size_t i;

    if (cof_wire_code_of(name) != 0) {
        return 1;
    }
    for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (strcmp(others[i], name) == 0) {
            return 1;
        }
    }
    return 0;
}
