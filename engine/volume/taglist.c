/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/taglist.c - the tags of an entry: read, sealed, and written with the record that names
 * them.
 *
 * Invariants
 *  1. A list is read only as the one whose digest the entry's record has: never another's, an older
 *     one, or one where the record names none. What is left is that who has the disk drops the tags
 *     of a copy that was made without keys (docs/crypto.md).
 *  2. A list that is prepared waits in its volume (or twin) and goes into the catalogue with the
 *     record that has its digest, in one root; whoever seals that record flushes it.
 *  3. Sealing happens before anything is changed, so that what fails there leaves all as it was.
 *
 * Under the store's lock.
 */
#include "volume/store.h"

#include "base/checksum.h"
#include "format/taglist_format.h"

#include <string.h>

static uint64_t key_of(const struct cof_catalogue_item *item)
{
    return cof_catalogue_key(item->entry.number, COF_CATALOGUE_TAGS_PART);
}

static bool names_tags(const struct cof_record *record)
{
    static const uint8_t none[32];
    return memcmp(record->tags_digest, none, sizeof none) != 0;
}

/* Damaged, or not what the record names: of what is not sealed nobody can say who did it. */
static int not_the_one(const struct cof_catalogue_item *item)
{
    return item->entry.encrypted ? COFFER_E_TAMPER : COFFER_E_CORRUPT;
}

void cof_tag_bytes_done(struct cof_env *env, struct cof_tag_bytes *list)
{
    cof_free(env, list->bytes);
    list->bytes = NULL;
    list->length = 0;
}

/* ---- reading ---- */

/* Open the list behind the header, in place. */
static int unseal(const struct coffer_volume *from, const struct cof_taglist_header *header,
                  uint8_t *list)
{
    const struct cof_catalogue_item *item = from->item;
    uint8_t aad[COF_RECORD_AAD_BYTES], sum[16], digest[32];
    int err;
    cof_taglist_aad(item->entry.encrypted, cof_item_sealed_uuid(item), from->vk_uuid,
                    item->entry.generation, cof_item_sealed_number(item), aad);
    if (item->entry.encrypted) {
        err = cof_vk_open_record(from->vk, aad, sizeof aad, header->nonce, header->tag, list,
                                 header->list_bytes, list);
    } else {
        cof_checksum128(cof_record_seed(item), aad, sizeof aad, list, header->list_bytes, sum);
        err = memcmp(sum, header->tag, 16) == 0 ? 0 : COFFER_E_CORRUPT;
    }
    if (err == 0) {
        err = cof_sha256(list, header->list_bytes, digest);
    }
    if (err == 0 && memcmp(digest, from->record.tags_digest, sizeof digest) != 0) {
        err = not_the_one(item);
    }
    return err;
}

static int read_part(const struct coffer_volume *from, struct cof_tag_bytes *list)
{
    struct cof_taglist_header header;
    struct cof_taglist tags;
    unsigned blocks = 0;
    int err = cof_ptree_read(&from->store->catalogue_tree, key_of(from->item), list->bytes,
                             COF_TAGLIST_BLOCKS_MAX, &blocks);
    if (err == COFFER_E_NOT_FOUND) {
        return not_the_one(from->item);
    }
    if (err == 0 && (cof_taglist_header_decode(list->bytes, &header) != 0 ||
                     header.list_bytes > (size_t)blocks * 4096u - COF_TAGLIST_HEADER_BYTES)) {
        err = not_the_one(from->item);
    }
    if (err != 0) {
        return err;
    }
    list->length = header.list_bytes;
    memmove(list->bytes, list->bytes + COF_TAGLIST_HEADER_BYTES, list->length);
    err = unseal(from, &header, list->bytes);
    return err == 0 ? cof_taglist_decode(list->bytes, list->length, &tags) : err;
}

int cof_taglist_read(const struct coffer_volume *from, struct cof_tag_bytes *ret_list)
{
    struct cof_env *env = &from->store->env;
    struct cof_tag_bytes list = {NULL, 0};
    int err;
    if (!names_tags(&from->record) || from->item->entry.tags_left) {
        *ret_list = list;
        return 0;
    }
    list.bytes = cof_alloc(env, (size_t)COF_TAGLIST_BLOCKS_MAX * 4096u);
    err = list.bytes == NULL ? COFFER_E_NO_MEMORY : read_part(from, &list);
    if (err != 0) {
        cof_tag_bytes_done(env, &list);
        return err;
    }
    *ret_list = list;
    return 0;
}

