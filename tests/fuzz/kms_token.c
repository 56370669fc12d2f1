/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/kms_token - what the service hands out to be brought back: tokens of grants, of sessions,
 * and markers of pages. The first byte says which.
 *
 * 0, 1, 2: a text; it is taken if and only if the store made it, letter for letter. 3, 4: what the
 * token of a grant, or of a session, seals, sealed here, so that the parser behind the seal meets
 * it.
 */
#include "fuzz/fuzz_driver.h"
#include "fuzz/fuzz_keystore.h"

#include "kms/base64.h"
#include "kms/identity/identity.h"
#include "kms/pack.h"
#include "kms/sealed.h"
#include "kms/verbs.h"

#define GRANT_ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define SALT_BYTES 32u

static char grant_token[2048], session_token[COF_IDENTITY_TOKEN_BYTES_MAX];
static char marker[COFFER_MARKER_BYTES_MAX];
static struct cof_kms_call call;

static void begin(void)
{
    static struct coffer_fault fault; /* the call's until it is left */
    harness_require(cof_kms_call_begin(&call, fuzz_keystore, "ListKeys", COF_KMS_READS, &fault) ==
                        0,
                    "no call");
}

static int end(int error)
{
    cof_kms_db_rollback(fuzz_keystore->db);
    cof_kms_call_leave(&call);
    return error;
}

static int page(const char *given, char *ret_next, const char *entry)
{
    static struct cof_kms_page list;
    static struct cof_kms_lister lister;
    int error;
    list = (struct cof_kms_page){.limit = 1, .marker = given};
    error = cof_kms_lister_open(&call, &list, "scope", &lister);
    if (error == 0 && ret_next != NULL) {
        (void)cof_kms_lister_takes(&lister, entry);
        (void)cof_kms_lister_takes(&lister, "one more");
        error = cof_kms_lister_close(&lister);
        snprintf(ret_next, COFFER_MARKER_BYTES_MAX, "%s", list.next);
    }
    return error;
}

static void make(void)
{
    const struct cof_identity_session session = {
        .access_key_id = "ASIA0123456789012345",
        .secret = "0123456789012345678901234567890123456789",
        .principal = "arn:coffer:iam::000000000000:root",
        .owner = "arn:coffer:iam::000000000000:root",
        .policy = "{}",
        .expires_ns = FUZZ_NOW_NS + 1};
    fuzz_keystore_make();
    begin();
    harness_require(cof_kms_grant_token_make(&call, fuzz_key.arn, GRANT_ID, grant_token,
                                             sizeof grant_token) == 0 &&
                        cof_identity_token_make(fuzz_keystore, &session, session_token) == 0 &&
                        page(NULL, marker, "entry") == 0 && marker[0] != '\0',
                    "nothing is handed out");
    (void)end(0);
}

static int open_grant(const char *text)
{
    char arn[COFFER_KEY_ARN_BYTES_MAX], id[COFFER_GRANT_ID_BYTES];
    int error = cof_kms_grant_token_open(&call, text, arn, id);
    harness_require(error == 0 || error == COFFER_E_GRANT_TOKEN, "error %d", error);
    harness_require(error != 0 || (memchr(arn, '\0', sizeof arn) != NULL &&
                                   memchr(id, '\0', sizeof id) != NULL),
                    "a text without an end");
    return error;
}

static int open_session(const char *text)
{
    struct cof_identity_session session;
    int error = cof_identity_token_open(fuzz_keystore, text, &session);
    harness_require(error == 0 || error == COFFER_E_AUTH_UNKNOWN || error == COFFER_E_TAMPER,
                    "error %d", error);
    if (error == 0) {
        const char *low = (const char *)fuzz_keystore->secrets->plaintext;
        size_t room = sizeof fuzz_keystore->secrets->plaintext;
        const char *const texts[] = {session.access_key_id, session.secret, session.principal,
                                     session.owner, session.policy};
        for (unsigned i = 0; i < 5; i++) {
            harness_require((i == 4 && texts[i] == NULL) ||
                                (texts[i] >= low && texts[i] < low + room &&
                                 memchr(texts[i], '\0', room - (size_t)(texts[i] - low)) != NULL),
                            "a text outside of the token");
        }
    }
    return error;
}

