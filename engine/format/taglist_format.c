/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format/taglist_format.c - bytes of tag lists and of the records that they are sealed in; what a
 * tag may be. Pure functions.
 */
#include "format/taglist_format.h"

#include "format/endian.h"

#include <string.h>

#define MAGIC "COFT"
#define LABEL "coffer/tags/1\0\0" /* as long as the record's */
#define LABEL_BYTES 15u
#define LIST_HEAD_BYTES 4u
#define TAG_HEAD_BYTES 4u

void cof_taglist_header_encode(const struct cof_taglist_header *header,
                               uint8_t at[COF_TAGLIST_HEADER_BYTES])
{
    memset(at, 0, COF_TAGLIST_HEADER_BYTES);
    memcpy(at, MAGIC, 4);
    cof_le16_put(at + 4, 1);
    cof_le16_put(at + 6, header->encrypted ? 1u : 0u);
    cof_le32_put(at + 8, header->list_bytes);
    memcpy(at + 16, header->nonce, 12);
    memcpy(at + 32, header->tag, 16);
}

int cof_taglist_header_decode(const uint8_t at[COF_TAGLIST_HEADER_BYTES],
                              struct cof_taglist_header *ret_header)
{
    struct cof_taglist_header header;
    if (memcmp(at, MAGIC, 4) != 0 || cof_le16_get(at + 4) != 1) {
        return COFFER_E_CORRUPT;
    }
    header.encrypted = (cof_le16_get(at + 6) & 1u) != 0;
    header.list_bytes = cof_le32_get(at + 8);
    memcpy(header.nonce, at + 16, 12);
    memcpy(header.tag, at + 32, 16);
    if (header.list_bytes < LIST_HEAD_BYTES || header.list_bytes > COF_TAGLIST_BYTES_MAX) {
        return COFFER_E_CORRUPT;
    }
    *ret_header = header;
    return 0;
}

void cof_taglist_aad(bool encrypted, const uint8_t volume_uuid[16], const uint8_t vk_uuid[16],
                     uint32_t generation, uint32_t number, uint8_t aad[COF_RECORD_AAD_BYTES])
{
    cof_record_aad(encrypted, volume_uuid, vk_uuid, generation, number, aad);
    memcpy(aad, LABEL, LABEL_BYTES);
}

/* ---- what a tag may be ---- */

/* One character: its length in bytes, and which; 0: it is none (RFC 3629: the shortest form, no
 * surrogate, at most U+10FFFF). */
static size_t character_at(const char *text, size_t left, uint32_t *ret_code)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t first = (uint8_t)text[0];
    size_t length = first < 0x80u   ? 1u
                    : first < 0xc0u ? 0u
                    : first < 0xe0u ? 2u
                    : first < 0xf0u ? 3u
                    : first < 0xf8u ? 4u
                                    : 0u;
    uint32_t code = length == 1u ? first : first & (0x7fu >> length);
    if (length == 0 || length > left) {
        return 0;
    }
    for (size_t i = 1; i < length; i++) {
        uint8_t next = (uint8_t)text[i];
        if ((next & 0xc0u) != 0x80u) {
            return 0;
        }
        code = code << 6 | (next & 0x3fu);
    }
    if (code < least[length] || (code >= 0xd800u && code < 0xe000u) || code > 0x10ffffu) {
        return 0;
    }
    *ret_code = code;
    return length;
}

static bool is_text(const char *text, size_t bytes, unsigned characters_max)
{
    unsigned characters = 0;
    for (size_t at = 0; at < bytes; characters++) {
        uint32_t code;
        size_t length = character_at(text + at, bytes - at, &code);
        if (length == 0 || code < 0x20u || (code >= 0x7fu && code < 0xa0u) ||
            characters == characters_max) {
            return false;
        }
        at += length;
    }
    return true;
}

static bool is_reserved(const char *key, size_t bytes)
{
    static const char reserved[] = "aws:";
    for (size_t i = 0; i < sizeof reserved - 1u; i++) {
        char c = i < bytes ? key[i] : '\0';
        if ((c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c) != reserved[i]) {
            return false;
        }
    }
    return true;
}

int cof_tag_check(const struct cof_tag *tag)
{
    bool good = tag->key_bytes > 0 && !is_reserved(tag->key, tag->key_bytes) &&
                is_text(tag->key, tag->key_bytes, COF_TAG_KEY_CHARACTERS_MAX) &&
                is_text(tag->value, tag->value_bytes, COF_TAG_VALUE_CHARACTERS_MAX);
    return good ? 0 : COFFER_E_INVALID;
}

