/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypto/cipher.c - which back end seals and opens an arena's pages, and what it must show first.
 *
 * Both give the same bytes, so a store may be written with one and read with the other. EVP is the
 * reference: without right answers of it there is no store. intel-ipsec-mb is taken on top, where
 * it was built in, gives right answers, and there is locked memory for expanded keys; else EVP
 * does all. By itself it is taken only for its 512-bit code, which needs a fourth of EVP's time;
 * the narrow one saves a fifth, too little to run two implementations for.
 *
 * Known answers: case 16 of the GCM submission to NIST (a message with half a block at its end),
 * and a page, whose tag was also computed by some lines of Python that share nothing with either.
 */
#include "crypto/internal.h"

#include "base/testhook.h"

#include <string.h>

#define PAGE_BYTES 4096u

struct answer {
    struct cof_gcm_message message;
    uint8_t tag[COF_TAG_BYTES];
};

/* One of the two, ready with the key of the answers. */
struct subject {
    EVP_CIPHER_CTX *context;
    struct cof_schedule *schedule; /* NULL: EVP */
};

static const struct cof_secret key = {{
    0xfe, 0xff, 0xe9, 0x92, 0x86, 0x65, 0x73, 0x1c, 0x6d, 0x6a, 0x8f, 0x94, 0x67, 0x30, 0x83, 0x08,
    0xfe, 0xff, 0xe9, 0x92, 0x86, 0x65, 0x73, 0x1c, 0x6d, 0x6a, 0x8f, 0x94, 0x67, 0x30, 0x83, 0x08,
}};

static const uint8_t nonce[COF_NONCE_BYTES] = {0xca, 0xfe, 0xba, 0xbe, 0xfa, 0xce,
                                               0xdb, 0xad, 0xde, 0xca, 0xf8, 0x88};

static const uint8_t short_aad[] = {
    0xfe, 0xed, 0xfa, 0xce, 0xde, 0xad, 0xbe, 0xef, 0xfe, 0xed,
    0xfa, 0xce, 0xde, 0xad, 0xbe, 0xef, 0xab, 0xad, 0xda, 0xd2,
};

static const uint8_t short_plain[] = {
    0xd9, 0x31, 0x32, 0x25, 0xf8, 0x84, 0x06, 0xe5, 0xa5, 0x59, 0x09, 0xc5, 0xaf, 0xf5, 0x26,
    0x9a, 0x86, 0xa7, 0xa9, 0x53, 0x15, 0x34, 0xf7, 0xda, 0x2e, 0x4c, 0x30, 0x3d, 0x8a, 0x31,
    0x8a, 0x72, 0x1c, 0x3c, 0x0c, 0x95, 0x95, 0x68, 0x09, 0x53, 0x2f, 0xcf, 0x0e, 0x24, 0x49,
    0xa6, 0xb5, 0x25, 0xb1, 0x6a, 0xed, 0xf5, 0xaa, 0x0d, 0xe6, 0x57, 0xba, 0x63, 0x7b, 0x39,
};

static const struct answer short_answer = {
    {nonce, short_aad, sizeof short_aad, short_plain, sizeof short_plain, NULL},
    {0x76, 0xfc, 0x6e, 0xce, 0x0f, 0x4e, 0x17, 0x68, 0xcd, 0xdf, 0x88, 0x53, 0xbb, 0x2d, 0x55,
     0x1b},
};

static const uint8_t page_tag[COF_TAG_BYTES] = {0x60, 0x67, 0x7c, 0xd1, 0x90, 0x61, 0x8b, 0xc3,
                                                0x39, 0x31, 0x5b, 0x81, 0x0a, 0x74, 0x4f, 0x66};

static int seal(const struct subject *subject, const struct cof_gcm_message *message,
                uint8_t ret_tag[COF_TAG_BYTES])
{
    return subject->schedule != NULL ? cof_ipsec_mb_seal(subject->schedule, message, ret_tag)
                                     : cof_evp_seal(subject->context, message, ret_tag);
}

static int open_sealed(const struct subject *subject, const struct cof_gcm_message *message,
                       const uint8_t tag[COF_TAG_BYTES])
{
    return subject->schedule != NULL ? cof_ipsec_mb_open(subject->schedule, message, tag)
                                     : cof_evp_open(subject->context, message, tag);
}

/* Its tag, its plaintext again, and its refusal of another tag. A wrong ciphertext has another tag,
 * as that is computed from it. */