static int open_text(unsigned which, const char *text)
{
    const char *const made[] = {grant_token, session_token, marker};
    bool same = strcmp(text, made[which]) == 0;
    int error = which == 0   ? open_grant(text)
                : which == 1 ? open_session(text)
                : text[0] == '\0' ? COFFER_E_MARKER /* the first page */
                                  : page(text, NULL, NULL);
    harness_require((error == 0) == same,
                    "%u: what was not made is taken, or what was made is not: %d", which, error);
    return error;
}

/* Seal size bytes as the store does, and open them. */
static int open_forged(bool session, const uint8_t *data, size_t size)
{
    static uint8_t bytes[SALT_BYTES + COF_KMS_SEALED_OVERHEAD_BYTES + FUZZ_ROOM] = {9};
    static char text[2 * sizeof bytes + 1];
    static const char grant_label[] = "coffer/kms/grant-token/1",
                      session_label[] = "coffer/kms/session/1";
    struct cof_kms_sealed_place place = {
        session ? session_label : grant_label,
        {bytes, SALT_BYTES},
        {fuzz_keystore->header.uuid, sizeof fuzz_keystore->header.uuid},
        {session ? (const uint8_t *)session_label : NULL, session ? sizeof session_label : 0}};
    size_t count = SALT_BYTES + COF_KMS_SEALED_OVERHEAD_BYTES + size;
    harness_require(cof_kms_sealed_make(&fuzz_keystore->env, fuzz_keystore->secrets->root_key,
                                        &place, (struct cof_kms_bytes){data, size},
                                        fuzz_keystore->secrets->subkey,
                                        bytes + SALT_BYTES) == 0,
                    "nothing seals");
    if (!session) {
        cof_kms_hex(bytes, count, text);
        return open_grant(text);
    }
    (void)cof_kms_base64_encode((struct cof_kms_bytes){bytes, count}, text);
    return open_session(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[FUZZ_ROOM + 1];
    int error;
    if (fuzz_keystore == NULL) {
        make();
    }
    if (size < 2 || size > FUZZ_ROOM) {
        return 0;
    }
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    begin();
    error = data[0] % 5u < 3 ? open_text(data[0] % 5u, text)
                             : open_forged(data[0] % 5u == 4, data + 1, size - 1);
    return end(error) == 0;
}

static size_t seed_sealed(bool session, uint8_t *bytes, size_t room)
{
    static const char *const texts[] = {"ASIA0123456789012345", "secret",
                                        "arn:coffer:iam::000000000000:root",
                                        "arn:coffer:iam::000000000000:root"};
    struct cof_kms_pack pack = cof_kms_pack_into(bytes, room);
    for (unsigned i = 0; session && i < 4; i++) {
        cof_kms_pack_text(&pack, texts[i]);
    }
    if (session) {
        cof_kms_pack_u64(&pack, 1);
        cof_kms_pack_u64(&pack, FUZZ_NOW_NS + 1);
        cof_kms_pack_text(&pack, "{}");
    } else {
        cof_kms_pack_text(&pack, fuzz_key.arn);
        cof_kms_pack_text(&pack, GRANT_ID);
    }
    return pack.length_bytes;
}

size_t fuzz_seed(unsigned number, uint8_t *bytes, size_t room)
{
    const char *const made[] = {grant_token, session_token, marker};
    if (fuzz_keystore == NULL) {
        make();
    }
    if (number > 4 || room < sizeof session_token) {
        return 0;
    }
    bytes[0] = (uint8_t)number;
    if (number < 3) {
        memcpy(bytes + 1, made[number], strlen(made[number]));
        return 1 + strlen(made[number]);
    }
    return 1 + seed_sealed(number == 4, bytes + 1, room - 1);
}

FUZZ_MAIN("fuzz_kms_token", 40000)
