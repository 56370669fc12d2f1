/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/keyring.c - a volume's key ring and its data keys.
 *
 * The volume key is unwrapped by the key provider at open; everything else is wrapped or sealed
 * under it. A data key encrypts only in the process that drew it. Its entry says for which extents
 * it is, authenticated by its wrap: so a reader finds the key from the address alone, and an
 * extent of a fork of this store, which has another key, opens nowhere here.
 *
 * Invariants
 *  1. Ranges of used keys never overlap. The active key's range is open at its end.
 *  2. Nothing is sealed under a key that the durable root does not list: cof_keys_renew draws,
 *     and the caller makes the root durable before eks_ready is set.
 *  3. key_uses in the record is ahead of the wraps and seals done with the volume key: an open, and
 *     a session that used up what it had, reserves COF_KEY_USES_PER_OPEN. Before the uses of a
 *     generation reach COF_KEY_USES_MAX an open replaces the volume key: new generation, all data
 *     keys wrapped under it, in the same root.
 */
#include "volume/store.h"

#include "base/checksum.h"
#include "base/testhook.h"
#include "format/endian.h"

#include <stdio.h>
#include <string.h>

#define RING_SLOT_FIXED COF_RING_SLOT_BYTES
#define WRAP_HEADER_BYTES 8u

#ifdef COF_TEST_HOOKS
uint64_t cof_test_data_key_bytes = 0;
uint64_t cof_test_key_uses = 0; /* uses of a volume key before it is replaced */
#endif

static uint64_t key_uses_max(void)
{
#ifdef COF_TEST_HOOKS
    if (cof_test_key_uses != 0) {
        return cof_test_key_uses;
    }
#endif
    return COF_KEY_USES_MAX;
}

static uint64_t data_key_budget(void)
{
#ifdef COF_TEST_HOOKS
    if (cof_test_data_key_bytes != 0) {
        return cof_test_data_key_bytes;
    }
#endif
    return COF_DATA_KEY_BYTES_MAX;
}

/* ---- the ring ---- */

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
    context->pairs[0].key = "coffer:volume";
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

/* First wrap of a ring slot; the ring was bounded when it was read. */
static int first_wrap(const uint8_t *slot, size_t room, char arn[COFFER_KEY_ARN_BYTES_MAX],
                      struct coffer_key_blob *blob)
{
    const uint8_t *wrap = slot + RING_SLOT_FIXED;
    size_t arn_bytes, blob_bytes;
    if (room < RING_SLOT_FIXED + WRAP_HEADER_BYTES || cof_le16_get(slot + 20) == 0) {
        return COFFER_E_CORRUPT;
    }
    arn_bytes = cof_le16_get(wrap);
    blob_bytes = cof_le16_get(wrap + 2);
    if (arn_bytes == 0 || arn_bytes >= COFFER_KEY_ARN_BYTES_MAX || blob_bytes == 0 ||
        blob_bytes > COFFER_KEY_BLOB_BYTES_MAX ||
        RING_SLOT_FIXED + WRAP_HEADER_BYTES + arn_bytes + blob_bytes > room) {
        return COFFER_E_CORRUPT;
    }
    memcpy(arn, wrap + WRAP_HEADER_BYTES, arn_bytes);
    arn[arn_bytes] = '\0';
    memcpy(blob->bytes, wrap + WRAP_HEADER_BYTES + arn_bytes, blob_bytes);
    blob->length_bytes = blob_bytes;
    return 0;
}

const uint8_t *cof_context_uuid(const struct cof_catalogue_item *item)
{
    static const uint8_t none[16];
    return memcmp(item->entry.context_uuid, none, 16) == 0 ? item->entry.uuid
                                                           : item->entry.context_uuid;
}

