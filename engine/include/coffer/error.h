/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/error.h - every error the library returns, from one table.
 *
 * A fallible function returns 0 or a negative value of enum coffer_error. Names and numbers are
 * frozen: a number is never reused. Each error has a class, the nearest errno and one sentence.
 * Where it happened travels in a caller-owned struct coffer_fault, never in a thread-local.
 *
 * COFFER_E_CORRUPT (a checksum failed) and COFFER_E_TAMPER (an authentication tag failed) never
 * merge: the first may be a worn disk and be repaired from a copy, the second is an alarm.
 */
#ifndef COFFER_ERROR_H
#define COFFER_ERROR_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define COFFER_MUST_CHECK __attribute__((warn_unused_result))
#else
#define COFFER_MUST_CHECK
#endif

enum coffer_error_class {
    COFFER_CLASS_NONE = 0,
    COFFER_CLASS_USAGE,   /* the call or the request is wrong                        */
    COFFER_CLASS_IO,      /* the device failed                                       */
    COFFER_CLASS_RETRY,   /* try again; nothing is wrong                             */
    COFFER_CLASS_FULL,    /* no room on the device, or a stated limit was reached    */
    COFFER_CLASS_BUSY,    /* in use by someone else, or in a state that forbids this */
    COFFER_CLASS_KEY,     /* a key or the right to use it is missing                 */
    COFFER_CLASS_CORRUPT, /* a checksum failed                                       */
    COFFER_CLASS_TAMPER,  /* an authentication tag or a pin failed                   */
    COFFER_CLASS_FORMAT,  /* not a store, or a format this build does not know       */
    COFFER_CLASS_ABSENT,  /* no such store, volume, key or alias                     */
    COFFER_CLASS_BUG      /* a broken invariant inside the library                   */
};

/* X(name, number, class, errno, sentence) */
#define COFFER_ERROR_TABLE(X)                                                                      \
    X(INVALID, 1, USAGE, EINVAL, "an argument is not valid")                                       \
    X(ALIGN, 2, USAGE, EINVAL, "offset and length must be multiples of 512 bytes")                 \
    X(RANGE, 3, USAGE, ERANGE, "the request reaches beyond the end")                               \
    X(EXISTS, 4, USAGE, EEXIST, "the name is taken")                                               \
    X(NOT_FOUND, 5, ABSENT, ENOENT, "there is nothing of that name")                               \
    X(NO_MEMORY, 6, FULL, ENOMEM, "memory could not be allocated")                                 \
    X(IO, 7, IO, EIO, "the device failed a request")                                               \
    X(NO_SPACE, 8, FULL, ENOSPC, "the store is full")                                              \
    X(AGAIN, 9, RETRY, EAGAIN, "resources are in use; reap completions and try again")             \
    X(BUSY, 10, BUSY, EBUSY, "it is in use")                                                       \
    X(READ_ONLY, 11, BUSY, EROFS, "it was opened for reading only")                                \
    X(FAILED, 12, BUSY, EIO, "it failed earlier and only closing is allowed")                      \
    X(CORRUPT, 13, CORRUPT, EBADMSG, "a checksum does not match")                                  \
    X(TAMPER, 14, TAMPER, EBADMSG, "an authentication tag does not match")                         \
    X(ROLLBACK, 15, TAMPER, ESTALE, "the store is older than the anchor says")                     \
    X(COMMIT, 16, TAMPER, EKEYREJECTED, "a key does not match its commitment")                     \
    X(PIN, 17, TAMPER, EKEYREJECTED, "the volume is not the one that was pinned")                  \
    X(KEY_ACCESS, 18, KEY, EACCES, "the key service refused")                                      \
    X(KEY_DISABLED, 19, KEY, EACCES, "the key is disabled")                                        \
    X(KEY_NOT_FOUND, 20, KEY, ENOKEY, "there is no such key")                                      \
    X(KEY_STATE, 21, KEY, EACCES, "the key is in a state that forbids this")                       \
    X(KEY_UNREACHABLE, 22, KEY, EHOSTUNREACH, "the key service cannot be reached")                 \
    X(KEY_CIPHERTEXT, 23, KEY, EKEYREJECTED, "the wrapped key or its encryption context is wrong") \
    X(NO_PROVIDER, 24, KEY, ENOKEY, "an encrypted volume needs a key provider")                    \
    X(PLAIN_REFUSED, 25, TAMPER, EPERM, "the volume is not encrypted, which was not allowed")      \
    X(NOT_A_STORE, 26, FORMAT, EINVAL, "this is not a Coffer store")                               \
    X(TOO_NEW, 27, FORMAT, ENOTSUP, "the format is newer than this program")                       \
    X(LIMIT, 28, FULL, EDQUOT, "a stated limit was reached")                                       \
    X(LOCKED_MEMORY, 29, FULL, ENOMEM, "memory for keys could not be locked")                      \
    X(FORKED, 30, BUG, ECHILD, "keys do not survive fork; open the store again in the child")      \
    X(CANCELLED, 31, IO, ECANCELED, "the request was cancelled")                                   \
    X(UNSUPPORTED, 32, USAGE, ENOTSUP, "this is not supported here")                               \
    X(CRYPTO, 33, BUG, EIO, "the cryptographic library failed")                                    \
    X(PASSPHRASE, 34, KEY, EACCES, "the passphrase or root key is wrong")                          \
    X(TRUNCATED, 35, CORRUPT, EBADMSG, "the store is shorter than its format says")                \
    X(ACCESS, 36, IO, EACCES, "the operating system refused")                                      \
    X(INTERNAL, 37, BUG, EIO, "an internal invariant does not hold")                               \
    X(KEY_USAGE, 38, KEY, EINVAL, "the key's usage or spec does not allow this")                   \
    X(KEY_INCORRECT, 39, KEY, EKEYREJECTED, "the ciphertext was made under another key")           \
    X(KEY_MATERIAL, 40, KEY, EKEYREJECTED, "this is not the key material that the key had")        \
    X(DRY_RUN, 41, USAGE, ECANCELED, "it would have worked; nothing was done")                     \
    X(CONFLICT, 42, BUSY, EBUSY, "another change of it is under way")                              \
    X(THROTTLED, 43, RETRY, EAGAIN, "too many requests; slow down and try again")                  \
    X(TIMEOUT, 44, RETRY, ETIMEDOUT, "something that it depends on did not answer in time")        \
    X(MARKER, 45, USAGE, EINVAL, "the marker is not one that a listing gave")                      \
    X(ALIAS_NAME, 46, USAGE, EINVAL, "this is not the name of an alias")                           \
    X(ARN, 47, USAGE, EINVAL, "this is not an ARN that can be used here")                          \
    X(TAG, 48, USAGE, EINVAL, "a tag is not valid")                                                \
    X(POLICY, 49, USAGE, EINVAL, "the policy document is not valid")                               \
    X(GRANT_ID, 50, USAGE, EINVAL, "this is not the id of a grant")                                \
    X(GRANT_TOKEN, 51, KEY, EKEYREJECTED, "the grant token is not valid")                          \
    X(IMPORT_TOKEN, 52, KEY, EKEYREJECTED, "the import token is not valid")                        \
    X(IMPORT_EXPIRED, 53, KEY, ETIME, "the import token has expired")                              \
    X(MAC_INVALID, 54, KEY, EKEYREJECTED, "the message authentication code does not match")        \
    X(SIGNATURE_INVALID, 55, KEY, EKEYREJECTED, "the signature does not match")                    \
    X(KEY_STORE_NOT_FOUND, 56, ABSENT, ENOENT, "there is no such custom key store")                \
    X(KEY_STORE_STATE, 57, BUSY, EBUSY, "the custom key store is in a state that forbids this")    \
    X(KEY_STORE_IN_USE, 58, BUSY, EBUSY, "the custom key store still has keys")                    \
    X(KEY_STORE_NAME, 59, USAGE, EEXIST, "a custom key store of that name exists")                 \
    X(AUTH_MISSING, 60, KEY, EACCES, "the request is not signed")                                  \
    X(AUTH_INCOMPLETE, 61, KEY, EACCES, "the request's signature lacks a part")                    \
    X(AUTH_UNKNOWN, 62, KEY, EACCES, "the access key or session token is not known")               \
    X(AUTH_SIGNATURE, 63, KEY, EACCES, "the request's signature does not match")                   \
    X(AUTH_EXPIRED, 64, KEY, EACCES, "the request or its session token has expired")               \
    X(INACCESSIBLE_CREDENTIALS, 65, BUSY, EACCES,                                                  \
      "inaccessible-encryption-credentials: the volume's key could not be used")                   \
    X(STOPPED, 66, BUSY, EACCES, "the volume is stopped")

