/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format/catalogue_format.c - bytes of volume entries, data keys, sealed records and AADs. Pure
 * functions.
 */
#include "format/catalogue_format.h"

#include "format/endian.h"
#include "format/vaddr.h"

#include <string.h>

#define ENTRY_MAGIC "COFV"
#define RECORD_LABEL "coffer/record/1"
#define FORMAT_ENCRYPTED 0x01u
#define FORMAT_PLAIN 0x81u

void cof_volume_entry_encode(const struct cof_volume_entry *entry,
                             uint8_t at[COF_VOLUME_ENTRY_BYTES])
{
    memset(at, 0, COF_VOLUME_ENTRY_BYTES);
    memcpy(at, ENTRY_MAGIC, 4);
    cof_le16_put(at + 4, 1);
    cof_le16_put(at + 6, entry->encrypted ? 1u : 0u);
    cof_le32_put(at + 8, entry->number);
    at[12] = entry->name_hint;
    at[13] = entry->ring_slots;
    memcpy(at + 16, entry->uuid, 16);
    cof_le64_put(at + 32, entry->tail_first);
    cof_le64_put(at + 40, entry->tail_last);
    cof_le32_put(at + 48, entry->ring_bytes);
    cof_le32_put(at + 52, entry->record_bytes);
    cof_le32_put(at + 56, entry->data_keys);
    cof_le32_put(at + 60, entry->generation);
    memcpy(at + 64, entry->nonce, 12);
    memcpy(at + 80, entry->tag, 16);
    at[96] = (uint8_t)entry->kind;
    cof_le32_put(at + 100, entry->parent_number);
    cof_le32_put(at + 104, entry->family);
    memcpy(at + 112, entry->context_uuid, 16);
    cof_le64_put(at + 128, entry->own_cut);
    cof_le64_put(at + 136, entry->own_node_cut);
    at[97] = (uint8_t)((entry->verbatim ? 1u : 0u) | (entry->tags_left ? 2u : 0u) |
                       (entry->interim ? 4u : 0u) | (entry->unstoppable ? 8u : 0u));
    cof_le16_put(at + 98, entry->clear_name_bytes);
    cof_le32_put(at + 144, entry->sealed_number);
    cof_le32_put(at + 148, entry->lineages);
    cof_le32_put(at + 152, entry->writers);
    memcpy(at + 160, entry->sealed_uuid, 16);
    memcpy(at + 176, entry->origin_uuid, 16);
    cof_le64_put(at + 192, entry->cut);
    cof_le64_put(at + 200, entry->node_cut);
    cof_le64_put(at + 208, entry->reencrypt);
    at[216] = (uint8_t)entry->access;
    at[217] = entry->grant_bytes;
    cof_le16_put(at + 218, entry->access_cause);
    cof_le64_put(at + 224, entry->access_since_ns);
    cof_le64_put(at + 232, entry->access_seen_ns);
}

static bool access_fits(const struct cof_volume_entry *entry)
{
    if (entry->access == COF_ACCESS_AVAILABLE) {
        return entry->access_cause == 0 && entry->access_since_ns == 0 &&
               entry->access_seen_ns == 0;
    }
    return entry->kind == COF_KIND_VOLUME && entry->access_seen_ns >= entry->access_since_ns;
}

/* What stands in clear in place of a sealed record is believed of copies of encrypted snapshots
 * only, whose own uuid is what the key service was told. */
static bool clear_fields_fit(const struct cof_volume_entry *entry)
{
    static const uint8_t none[16];
    bool import = memcmp(entry->origin_uuid, none, 16) != 0;
    if ((entry->interim && entry->kind != COF_KIND_VOLUME) ||
        (entry->kind == COF_KIND_COPYING && !import)) {
        return false;
    }
    if (!entry->verbatim) {
        return entry->clear_name_bytes == 0 && !entry->tags_left;
    }
    return entry->kind != COF_KIND_VOLUME && entry->encrypted &&
           memcmp(entry->context_uuid, none, 16) == 0;
}

