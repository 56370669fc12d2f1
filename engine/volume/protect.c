/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/protect.c - pages and lists, sealed in an encrypted volume, checksummed in a plain one.
 *
 * The volume decides which, never a descriptor, a header or a byte of the page: an encrypted
 * volume has no path to the checksum branch and a plain one none to the keys. Aead contexts belong
 * to the calling thread; openers are looked up under the store's lock and counted, so that they
 * may be used outside it.
 */
#include "volume/store.h"

#include "base/checksum.h"
#include "format/endian.h"

#include <string.h>

#define NONCE_KIND_PAGE 0u
#define NONCE_KIND_LIST 1u
#define OPENER_HASH 1024u

uint64_t cof_plain_seed(const uint8_t lineage[16], uint64_t extent, const uint8_t uuid[16])
{
    uint8_t info[COF_INFO_BYTES];
    cof_extent_info(lineage, extent, uuid, info);
    return cof_checksum64(info, sizeof info);
}

int cof_protect_page(struct cof_aead *aead, const struct cof_extent *extent,
                     enum cof_page_kind kind, unsigned slot, uint64_t word, const uint8_t *in,
                     uint8_t *out, uint8_t ret_entry[COF_ENTRY_BYTES])
{
    uint8_t aad[COF_PAGE_AAD_BYTES];
    bool encrypted = extent->volume->encrypted;
    int err = 0;
    cof_page_aad(encrypted, kind, slot, word, aad);
    if (encrypted) {
        err = cof_page_seal(aead, extent->subkey, NONCE_KIND_PAGE, slot, aad, in, COF_PAGE_BYTES,
                            out, ret_entry);
    } else {
        err = cof_arena_usable(extent->volume->store->arena); /* two processes, and one log */
        memcpy(out, in, COF_PAGE_BYTES);
        cof_checksum128(extent->seed, aad, sizeof aad, out, COF_PAGE_BYTES, ret_entry);
    }
    if (err == 0) {
        cof_le64_put(ret_entry + 16, cof_checksum64(out, COF_PAGE_BYTES));
    }
    return err;
}

int cof_unprotect_page(struct cof_aead *aead, const struct cof_opener *opener,
                       enum cof_page_kind kind, unsigned slot, uint64_t word, const uint8_t *in,
                       uint8_t *page, const uint8_t entry[COF_ENTRY_BYTES])
{
    uint8_t aad[COF_PAGE_AAD_BYTES], sum[16];
    bool in_place = in == page;
    uint64_t seen = 0;
    int err;
    cof_page_aad(opener->encrypted, kind, slot, word, aad);
    if (!opener->encrypted) {
        cof_checksum128(opener->seed, aad, sizeof aad, in, COF_PAGE_BYTES, sum);
        if (memcmp(sum, entry, 16) == 0) {
            if (!in_place) {
                memcpy(page, in, COF_PAGE_BYTES);
            }
            return 0;
        }
        memset(page, 0, COF_PAGE_BYTES);
        return COFFER_E_CORRUPT;
    }
    /* The checksum tells damage from tampering, and only matters when the tag fails; but what is
     * opened in place is gone then, so it has to be taken first. */
    if (in_place) {
        seen = cof_checksum64(in, COF_PAGE_BYTES);
    }
    err = cof_page_open(aead, opener->subkey, NONCE_KIND_PAGE, slot, aad, in, COF_PAGE_BYTES, entry,
                        page);
    if (err == COFFER_E_TAMPER && !in_place) {
        seen = cof_checksum64(in, COF_PAGE_BYTES);
    }
    if (err == COFFER_E_TAMPER && seen != cof_le64_get(entry + 16)) {
        err = COFFER_E_CORRUPT;
    }
    if (err != 0) {
        memset(page, 0, COF_PAGE_BYTES);
    }
    return err;
}

