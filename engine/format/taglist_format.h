/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format/taglist_format.h - tags of a volume or snapshot: their list, and the record of the
 * catalogue that it is sealed in.
 *
 * Record COF_CATALOGUE_TAGS_PART of an entry, one to 19 blocks; there is none without tags:
 *        0   4  magic "COFT"        4   2  format (1)       6   2  flags: bit 0 encrypted
 *        8   4  list bytes         12   4  reserved
 *       16  12  nonce (plain: 0)   28   4  reserved        32  16  tag (plain: XXH3-128)
 *       48      the list, encrypted as the entry's record is; zeros to the end of the last block
 * List: tags 2, reserved 2, then each tag: key bytes 2, value bytes 2, key, value. Keys ascend as
 * strings of bytes, so none comes twice and equal tags make equal lists.
 * AAD: as that of the entry's record, with the label "coffer/tags/1" and two zeros in the place of
 * its label. The record holds the SHA-256 of the list (zeros: no tags), so an entry has no other
 * list than the one that its record was sealed with.
 *
 * A record is valid if and only if its seal opens and the list has that digest.
 */
#ifndef COF_FORMAT_TAGLIST_FORMAT_H
#define COF_FORMAT_TAGLIST_FORMAT_H

#include "format/catalogue_format.h"

#define COF_CATALOGUE_TAGS_PART 656u
#define COF_TAGS_MAX 50u
#define COF_TAG_KEY_CHARACTERS_MAX 128u
#define COF_TAG_VALUE_CHARACTERS_MAX 256u
#define COF_TAG_KEY_BYTES_MAX (4u * COF_TAG_KEY_CHARACTERS_MAX)
#define COF_TAG_VALUE_BYTES_MAX (4u * COF_TAG_VALUE_CHARACTERS_MAX)
#define COF_TAGLIST_HEADER_BYTES 48u
#define COF_TAGLIST_BYTES_MAX \
    (4u + COF_TAGS_MAX * (4u + COF_TAG_KEY_BYTES_MAX + COF_TAG_VALUE_BYTES_MAX))
#define COF_TAGLIST_BLOCKS_MAX ((COF_TAGLIST_HEADER_BYTES + COF_TAGLIST_BYTES_MAX + 4095u) / 4096u)

struct cof_taglist_header {
    bool encrypted;
    uint32_t list_bytes;
    uint8_t nonce[12], tag[16];
};

/* Not ended by NUL. */
struct cof_tag {
    const char *key, *value;
    uint16_t key_bytes, value_bytes;
};

struct cof_taglist {
    unsigned count;
    struct cof_tag tags[COF_TAGS_MAX]; /* by key */
};

void cof_taglist_header_encode(const struct cof_taglist_header *header,
                               uint8_t at[COF_TAGLIST_HEADER_BYTES]);
/* CORRUPT: it is none, or its list is longer than any can be. */
COFFER_MUST_CHECK int cof_taglist_header_decode(const uint8_t at[COF_TAGLIST_HEADER_BYTES],
                                                struct cof_taglist_header *ret_header);
void cof_taglist_aad(bool encrypted, const uint8_t volume_uuid[16], const uint8_t vk_uuid[16],
                     uint32_t generation, uint32_t number, uint8_t aad[COF_RECORD_AAD_BYTES]);

/* INVALID: a key of 1 to 128 and a value of up to 256 characters of UTF-8 (code points), none of
 * them a control character; the key does not begin with "aws:", however it is spelled. */
COFFER_MUST_CHECK int cof_tag_check(const struct cof_tag *tag);
/* In the place of the tag of that key, if there is one; else LIMIT when the list is full. */
COFFER_MUST_CHECK int cof_taglist_put(struct cof_taglist *list, const struct cof_tag *tag);
/* If there is one of that key. */
void cof_taglist_drop(struct cof_taglist *list, const char *key, size_t key_bytes);

size_t cof_taglist_bytes(const struct cof_taglist *list);
void cof_taglist_encode(const struct cof_taglist *list, uint8_t *at);
/* The tags point into bytes. CORRUPT for all that encode does not make. */
COFFER_MUST_CHECK int cof_taglist_decode(const uint8_t *bytes, size_t length,
                                         struct cof_taglist *ret_list);

#endif