enum coffer_error {
    COFFER_OK = 0,
#define COFFER_X(name, number, cls, err, text) COFFER_E_##name = -(number),
    COFFER_ERROR_TABLE(COFFER_X)
#undef COFFER_X
};

/* Where in the life of a page an error was found. */
enum coffer_stage {
    COFFER_STAGE_NONE = 0,
    COFFER_STAGE_IO,        /* the device's answer                  */
    COFFER_STAGE_CHECKSUM,  /* XXH3 of the bytes on disk            */
    COFFER_STAGE_TAG,       /* authentication of the opened bytes   */
    COFFER_STAGE_PLACEMENT, /* no place, or one outside its segment */
    COFFER_STAGE_MAP,       /* trees against bitmaps                */
    COFFER_STAGE_ROOT,      /* superblocks, catalogue, root records */
    COFFER_STAGE_LOG,       /* batches and the volume's chain       */
    COFFER_STAGE_KEY        /* key ring, data keys, key service     */
};

#define COFFER_NOWHERE UINT64_MAX

/* Where an error happened. Fields that do not apply hold COFFER_NOWHERE (or an empty string). The
 * caller owns it; functions that take one accept NULL and fill it only on failure. */
struct coffer_fault {
    int error;    /* enum coffer_error                                    */
    int os_errno; /* the operating system's errno, or 0                   */
    enum coffer_stage stage;
    char volume[64];  /* name, or uuid while the name is sealed               */
    uint64_t page;    /* page number inside the volume (4096 bytes each)      */
    uint64_t segment; /* segment number                                       */
    uint64_t offset;  /* byte offset inside the segment                       */
    char detail[160]; /* a sentence: what failed, why, what to do             */
};

/* Name without prefix ("TAMPER"), class, errno and sentence of an error; "UNKNOWN" forms for
 * numbers outside the table. Never NULL; static storage. */
const char *coffer_error_name(int error);
enum coffer_error_class coffer_error_class_of(int error);
const char *coffer_error_class_name(enum coffer_error_class cls);
int coffer_error_errno(int error);
const char *coffer_error_sentence(int error);
const char *coffer_stage_name(enum coffer_stage stage);

#ifdef __cplusplus
}
#endif
#endif