int cof_protect_list(struct cof_aead *aead, const struct cof_extent *extent,
                     const struct cof_run *run, const uint8_t session[16], uint64_t batch_no,
                     uint8_t *list, size_t bytes, uint8_t ret_tag[16])
{
    uint8_t aad[COF_PAGE_AAD_BYTES];
    bool encrypted = extent->volume->encrypted;
    cof_list_aad(encrypted, run->first_slot, run->slots, run->no_pages, session, batch_no, aad);
    if (encrypted) {
        return cof_page_seal(aead, extent->subkey, NONCE_KIND_LIST, run->first_slot, aad, list,
                             bytes, list, ret_tag);
    }
    cof_checksum128(extent->seed, aad, sizeof aad, list, bytes, ret_tag);
    return 0;
}

int cof_unprotect_list(struct cof_aead *aead, const struct cof_opener *opener,
                       const struct cof_run *run, const uint8_t session[16], uint64_t batch_no,
                       uint8_t *list, size_t bytes)
{
    uint8_t aad[COF_PAGE_AAD_BYTES], sum[16];
    cof_list_aad(opener->encrypted, run->first_slot, run->slots, run->no_pages, session, batch_no,
                 aad);
    if (opener->encrypted) {
        return cof_page_open(aead, opener->subkey, NONCE_KIND_LIST, run->first_slot, aad, list,
                             bytes, run->tag, list);
    }
    cof_checksum128(opener->seed, aad, sizeof aad, list, bytes, sum);
    return memcmp(sum, run->tag, 16) == 0 ? 0 : COFFER_E_CORRUPT;
}

int cof_reprotect_page(struct cof_aead *aead, struct cof_binding *binding,
                       const struct cof_subkey_open *from, const struct cof_subkey_seal *to,
                       enum cof_page_kind kind, unsigned slot, uint8_t *page,
                       uint8_t entry[COF_ENTRY_BYTES])
{
    static const uint8_t zeros[8];
    uint8_t aad[COF_PAGE_AAD_BYTES], tag[16];
    uint64_t seen = cof_checksum64(page, COF_PAGE_BYTES);
    int err;
    cof_page_aad(true, kind, slot, 0, aad);
    err = cof_binding_find(binding, NONCE_KIND_PAGE, slot, aad, page, entry);
    if (err == 0 && memcmp(aad + COF_PAGE_AAD_BYTES - 8u, zeros, 8) != 0) {
        err = COFFER_E_TAMPER; /* sealed pages have nothing behind their word */
    }
    if (err == 0) {
        err = cof_page_open(aead, from, NONCE_KIND_PAGE, slot, aad, page, COF_PAGE_BYTES, entry,
                            page);
    }
    if (err == COFFER_E_TAMPER && seen != cof_le64_get(entry + 16)) {
        err = COFFER_E_CORRUPT;
    }
    if (err == 0) {
        err = cof_page_seal(aead, to, NONCE_KIND_PAGE, slot, aad, page, COF_PAGE_BYTES, page, tag);
    }
    if (err != 0) {
        memset(page, 0, COF_PAGE_BYTES);
        return err;
    }
    memcpy(entry, tag, sizeof tag);
    cof_le64_put(entry + 16, cof_checksum64(page, COF_PAGE_BYTES));
    return 0;
}

/* ---- openers ---- */

static struct cof_opener **opener_head(struct coffer_store *store, uint32_t volume, uint64_t extent)
{
    uint64_t h = (extent * 31u + volume) * UINT64_C(0x9e3779b97f4a7c15);
    return &store->openers[(h >> 40) % OPENER_HASH];
}

static void opener_unlink(struct coffer_store *store, struct cof_opener *opener)
{
    struct cof_opener **at = opener_head(store, opener->volume, opener->extent);
    while (*at != opener) {
        at = &(*at)->hash_next;
    }
    *at = opener->hash_next;
    *(opener->newer != NULL ? &opener->newer->older : &store->opener_newest) = opener->older;
    *(opener->older != NULL ? &opener->older->newer : &store->opener_oldest) = opener->newer;
    store->opener_count--;
    cof_subkey_open_free(opener->subkey);
    cof_free(&store->env, opener);
}

