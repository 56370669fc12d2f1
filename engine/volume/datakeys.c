/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/datakeys.c - a volume's data keys.
 *
 * A data key encrypts only in the process that drew it. Its entry says for which extents it is,
 * authenticated by its wrap under the volume key: so a reader finds the key from the address alone,
 * and an extent of a fork of this store, which has another key, opens nowhere here.
 *
 * Invariants
 *  1. Ranges of used keys never overlap, but for a key that leaves and its successors: those are
 *     closed. The active key's range is open at its end.
 *  2. Nothing is sealed under a key that the durable root does not list: cof_keys_renew draws,
 *     and the caller makes the root durable before eks_ready is set; a spare is taken only once a
 *     root that lists it is.
 */
#include "base/testhook.h"
#include "volume/store.h"

#include <string.h>

#ifdef COF_TEST_HOOKS
uint64_t cof_test_data_key_bytes = 0;
#endif

static uint64_t data_key_budget(void)
{
#ifdef COF_TEST_HOOKS
    if (cof_test_data_key_bytes != 0) {
        return cof_test_data_key_bytes;
    }
#endif
    return COF_DATA_KEY_BYTES_MAX;
}

bool cof_ek_turn_is(const struct coffer_volume *volume, const struct cof_ek_entry *entry,
                    uint32_t turn)
{
    return volume->item->entry.reencrypt != 0 && entry->turn == turn;
}

/* While keys leave, neither they nor their successors go for want of extents: extents come to these
 * until reencrypt_list.c says that it is over. */
static bool is_succession(const struct coffer_volume *volume)
{
    for (unsigned i = 0; i < volume->ek_count; i++) {
        if (cof_ek_turn_is(volume, &volume->eks[i].entry, COF_EK_LEAVING)) {
            return true;
        }
    }
    return false;
}

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

int cof_keys_reserve(struct coffer_volume *volume, unsigned more)
{
    unsigned need = volume->ek_count + more;
    unsigned capacity = volume->ek_capacity * 2u > need ? volume->ek_capacity * 2u : need;
    struct cof_ek *eks;
    if (need > COF_EK_PER_PART * COF_EK_PARTS_MAX) {
        return COFFER_E_LIMIT;
    }
    if (need <= volume->ek_capacity) {
        return 0;
    }
    capacity = capacity < 8u ? 8u : capacity;
    eks = cof_calloc(&volume->store->env, capacity, sizeof *eks);
    if (eks == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    if (volume->ek_count > 0) {
        memcpy(eks, volume->eks, volume->ek_count * sizeof *eks);
    }
    cof_free(&volume->store->env, volume->eks);
    volume->eks = eks;
    volume->ek_capacity = capacity;
    return 0;
}

static int append_ek(struct coffer_volume *volume, const struct cof_ek *ek)
{
    int err = cof_keys_reserve(volume, 1);
    if (err == 0) {
        volume->eks[volume->ek_count++] = *ek;
    }
    return err;
}

/* The digest covers the entry's lineage and index: so it says which lineage an index is, whatever
 * the keyless table has. */
static bool lineage_fits(const struct coffer_volume *volume, const struct cof_ek_entry *entry)
{
    const uint8_t *uuid =
        cof_lineage_uuid(volume->store, cof_item_lineage(volume->item, entry->index));
    return uuid != NULL && memcmp(uuid, entry->lineage, 16) == 0;
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
        err = lineage_fits(volume, &ek.entry) ? append_ek(volume, &ek) : COFFER_E_TAMPER;
    }
    return err;
}

