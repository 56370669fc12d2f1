/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/ring.c - the key ring of an entry: its volume key, wrapped by one master key or several.
 *
 * The first wrap is the owner's: its ARN is the entry's key. The others are recipients of a
 * snapshot. Each is the same 32 bytes, so whichever the key service unwraps has to match the
 * commitment. The lock is let go while the key service is asked; admin keeps the entry as it is.
 */
#include "volume/store.h"

#include "format/endian.h"

#include <string.h>

#define WRAP_HEADER_BYTES 8u

struct context {
    struct coffer_context_pair pairs[2];
    struct coffer_context api;
    char volume[37], key[37];
};

static void make_context(struct context *context, const uint8_t volume_uuid[16],
                         const uint8_t vk_uuid[16])
{
    cof_uuid_text(volume_uuid, context->volume);
    cof_uuid_text(vk_uuid, context->key);
    context->pairs[0].key = COF_CONTEXT_VOLUME;
    context->pairs[0].value = context->volume;
    context->pairs[1].key = "coffer:volume-key";
    context->pairs[1].value = context->key;
    context->api.pairs = context->pairs;
    context->api.pair_count = 2;
}

struct unwrap {
    struct coffer_store *store;
    const struct coffer_key_provider *provider;
    const char *arn;
    const struct coffer_key_blob *blob;
    const struct coffer_context *context;
    int err;
};

static int unwrap_into(void *ctx, uint8_t bytes[COF_SECRET_BYTES])
{
    struct unwrap *unwrap = ctx;
    pthread_mutex_unlock(&unwrap->store->lock); /* a key service may be slow */
    unwrap->err = unwrap->provider->ops->decrypt(unwrap->provider->ctx, unwrap->arn, unwrap->blob,
                                                 unwrap->context, bytes);
    pthread_mutex_lock(&unwrap->store->lock);
    return unwrap->err;
}

static int unwrap_key(struct coffer_store *store, const uint8_t volume_uuid[16],
                      const uint8_t vk_uuid[16], const char *arn,
                      const struct coffer_key_blob *blob,
                      const struct coffer_key_provider *provider, struct cof_vk **ret_vk,
                      struct coffer_fault *fault)
{
    struct context context;
    struct unwrap unwrap = {store, provider, arn, blob, &context.api, 0};
    int err;
    make_context(&context, volume_uuid, vk_uuid);
    err = cof_vk_new(&store->env, store->arena, unwrap_into, &unwrap, ret_vk);
    if (err != 0) {
        err = unwrap.err != 0 ? unwrap.err : err;
        cof_fault(fault, err, COFFER_STAGE_KEY, "the volume key does not unwrap under %.100s: %s",
                  arn, coffer_error_sentence(err));
    }
    return err;
}

/* ---- wraps ---- */

static size_t wrap_bytes(size_t arn_bytes, size_t blob_bytes)
{
    return (WRAP_HEADER_BYTES + arn_bytes + blob_bytes + 7u) & ~(size_t)7u;
}

unsigned cof_ring_wraps(const struct cof_catalogue_item *item)
{
    return item->ring != NULL && item->entry.ring_bytes >= COF_RING_SLOT_BYTES
               ? cof_le16_get(item->ring + 20)
               : 0u;
}

int cof_ring_wrap_at(const struct cof_catalogue_item *item, unsigned index,
                     char arn[COFFER_KEY_ARN_BYTES_MAX], struct coffer_key_blob *ret_blob)
{
    size_t at = COF_RING_SLOT_BYTES;
    for (unsigned i = 0; i < cof_ring_wraps(item); i++) {
        const uint8_t *wrap = item->ring + at;
        size_t arn_bytes, blob_bytes, left = item->entry.ring_bytes - at;
        if (left < WRAP_HEADER_BYTES) {
            return COFFER_E_CORRUPT;
        }
        arn_bytes = cof_le16_get(wrap);
        blob_bytes = cof_le16_get(wrap + 2);
        if (arn_bytes == 0 || arn_bytes >= COFFER_KEY_ARN_BYTES_MAX || blob_bytes == 0 ||
            blob_bytes > COFFER_KEY_BLOB_BYTES_MAX || wrap_bytes(arn_bytes, blob_bytes) > left) {
            return COFFER_E_CORRUPT;
        }
        if (i == index) {
            memcpy(arn, wrap + WRAP_HEADER_BYTES, arn_bytes);
            arn[arn_bytes] = '\0';
            memcpy(ret_blob->bytes, wrap + WRAP_HEADER_BYTES + arn_bytes, blob_bytes);
            ret_blob->length_bytes = blob_bytes;
            return 0;
        }
        at += wrap_bytes(arn_bytes, blob_bytes);
    }
    return COFFER_E_CORRUPT;
}

