/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format/catalogue_format.h - a volume's entry in the catalogue, its key ring, its data keys and
 * its sealed root record; page and list AADs; the subkey info.
 *
 * Records of the catalogue tree have the key number << 10 | part. Numbers begin at 1, one for each
 * volume and snapshot, and are never used again; number 0 is reserved for lists of the store
 * itself. Part 0 is the entry, parts 1..655 are its data key table, 100 entries each, part 656 its
 * tags (taglist_format.h).
 *
 * Volume entry: 256 bytes, then the key ring, then the sealed record.
 *        0   4  magic "COFV"        4   2  format (1)       6   2  flags: bit 0 encrypted
 *        8   4  number (= volume tag, 1 and up)             12  1  name hint
 *       13   1  key ring slots     14   2  reserved        16  16  volume uuid
 *       32   8  tail first extent  40   8  tail last extent: extents of the volume in this range
 *               may hold writes that the sealed record does not know; first > last: none
 *       48   4  ring bytes         52   4  sealed record bytes (1024)
 *       56   4  data keys          60   4  generation of the volume key that seals the record
 *       64  12  nonce              76   4  reserved        80  16  tag (plain: XXH3-128)
 *       96   1  kind: 0 volume, 1 snapshot, 2 hidden, 3 a copy that is not whole yet
 *       97   1  flags: bit 0 verbatim (the record was sealed in another store); bit 1, only with
 *               it: the tags that the record names were left behind; bit 2 interim (a volume that
 *               pages are sealed into anew: it has no name yet); bit 3 it can't be stopped (for
 *               replicas in other regions)
 *       98   2  clear name bytes
 *      100   4  parent's number   104   4  family         108   4  reserved
 *      112  16  context uuid: in the encryption context of the wraps; zeros: the entry's own uuid
 *      128   8  own cut           136   8  own node cut
 *      144   4  sealed number     148   4  lineages       152   4  writers       156 4 reserved
 *      160  16  sealed uuid       176  16  origin uuid
 *      192   8  cut               200   8  node cut: verbatim only, else the record's
 *      208   8  extents that the last deep re-encrypt of the family began with, and 1; 0: none was
 *      216   1  access: 0 available, 1 stopped, 2 recoverable, 3 gone for good (a volume only)
 *      217   1  bytes of the grant's id (at most 64)      218   2  why: number of an error
 *      220   4  reserved          224   8  since (wall clock, ns)
 *      232   8  latest wall clock that was seen since     240  16  reserved
 * Behind the sealed record: lineages of 4 bytes (lineage number of each index), writers of 24
 * (number 4, index 4, last data extent 8, last metadata extent 8), the clear name, the grant's id.
 * Name hint: first byte of SHA-256("coffer/name" | store uuid | name); the name of a snapshot is
 * VOLUME@SNAPSHOT here.
 *
 * Ring slot: volume key uuid 16, generation 4, wraps 2, reserved 2, commitment 32, reserved 8;
 * then each wrap: ARN bytes 2, blob bytes 2, reserved 4, ARN, blob, zeros to a multiple of 8.
 * Encryption context of a wrap: {"coffer:volume": volume uuid, "coffer:volume-key": key uuid}.
 *
 * Data key entry (160):
 *        0   4  key id              4   4  index            8  12  nonce    20  4  generation
 *       24  48  wrapped key        72  32  commitment     104  16  lineage uuid
 *      120   8  first extent      128   8  last extent    136   8  extents (those in the placement
 *               table that it seals) 144 4 flags (bit 0 spare: not used so far)
 *      148   4  turn: 1 leaving, 2 successor (of an entry with a re-encrypt)   152   8  reserved
 * AAD of the wrap (64): volume key uuid 16, generation 4, key id 4, index 4, flags 4,
 * lineage uuid 16, first extent 8, last extent 8.
 *
 * Sealed record (1024, plaintext; AAD "coffer/record/1" 15, encrypted 1, volume uuid 16,
 * volume key uuid 16, generation 4, number 4):
 *        0   2  format (1)          2   2  kind             4   4  height of the tree (0: empty)
 *        8  64  name               72  16  volume uuid     88   8  size in pages
 *       96   8  address of the tree's root node           104   8  mapped pages
 *      112   8  chain extent      120   2  chain slots    122   6  reserved
 *      128   8  created ns        136   8  key uses       144   4  next key id  148  4 data keys
 *      152  32  SHA-256 of the data key entries, in order
 *      184 256  key ARN           440   8  cut            448   8  node cut     456 16 parent uuid
 *      472   8  modified ns       480   8  own cut         488   8  own node cut
 *      496  64  name of the volume that it is a snapshot of      560 16 uuid of that volume
 *      576   1  bit 0: a snapshot has the volume key too   577   7 reserved
 *      584  32  SHA-256 of the tag list (zeros: no tags)
 *      616   1  access            617   7  reserved      624   8  since          632 392 reserved
 * A cut is a position: index << 39 | extent. Data pages at or below `cut`, and nodes at or below
 * `node cut`, are the parent's; those at or below the own cuts are what children inherit.
 */
