/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/token/pkcs11.c - sessions and keys of PKCS#11 tokens, by p11-kit.
 *
 * Invariants: a PIN is in secret memory until the token has taken it; keys never leave the token;
 * whatever a token answers is checked for its length. One thread at a time.
 */
#include "pkcs11.h"

#include "kms/secret.h"

#include <coffer/keystore.h>
#include <errno.h>
#include <fcntl.h>
#include <p11-kit/p11-kit.h>
#include <p11-kit/uri.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SLOTS_MAX 64u
#define KEY_BYTES 32u
#define SCHEME "pkcs11:"
#define FILE_SCHEME "file:"

struct cof_token {
    struct cof_kms_env *env;
    P11KitUri *uri;
    CK_FUNCTION_LIST *module; /* NULL: not loaded */
    bool initialized;
    bool has_session;
    CK_SESSION_HANDLE session;
    char object[COF_TOKEN_LABEL_BYTES_MAX];
};

/* ---- faults ------------------------------------------------------------------------------ */

static int error_of(CK_RV rv)
{
    switch (rv) {
    case CKR_OK:
        return 0;
    case CKR_PIN_INCORRECT:
    case CKR_PIN_INVALID:
    case CKR_PIN_LEN_RANGE:
    case CKR_PIN_LOCKED:
        return COFFER_E_PASSPHRASE;
    case CKR_MECHANISM_INVALID:
    case CKR_FUNCTION_NOT_SUPPORTED:
    case CKR_KEY_TYPE_INCONSISTENT:
    case CKR_KEY_FUNCTION_NOT_PERMITTED:
        return COFFER_E_UNSUPPORTED;
    case CKR_HOST_MEMORY:
        return COFFER_E_NO_MEMORY;
    default:
        return COFFER_E_KEY_UNREACHABLE;
    }
}

static int say(struct coffer_fault *fault, CK_RV rv, const char *what)
{
    return rv == CKR_OK ? 0
                        : cof_kms_fault(fault, error_of(rv), "the token did not %s: %s", what,
                                        p11_kit_strerror(rv));
}

/* ---- the URI ----------------------------------------------------------------------------- */

bool cof_token_is_uri(const char *text)
{
    return strncmp(text, SCHEME, sizeof(SCHEME) - 1) == 0;
}

/* The object's label, which PKCS#11 gives without a terminator. */
static int take_object(struct cof_token *token, struct coffer_fault *fault)
{
    const CK_ATTRIBUTE *label = p11_kit_uri_get_attribute(token->uri, CKA_LABEL);

    if (label == NULL || label->pValue == NULL) {
        return 0;
    }
    if (label->ulValueLen >= sizeof(token->object)) {
        return cof_kms_fault(fault, COFFER_E_INVALID,
                             "the token's URI names an object of more "
                             "than %zu bytes",
                             sizeof(token->object) - 1);
    }
    memcpy(token->object, label->pValue, label->ulValueLen);
    token->object[label->ulValueLen] = '\0';
    return 0;
}

static int parse_uri(struct cof_token *token, const char *uri, struct coffer_fault *fault)
{
    int result;

    token->uri = p11_kit_uri_new();
    if (token->uri == NULL) {
        return cof_kms_fault(fault, COFFER_E_NO_MEMORY, NULL);
    }
    result = p11_kit_uri_parse(uri, P11_KIT_URI_FOR_ANY, token->uri);
    if (result != P11_KIT_URI_OK || p11_kit_uri_any_unrecognized(token->uri) != 0) {
        return cof_kms_fault(fault, COFFER_E_INVALID,
                             "the token's URI is not one of RFC 7512, or says more than is known");
    }
    if (p11_kit_uri_get_pin_value(token->uri) != NULL) {
        return cof_kms_fault(fault, COFFER_E_INVALID,
                             "the token's URI holds the PIN itself: give pin-source=file:PATH");
    }
    if (p11_kit_uri_get_module_path(token->uri) == NULL) {
        return cof_kms_fault(fault, COFFER_E_INVALID,
                             "the token's URI has no module-path, the library of the token");
    }
    return take_object(token, fault);
}

/* ---- the PIN ----------------------------------------------------------------------------- */

static int read_pin(const char *path, uint8_t *pin, size_t *ret_bytes, struct coffer_fault *fault)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat about;
    ssize_t got = -1;

    if (fd < 0) {
        return cof_kms_fault(fault, errno == ENOENT ? COFFER_E_NOT_FOUND : COFFER_E_ACCESS,
                             "PIN file %.90s: %s", path, strerror(errno));
    }
    if (fstat(fd, &about) == 0 && S_ISREG(about.st_mode) && (about.st_mode & 077) == 0) {
        got = read(fd, pin, COF_TOKEN_PIN_BYTES_MAX);
    }
    (void)close(fd);
    if (got > 0 && pin[got - 1] == '\n') {
        got--;
    }
    if (got <= 0) {
        return cof_kms_fault(fault, COFFER_E_ACCESS,
                             "PIN file %.70s is empty, no file, or open to others: chmod 600 it",
                             path);
    }
    *ret_bytes = (size_t)got;
    return 0;
}