/* ---- lists ---- */

static int compare(const struct cof_tag *tag, const char *key, size_t key_bytes)
{
    size_t common = tag->key_bytes < key_bytes ? tag->key_bytes : key_bytes;
    int order = memcmp(tag->key, key, common);
    return order != 0 ? order : (tag->key_bytes > key_bytes) - (tag->key_bytes < key_bytes);
}

/* Where a tag of that key is, or would be. */
static unsigned place_of(const struct cof_taglist *list, const char *key, size_t key_bytes,
                         bool *ret_found)
{
    unsigned at = 0;
    while (at < list->count && compare(&list->tags[at], key, key_bytes) < 0) {
        at++;
    }
    *ret_found = at < list->count && compare(&list->tags[at], key, key_bytes) == 0;
    return at;
}

int cof_taglist_put(struct cof_taglist *list, const struct cof_tag *tag)
{
    bool found;
    unsigned at = place_of(list, tag->key, tag->key_bytes, &found);
    if (!found) {
        if (list->count == COF_TAGS_MAX) {
            return COFFER_E_LIMIT;
        }
        memmove(&list->tags[at + 1u], &list->tags[at], (list->count - at) * sizeof list->tags[0]);
        list->count++;
    }
    list->tags[at] = *tag;
    return 0;
}

void cof_taglist_drop(struct cof_taglist *list, const char *key, size_t key_bytes)
{
    bool found;
    unsigned at = place_of(list, key, key_bytes, &found);
    if (found) {
        list->count--;
        memmove(&list->tags[at], &list->tags[at + 1u], (list->count - at) * sizeof list->tags[0]);
    }
}

size_t cof_taglist_bytes(const struct cof_taglist *list)
{
    size_t bytes = LIST_HEAD_BYTES;
    for (unsigned i = 0; i < list->count; i++) {
        bytes += TAG_HEAD_BYTES + list->tags[i].key_bytes + (size_t)list->tags[i].value_bytes;
    }
    return bytes;
}

void cof_taglist_encode(const struct cof_taglist *list, uint8_t *at)
{
    cof_le16_put(at, (uint16_t)list->count);
    cof_le16_put(at + 2, 0);
    at += LIST_HEAD_BYTES;
    for (unsigned i = 0; i < list->count; i++) {
        const struct cof_tag *tag = &list->tags[i];
        cof_le16_put(at, tag->key_bytes);
        cof_le16_put(at + 2, tag->value_bytes);
        memcpy(at + TAG_HEAD_BYTES, tag->key, tag->key_bytes);
        memcpy(at + TAG_HEAD_BYTES + tag->key_bytes, tag->value, tag->value_bytes);
        at += TAG_HEAD_BYTES + tag->key_bytes + (size_t)tag->value_bytes;
    }
}

int cof_taglist_decode(const uint8_t *bytes, size_t length, struct cof_taglist *ret_list)
{
    struct cof_taglist list = {.count = 0};
    size_t at = LIST_HEAD_BYTES;
    if (length < LIST_HEAD_BYTES || cof_le16_get(bytes) == 0 ||
        cof_le16_get(bytes) > COF_TAGS_MAX) {
        return COFFER_E_CORRUPT;
    }
    for (; list.count < cof_le16_get(bytes); list.count++) {
        struct cof_tag *tag = &list.tags[list.count];
        if (length - at < TAG_HEAD_BYTES) {
            return COFFER_E_CORRUPT;
        }
        tag->key_bytes = cof_le16_get(bytes + at);
        tag->value_bytes = cof_le16_get(bytes + at + 2);
        at += TAG_HEAD_BYTES;
        if (length - at < (size_t)tag->key_bytes + tag->value_bytes) {
            return COFFER_E_CORRUPT;
        }
        tag->key = (const char *)bytes + at;
        tag->value = tag->key + tag->key_bytes;
        at += (size_t)tag->key_bytes + tag->value_bytes;
        if (cof_tag_check(tag) != 0 ||
            (list.count > 0 && compare(&tag[-1], tag->key, tag->key_bytes) >= 0)) {
            return COFFER_E_CORRUPT;
        }
    }
    if (at != length) {
        return COFFER_E_CORRUPT;
    }
    *ret_list = list;
    return 0;
}