#ifndef COF_FORMAT_CATALOGUE_FORMAT_H
#define COF_FORMAT_CATALOGUE_FORMAT_H

#include <coffer/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COF_CATALOGUE_ENTRY_PART 0u
#define COF_CATALOGUE_KEYS_PART 1u /* and the following */
#define COF_VOLUME_ENTRY_BYTES 256u
#define COF_RECORD_BYTES 1024u
#define COF_RING_SLOT_BYTES 64u
#define COF_EK_ENTRY_BYTES 160u
#define COF_EK_AAD_BYTES 64u
#define COF_EK_PER_PART 100u
#define COF_EK_PARTS_MAX 655u /* 65,500 data keys */
#define COF_EK_FLAG_SPARE 1u
#define COF_EK_FLAG_INHERITED 2u /* a clone's: of the snapshot it was made from */
#define COF_EK_LEAVING 1u        /* turn: its extents are being sealed anew under a successor */
#define COF_EK_SUCCESSOR 2u /* turn: drawn for extents that a key sealed which leaves, or left */
#define COF_RING_BYTES_MAX (28u * 4096u)
#define COF_RECORD_AAD_BYTES 56u
#define COF_PAGE_AAD_BYTES 32u
#define COF_INFO_BYTES 40u

static inline uint64_t cof_catalogue_key(uint32_t number, unsigned part)
{
    return (uint64_t)number << 10 | part;
}

enum cof_entry_kind { COF_KIND_VOLUME = 0, COF_KIND_SNAPSHOT, COF_KIND_HIDDEN, COF_KIND_COPYING };

#define COF_LINEAGES_MAX 16384u /* of a store, and indexes of an entry */
#define COF_WRITERS_MAX 8192u
#define COF_WRITER_BYTES 24u
#define COF_CLEAR_NAME_MAX 127u
#define COF_GRANT_ID_MAX 64u
#define COF_EXTENT_BITS 39u

/* Whether a volume may be opened. Ascending: what stands in clear in the entry and what the record
 * seals may differ (it was noted without the volume's key), and the greater of the two counts. */
enum cof_access {
    COF_ACCESS_AVAILABLE = 0,
    COF_ACCESS_STOPPED,     /* by its owner */
    COF_ACCESS_RECOVERABLE, /* the key was lost; for seven days it can be started */
    COF_ACCESS_TERMINAL     /* for good */
};

/* A volume, or an import, that wrote extents of an entry's tree: those it wrote up to here. */
struct cof_writer {
    uint32_t number, index;
    uint64_t last_data, last_metadata;
};

struct cof_volume_entry {
    bool encrypted;
    enum cof_entry_kind kind;
    uint32_t number, parent_number, family;
    uint8_t name_hint, ring_slots;
    uint8_t uuid[16];
    uint64_t tail_first, tail_last;
    uint32_t ring_bytes, record_bytes, data_keys, generation;
    uint8_t nonce[12], tag[16];
    uint8_t context_uuid[16];
    uint64_t own_cut, own_node_cut;
    bool verbatim, tags_left, interim, unstoppable;
    uint16_t clear_name_bytes;
    uint32_t sealed_number, lineages, writers;
    uint8_t sealed_uuid[16], origin_uuid[16];
    uint64_t cut, node_cut;
    uint64_t reencrypt;
    enum cof_access access;
    uint8_t grant_bytes;
    uint16_t access_cause;
    uint64_t access_since_ns, access_seen_ns;
};