int cof_ring_add(struct coffer_store *store, struct cof_catalogue_item *item, const char *arn,
                 const struct coffer_key_blob *blob)
{
    size_t arn_bytes = strlen(arn);
    size_t bytes = item->entry.ring_bytes + wrap_bytes(arn_bytes, blob->length_bytes);
    uint8_t *ring, *wrap;
    if (bytes > COF_RING_BYTES_MAX || cof_ring_wraps(item) >= COF_RING_WRAPS_MAX) {
        return COFFER_E_LIMIT;
    }
    ring = cof_calloc(&store->env, 1, bytes);
    if (ring == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    memcpy(ring, item->ring, item->entry.ring_bytes);
    wrap = ring + item->entry.ring_bytes;
    cof_le16_put(wrap, (uint16_t)arn_bytes);
    cof_le16_put(wrap + 2, (uint16_t)blob->length_bytes);
    memcpy(wrap + WRAP_HEADER_BYTES, arn, arn_bytes);
    memcpy(wrap + WRAP_HEADER_BYTES + arn_bytes, blob->bytes, blob->length_bytes);
    cof_le16_put(ring + 20, (uint16_t)(cof_ring_wraps(item) + 1u));
    cof_free(&store->env, item->ring);
    item->ring = ring;
    item->entry.ring_bytes = (uint32_t)bytes;
    return 0;
}

/* A ring without wraps: who is in it, and what it must come to. */
static uint8_t *bare_ring(struct coffer_store *store, const uint8_t vk_uuid[16],
                          uint32_t generation, const uint8_t commitment[32])
{
    uint8_t *ring = cof_calloc(&store->env, 1, COF_RING_SLOT_BYTES);
    if (ring != NULL) {
        memcpy(ring, vk_uuid, 16);
        cof_le32_put(ring + 16, generation);
        memcpy(ring + 24, commitment, 32);
    }
    return ring;
}

int cof_ring_strip(struct coffer_store *store, struct cof_catalogue_item *item)
{
    uint8_t *ring = bare_ring(store, item->ring, cof_le32_get(item->ring + 16), item->ring + 24);
    if (ring == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    cof_free(&store->env, item->ring);
    item->ring = ring;
    item->entry.ring_bytes = COF_RING_SLOT_BYTES;
    return 0;
}

/* ---- unwrapping ---- */

const uint8_t *cof_context_uuid(const struct cof_catalogue_item *item)
{
    static const uint8_t none[16];
    return memcmp(item->entry.context_uuid, none, 16) == 0 ? item->entry.uuid
                                                           : item->entry.context_uuid;
}

/* The first wrap that the key service opens; when it opens none, what it said to the owner's. */
static int unwrap_any(struct coffer_store *store, const struct cof_catalogue_item *item,
                      const struct coffer_key_provider *provider, struct cof_vk **ret_vk,
                      struct coffer_fault *fault)
{
    unsigned wraps = cof_ring_wraps(item);
    int first = COFFER_E_CORRUPT;
    for (unsigned i = 0; wraps <= COF_RING_WRAPS_MAX && i < wraps; i++) {
        char arn[COFFER_KEY_ARN_BYTES_MAX];
        struct coffer_key_blob blob;
        int err = cof_ring_wrap_at(item, i, arn, &blob);
        if (err != 0) {
            break;
        }
        err = unwrap_key(store, cof_context_uuid(item), item->ring, arn, &blob, provider, ret_vk,
                         i == 0 ? fault : NULL);
        if (err == 0) {
            cof_fault_clear(fault);
            return 0;
        }
        first = i == 0 ? err : first;
        if (coffer_error_class_of(err) != COFFER_CLASS_KEY) {
            return err;
        }
    }
    return first == COFFER_E_CORRUPT
               ? cof_fault(fault, first, COFFER_STAGE_KEY, "the key ring is damaged")
               : first;
}

int cof_keyring_unwrap(struct coffer_store *store, const struct cof_catalogue_item *item,
                       const struct coffer_key_provider *provider, struct cof_vk **ret_vk,
                       uint8_t ret_vk_uuid[16], struct coffer_fault *fault)
{
    struct cof_vk *vk;
    int err;
    if (provider == NULL || provider->ops == NULL) {
        return cof_fault(fault, COFFER_E_NO_PROVIDER, COFFER_STAGE_KEY,
                         "the volume is encrypted: give a key provider");
    }
    if (item->ring == NULL || item->entry.ring_slots != 1) {
        return cof_fault(fault, COFFER_E_CORRUPT, COFFER_STAGE_KEY, "the key ring is damaged");
    }
    err = unwrap_any(store, item, provider, &vk, fault);
    if (err != 0) {
        return err;
    }
    err = cof_vk_check(vk, item->ring + 24);
    if (err != 0) {
        cof_vk_free(vk);
        return cof_fault(fault, err, COFFER_STAGE_KEY,
                         "the volume key is not the one that was committed to");
    }
    memcpy(ret_vk_uuid, item->ring, 16);
    *ret_vk = vk;
    return 0;
}

int cof_ring_rewrapped(struct coffer_store *store, const struct cof_catalogue_item *item,
                       const uint8_t context_uuid[16], const char *arn,
                       const struct coffer_key_provider *provider, struct coffer_key_blob *ret_blob,
                       struct coffer_fault *fault)
{
    struct context context, next;
    struct coffer_key_blob blob;
    char from[COFFER_KEY_ARN_BYTES_MAX];
    int err = cof_ring_wrap_at(item, 0, from, &blob);
    if (err != 0) {
        return cof_fault(fault, err, COFFER_STAGE_KEY, "the key ring is damaged");
    }
    make_context(&context, cof_context_uuid(item), item->ring);
    make_context(&next, context_uuid, item->ring);
    pthread_mutex_unlock(&store->lock);
    err = provider->ops->re_encrypt(provider->ctx, &blob, &context.api, arn, &next.api, ret_blob);
    pthread_mutex_lock(&store->lock);
    if (err == 0 &&
        (ret_blob->length_bytes == 0 || ret_blob->length_bytes > COFFER_KEY_BLOB_BYTES_MAX)) {
        err = COFFER_E_KEY_CIPHERTEXT;
    }
    return err == 0 ? 0
                    : cof_fault(fault, err, COFFER_STAGE_KEY,
                                "the volume key is not wrapped anew from %.60s to %.60s: %.30s",
                                from, arn, coffer_error_sentence(err));
}

/* What is wrapped under a key that the service does not give a second time is lost, so it is asked
 * twice before anything is. */
static int verify(struct coffer_store *store, const struct cof_catalogue_item *item,
                  const uint8_t vk_uuid[16], const char *key_arn,
                  const struct coffer_key_blob *blob, const struct coffer_key_provider *provider,
                  const uint8_t commitment[32], struct coffer_fault *fault)
{
    struct cof_vk *again;
    int err =
        unwrap_key(store, cof_context_uuid(item), vk_uuid, key_arn, blob, provider, &again, fault);
    if (err != 0) {
        return err;
    }
    err = cof_vk_check(again, commitment);
    cof_vk_free(again);
    return err == 0 ? 0
                    : cof_fault(fault, err, COFFER_STAGE_KEY,
                                "the key service unwrapped one volume key in two ways under "
                                "%.80s: nothing was done with it",
                                key_arn);
}

int cof_ring_verify(struct coffer_store *store, const struct cof_catalogue_item *item,
                    const char *arn, const struct coffer_key_blob *blob,
                    const struct coffer_key_provider *provider, struct coffer_fault *fault)
{
    int err = verify(store, item, item->ring, arn, blob, provider, item->ring + 24, fault);
    if (err == COFFER_E_KEY_ACCESS) { /* who may not decrypt has to believe it */
        cof_fault_clear(fault);
        err = 0;
    }
    return err;
}

/* ---- a new volume key ---- */

int cof_keyring_new(struct coffer_store *store, struct cof_catalogue_item *item,
                    uint32_t generation, const char *key_arn,
                    const struct coffer_key_provider *maker,
                    const struct coffer_key_provider *provider, struct cof_vk **ret_vk,
                    uint8_t ret_vk_uuid[16], struct coffer_fault *fault)
{
    struct cof_catalogue_item fresh;
    struct context context;
    struct coffer_key_blob blob;
    struct cof_vk *vk;
    uint8_t vk_uuid[16], commitment[32];
    int err = cof_random(&store->env, vk_uuid, 16);
    if (err != 0) {
        return cof_fault(fault, err, COFFER_STAGE_KEY, "no random numbers for a key");
    }
    make_context(&context, cof_context_uuid(item), vk_uuid);
    pthread_mutex_unlock(&store->lock);
    err = maker->ops->generate_data_key_without_plaintext(maker->ctx, key_arn, &context.api, &blob);
    pthread_mutex_lock(&store->lock);
    if (err != 0) {
        return cof_fault(fault, err, COFFER_STAGE_KEY, "no volume key under %.100s: %s", key_arn,
                         coffer_error_sentence(err));
    }
    if (blob.length_bytes == 0 || blob.length_bytes > COFFER_KEY_BLOB_BYTES_MAX) {
        return cof_fault(fault, COFFER_E_KEY_CIPHERTEXT, COFFER_STAGE_KEY,
                         "the key service returned a wrapped key of a forbidden size");
    }
    err = unwrap_key(store, cof_context_uuid(item), vk_uuid, key_arn, &blob, provider, &vk, fault);
    if (err != 0) {
        return err;
    }
    memset(&fresh, 0, sizeof fresh);
    cof_vk_commitment(vk, commitment);
    err = verify(store, item, vk_uuid, key_arn, &blob, provider, commitment, fault);
    if (err != 0) {
        cof_vk_free(vk);
        return err;
    }
    fresh.ring = bare_ring(store, vk_uuid, generation, commitment);
    fresh.entry.ring_bytes = COF_RING_SLOT_BYTES;
    err = fresh.ring == NULL ? COFFER_E_NO_MEMORY : cof_ring_add(store, &fresh, key_arn, &blob);
    if (err != 0) {
        cof_free(&store->env, fresh.ring);
        cof_vk_free(vk);
        return cof_fault(fault, err, COFFER_STAGE_KEY, "no ring for the volume key: %s",
                         coffer_error_sentence(err));
    }
    cof_free(&store->env, item->ring);
    item->ring = fresh.ring;
    item->entry.ring_bytes = fresh.entry.ring_bytes;
    item->entry.ring_slots = 1;
    item->entry.generation = generation;
    memcpy(ret_vk_uuid, vk_uuid, 16);
    *ret_vk = vk;
    return 0;
}

int cof_ring_copy(struct coffer_store *store, const struct cof_catalogue_item *from,
                  struct cof_catalogue_item *to)
{
    uint8_t *ring = cof_alloc(&store->env, from->entry.ring_bytes);
    if (ring == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    memcpy(ring, from->ring, from->entry.ring_bytes);
    cof_free(&store->env, to->ring);
    to->ring = ring;
    to->entry.ring_bytes = from->entry.ring_bytes;
    to->entry.ring_slots = from->entry.ring_slots;
    to->entry.generation = from->entry.generation;
    memcpy(to->entry.context_uuid, cof_context_uuid(from), 16);
    cof_grant_share(to, from);
    return 0;
}
