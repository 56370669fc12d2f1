/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/gcm - the two back ends of AES-256-GCM against each other: key, nonce, additional data,
 * message, where its buffers begin, in place or not, and what is changed before it is opened.
 *
 * Both must make the same bytes, open what the other sealed, and refuse the same; a page that was
 * refused is all zero. Input: 64 bytes of choices, key and nonce, then the message.
 */
#include "fuzz/fuzz_driver.h"

#include "crypto/internal.h"

#include <stdlib.h>

#define HEAD_BYTES 128u
#define MESSAGE_BYTES_MAX 4200u
#define ROOM_BYTES (MESSAGE_BYTES_MAX + 128u)
#define AAD_BYTES_MAX 68u

struct choices {
    uint8_t key[COF_SECRET_BYTES];
    uint8_t nonce[COF_NONCE_BYTES];
    uint8_t from, to, in_place, aad_bytes;
    uint8_t flip_what, flip_bit;
    uint8_t flip_at[2];
    uint8_t aad[AAD_BYTES_MAX];
    uint8_t unused[8];
};

_Static_assert(sizeof(struct choices) == HEAD_BYTES, "the head is all bytes");

struct bench {
    struct cof_env env;
    struct cof_arena *arena;
    struct cof_schedule *schedule;
    EVP_CIPHER_CTX *sealing, *opening;
    bool ready;
};

static struct bench *bench(void)
{
    static struct bench bench;
    enum coffer_cipher_backend chosen;
    if (!bench.ready) {
        cof_env_init(&bench.env, NULL);
        harness_require(cof_arena_new(&bench.env, 4096, &bench.arena) == 0 &&
                            cof_cipher_choose(&bench.env, bench.arena, COFFER_CIPHER_IPSEC_MB, 4096,
                                              &chosen) == 0 &&
                            cof_gcm_context_new(&bench.sealing) == 0 &&
                            cof_gcm_context_new(&bench.opening) == 0,
                        "no back end");
        bench.schedule = cof_schedule_new(bench.arena, 0);
        bench.ready = true;
    }
    return &bench;
}

/* Seal by EVP and by the other (itself, where there is none); in place if so chosen. */
static void seal_both(struct bench *b, struct cof_gcm_message *message,
                      const struct cof_secret *key, uint8_t *sealed[2],
                      uint8_t tags[2][COF_TAG_BYTES], bool in_place)
{
    const uint8_t *plain = message->in;
    for (unsigned i = 0; i < 2; i++) {
        const struct cof_schedule *schedule =
            i == 1 && message->length_bytes > 0 ? b->schedule : NULL;
        if (in_place) {
            memcpy(sealed[i], plain, message->length_bytes);
            message->in = sealed[i];
        }
        message->out = sealed[i];
        harness_require(cof_gcm_seal(b->sealing, schedule, key, message, tags[i]) == 0,
                        "seal %u fails", i);
        message->in = plain;
    }
    harness_require(memcmp(sealed[0], sealed[1], message->length_bytes) == 0 &&
                        memcmp(tags[0], tags[1], COF_TAG_BYTES) == 0,
                    "%zu bytes come out different", message->length_bytes);
}

/* Change one bit of tag, additional data or ciphertext; false: nothing. */
static bool change(const struct choices *choices, struct choices *copy, uint8_t *sealed,
                   size_t length_bytes, uint8_t tag[COF_TAG_BYTES])
{
    size_t at = choices->flip_at[0] | (size_t)choices->flip_at[1] << 8;
    uint8_t bit = (uint8_t)(1u << choices->flip_bit % 8);
    switch (choices->flip_what % 4) {
    case 0:
        tag[at % COF_TAG_BYTES] ^= bit;
        return true;
    case 1:
        copy->aad[at % AAD_BYTES_MAX] ^= bit;
        return at % AAD_BYTES_MAX < choices->aad_bytes % (AAD_BYTES_MAX + 1u);
    case 2:
        if (length_bytes > 0) {
            sealed[at % length_bytes] ^= bit;
        }
        return length_bytes > 0;
    default:
        return false;
    }
}

/* Each opens what the other sealed, in place. */
static void open_both(struct bench *b, struct cof_gcm_message *message, const uint8_t *plain,
                      uint8_t *sealed[2], const uint8_t tag[COF_TAG_BYTES], bool changed)
{
    for (unsigned i = 0; i < 2; i++) {
        const struct cof_schedule *schedule =
            i == 0 && message->length_bytes > 0 ? b->schedule : NULL;
        int error;
        message->in = message->out = sealed[i];
        error = cof_gcm_open(b->opening, schedule, message, tag);
        harness_require(error == (changed ? COFFER_E_TAMPER : 0), "open %u of %zu bytes gives %d",
                        i, message->length_bytes, error);
        harness_require(changed || memcmp(sealed[i], plain, message->length_bytes) == 0,
                        "open %u gives other bytes", i);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t in[ROOM_BYTES], out[2][ROOM_BYTES];
    struct bench *b = bench();
    struct choices choices, copy;
    struct cof_secret key;
    uint8_t tags[2][COF_TAG_BYTES];
    uint8_t *sealed[2];
    struct cof_gcm_message message;
    bool changed;
    if (size < HEAD_BYTES || size > HEAD_BYTES + MESSAGE_BYTES_MAX) {
        return 0;
    }
    memcpy(&choices, data, sizeof choices);
    copy = choices;
    memcpy(key.bytes, choices.key, sizeof key.bytes);
    sealed[0] = out[0] + choices.to % 64;
    sealed[1] = out[1] + choices.to / 64 * 16 % 64;
    message = (struct cof_gcm_message){.nonce = choices.nonce,
                                       .aad = copy.aad,
                                       .aad_bytes = choices.aad_bytes % (AAD_BYTES_MAX + 1u),
                                       .in = in + choices.from % 64,
                                       .length_bytes = size - HEAD_BYTES};
    memcpy(in + choices.from % 64, data + HEAD_BYTES, size - HEAD_BYTES);
    if (b->schedule != NULL) {
        cof_ipsec_mb_expand(&key, b->schedule);
    }
    harness_require(cof_gcm_key(b->sealing, 1, &key) == 0 && cof_gcm_key(b->opening, 0, &key) == 0,
                    "no key");
    seal_both(b, &message, &key, sealed, tags, choices.in_place % 2 == 1);
    changed = change(&choices, &copy, sealed[0], message.length_bytes, tags[0]);
    memcpy(sealed[1], sealed[0], message.length_bytes);
    open_both(b, &message, data + HEAD_BYTES, sealed, tags[0], changed);
    return 1;
}

/* Lengths about the borders of inner loops, and a page. */
size_t fuzz_seed(unsigned number, uint8_t *bytes, size_t room)
{
    static const size_t lengths[] = {0,   1,   15,  16,   17,   48,   255,  256, 257,
                                     512, 768, 769, 1024, 2048, 4095, 4096, 4200};
    struct prng prng = {number + 1u};
    size_t size;
    if (number >= 2u * sizeof lengths / sizeof lengths[0]) {
        return 0;
    }
    size = HEAD_BYTES + lengths[number / 2u];
    size = size < room ? size : room;
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)prng_next(&prng);
    }
    bytes[offsetof(struct choices, flip_what)] = number % 2u == 0 ? 3 : (uint8_t)(number / 2u % 3u);
    return size;
}

FUZZ_MAIN("gcm", 400000)