int cof_volume_entry_decode(const uint8_t at[COF_VOLUME_ENTRY_BYTES],
                            struct cof_volume_entry *ret_entry)
{
    struct cof_volume_entry entry;
    if (memcmp(at, ENTRY_MAGIC, 4) != 0 || cof_le16_get(at + 4) != 1) {
        return COFFER_E_CORRUPT;
    }
    entry.encrypted = (cof_le16_get(at + 6) & 1u) != 0;
    entry.number = cof_le32_get(at + 8);
    entry.name_hint = at[12];
    entry.ring_slots = at[13];
    memcpy(entry.uuid, at + 16, 16);
    entry.tail_first = cof_le64_get(at + 32);
    entry.tail_last = cof_le64_get(at + 40);
    entry.ring_bytes = cof_le32_get(at + 48);
    entry.record_bytes = cof_le32_get(at + 52);
    entry.data_keys = cof_le32_get(at + 56);
    entry.generation = cof_le32_get(at + 60);
    memcpy(entry.nonce, at + 64, 12);
    memcpy(entry.tag, at + 80, 16);
    entry.kind = (enum cof_entry_kind)at[96];
    entry.parent_number = cof_le32_get(at + 100);
    entry.family = cof_le32_get(at + 104);
    memcpy(entry.context_uuid, at + 112, 16);
    entry.own_cut = cof_le64_get(at + 128);
    entry.own_node_cut = cof_le64_get(at + 136);
    entry.verbatim = (at[97] & 1u) != 0;
    entry.interim = (at[97] & 4u) != 0;
    entry.tags_left = (at[97] & 2u) != 0;
    entry.unstoppable = (at[97] & 8u) != 0;
    entry.clear_name_bytes = cof_le16_get(at + 98);
    entry.sealed_number = cof_le32_get(at + 144);
    entry.lineages = cof_le32_get(at + 148);
    entry.writers = cof_le32_get(at + 152);
    memcpy(entry.sealed_uuid, at + 160, 16);
    memcpy(entry.origin_uuid, at + 176, 16);
    entry.cut = cof_le64_get(at + 192);
    entry.node_cut = cof_le64_get(at + 200);
    entry.reencrypt = cof_le64_get(at + 208);
    entry.access = (enum cof_access)at[216];
    entry.grant_bytes = at[217];
    entry.access_cause = cof_le16_get(at + 218);
    entry.access_since_ns = cof_le64_get(at + 224);
    entry.access_seen_ns = cof_le64_get(at + 232);
    if (entry.record_bytes != COF_RECORD_BYTES || entry.ring_bytes > COF_RING_BYTES_MAX ||
        entry.number == 0 || at[96] > COF_KIND_COPYING || entry.lineages > COF_LINEAGES_MAX ||
        entry.writers > COF_WRITERS_MAX || entry.clear_name_bytes > COF_CLEAR_NAME_MAX ||
        at[216] > COF_ACCESS_TERMINAL || entry.grant_bytes > COF_GRANT_ID_MAX ||
        !access_fits(&entry) || !clear_fields_fit(&entry) ||
        entry.data_keys > COF_EK_PER_PART * COF_EK_PARTS_MAX) {
        return COFFER_E_CORRUPT;
    }
    *ret_entry = entry;
    return 0;
}

void cof_writer_encode(const struct cof_writer *writer, uint8_t at[COF_WRITER_BYTES])
{
    cof_le32_put(at, writer->number);
    cof_le32_put(at + 4, writer->index);
    cof_le64_put(at + 8, writer->last_data);
    cof_le64_put(at + 16, writer->last_metadata);
}

void cof_writer_decode(const uint8_t at[COF_WRITER_BYTES], struct cof_writer *ret_writer)
{
    ret_writer->number = cof_le32_get(at);
    ret_writer->index = cof_le32_get(at + 4);
    ret_writer->last_data = cof_le64_get(at + 8);
    ret_writer->last_metadata = cof_le64_get(at + 16);
}