static int log_in(struct cof_token *token, struct cof_kms_bytes pin, struct coffer_fault *fault)
{
    CK_RV rv = token->module->C_Login(token->session, CKU_USER, (CK_UTF8CHAR_PTR)(uintptr_t)pin.at,
                                      pin.length_bytes);

    /* Sessions of one process with one token share their login. */
    return rv == CKR_USER_ALREADY_LOGGED_IN ? 0 : say(fault, rv, "take the PIN");
}

static int log_in_by_source(struct cof_token *token, struct coffer_fault *fault)
{
    const char *source = p11_kit_uri_get_pin_source(token->uri);
    struct cof_kms_bytes pin = {NULL, 0};
    uint8_t *memory = NULL;
    int error;

    if (source == NULL || strncmp(source, FILE_SCHEME, sizeof(FILE_SCHEME) - 1) != 0) {
        return cof_kms_fault(fault, COFFER_E_INVALID,
                             "the token's URI needs pin-source=file:PATH, whose file has the PIN");
    }
    error = coffer_keystore_secret_new(COF_TOKEN_PIN_BYTES_MAX, &memory);
    if (error != 0) {
        return cof_kms_fault(fault, error, NULL);
    }
    error = read_pin(source + sizeof(FILE_SCHEME) - 1, memory, &pin.length_bytes, fault);
    pin.at = memory;
    if (error == 0) {
        error = log_in(token, pin, fault);
    }
    coffer_keystore_secret_free(memory);
    return error;
}

/* ---- module and session ------------------------------------------------------------------ */

static int load_module(struct cof_token *token, struct coffer_fault *fault)
{
    const char *path = p11_kit_uri_get_module_path(token->uri);
    CK_RV rv;

    token->module = p11_kit_module_load(path, P11_KIT_MODULE_CRITICAL);
    if (token->module == NULL) {
        return cof_kms_fault(fault, COFFER_E_KEY_UNREACHABLE,
                             "the token's library %.80s can't be loaded", path);
    }
    rv = p11_kit_module_initialize(token->module);
    token->initialized = rv == CKR_OK;
    return say(fault, rv, "start");
}

/* The first slot whose token is the URI's. */
static int find_slot(struct cof_token *token, CK_SLOT_ID *ret_slot, struct coffer_fault *fault)
{
    CK_SLOT_ID slots[SLOTS_MAX];
    CK_ULONG count = SLOTS_MAX, i;
    CK_RV rv = token->module->C_GetSlotList(CK_TRUE, slots, &count);

    for (i = 0; rv == CKR_OK && i < count; i++) {
        CK_TOKEN_INFO info;

        if (token->module->C_GetTokenInfo(slots[i], &info) == CKR_OK &&
            (info.flags & CKF_TOKEN_INITIALIZED) != 0 &&
            p11_kit_uri_match_token_info(token->uri, &info) == 1) {
            *ret_slot = slots[i];
            return 0;
        }
    }
    return cof_kms_fault(fault, COFFER_E_KEY_UNREACHABLE,
                         "the token that the URI names is not there");
}

static int open_session(struct cof_token *token, struct coffer_fault *fault)
{
    CK_SLOT_ID slot = 0;
    CK_RV rv;
    int error = find_slot(token, &slot, fault);

    if (error != 0) {
        return error;
    }
    rv = token->module->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL,
                                      &token->session);
    token->has_session = rv == CKR_OK;
    return say(fault, rv, "open a session");
}

int cof_token_check_uri(struct cof_kms_env *env, const char *uri, struct coffer_fault *fault)
{
    struct cof_token *token = cof_kms_alloc(env, sizeof(*token));
    int error;

    if (token == NULL) {
        return cof_kms_fault(fault, COFFER_E_NO_MEMORY, NULL);
    }
    token->env = env;
    error = parse_uri(token, uri, fault);
    cof_token_close(token);
    return error;
}

int cof_token_open(struct cof_kms_env *env, const char *uri, const struct cof_kms_bytes *pin,
                   struct cof_token **ret_token, struct coffer_fault *fault)
{
    struct cof_token *token = cof_kms_alloc(env, sizeof(*token));
    int error;