int cof_keyring_unwrap(struct coffer_store *store, const struct cof_catalogue_item *item,
                       const struct coffer_key_provider *provider, struct cof_vk **ret_vk,
                       uint8_t ret_vk_uuid[16], struct coffer_fault *fault)
{
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    struct coffer_key_blob blob;
    struct cof_vk *vk;
    int err;
    if (provider == NULL || provider->ops == NULL) {
        return cof_fault(fault, COFFER_E_NO_PROVIDER, COFFER_STAGE_KEY,
                         "the volume is encrypted: give a key provider");
    }
    if (item->ring == NULL || item->entry.ring_slots != 1) {
        return cof_fault(fault, COFFER_E_CORRUPT, COFFER_STAGE_KEY, "the key ring is damaged");
    }
    err = first_wrap(item->ring, item->entry.ring_bytes, arn, &blob);
    if (err != 0) {
        return cof_fault(fault, err, COFFER_STAGE_KEY, "the key ring is damaged");
    }
    err = unwrap_key(store, cof_context_uuid(item), item->ring, arn, &blob, provider, &vk, fault);
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

static uint8_t *encode_ring(struct coffer_store *store, const uint8_t vk_uuid[16],
                            uint32_t generation, const struct cof_vk *vk, const char *arn,
                            const struct coffer_key_blob *blob, uint32_t *ret_bytes)
{
    size_t arn_bytes = strlen(arn);
    size_t bytes = RING_SLOT_FIXED + WRAP_HEADER_BYTES + arn_bytes + blob->length_bytes;
    uint8_t *ring;
    bytes = (bytes + 7u) & ~(size_t)7u;
    ring = cof_calloc(&store->env, 1, bytes);
    if (ring == NULL) {
        return NULL;
    }
    memcpy(ring, vk_uuid, 16);
    cof_le32_put(ring + 16, generation);
    cof_le16_put(ring + 20, 1);
    cof_vk_commitment(vk, ring + 24);
    cof_le16_put(ring + RING_SLOT_FIXED, (uint16_t)arn_bytes);
    cof_le16_put(ring + RING_SLOT_FIXED + 2, (uint16_t)blob->length_bytes);
    memcpy(ring + RING_SLOT_FIXED + WRAP_HEADER_BYTES, arn, arn_bytes);
    memcpy(ring + RING_SLOT_FIXED + WRAP_HEADER_BYTES + arn_bytes, blob->bytes, blob->length_bytes);
    *ret_bytes = (uint32_t)bytes;
    return ring;
}

int cof_keyring_new(struct coffer_store *store, const uint8_t volume_uuid[16], uint32_t generation,
                    const char *key_arn, const struct coffer_key_provider *provider,
                    uint8_t **ret_ring, uint32_t *ret_ring_bytes, struct cof_vk **ret_vk,
                    uint8_t ret_vk_uuid[16], struct coffer_fault *fault)
{
    struct context context;
    struct coffer_key_blob blob;
    struct cof_vk *vk;
    uint8_t vk_uuid[16];
    uint8_t *ring;
    int err = cof_random(&store->env, vk_uuid, 16);
    if (err != 0) {
        return cof_fault(fault, err, COFFER_STAGE_KEY, "no random numbers for a key");
    }
    make_context(&context, volume_uuid, vk_uuid);
    pthread_mutex_unlock(&store->lock);
    err = provider->ops->generate_data_key_without_plaintext(provider->ctx, key_arn, &context.api,
                                                             &blob);
    pthread_mutex_lock(&store->lock);
    if (err != 0) {
        return cof_fault(fault, err, COFFER_STAGE_KEY, "no volume key under %.100s: %s", key_arn,
                         coffer_error_sentence(err));
    }
    if (blob.length_bytes == 0 || blob.length_bytes > COFFER_KEY_BLOB_BYTES_MAX) {
        return cof_fault(fault, COFFER_E_KEY_CIPHERTEXT, COFFER_STAGE_KEY,
                         "the key service returned a wrapped key of a forbidden size");
    }
    err = unwrap_key(store, volume_uuid, vk_uuid, key_arn, &blob, provider, &vk, fault);
    if (err != 0) {
        return err;
    }
    ring = encode_ring(store, vk_uuid, generation, vk, key_arn, &blob, ret_ring_bytes);
    if (ring == NULL) {
        cof_vk_free(vk);
        return cof_fault(fault, COFFER_E_NO_MEMORY, COFFER_STAGE_KEY, "no memory");
    }
    memcpy(ret_vk_uuid, vk_uuid, 16);
    *ret_ring = ring;
    *ret_vk = vk;
    return 0;
}

/* ---- the sealed record ---- */

static uint64_t record_seed(const struct cof_catalogue_item *item)
{
    return cof_plain_seed(item->entry.uuid, item->entry.number, item->entry.uuid);
}

int cof_record_seal(struct cof_vk *vk, const uint8_t vk_uuid[16], struct cof_catalogue_item *item,
                    const struct cof_record *record)
{
    uint8_t aad[COF_RECORD_AAD_BYTES];
    uint8_t plain[COF_RECORD_BYTES];
    int err = 0;
    cof_record_encode(record, plain);
    cof_record_aad(item->entry.encrypted, item->entry.uuid, vk_uuid, item->entry.generation,
                   item->entry.number, aad);
    if (item->entry.encrypted) {
        err = cof_vk_seal_record(vk, aad, sizeof aad, plain, sizeof plain, item->record,
                                 item->entry.nonce, item->entry.tag);
    } else {
        memcpy(item->record, plain, sizeof plain);
        memset(item->entry.nonce, 0, sizeof item->entry.nonce);
        cof_checksum128(record_seed(item), aad, sizeof aad, plain, sizeof plain, item->entry.tag);
    }
    item->entry.record_bytes = COF_RECORD_BYTES;
    item->dirty = true;
    return err;
}

int cof_record_open(struct cof_vk *vk, const uint8_t vk_uuid[16],
                    const struct cof_catalogue_item *item, struct cof_record *ret_record)
{
    uint8_t aad[COF_RECORD_AAD_BYTES], plain[COF_RECORD_BYTES], sum[16];
    int err = 0;
    cof_record_aad(item->entry.encrypted, item->entry.uuid, vk_uuid, item->entry.generation,
                   item->entry.number, aad);
    if (item->entry.encrypted) {
        err = cof_vk_open_record(vk, aad, sizeof aad, item->entry.nonce, item->entry.tag,
                                 item->record, sizeof plain, plain);
    } else {
        memcpy(plain, item->record, sizeof plain);
        cof_checksum128(record_seed(item), aad, sizeof aad, plain, sizeof plain, sum);
        err = memcmp(sum, item->entry.tag, 16) == 0 ? 0 : COFFER_E_CORRUPT;
    }
    if (err == 0) {
        err = cof_record_decode(plain, ret_record);
    }
    if (err == 0 && memcmp(ret_record->uuid, item->entry.uuid, 16) != 0) {
        err = COFFER_E_TAMPER;
    }
    return err;
}

/* ---- data keys ---- */

static void free_ek(struct cof_ek *ek)
{
    cof_ek_seal_free(ek->seal);
    cof_ek_open_free(ek->open);
    ek->seal = NULL;
    ek->open = NULL;
}

void cof_keys_done(struct coffer_volume *volume)
{
    for (unsigned i = 0; i < volume->ek_count; i++) {
        free_ek(&volume->eks[i]);
    }
    cof_free(&volume->store->env, volume->eks);
    volume->eks = NULL;
    volume->ek_count = 0;
    volume->ek_capacity = 0;
}

static int append_ek(struct coffer_volume *volume, const struct cof_ek *ek)
{
    if (volume->ek_count == volume->ek_capacity) {
        unsigned capacity = volume->ek_capacity == 0 ? 8u : volume->ek_capacity * 2u;
        struct cof_ek *eks = cof_calloc(&volume->store->env, capacity, sizeof *eks);
        if (eks == NULL) {
            return COFFER_E_NO_MEMORY;
        }
        if (volume->ek_count > 0) {
            memcpy(eks, volume->eks, volume->ek_count * sizeof *eks);
        }
        cof_free(&volume->store->env, volume->eks);
        volume->eks = eks;
        volume->ek_capacity = capacity;
    }
    if (volume->ek_count >= COF_EK_PER_PART * COF_EK_PARTS_MAX) {
        return COFFER_E_LIMIT;
    }
    volume->eks[volume->ek_count++] = *ek;
    return 0;
}

static int load_part(struct coffer_volume *volume, unsigned part, unsigned count, uint8_t *bytes,
                     struct cof_sha256_stream *digest)
{
    unsigned blocks;
    int err = cof_ptree_read(&volume->store->catalogue_tree,
                             cof_catalogue_key(volume->number, COF_CATALOGUE_KEYS_PART + part),
                             bytes, 4, &blocks);
    if (err == 0 && (size_t)blocks * 4096u < (size_t)count * COF_EK_ENTRY_BYTES) {
        err = COFFER_E_CORRUPT;
    }
    if (err == 0) {
        err = cof_sha256_add(digest, bytes, (size_t)count * COF_EK_ENTRY_BYTES);
    }
    for (unsigned i = 0; err == 0 && i < count; i++) {
        struct cof_ek ek;
        memset(&ek, 0, sizeof ek);
        cof_ek_entry_decode(bytes + (size_t)i * COF_EK_ENTRY_BYTES, &ek.entry);
        err = append_ek(volume, &ek);
    }
    return err;
}

int cof_keys_load(struct coffer_volume *volume, struct coffer_fault *fault)
{
    struct coffer_store *store = volume->store;
    uint8_t seen[32], *bytes;
    struct cof_sha256_stream *digest;
    unsigned left = volume->record.data_keys;
    int err = cof_sha256_begin(&store->env, &digest);
    if (err != 0) {
        return cof_fault(fault, err, COFFER_STAGE_KEY, "no digest of the data keys");
    }
    bytes = cof_alloc(&store->env, 4u * 4096u);
    if (bytes == NULL) {
        err = COFFER_E_NO_MEMORY;
    }
    for (unsigned part = 0; err == 0 && left > 0; part++) {
        unsigned count = left < COF_EK_PER_PART ? left : COF_EK_PER_PART;
        err = load_part(volume, part, count, bytes, digest);
        left -= count;
        volume->eks_parts_written = part + 1u;
    }
    cof_free(&store->env, bytes);
    if (cof_sha256_end(digest, seen) != 0 && err == 0) {
        err = COFFER_E_CRYPTO;
    }
    if (err == 0 && memcmp(seen, volume->record.keys_digest, 32) != 0) {
        err = COFFER_E_TAMPER;
    }
    if (err != 0) {
        err = err == COFFER_E_NOT_FOUND ? COFFER_E_CORRUPT : err;
        cof_fault(fault, err, COFFER_STAGE_KEY,
                  "the list of data keys is not the one that the record names: %s",
                  coffer_error_sentence(err));
    }
    return err;
}

static int unwrap_ek(struct coffer_volume *volume, struct cof_ek *ek)
{
    uint8_t aad[COF_EK_AAD_BYTES];
    cof_ek_aad(&ek->entry, volume->vk_uuid, aad);
    return cof_ek_unwrap(&volume->store->env, volume->store->arena, volume->vk, aad, sizeof aad,
                         ek->entry.nonce, ek->entry.wrapped, ek->entry.commitment, &ek->open);
}

int cof_keys_opened(struct coffer_volume *volume, struct cof_ek *ek)
{
    int err;
    if (ek->open != NULL) {
        return 0;
    }
    err = unwrap_ek(volume, ek);
    if (err == COFFER_E_LIMIT) {
        for (unsigned i = 0; i < volume->ek_count; i++) { /* the arena is full: keep what changed */
            if (!volume->eks[i].changed) {
                cof_ek_open_free(volume->eks[i].open);
                volume->eks[i].open = NULL;
            }
        }
        err = unwrap_ek(volume, ek);
    }
    return err;
}

int cof_keys_find(struct coffer_volume *volume, uint64_t extent, struct cof_ek **ret_ek)
{
    for (unsigned i = 0; i < volume->ek_count; i++) {
        struct cof_ek *ek = &volume->eks[i];
        bool spare = (ek->entry.flags & COF_EK_FLAG_SPARE) != 0;
        if (!spare && extent >= ek->entry.first_extent && extent <= ek->entry.last_extent) {
            *ret_ek = ek;
            return 0;
        }
    }
    return COFFER_E_TAMPER;
}

static int wrap_ek(struct coffer_volume *volume, struct cof_ek *ek)
{
    uint8_t aad[COF_EK_AAD_BYTES];
    ek->entry.generation = volume->generation;
    cof_ek_aad(&ek->entry, volume->vk_uuid, aad);
    volume->eks_dirty = true;
    ek->changed = false;
    if (ek->seal != NULL) {
        return cof_ek_wrap(volume->vk, ek->seal, aad, sizeof aad, ek->entry.nonce,
                           ek->entry.wrapped, ek->entry.commitment);
    }
    return cof_ek_rewrap(volume->vk, ek->open, aad, sizeof aad, ek->entry.nonce, ek->entry.wrapped,
                         ek->entry.commitment);
}

static int draw_ek(struct coffer_volume *volume, uint64_t first_extent, uint32_t flags)
{
    struct cof_ek ek;
    int err;
    memset(&ek, 0, sizeof ek);
    err = cof_ek_draw(&volume->store->env, volume->store->arena, &ek.seal);
    if (err != 0) {
        return err;
    }
    ek.entry.key_id = volume->record.next_key_id;
    ek.entry.flags = flags;
    memcpy(ek.entry.lineage, volume->store->root.store_uuid, 16);
    ek.entry.first_extent = first_extent;
    ek.entry.last_extent = COF_EXTENT_MAX;
    err = wrap_ek(volume, &ek);
    if (err == 0) {
        err = append_ek(volume, &ek);
    }
    if (err != 0) {
        free_ek(&ek);
        return err;
    }
    volume->record.next_key_id++;
    return 0;
}

static void drop_ek(struct coffer_volume *volume, unsigned at)
{
    free_ek(&volume->eks[at]);
    volume->ek_count--;
    memmove(&volume->eks[at], &volume->eks[at + 1u],
            (volume->ek_count - at) * sizeof volume->eks[0]);
    if (volume->ek_active > at) {
        volume->ek_active--;
    }
    volume->eks_dirty = true;
}

static int end_range(struct coffer_volume *volume, struct cof_ek *ek, uint64_t last_extent)
{
    int err = ek->seal != NULL ? 0 : cof_keys_opened(volume, ek);
    if (err == 0) {
        ek->entry.last_extent = last_extent;
        err = wrap_ek(volume, ek);
    }
    return err;
}

static int draw_spares(struct coffer_volume *volume, uint64_t first_extent)
{
    unsigned spares = 0;
    int err = 0;
    for (unsigned i = 0; i < volume->ek_count; i++) {
        spares += (volume->eks[i].entry.flags & COF_EK_FLAG_SPARE) != 0 ? 1u : 0u;
    }
    for (; err == 0 && spares < COF_SPARE_KEYS; spares++) {
        err = draw_ek(volume, first_extent, COF_EK_FLAG_SPARE);
    }
    return err;
}

int cof_keys_renew(struct coffer_volume *volume, uint64_t first_extent)
{
    int err = 0;
    for (unsigned i = volume->ek_count; i > 0; i--) {
        struct cof_ek *ek = &volume->eks[i - 1u];
        bool spare = (ek->entry.flags & COF_EK_FLAG_SPARE) != 0;
        bool inherited = (ek->entry.flags & COF_EK_FLAG_INHERITED) != 0;
        bool unused = ek->entry.first_extent >= first_extent || ek->entry.extents == 0;
        if (spare || (unused && !inherited)) {
            drop_ek(volume, i - 1u);
        } else if (ek->entry.last_extent >= first_extent || ek->changed) {
            err = end_range(volume, ek,
                            ek->entry.last_extent >= first_extent ? first_extent - 1u
                                                                  : ek->entry.last_extent);
            if (err != 0) {
                return err;
            }
        }
    }
    err = draw_ek(volume, first_extent, 0);
    if (err == 0) {
        volume->ek_active = volume->ek_count - 1u;
        err = draw_spares(volume, first_extent);
    }
    return err;
}

/* Take a spare into use from first_extent on. An entry is unwrapped before its range changes,
 * because the wrap authenticates the range; new wraps follow with the next root. */
int cof_keys_activate(struct coffer_volume *volume, struct cof_ek *ek, uint64_t first_extent)
{
    for (unsigned i = 0; i < volume->ek_count; i++) {
        struct cof_ek *other = &volume->eks[i];
        bool ends = other != ek && (other->entry.flags & COF_EK_FLAG_SPARE) == 0 &&
                    other->entry.last_extent >= first_extent;
        if (ends || other == ek) {
            int err = other->seal != NULL ? 0 : cof_keys_opened(volume, other);
            if (err != 0) {
                return err;
            }
            other->changed = true;
        }
        if (ends) {
            other->entry.last_extent = first_extent - 1u;
        }
    }
    ek->entry.flags &= ~COF_EK_FLAG_SPARE;
    ek->entry.first_extent = first_extent;
    ek->entry.last_extent = COF_EXTENT_MAX;
    volume->ek_active = (unsigned)(ek - volume->eks);
    volume->eks_dirty = true;
    return 0;
}

static struct cof_ek *first_spare(struct coffer_volume *volume)
{
    for (unsigned i = 0; i < volume->ek_count; i++) {
        if ((volume->eks[i].entry.flags & COF_EK_FLAG_SPARE) != 0 && volume->eks[i].seal != NULL) {
            return &volume->eks[i];
        }
    }
    return NULL;
}

int cof_keys_active(struct coffer_volume *volume, uint64_t extent, bool metadata,
                    struct cof_ek **ret_ek)
{
    struct cof_ek *ek = &volume->eks[volume->ek_active];
    if (ek->bytes + COF_NODE_FANOUT * COF_PAGE_BYTES > data_key_budget() && ek->bytes > 0) {
        struct cof_ek *spare = first_spare(volume);
        if (!metadata) { /* a checkpoint's own extents must not ask for the next checkpoint */
            volume->store->keys_wanted = true; /* which lists new spares */
        }
        if (spare != NULL) {
            int err = cof_keys_activate(volume, spare, extent);
            if (err != 0) {
                return err;
            }
            ek = spare;
        }
    }
    ek->bytes += COF_NODE_FANOUT * COF_PAGE_BYTES; /* counted when an extent is begun */
    *ret_ek = ek;
    return 0;
}

void cof_keys_count(struct coffer_volume *volume, uint32_t key_id, int change, bool young)
{
    for (unsigned i = 0; i < volume->ek_count; i++) {
        struct cof_ek *ek = &volume->eks[i];
        if (ek->entry.key_id != key_id) {
            continue;
        }
        if (change > 0 || ek->entry.extents > 0) {
            ek->entry.extents = (uint64_t)((int64_t)ek->entry.extents + change);
        }
        ek->young += young && change > 0 ? 1u : 0u;
        volume->eks_dirty = true;
        return;
    }
}

/* Before the record is sealed: drop keys that seal nothing any more, draw spares again, wrap what
 * changed its range. */
static int tidy(struct coffer_volume *volume)
{
    int err = 0;
    for (unsigned i = volume->ek_count; err == 0 && i > 0; i--) {
        struct cof_ek *ek = &volume->eks[i - 1u];
        bool kept = (ek->entry.flags & (COF_EK_FLAG_SPARE | COF_EK_FLAG_INHERITED)) != 0;
        if (!kept && i - 1u != volume->ek_active && ek->entry.extents == 0) {
            drop_ek(volume, i - 1u);
        } else if (ek->changed) {
            err = wrap_ek(volume, ek);
        }
    }
    return err == 0 ? draw_spares(volume, volume->store->next_extent) : err;
}

static int write_part(struct coffer_volume *volume, const struct cof_raw_writer *writer,
                      unsigned part, unsigned count, uint8_t *bytes,
                      struct cof_sha256_stream *digest)
{
    size_t used = (size_t)count * COF_EK_ENTRY_BYTES;
    unsigned blocks = (unsigned)((used + 4095u) / 4096u);
    int err;
    memset(bytes, 0, 4u * 4096u);
    for (unsigned i = 0; i < count; i++) {
        const struct cof_ek *ek = &volume->eks[part * COF_EK_PER_PART + i];
        struct cof_ek_entry entry = ek->entry;
        entry.extents -= entry.extents < ek->young ? entry.extents : ek->young;
        cof_ek_entry_encode(&entry, bytes + (size_t)i * COF_EK_ENTRY_BYTES);
    }
    err = used > 0 ? cof_sha256_add(digest, bytes, used) : 0;
    if (err != 0) {
        return err;
    }
    return cof_ptree_write(&volume->store->catalogue_tree, writer,
                           cof_catalogue_key(volume->number, COF_CATALOGUE_KEYS_PART + part), bytes,
                           blocks);
}

int cof_keys_write(struct coffer_volume *volume, const struct cof_raw_writer *writer)
{
    struct coffer_store *store = volume->store;
    struct cof_sha256_stream *digest;
    uint8_t *bytes;
    unsigned parts;
    int err = cof_sha256_begin(&store->env, &digest);
    if (err != 0) {
        return err;
    }
    bytes = cof_alloc(&store->env, 4u * 4096u);
    err = bytes == NULL ? COFFER_E_NO_MEMORY : 0;
    parts = (volume->ek_count + COF_EK_PER_PART - 1u) / COF_EK_PER_PART;
    for (unsigned part = 0; err == 0 && (part < parts || part < volume->eks_parts_written);
         part++) {
        unsigned first = part * COF_EK_PER_PART;
        unsigned count = first >= volume->ek_count ? 0u : volume->ek_count - first;
        err = write_part(volume, writer, part, count < COF_EK_PER_PART ? count : COF_EK_PER_PART,
                         bytes, digest);
    }
    cof_free(&store->env, bytes);
    if (cof_sha256_end(digest, volume->record.keys_digest) != 0 && err == 0) {
        err = COFFER_E_CRYPTO;
    }
    if (err == 0) {
        volume->eks_parts_written = parts;
        volume->record.data_keys = volume->ek_count;
        volume->item->entry.data_keys = volume->ek_count;
        volume->eks_dirty = false;
    }
    return err;
}

int cof_keys_flush(struct coffer_volume *volume, const struct cof_raw_writer *writer)
{
    int err;
    if (!volume->encrypted || (!volume->eks_dirty && !volume->store->keys_wanted)) {
        return 0;
    }
    err = tidy(volume);
    return err == 0 ? cof_keys_write(volume, writer) : err;
}

/* ---- snapshots and clones ---- */

int cof_keys_cut(struct coffer_volume *volume, uint64_t last_extent)
{
    struct cof_ek *spare = volume->encrypted ? first_spare(volume) : NULL;
    volume->store->keys_wanted = volume->store->keys_wanted || volume->encrypted;
    return spare != NULL ? cof_keys_activate(volume, spare, last_extent + 1u) : 0;
}

int cof_keys_share(struct coffer_volume *volume, struct coffer_volume *twin, uint64_t last_extent)
{
    int err = 0;
    for (unsigned i = 0; err == 0 && i < volume->ek_count; i++) {
        struct cof_ek *ek = &volume->eks[i], copy;
        if ((ek->entry.flags & COF_EK_FLAG_SPARE) != 0 || ek->entry.first_extent > last_extent) {
            continue;
        }
        memset(&copy, 0, sizeof copy);
        copy.entry = ek->entry;
        if (copy.entry.last_extent > last_extent) { /* no spare was left to end its range */
            copy.entry.last_extent = last_extent;
            copy.seal = ek->seal;
            err = wrap_ek(volume, &copy);
            copy.seal = NULL;
        }
        if (err == 0) {
            err = append_ek(twin, &copy);
        }
    }
    return err;
}

int cof_keys_inherit(struct coffer_volume *from, struct coffer_volume *clone)
{
    int err = 0;
    for (unsigned i = 0; err == 0 && i < from->ek_count; i++) {
        struct cof_ek *ek = &from->eks[i], copy;
        err = cof_keys_opened(from, ek);
        if (err != 0) {
            break;
        }
        memset(&copy, 0, sizeof copy);
        copy.entry = ek->entry;
        copy.entry.flags |= COF_EK_FLAG_INHERITED;
        copy.open = ek->open;
        err = wrap_ek(clone, &copy);
        copy.open = NULL;
        if (err == 0) {
            err = append_ek(clone, &copy);
        }
    }
    return err;
}

/* ---- uses of the volume key ---- */

void cof_keys_reserve_uses(struct coffer_volume *volume)
{
    uint64_t used = cof_vk_uses(volume->vk);
    while (used + COF_KEY_USES_PER_OPEN / 2u > volume->key_uses_reserved) {
        volume->record.key_uses += COF_KEY_USES_PER_OPEN;
        volume->key_uses_reserved += COF_KEY_USES_PER_OPEN;
    }
}

bool cof_keyring_is_spent(const struct coffer_volume *volume)
{
    return volume->record.key_uses + COF_KEY_USES_PER_OPEN > key_uses_max();
}

/* Every data key at hand, none to be dropped before it is wrapped again. */
static int hold_all(struct coffer_volume *volume)
{
    for (unsigned i = 0; i < volume->ek_count; i++) {
        int err = volume->eks[i].seal != NULL ? 0 : cof_keys_opened(volume, &volume->eks[i]);
        if (err != 0) {
            return err;
        }
        volume->eks[i].changed = true;
    }
    return 0;
}

int cof_keyring_replace(struct coffer_volume *volume, const struct coffer_key_provider *provider,
                        struct coffer_fault *fault)
{
    struct coffer_store *store = volume->store;
    struct cof_catalogue_item *item = volume->item;
    struct cof_vk *vk;
    uint8_t *ring, vk_uuid[16];
    uint32_t ring_bytes;
    int err = hold_all(volume);
    if (err == 0) {
        err = cof_keyring_new(store, item->entry.uuid, volume->generation + 1u,
                              volume->record.key_arn, provider, &ring, &ring_bytes, &vk, vk_uuid,
                              fault);
    }
    if (err != 0) {
        return err;
    }
    cof_vk_free(volume->vk);
    cof_free(&store->env, item->ring);
    volume->vk = vk;
    volume->generation++;
    volume->record.key_uses = 0;
    volume->key_uses_reserved = 0;
    memcpy(volume->vk_uuid, vk_uuid, 16);
    item->ring = ring;
    memset(item->entry.context_uuid, 0, sizeof item->entry.context_uuid);
    item->entry.ring_bytes = ring_bytes;
    item->entry.generation = volume->generation;
    for (unsigned i = 0; err == 0 && i < volume->ek_count; i++) {
        err = wrap_ek(volume, &volume->eks[i]);
    }
    return err;
}