int cof_taglist_check(const struct coffer_volume *volume)
{
    struct cof_tree_pointer pointer;
    struct cof_tag_bytes list;
    int err;
    if (names_tags(&volume->record) && !volume->item->entry.tags_left) {
        err = cof_taglist_read(volume, &list);
        if (err == 0) {
            cof_tag_bytes_done(&volume->store->env, &list);
        }
        return err;
    }
    err = cof_ptree_find(&volume->store->catalogue_tree, key_of(volume->item), &pointer);
    return err == COFFER_E_NOT_FOUND ? 0 : err != 0 ? err : not_the_one(volume->item);
}

/* ---- making lists ---- */

int cof_taglist_add(struct cof_taglist *list, const struct coffer_tag *tags, size_t count,
                    struct coffer_fault *fault)
{
    int err = 0;
    for (size_t i = 0; err == 0 && i < count; i++) {
        const char *key = tags[i].key != NULL ? tags[i].key : "";
        const char *value = tags[i].value != NULL ? tags[i].value : "";
        struct cof_tag tag = {key, value, (uint16_t)strnlen(key, COF_TAG_KEY_BYTES_MAX + 1u),
                              (uint16_t)strnlen(value, COF_TAG_VALUE_BYTES_MAX + 1u)};
        err = cof_tag_check(&tag);
        if (err != 0) {
            return cof_fault(fault, err, COFFER_STAGE_NONE,
                             "a tag's key is 1 to 128 characters of UTF-8 and does not begin with "
                             "aws:, its value up to 256; \"%.40s\" is none",
                             key);
        }
        err = cof_taglist_put(list, &tag);
    }
    return err == 0 ? 0
                    : cof_fault(fault, err, COFFER_STAGE_NONE,
                                "a volume or snapshot has at most %u tags", COF_TAGS_MAX);
}

int cof_taglist_pack(struct cof_env *env, const struct cof_taglist *list,
                     struct cof_tag_bytes *ret_list)
{
    struct cof_tag_bytes bytes = {NULL, 0};
    if (list->count > 0) {
        bytes.length = cof_taglist_bytes(list);
        bytes.bytes = cof_alloc(env, bytes.length);
        if (bytes.bytes == NULL) {
            return COFFER_E_NO_MEMORY;
        }
        cof_taglist_encode(list, bytes.bytes);
    }
    *ret_list = bytes;
    return 0;
}

int cof_taglist_unpack(const struct cof_tag_bytes *bytes, struct cof_taglist *ret_list)
{
    if (bytes->length == 0) {
        ret_list->count = 0;
        return 0;
    }
    return cof_taglist_decode(bytes->bytes, bytes->length, ret_list);
}

int cof_taglist_gather(struct coffer_store *store, const struct coffer_volume *from,
                       const struct cof_tag_choice *choice, struct cof_tag_bytes *ret_list,
                       struct coffer_fault *fault)
{
    struct cof_tag_bytes inherited = {NULL, 0};
    struct cof_taglist list = {.count = 0};
    int err = choice->inherit ? cof_lease_check(from, fault) : 0;
    if (err != 0) {
        return err;
    }
    err = choice->inherit ? cof_taglist_read(from, &inherited) : 0;
    if (err == 0) {
        err = cof_taglist_unpack(&inherited, &list);
    }
    if (err != 0) {
        cof_fault(fault, err, COFFER_STAGE_ROOT,
                  "the tags do not read: %s; removing all of them makes an end of it",
                  coffer_error_sentence(err));
    } else {
        err = cof_taglist_add(&list, choice->tags, choice->count, fault);
    }
    if (err == 0) {
        err = cof_taglist_pack(&store->env, &list, ret_list);
    }
    if (from != NULL) {
        cof_tag_bytes_done(&from->store->env, &inherited);
    }
    return err;
}

/* ---- sealing and writing ---- */