int cof_keys_read(struct coffer_volume *volume, unsigned left, uint8_t ret_digest[32])
{
    struct coffer_store *store = volume->store;
    uint8_t *bytes;
    struct cof_sha256_stream *digest;
    int err = cof_sha256_begin(&store->env, &digest);
    if (err != 0) {
        return err;
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
    if (cof_sha256_end(digest, ret_digest) != 0 && err == 0) {
        err = COFFER_E_CRYPTO;
    }
    return err;
}

int cof_keys_load(struct coffer_volume *volume, struct coffer_fault *fault)
{
    uint8_t seen[32];
    int err = cof_keys_read(volume, volume->record.data_keys, seen);
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

int cof_keys_find(struct coffer_volume *volume, const struct cof_desc *desc, struct cof_ek **ret_ek)
{
    for (unsigned i = 0; i < volume->ek_count; i++) {
        struct cof_ek *ek = &volume->eks[i];
        bool spare = (ek->entry.flags & COF_EK_FLAG_SPARE) != 0;
        if (!spare && ek->entry.key_id == desc->key_id && desc->extent >= ek->entry.first_extent &&
            desc->extent <= ek->entry.last_extent &&
            cof_item_lineage(volume->item, ek->entry.index) == desc->lineage) {
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
    ek.entry.index = volume->index;
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

void cof_keys_drop(struct coffer_volume *volume, unsigned at)
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
    bool succession = is_succession(volume);
    int err = 0;
    for (unsigned i = volume->ek_count; i > 0; i--) {
        struct cof_ek *ek = &volume->eks[i - 1u];
        bool spare = (ek->entry.flags & COF_EK_FLAG_SPARE) != 0;
        bool inherited = (ek->entry.flags & COF_EK_FLAG_INHERITED) != 0;
        bool unused = ek->entry.first_extent >= first_extent || ek->entry.extents == 0;
        if ((inherited && !ek->changed) || (succession && ek->entry.turn != 0)) {
            continue;
        }
        if (spare || (unused && !inherited)) {
            cof_keys_drop(volume, i - 1u);
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
        bool kept = (other->entry.flags & (COF_EK_FLAG_SPARE | COF_EK_FLAG_INHERITED)) != 0;
        bool ends = other != ek && !kept && other->entry.last_extent >= first_extent;
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

/* One that can be taken; or also one that only the coming root lists. */
static struct cof_ek *first_spare(struct coffer_volume *volume, bool coming)
{
    for (unsigned i = 0; i < volume->ek_count; i++) {
        struct cof_ek *ek = &volume->eks[i];
        if ((ek->entry.flags & COF_EK_FLAG_SPARE) != 0 && ek->seal != NULL &&
            (coming || ek->listed)) {
            return ek;
        }
    }
    return NULL;
}

void cof_keys_listed(struct coffer_volume *volume)
{
    for (unsigned i = 0; i < volume->ek_count; i++) {
        volume->eks[i].listed = volume->eks[i].written;
    }
}

int cof_keys_active(struct coffer_volume *volume, uint64_t extent, bool metadata,
                    struct cof_ek **ret_ek)
{
    struct cof_ek *ek = &volume->eks[volume->ek_active];
    if (ek->bytes + COF_NODE_FANOUT * COF_PAGE_BYTES > data_key_budget() && ek->bytes > 0) {
        struct cof_ek *spare = first_spare(volume, false);
        if (spare != NULL) {
            int err = cof_keys_activate(volume, spare, extent);
            if (err != 0) {
                return err;
            }
            ek = spare;
        }
        /* A checkpoint lists new spares: one is due when the last was taken. Its own extents must
         * not ask for the next. */
        if (!metadata && first_spare(volume, true) == NULL) {
            volume->store->keys_wanted = true;
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
    bool succession = is_succession(volume);
    int err = 0;
    for (unsigned i = volume->ek_count; err == 0 && i > 0; i--) {
        struct cof_ek *ek = &volume->eks[i - 1u];
        bool kept = (ek->entry.flags & (COF_EK_FLAG_SPARE | COF_EK_FLAG_INHERITED)) != 0 ||
                    (succession && ek->entry.turn != 0);
        if (!kept && i - 1u != volume->ek_active && ek->entry.extents == 0) {
            cof_keys_drop(volume, i - 1u);
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
        struct cof_ek *ek = &volume->eks[part * COF_EK_PER_PART + i];
        ek->written = true;
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

/* ---- deep re-encryption ---- */

void cof_keys_append(struct coffer_volume *volume, const struct cof_ek *ek)
{
    volume->eks[volume->ek_count++] = *ek;
    volume->eks_dirty = true;
}

int cof_keys_succeed(struct coffer_volume *volume, const struct cof_ek_entry *leaving,
                     struct cof_ek_seal *successor, uint32_t key_id, struct cof_ek *ret_ek)
{
    struct cof_ek ek;
    int err;
    memset(&ek, 0, sizeof ek);
    ek.entry = *leaving;
    ek.entry.key_id = key_id;
    ek.entry.flags &= COF_EK_FLAG_INHERITED;
    ek.entry.turn = COF_EK_SUCCESSOR;
    ek.entry.extents = 0;
    ek.seal = successor;
    err = wrap_ek(volume, &ek);
    ek.seal = NULL;
    if (err == 0) {
        *ret_ek = ek;
    }
    return err;
}

int cof_keys_unwrap(struct coffer_volume *volume, const struct cof_ek *ek,
                    struct cof_ek_open **ret_open)
{
    struct cof_ek copy = *ek;
    int err;
    copy.open = NULL;
    err = unwrap_ek(volume, &copy);
    if (err == 0) {
        *ret_open = copy.open;
    }
    return err;
}

/* ---- snapshots and clones ---- */

int cof_keys_add(struct coffer_volume *volume, const struct cof_ek_entry *entry)
{
    struct cof_ek ek;
    memset(&ek, 0, sizeof ek);
    ek.entry = *entry;
    return append_ek(volume, &ek);
}

int cof_keys_cut(struct coffer_volume *volume, uint64_t last_extent)
{
    struct cof_ek *spare = volume->encrypted ? first_spare(volume, false) : NULL;
    volume->store->keys_wanted = volume->store->keys_wanted || volume->encrypted;
    return spare != NULL ? cof_keys_activate(volume, spare, last_extent + 1u) : 0;
}

int cof_keys_share(struct coffer_volume *volume, struct coffer_volume *twin, uint64_t last_extent)
{
    int err = 0;
    for (unsigned i = 0; err == 0 && i < volume->ek_count; i++) {
        struct cof_ek *ek = &volume->eks[i], copy;
        bool own = ek->entry.index == volume->index;
        if ((ek->entry.flags & COF_EK_FLAG_SPARE) != 0 ||
            (own && ek->entry.first_extent > last_extent)) {
            continue;
        }
        memset(&copy, 0, sizeof copy);
        copy.entry = ek->entry;
        if (own && copy.entry.last_extent > last_extent) { /* no spare was left to end its range */
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

int cof_keys_rewrap(struct coffer_volume *from, struct coffer_volume *to, uint32_t flags)
{
    int err = 0;
    for (unsigned i = 0; err == 0 && i < from->ek_count; i++) {
        struct cof_ek *ek = &from->eks[i], copy;
        err = ek->seal != NULL ? 0 : cof_keys_opened(from, ek);
        if (err != 0) {
            break;
        }
        memset(&copy, 0, sizeof copy);
        copy.entry = ek->entry;
        copy.entry.flags |= flags;
        copy.entry.extents -= ek->young < copy.entry.extents ? ek->young : copy.entry.extents;
        copy.seal = ek->seal;
        copy.open = ek->seal != NULL ? NULL : ek->open;
        err = wrap_ek(to, &copy);
        copy.seal = NULL;
        copy.open = NULL;
        if (err == 0) {
            err = append_ek(to, &copy);
        }
    }
    return err;
}