static int answer_one(const struct subject *subject, const struct answer *answer)
{
    uint8_t bytes[PAGE_BYTES], tag[COF_TAG_BYTES];
    struct cof_gcm_message message = answer->message;
    message.out = bytes;
    if (seal(subject, &message, tag) != 0 || !cof_equal(tag, answer->tag, sizeof tag)) {
        return COFFER_E_CRYPTO;
    }
    message.in = bytes;
    if ((subject->context != NULL && cof_gcm_key(subject->context, 0, &key) != 0) ||
        open_sealed(subject, &message, tag) != 0 ||
        !cof_equal(bytes, answer->message.in, message.length_bytes)) {
        return COFFER_E_CRYPTO;
    }
    tag[COF_TAG_BYTES - 1] ^= 1u;
    return open_sealed(subject, &message, tag) == COFFER_E_TAMPER ? 0 : COFFER_E_CRYPTO;
}

static int answer_both(const struct subject *subject)
{
    uint8_t plain[PAGE_BYTES], aad[COF_AAD_BYTES];
    struct answer page = {{nonce, aad, sizeof aad, plain, sizeof plain, NULL}, {0}};
    int error = answer_one(subject, &short_answer);
    memcpy(page.tag, page_tag, sizeof page_tag);
    for (unsigned i = 0; i < sizeof aad; i++) {
        aad[i] = (uint8_t)i;
    }
    for (unsigned i = 0; i < sizeof plain; i++) {
        plain[i] = (uint8_t)(i * 7u + (i >> 8));
    }
    if (error == 0 && subject->context != NULL) {
        error = cof_gcm_key(subject->context, 1, &key);
    }
    return error == 0 ? answer_one(subject, &page) : error;
}

static int evp_answers(void)
{
    struct subject subject = {NULL, NULL};
    int error = cof_gcm_context_new(&subject.context);
    if (error == 0) {
        error = cof_gcm_key(subject.context, 1, &key);
    }
    if (error == 0) {
        error = answer_both(&subject);
    }
    EVP_CIPHER_CTX_free(subject.context);
    return error;
}

static int ipsec_mb_answers(void)
{
    struct cof_schedule schedule;
    struct subject subject = {NULL, &schedule};
    cof_ipsec_mb_expand(&key, &schedule);
    return COF_BROKEN(KNOWN_ANSWER) ? COFFER_E_CRYPTO : answer_both(&subject);
}

/* Tests may stand in for the processor. */
static enum coffer_cipher_backend resolve(enum coffer_cipher_backend wanted)
{
    if (wanted != COFFER_CIPHER_AUTO || COF_TEST_CIPHER == COF_TEST_CIPHER_AUTO) {
        return wanted;
    }
    return COF_TEST_CIPHER == COF_TEST_CIPHER_EVP ? COFFER_CIPHER_EVP : COFFER_CIPHER_IPSEC_MB;
}

int cof_cipher_choose(struct cof_env *env, struct cof_arena *arena,
                      enum coffer_cipher_backend wanted, size_t schedules_bytes,
                      enum coffer_cipher_backend *ret_chosen)
{
    enum cof_ipsec_mb found = COF_IPSEC_MB_NONE;
    int error = evp_answers();
    wanted = resolve(wanted);
    if (error == 0 && wanted != COFFER_CIPHER_EVP) {
        error = cof_ipsec_mb_find(env, &found);
    }
    if (error != 0) {
        return error;
    }
    *ret_chosen = COFFER_CIPHER_EVP;
    if (found == COF_IPSEC_MB_NONE ||
        (wanted == COFFER_CIPHER_AUTO && found != COF_IPSEC_MB_VAES)) {
        return 0;
    }
    if (ipsec_mb_answers() != 0) {
        cof_log(env, COFFER_LOG_WARN,
                "intel-ipsec-mb gave a wrong answer to a known question: OpenSSL is used instead");
        return 0;
    }
    error = cof_arena_add_schedules(arena, schedules_bytes);
    if (error == COFFER_E_LOCKED_MEMORY) {
        cof_log(env, COFFER_LOG_WARN,
                "%zu bytes for expanded keys can't be locked in memory (ulimit -l): OpenSSL is "
                "used instead of intel-ipsec-mb",
                schedules_bytes);
        return 0;
    }
    if (error == 0) {
        *ret_chosen = COFFER_CIPHER_IPSEC_MB;
    }
    return error;
}

const char *coffer_cipher_backend_name(enum coffer_cipher_backend backend)
{
    switch (backend) {
    case COFFER_CIPHER_AUTO:
        return "auto";
    case COFFER_CIPHER_EVP:
        return "evp";
    case COFFER_CIPHER_IPSEC_MB:
        return "ipsec-mb";
    }
    return "unknown";
}