/* Into the part behind its header. */
static int seal(const struct coffer_volume *to, const struct coffer_volume *sealer, uint8_t *part,
                const struct cof_tag_bytes *list)
{
    const struct cof_volume_entry *entry = &to->item->entry;
    struct cof_taglist_header header = {.encrypted = entry->encrypted,
                                        .list_bytes = (uint32_t)list->length};
    uint8_t aad[COF_RECORD_AAD_BYTES], *at = part + COF_TAGLIST_HEADER_BYTES;
    int err = 0;
    cof_taglist_aad(entry->encrypted, entry->uuid, sealer->vk_uuid, sealer->generation,
                    entry->number, aad);
    if (entry->encrypted) {
        err = cof_vk_seal_record(sealer->vk, aad, sizeof aad, list->bytes, list->length, at,
                                 header.nonce, header.tag);
    } else {
        memcpy(at, list->bytes, list->length);
        cof_checksum128(cof_plain_seed(entry->uuid, entry->number, entry->uuid), aad, sizeof aad,
                        at, list->length, header.tag);
    }
    cof_taglist_header_encode(&header, part);
    return err;
}

static void put_part(struct coffer_volume *to, uint8_t *bytes, unsigned blocks)
{
    cof_taglist_done(to);
    to->tag_part.bytes = bytes;
    to->tag_part.blocks = blocks;
    to->tag_part.due = true;
}

int cof_taglist_prepare(struct coffer_volume *to, const struct coffer_volume *sealer,
                        const struct cof_tag_bytes *list)
{
    unsigned blocks = (unsigned)((COF_TAGLIST_HEADER_BYTES + list->length + 4095u) / 4096u);
    uint8_t digest[32] = {0}, *part;
    int err;
    if (list->length == 0) {
        if (names_tags(&to->record)) {
            put_part(to, NULL, 0);
            memset(to->record.tags_digest, 0, sizeof to->record.tags_digest);
        }
        return 0;
    }
    part = cof_calloc(&to->store->env, blocks, 4096u);
    err = part == NULL ? COFFER_E_NO_MEMORY : cof_sha256(list->bytes, list->length, digest);
    if (err == 0) {
        err = seal(to, sealer, part, list);
    }
    if (err != 0) {
        cof_free(&to->store->env, part);
        return err;
    }
    memcpy(to->record.tags_digest, digest, sizeof digest);
    to->record.key_uses += to->encrypted ? 1u : 0u;
    put_part(to, part, blocks);
    return 0;
}

int cof_taglist_begin(struct coffer_volume *to, const struct coffer_volume *sealer,
                      const struct coffer_volume *from, const struct cof_tag_choice *choice,
                      struct coffer_fault *fault)
{
    struct cof_tag_bytes list;
    int err = cof_taglist_gather(to->store, from, choice, &list, fault);
    if (err != 0) {
        return err;
    }
    memset(to->record.tags_digest, 0, sizeof to->record.tags_digest);
    err = cof_taglist_prepare(to, sealer, &list);
    cof_tag_bytes_done(&to->store->env, &list);
    return err;
}

int cof_taglist_carry(struct coffer_store *source, const struct cof_catalogue_item *from,
                      struct coffer_volume *to, bool wanted)
{
    struct cof_tree_pointer pointer;
    unsigned blocks;
    uint8_t *part;
    int err = cof_ptree_find(&source->catalogue_tree, key_of(from), &pointer);
    to->item->entry.tags_left = from->entry.tags_left || (err == 0 && !wanted);
    if (err != 0 || !wanted || from->entry.tags_left) {
        return err == COFFER_E_NOT_FOUND ? 0 : err;
    }
    part = cof_alloc(&to->store->env, (size_t)COF_TAGLIST_BLOCKS_MAX * 4096u);
    if (part == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    err = cof_ptree_read(&source->catalogue_tree, key_of(from), part, COF_TAGLIST_BLOCKS_MAX,
                         &blocks);
    if (err != 0) {
        cof_free(&to->store->env, part);
        return err;
    }
    put_part(to, part, blocks);
    return 0;
}

int cof_taglist_flush(struct coffer_volume *volume, const struct cof_raw_writer *writer)
{
    struct coffer_store *store = volume->store;
    int err;
    if (!volume->tag_part.due) {
        return 0;
    }
    err = cof_ptree_write(&store->catalogue_tree, writer, key_of(volume->item),
                          volume->tag_part.bytes, volume->tag_part.blocks);
    if (err == 0) {
        store->root.incompat |= COF_INCOMPAT_TAGS;
        cof_taglist_done(volume);
    }
    return err;
}

void cof_taglist_done(struct coffer_volume *volume)
{
    cof_free(&volume->store->env, volume->tag_part.bytes);
    memset(&volume->tag_part, 0, sizeof volume->tag_part);
}
