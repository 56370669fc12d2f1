/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/keyring.c - sealed records, and how often a volume key was used.
 *
 * The volume key is unwrapped by the key provider at open (ring.c); data keys are wrapped, and
 * records sealed, under it with random nonces. key_uses in the record is ahead of these uses: an
 * open, and a session that used up what it had, reserves COF_KEY_USES_PER_OPEN. Before the uses of
 * a generation reach COF_KEY_USES_MAX an open replaces the volume key: new generation, all data
 * keys wrapped under it, in the same root.
 */
#include "volume/store.h"

#include "base/checksum.h"

#include <string.h>

#ifdef COF_TEST_HOOKS
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

/* ---- the sealed record ---- */

uint64_t cof_record_seed(const struct cof_catalogue_item *item)
{
    return cof_plain_seed(cof_item_sealed_uuid(item), cof_item_sealed_number(item),
                          cof_item_sealed_uuid(item));
}

int cof_record_seal(struct cof_vk *vk, const uint8_t vk_uuid[16], struct cof_catalogue_item *item,
                    const struct cof_record *record)
{
    uint8_t aad[COF_RECORD_AAD_BYTES];
    uint8_t plain[COF_RECORD_BYTES], sealed[COF_RECORD_BYTES];
    uint8_t nonce[12] = {0}, tag[16];
    int err = 0;
    cof_record_encode(record, plain);
    cof_record_aad(item->entry.encrypted, item->entry.uuid, vk_uuid, item->entry.generation,
                   item->entry.number, aad);
    if (item->entry.encrypted) {
        err = cof_vk_seal_record(vk, aad, sizeof aad, plain, sizeof plain, sealed, nonce, tag);
    } else {
        memcpy(sealed, plain, sizeof plain);
        cof_checksum128(cof_plain_seed(item->entry.uuid, item->entry.number, item->entry.uuid), aad,
                        sizeof aad, plain, sizeof plain, tag);
    }
    if (err != 0) {
        return err; /* the entry is what it was */
    }
    memcpy(item->record, sealed, sizeof sealed);
    memcpy(item->entry.nonce, nonce, sizeof nonce);
    memcpy(item->entry.tag, tag, sizeof tag);
    item->entry.record_bytes = COF_RECORD_BYTES;
    item->entry.verbatim = false; /* it is sealed here now */
    item->entry.tags_left = false;
    item->entry.clear_name_bytes = 0;
    memset(item->clear_name, 0, sizeof item->clear_name);
    item->dirty = true;
    return 0;
}

int cof_record_open(struct cof_vk *vk, const uint8_t vk_uuid[16],
                    const struct cof_catalogue_item *item, struct cof_record *ret_record)
{
    uint8_t aad[COF_RECORD_AAD_BYTES], plain[COF_RECORD_BYTES], sum[16];
    int err = 0;
    cof_record_aad(item->entry.encrypted, cof_item_sealed_uuid(item), vk_uuid,
                   item->entry.generation, cof_item_sealed_number(item), aad);
    if (item->entry.encrypted) {
        err = cof_vk_open_record(vk, aad, sizeof aad, item->entry.nonce, item->entry.tag,
                                 item->record, sizeof plain, plain);
    } else {
        memcpy(plain, item->record, sizeof plain);
        cof_checksum128(cof_record_seed(item), aad, sizeof aad, plain, sizeof plain, sum);
        err = memcmp(sum, item->entry.tag, 16) == 0 ? 0 : COFFER_E_CORRUPT;
    }
    if (err == 0) {
        err = cof_record_decode(plain, ret_record);
    }
    if (err == 0 && memcmp(ret_record->uuid, cof_item_sealed_uuid(item), 16) != 0) {
        err = COFFER_E_TAMPER;
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

int cof_keyring_replace(struct coffer_volume *volume, const struct coffer_key_provider *provider,
                        struct coffer_fault *fault)
{
    struct coffer_volume next;
    struct cof_tag_bytes tags;
    const struct cof_tag_choice keep = {.inherit = true};
    int err;
    memset(&next, 0, sizeof next);
    next.store = volume->store;
    err = cof_taglist_gather(volume->store, volume, &keep, &tags, fault);
    if (err != 0) {
        return err;
    }
    err =
        cof_keyring_new(volume->store, volume->item, volume->generation + 1u,
                        volume->record.key_arn, provider, provider, &next.vk, next.vk_uuid, fault);
    if (err == 0) {
        next.generation = volume->generation + 1u;
        err = cof_keys_rewrap(volume, &next, 0);
        if (err == 0) {
            err = cof_taglist_prepare(volume, &next, &tags);
        }
        if (err != 0) {
            cof_fault(fault, err, COFFER_STAGE_KEY, "the data keys are not wrapped anew: %s",
                      coffer_error_sentence(err));
        }
    }
    cof_tag_bytes_done(&volume->store->env, &tags);
    if (err != 0) {
        cof_keys_done(&next);
        cof_vk_free(next.vk);
        return err;
    }
    for (unsigned i = 0; i < next.ek_count;
         i++) { /* what the log has since the root stays told apart */
        next.eks[i].young = volume->eks[i].young;
        next.eks[i].entry.extents += volume->eks[i].young;
    }
    cof_keys_done(volume);
    cof_vk_free(volume->vk);
    volume->eks = next.eks;
    volume->ek_count = next.ek_count;
    volume->ek_capacity = next.ek_capacity;
    volume->eks_dirty = true;
    volume->vk = next.vk;
    volume->generation = next.generation;
    volume->record.key_uses = volume->tag_part.due ? 1u : 0u;
    volume->record.key_shared = false;
    volume->key_uses_reserved = 0;
    memcpy(volume->vk_uuid, next.vk_uuid, 16);
    return 0;
}