static void opener_front(struct coffer_store *store, struct cof_opener *opener)
{
    opener->newer = NULL;
    opener->older = store->opener_newest;
    *(store->opener_newest != NULL ? &store->opener_newest->newer : &store->opener_oldest) = opener;
    store->opener_newest = opener;
}

/* Make room for one more, dropping the oldest that nobody uses. */
static void opener_trim(struct coffer_store *store)
{
    struct cof_opener *opener = store->opener_oldest;
    while (opener != NULL && store->opener_count >= store->opener_max) {
        struct cof_opener *newer = opener->newer;
        if (opener->refs == 0) {
            opener_unlink(store, opener);
        }
        opener = newer;
    }
}

void cof_openers_forget(struct coffer_store *store, uint32_t volume)
{
    struct cof_opener *opener = store->opener_oldest;
    while (opener != NULL) {
        struct cof_opener *newer = opener->newer;
        if (opener->volume == volume || volume == 0) {
            opener_unlink(store, opener);
        }
        opener = newer;
    }
}

void cof_openers_idle(struct coffer_store *store)
{
    struct cof_opener *opener = store->opener_oldest;
    while (opener != NULL) {
        struct cof_opener *newer = opener->newer;
        if (opener->refs == 0) {
            opener_unlink(store, opener);
        }
        opener = newer;
    }
}

void cof_opener_put(struct coffer_store *store, struct cof_opener *opener)
{
    (void)store;
    opener->refs--;
}

static int opener_make(struct coffer_volume *volume, const struct cof_desc *desc,
                       struct cof_opener *opener)
{
    uint8_t info[COF_INFO_BYTES];
    struct cof_ek *ek;
    int err;
    const uint8_t *lineage = cof_lineage_uuid(volume->store, desc->lineage);
    if (lineage == NULL) {
        return COFFER_E_CORRUPT;
    }
    opener->volume = volume->number;
    opener->lineage = desc->lineage;
    opener->extent = desc->extent;
    opener->encrypted = volume->encrypted;
    memcpy(opener->uuid, desc->uuid, 16);
    if (!volume->encrypted) {
        opener->seed = cof_plain_seed(lineage, desc->extent, desc->uuid);
        return 0;
    }
    err = cof_keys_find(volume, desc, &ek);
    if (err == 0 && ek->seal == NULL) {
        err = cof_keys_opened(volume, ek);
    }
    if (err != 0) {
        return err;
    }
    cof_extent_info(ek->entry.lineage, desc->extent, desc->uuid, info);
    return cof_subkey_open_new(ek->seal, ek->seal != NULL ? NULL : ek->open, info, &opener->subkey);
}

int cof_opener_get(struct coffer_volume *volume, const struct cof_desc *desc,
                   struct cof_opener **ret_opener)
{
    struct coffer_store *store = volume->store;
    struct cof_opener **head = opener_head(store, volume->number, desc->extent);
    struct cof_opener *opener = *head;
    int err;
    while (opener != NULL &&
           (opener->volume != volume->number || opener->extent != desc->extent ||
            opener->lineage != desc->lineage || memcmp(opener->uuid, desc->uuid, 16) != 0)) {
        opener = opener->hash_next;
    }
    if (opener != NULL) {
        opener->refs++;
        *ret_opener = opener;
        return 0;
    }
    opener_trim(store);
    opener = cof_calloc(&store->env, 1, sizeof *opener);
    if (opener == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    err = opener_make(volume, desc, opener);
    if (err != 0) {
        cof_free(&store->env, opener);
        return err;
    }
    opener->hash_next = *head;
    *head = opener;
    opener_front(store, opener);
    store->opener_count++;
    opener->refs = 1;
    *ret_opener = opener;
    return 0;
}