struct cof_record {
    enum cof_entry_kind kind;
    uint32_t height;
    char name[64];
    uint8_t uuid[16];
    uint64_t size_pages, root_address, mapped_pages, chain_extent;
    uint16_t chain_slots;
    uint64_t created_ns, modified_ns, key_uses;
    uint32_t next_key_id, data_keys;
    uint8_t keys_digest[32];
    char key_arn[256];
    uint64_t cut, node_cut, own_cut, own_node_cut;
    uint8_t parent[16], volume_uuid[16];
    char volume_name[64];
    bool key_shared;
    uint8_t tags_digest[32];
    enum cof_access access;
    uint64_t access_since_ns;
};

struct cof_ek_entry {
    uint32_t key_id, index, generation, flags, turn;
    uint8_t nonce[12], wrapped[48], commitment[32], lineage[16];
    uint64_t first_extent, last_extent, extents;
};

void cof_volume_entry_encode(const struct cof_volume_entry *entry,
                             uint8_t at[COF_VOLUME_ENTRY_BYTES]);
COFFER_MUST_CHECK int cof_volume_entry_decode(const uint8_t at[COF_VOLUME_ENTRY_BYTES],
                                              struct cof_volume_entry *ret_entry);

void cof_writer_encode(const struct cof_writer *writer, uint8_t at[COF_WRITER_BYTES]);
void cof_writer_decode(const uint8_t at[COF_WRITER_BYTES], struct cof_writer *ret_writer);

void cof_record_encode(const struct cof_record *record, uint8_t at[COF_RECORD_BYTES]);
/* The bytes were authenticated; bounds are checked all the same. */
COFFER_MUST_CHECK int cof_record_decode(const uint8_t at[COF_RECORD_BYTES],
                                        struct cof_record *ret_record);
void cof_record_aad(bool encrypted, const uint8_t volume_uuid[16], const uint8_t vk_uuid[16],
                    uint32_t generation, uint32_t number, uint8_t aad[COF_RECORD_AAD_BYTES]);

void cof_ek_entry_encode(const struct cof_ek_entry *entry, uint8_t at[COF_EK_ENTRY_BYTES]);
void cof_ek_entry_decode(const uint8_t at[COF_EK_ENTRY_BYTES], struct cof_ek_entry *ret_entry);
void cof_ek_aad(const struct cof_ek_entry *entry, const uint8_t vk_uuid[16],
                uint8_t aad[COF_EK_AAD_BYTES]);

/* AAD of a page: format 1 (plain volume: 0x81), kind 1, codec 1, 0, plaintext bytes 4, stored
 * bytes 4, slot 4, word 8 (page number, or level << 52 | node index), 8 zeros. */
enum cof_page_kind { COF_PAGE_DATA = 0, COF_PAGE_NODE = 2, COF_PAGE_SUMMARY = 3 };
void cof_page_aad(bool encrypted, enum cof_page_kind kind, unsigned slot, uint64_t word,
                  uint8_t aad[COF_PAGE_AAD_BYTES]);
/* AAD of a sealed list: format 1, 1, slots 2, first slot 2, flags 2, session 16, batch number 8. */
void cof_list_aad(bool encrypted, unsigned first_slot, unsigned slots, bool no_pages,
                  const uint8_t session[16], uint64_t batch_no, uint8_t aad[COF_PAGE_AAD_BYTES]);
/* HKDF info of an extent's subkey: lineage uuid 16, extent number 8 (little-endian), uuid 16. */
void cof_extent_info(const uint8_t lineage[16], uint64_t extent, const uint8_t uuid[16],
                     uint8_t info[COF_INFO_BYTES]);

#endif