void cof_record_encode(const struct cof_record *record, uint8_t at[COF_RECORD_BYTES])
{
    memset(at, 0, COF_RECORD_BYTES);
    cof_le16_put(at, 1);
    cof_le16_put(at + 2, (uint16_t)record->kind);
    cof_le32_put(at + 4, record->height);
    memcpy(at + 8, record->name, 64);
    memcpy(at + 72, record->uuid, 16);
    cof_le64_put(at + 88, record->size_pages);
    cof_le64_put(at + 96, record->root_address);
    cof_le64_put(at + 104, record->mapped_pages);
    cof_le64_put(at + 112, record->chain_extent);
    cof_le16_put(at + 120, record->chain_slots);
    cof_le64_put(at + 128, record->created_ns);
    cof_le64_put(at + 136, record->key_uses);
    cof_le32_put(at + 144, record->next_key_id);
    cof_le32_put(at + 148, record->data_keys);
    memcpy(at + 152, record->keys_digest, 32);
    memcpy(at + 184, record->key_arn, 256);
    cof_le64_put(at + 440, record->cut);
    cof_le64_put(at + 448, record->node_cut);
    memcpy(at + 456, record->parent, 16);
    cof_le64_put(at + 472, record->modified_ns);
    cof_le64_put(at + 480, record->own_cut);
    cof_le64_put(at + 488, record->own_node_cut);
    memcpy(at + 496, record->volume_name, 64);
    memcpy(at + 560, record->volume_uuid, 16);
    at[576] = record->key_shared ? 1u : 0u;
    memcpy(at + 584, record->tags_digest, 32);
    at[616] = (uint8_t)record->access;
    cof_le64_put(at + 624, record->access_since_ns);
}

int cof_record_decode(const uint8_t at[COF_RECORD_BYTES], struct cof_record *ret_record)
{
    struct cof_record record;
    memset(&record, 0, sizeof record);
    if (cof_le16_get(at) != 1 || cof_le16_get(at + 2) > COF_KIND_HIDDEN) {
        return COFFER_E_TOO_NEW;
    }
    record.kind = (enum cof_entry_kind)cof_le16_get(at + 2);
    record.height = cof_le32_get(at + 4);
    memcpy(record.name, at + 8, 64);
    record.name[63] = '\0';
    memcpy(record.uuid, at + 72, 16);
    record.size_pages = cof_le64_get(at + 88);
    record.root_address = cof_le64_get(at + 96);
    record.mapped_pages = cof_le64_get(at + 104);
    record.chain_extent = cof_le64_get(at + 112);
    record.chain_slots = cof_le16_get(at + 120);
    record.created_ns = cof_le64_get(at + 128);
    record.key_uses = cof_le64_get(at + 136);
    record.next_key_id = cof_le32_get(at + 144);
    record.data_keys = cof_le32_get(at + 148);
    memcpy(record.keys_digest, at + 152, 32);
    memcpy(record.key_arn, at + 184, 256);
    record.key_arn[255] = '\0';
    record.cut = cof_le64_get(at + 440);
    record.node_cut = cof_le64_get(at + 448);
    memcpy(record.parent, at + 456, 16);
    record.modified_ns = cof_le64_get(at + 472);
    record.own_cut = cof_le64_get(at + 480);
    record.own_node_cut = cof_le64_get(at + 488);
    memcpy(record.volume_name, at + 496, 64);
    record.volume_name[63] = '\0';
    memcpy(record.volume_uuid, at + 560, 16);
    record.key_shared = (at[576] & 1u) != 0;
    memcpy(record.tags_digest, at + 584, 32);
    record.access = (enum cof_access)at[616];
    record.access_since_ns = cof_le64_get(at + 624);
    if (at[616] > COF_ACCESS_TERMINAL || record.height > COF_MAP_LEVELS_MAX ||
        record.size_pages > (UINT64_C(1) << 44) ||
        (record.height == 0) != (record.root_address == 0)) {
        return COFFER_E_CORRUPT;
    }
    *ret_record = record;
    return 0;
}

void cof_record_aad(bool encrypted, const uint8_t volume_uuid[16], const uint8_t vk_uuid[16],
                    uint32_t generation, uint32_t number, uint8_t aad[COF_RECORD_AAD_BYTES])
{
    memcpy(aad, RECORD_LABEL, 15);
    aad[15] = encrypted ? 1u : 0u;
    memcpy(aad + 16, volume_uuid, 16);
    memcpy(aad + 32, vk_uuid, 16);
    cof_le32_put(aad + 48, generation);
    cof_le32_put(aad + 52, number);
}

