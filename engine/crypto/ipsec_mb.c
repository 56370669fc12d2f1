/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypto/ipsec_mb.c - AES-256-GCM by intel-ipsec-mb: expand a key, seal one message, open one.
 *
 * The only place that knows that library. Its direct calls are functions without state: they are
 * taken from a manager that is thrown away, once in a process. What a key expands to lies in the
 * arena. In a build without the library nothing is found, and nothing sealed or opened.
 *
 * 1. Nothing is called before cof_ipsec_mb_find found the release that this was compiled for, the
 *    processor's instructions enabled by the system, and the library's own tests passed.
 * 2. The library computes tags, and compares none: that is done here, in constant time.
 * 3. The library returns nothing, and does nothing when it refuses an argument. So the count of
 *    bytes that it leaves in its context is preset to what can't be right, and compared.
 *
 * Any thread. The caller answers for nonces, and wipes what a failed call left in out.
 */
#include "crypto/internal.h"

#include "base/testhook.h"

#if defined(COF_IPSEC_MB)

#include <stdatomic.h>
#include <string.h>

#include <intel-ipsec-mb.h>

_Static_assert(sizeof(struct gcm_key_data) <= COF_SCHEDULE_BYTES, "room for an expanded key");

/* The same whoever found them; found is written last. */
static _Atomic(aes_gcm_pre_t) expand_call;
static _Atomic(aes_gcm_enc_dec_t) seal_call;
static _Atomic(aes_gcm_enc_dec_t) open_call;
static atomic_int found = -1;

/* The library asks CPUID alone; the compiler's test also asks whether the system saves the wide
 * registers, which a virtual machine's may not. */
static enum cof_ipsec_mb by_processor(uint64_t features)
{
    const uint64_t wide = IMB_CPUFLAGS_AVX512_T2;
    const uint64_t narrow = IMB_CPUFLAGS_AVX2;
    if (COF_TEST_CIPHER != COF_TEST_CIPHER_NARROW && (features & wide) == wide &&
        __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl")) {
        return COF_IPSEC_MB_VAES;
    }
    return (features & narrow) == narrow && __builtin_cpu_supports("avx2") ? COF_IPSEC_MB_AVX2
                                                                           : COF_IPSEC_MB_NONE;
}

/* The manager's layout, and the size of an expanded key, change between minor releases that have
 * the same name for the loader. */
static bool same_release(void)
{
    return imb_get_version() >> 8 == IMB_VERSION_NUM >> 8;
}

static enum cof_ipsec_mb take_calls(IMB_MGR *manager)
{
    enum cof_ipsec_mb kind;
    if (imb_set_pointers_mb_mgr(manager, 0, 1) == NULL) {
        return COF_IPSEC_MB_NONE;
    }
    kind = by_processor(manager->features);
    if (kind == COF_IPSEC_MB_VAES) {
        init_mb_mgr_avx512(manager);
    } else if (kind == COF_IPSEC_MB_AVX2) {
        init_mb_mgr_avx2(manager);
    }
    if (kind == COF_IPSEC_MB_NONE || imb_get_errno(manager) != 0 ||
        (manager->features & IMB_FEATURE_SELF_TEST_PASS) == 0) {
        return COF_IPSEC_MB_NONE;
    }
    atomic_store_explicit(&expand_call, manager->gcm256_pre, memory_order_relaxed);
    atomic_store_explicit(&seal_call, manager->gcm256_enc, memory_order_relaxed);
    atomic_store_explicit(&open_call, manager->gcm256_dec, memory_order_relaxed);
    return kind;
}

int cof_ipsec_mb_find(struct cof_env *env, enum cof_ipsec_mb *ret_found)
{
    int known = atomic_load_explicit(&found, memory_order_acquire);
    if (known < 0) {
        void *manager = cof_alloc_aligned(env, imb_get_mb_mgr_size());
        if (manager == NULL) {
            return COFFER_E_NO_MEMORY;
        }
        known = (int)(same_release() ? take_calls(manager) : COF_IPSEC_MB_NONE);
        cof_free_aligned(env, manager);
        atomic_store_explicit(&found, known, memory_order_release);
    }
    *ret_found = (enum cof_ipsec_mb)known;
    return 0;
}

void cof_ipsec_mb_expand(const struct cof_secret *key, struct cof_schedule *schedule)
{
    aes_gcm_pre_t call = atomic_load_explicit(&expand_call, memory_order_relaxed);
    call(key->bytes, (struct gcm_key_data *)(void *)schedule->bytes);
}

/* 0, or CRYPTO when the library did nothing. */
static int run(aes_gcm_enc_dec_t call, const struct cof_schedule *schedule,
               const struct cof_gcm_message *message, uint8_t ret_tag[COF_TAG_BYTES])
{
    struct gcm_context_data context;
    bool done;
    context.in_length = ~(uint64_t)message->length_bytes;
    call((const struct gcm_key_data *)(const void *)schedule->bytes, &context, message->out,
         message->in, message->length_bytes, message->nonce, message->aad, message->aad_bytes,
         ret_tag, COF_TAG_BYTES);
    done = context.in_length == message->length_bytes;
    cof_wipe(&context, sizeof context);
    return done ? 0 : COFFER_E_CRYPTO;
}

int cof_ipsec_mb_seal(const struct cof_schedule *schedule, const struct cof_gcm_message *message,
                      uint8_t ret_tag[COF_TAG_BYTES])
{
    aes_gcm_enc_dec_t call = atomic_load_explicit(&seal_call, memory_order_relaxed);
    return run(call, schedule, message, ret_tag);
}

int cof_ipsec_mb_open(const struct cof_schedule *schedule, const struct cof_gcm_message *message,
                      const uint8_t tag[COF_TAG_BYTES])
{
    aes_gcm_enc_dec_t call = atomic_load_explicit(&open_call, memory_order_relaxed);
    uint8_t made[COF_TAG_BYTES];
    int error = run(call, schedule, message, made);
    if (error == 0 && !cof_equal(made, tag, sizeof made)) {
        error = COFFER_E_TAMPER;
    }
    cof_wipe(made, sizeof made); /* what a forger wants to know */
    return error;
}

#else

int cof_ipsec_mb_find(struct cof_env *env, enum cof_ipsec_mb *ret_found)
{
    (void)env;
    *ret_found = COF_IPSEC_MB_NONE;
    return 0;
}

void cof_ipsec_mb_expand(const struct cof_secret *key, struct cof_schedule *schedule)
{
    (void)key;
    (void)schedule;
}

int cof_ipsec_mb_seal(const struct cof_schedule *schedule, const struct cof_gcm_message *message,
                      uint8_t ret_tag[COF_TAG_BYTES])
{
    (void)schedule;
    (void)message;
    (void)ret_tag;
    return COFFER_E_CRYPTO;
}

int cof_ipsec_mb_open(const struct cof_schedule *schedule, const struct cof_gcm_message *message,
                      const uint8_t tag[COF_TAG_BYTES])
{
    (void)schedule;
    (void)message;
    (void)tag;
    return COFFER_E_CRYPTO;
}

#endif