    if (token == NULL) {
        return cof_kms_fault(fault, COFFER_E_NO_MEMORY, NULL);
    }
    token->env = env;
    error = parse_uri(token, uri, fault);
    if (error == 0) {
        error = load_module(token, fault);
    }
    if (error == 0) {
        error = open_session(token, fault);
    }
    if (error == 0) {
        error = pin != NULL ? log_in(token, *pin, fault) : log_in_by_source(token, fault);
    }
    if (error != 0) {
        cof_token_close(token);
        return error;
    }
    *ret_token = token;
    return 0;
}

void cof_token_close(struct cof_token *token)
{
    if (token == NULL) {
        return;
    }
    if (token->has_session) {
        (void)token->module->C_CloseSession(token->session);
    }
    if (token->initialized) {
        (void)p11_kit_module_finalize(token->module);
    }
    if (token->module != NULL) {
        p11_kit_module_release(token->module);
    }
    p11_kit_uri_free(token->uri);
    cof_kms_free(token->env, token);
}

const char *cof_token_object(const struct cof_token *token)
{
    return token->object;
}

/* ---- keys -------------------------------------------------------------------------------- */

int cof_token_find(struct cof_token *token, const char *label, unsigned long *ret_handle,
                   struct coffer_fault *fault)
{
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE wanted[] = {
        {CKA_CLASS, &class, sizeof(class)},
        {CKA_KEY_TYPE, &type, sizeof(type)},
        {CKA_TOKEN, &yes, sizeof(yes)},
        {CKA_LABEL, (void *)(uintptr_t)label, strlen(label)},
    };
    CK_OBJECT_HANDLE found[2];
    CK_ULONG count = 0;
    CK_RV rv = token->module->C_FindObjectsInit(token->session, wanted,
                                                sizeof(wanted) / sizeof(wanted[0]));

    if (rv == CKR_OK) {
        rv = token->module->C_FindObjects(token->session, found, 2, &count);
        (void)token->module->C_FindObjectsFinal(token->session);
    }
    if (rv != CKR_OK) {
        return say(fault, rv, "look for the key");
    }
    if (count != 1) {
        return cof_kms_fault(fault, count == 0 ? COFFER_E_NOT_FOUND : COFFER_E_CONFLICT,
                             "the token has %s key of label %.80s",
                             count == 0 ? "no" : "more than one", label);
    }
    *ret_handle = found[0];
    return 0;
}

int cof_token_make(struct cof_token *token, const char *label, struct coffer_fault *fault)
{
    CK_MECHANISM mechanism = {CKM_GENERIC_SECRET_KEY_GEN, NULL, 0};
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_ULONG bytes = KEY_BYTES;
    CK_ATTRIBUTE wanted[] = {
        {CKA_LABEL, (void *)(uintptr_t)label, strlen(label)},
        {CKA_VALUE_LEN, &bytes, sizeof(bytes)},
        {CKA_TOKEN, &yes, sizeof(yes)},
        {CKA_PRIVATE, &yes, sizeof(yes)},
        {CKA_SENSITIVE, &yes, sizeof(yes)},
        {CKA_EXTRACTABLE, &no, sizeof(no)},
        {CKA_SIGN, &yes, sizeof(yes)},
        {CKA_VERIFY, &yes, sizeof(yes)},
    };
    unsigned long handle = 0;
    int error = cof_token_find(token, label, &handle, NULL);

    if (error == 0 || error == COFFER_E_CONFLICT) {
        return cof_kms_fault(fault, COFFER_E_EXISTS, "the token has a key of label %.80s already",
                             label);
    }
    return say(fault,
               token->module->C_GenerateKey(token->session, &mechanism, wanted,
                                            sizeof(wanted) / sizeof(wanted[0]), &handle),
               "make the key");
}

int cof_token_destroy(struct cof_token *token, const char *label, struct coffer_fault *fault)
{
    unsigned long handle = 0;
    int error = cof_token_find(token, label, &handle, fault);

    return error == 0
               ? say(fault, token->module->C_DestroyObject(token->session, handle), "destroy it")
               : error;
}

int cof_token_mac(struct cof_token *token, unsigned long handle, struct cof_kms_bytes data,
                  uint8_t ret_mac[COF_KMS_MAC_BYTES], struct coffer_fault *fault)
{
    CK_MECHANISM mechanism = {CKM_SHA256_HMAC, NULL, 0};
    CK_ULONG bytes = COF_KMS_MAC_BYTES;
    CK_RV rv = token->module->C_SignInit(token->session, &mechanism, handle);

    if (rv == CKR_OK) {
        rv = token->module->C_Sign(token->session, (CK_BYTE_PTR)(uintptr_t)data.at,
                                   data.length_bytes, ret_mac, &bytes);
    }
    if (rv == CKR_OK && bytes != COF_KMS_MAC_BYTES) {
        rv = CKR_DEVICE_ERROR;
    }
    return say(fault, rv, "use the key");
}