void cof_ek_entry_encode(const struct cof_ek_entry *entry, uint8_t at[COF_EK_ENTRY_BYTES])
{
    memset(at, 0, COF_EK_ENTRY_BYTES);
    cof_le32_put(at, entry->key_id);
    cof_le32_put(at + 4, entry->index);
    memcpy(at + 8, entry->nonce, 12);
    cof_le32_put(at + 20, entry->generation);
    memcpy(at + 24, entry->wrapped, 48);
    memcpy(at + 72, entry->commitment, 32);
    memcpy(at + 104, entry->lineage, 16);
    cof_le64_put(at + 120, entry->first_extent);
    cof_le64_put(at + 128, entry->last_extent);
    cof_le64_put(at + 136, entry->extents);
    cof_le32_put(at + 144, entry->flags);
    cof_le32_put(at + 148, entry->turn);
}

void cof_ek_entry_decode(const uint8_t at[COF_EK_ENTRY_BYTES], struct cof_ek_entry *ret_entry)
{
    ret_entry->key_id = cof_le32_get(at);
    ret_entry->index = cof_le32_get(at + 4);
    memcpy(ret_entry->nonce, at + 8, 12);
    ret_entry->generation = cof_le32_get(at + 20);
    memcpy(ret_entry->wrapped, at + 24, 48);
    memcpy(ret_entry->commitment, at + 72, 32);
    memcpy(ret_entry->lineage, at + 104, 16);
    ret_entry->first_extent = cof_le64_get(at + 120);
    ret_entry->last_extent = cof_le64_get(at + 128);
    ret_entry->extents = cof_le64_get(at + 136);
    ret_entry->flags = cof_le32_get(at + 144);
    ret_entry->turn = cof_le32_get(at + 148);
}

void cof_ek_aad(const struct cof_ek_entry *entry, const uint8_t vk_uuid[16],
                uint8_t aad[COF_EK_AAD_BYTES])
{
    memcpy(aad, vk_uuid, 16);
    cof_le32_put(aad + 16, entry->generation);
    cof_le32_put(aad + 20, entry->key_id);
    cof_le32_put(aad + 24, entry->index);
    cof_le32_put(aad + 28, entry->flags);
    memcpy(aad + 32, entry->lineage, 16);
    cof_le64_put(aad + 48, entry->first_extent);
    cof_le64_put(aad + 56, entry->last_extent);
}

void cof_page_aad(bool encrypted, enum cof_page_kind kind, unsigned slot, uint64_t word,
                  uint8_t aad[COF_PAGE_AAD_BYTES])
{
    memset(aad, 0, COF_PAGE_AAD_BYTES);
    aad[0] = encrypted ? FORMAT_ENCRYPTED : FORMAT_PLAIN;
    aad[1] = (uint8_t)kind;
    cof_le32_put(aad + 4, COF_PAGE_BYTES);
    cof_le32_put(aad + 8, COF_PAGE_BYTES);
    cof_le32_put(aad + 12, slot);
    cof_le64_put(aad + 16, word);
}

void cof_list_aad(bool encrypted, unsigned first_slot, unsigned slots, bool no_pages,
                  const uint8_t session[16], uint64_t batch_no, uint8_t aad[COF_PAGE_AAD_BYTES])
{
    aad[0] = encrypted ? FORMAT_ENCRYPTED : FORMAT_PLAIN;
    aad[1] = 1;
    cof_le16_put(aad + 2, (uint16_t)slots);
    cof_le16_put(aad + 4, (uint16_t)first_slot);
    cof_le16_put(aad + 6, no_pages ? 1u : 0u);
    memcpy(aad + 8, session, 16);
    cof_le64_put(aad + 24, batch_no);
}

void cof_extent_info(const uint8_t lineage[16], uint64_t extent, const uint8_t uuid[16],
                     uint8_t info[COF_INFO_BYTES])
{
    memcpy(info, lineage, 16);
    cof_le64_put(info + 16, extent);
    memcpy(info + 24, uuid, 16);
}
