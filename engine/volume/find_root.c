/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/find_root.c - the newest valid root of a device, whatever its segment size.
 *
 * The root slots hold copies of the last roots; the one with the highest epoch whose checksum is
 * right counts. A store that is too new, or of which no root is left, says so. Nothing is written.
 * Single thread, at open.
 */
#include "volume/store.h"

#include "format/endian.h"

#include <string.h>

struct roots {
    struct cof_root best;
    bool found, too_new, damaged;
    struct cof_root newer;
};

static void consider(struct coffer_store *store, struct roots *roots, unsigned slot,
                     const uint8_t block[4096])
{
    struct cof_root root;
    int err = cof_root_decode(block, &root);
    if (err != COFFER_E_NOT_A_STORE) {
        store->slot_epochs[slot] = cof_le64_get(block + 8);
    }
    if (err == COFFER_E_TOO_NEW) {
        roots->too_new = true;
        roots->newer = root;
    } else if (err == COFFER_E_CORRUPT) {
        roots->damaged = true;
    } else if (err == 0 && (!roots->found || root.epoch > roots->best.epoch)) {
        roots->best = root;
        roots->found = true;
    }
}

static int read_slots(struct coffer_store *store, struct roots *roots, unsigned first,
                      unsigned last)
{
    int failed = 0;
    for (unsigned slot = first; slot <= last; slot++) {
        uint8_t block[4096];
        int err = cof_sync_io_root_read(&store->io, slot, block);
        if (err == 0) {
            consider(store, roots, slot, block);
        } else {
            failed = err;
        }
    }
    return failed;
}

/* Slots 2 and 3 lie in segments 32 and 63, whose places depend on the segment size. */
static int probe_sizes(struct coffer_store *store, struct roots *roots)
{
    int failed = 0;
    for (uint32_t bytes = COF_SEGMENT_BYTES_MIN; bytes <= COF_SEGMENT_BYTES_MAX && !roots->found;
         bytes *= 2u) {
        if (store->dev->ops->set_segment_bytes(store->dev, bytes) == 0) {
            failed = read_slots(store, roots, 2, 3);
            if (roots->found && roots->best.segment_bytes != bytes) {
                roots->found = false;
            }
        }
    }
    return failed;
}

static int no_root(const struct roots *roots, int read_error, struct coffer_fault *fault)
{
    if (roots->too_new) {
        return cof_fault(fault, COFFER_E_TOO_NEW, COFFER_STAGE_ROOT,
                         "the store has format %u.%u; this program knows %u.%u: use a newer one",
                         roots->newer.major, roots->newer.minor, COF_FORMAT_MAJOR,
                         COF_FORMAT_MINOR);
    }
    if (roots->damaged) {
        return cof_fault(fault, COFFER_E_CORRUPT, COFFER_STAGE_ROOT,
                         "no copy of the root is whole: restore the store from a copy");
    }
    if (read_error != 0 && read_error != COFFER_E_TRUNCATED) {
        return cof_fault(fault, read_error, COFFER_STAGE_IO, "the root can't be read: %s",
                         coffer_error_sentence(read_error));
    }
    return cof_fault(fault, COFFER_E_NOT_A_STORE, COFFER_STAGE_ROOT, "this is not a Coffer store");
}

int cof_store_find_root(struct coffer_store *store, struct coffer_fault *fault)
{
    struct roots roots;
    int read_error, second, err;
    memset(&roots, 0, sizeof roots);
    read_error = read_slots(store, &roots, 0, 1);
    if (!roots.found && !roots.too_new) {
        second = probe_sizes(store, &roots);
        read_error = read_error != 0 ? read_error : second;
    }
    if (!roots.found) {
        return no_root(&roots, read_error, fault);
    }
    err = store->dev->ops->set_segment_bytes(store->dev, roots.best.segment_bytes);
    if (err != 0) {
        return cof_fault(fault, err, COFFER_STAGE_ROOT, "the device refuses the segment size");
    }
    second = read_slots(store, &roots, 2, 3);
    read_error = read_error != 0 ? read_error : second;
    if (read_error != 0 && !store->read_only) {
        return cof_fault(fault, read_error, COFFER_STAGE_IO,
                         "a copy of the root can't be read, so none can be written: open the store "
                         "for reading only and copy it");
    }
    if (roots.too_new && roots.newer.epoch > roots.best.epoch) {
        return no_root(&roots, 0, fault);
    }
    store->root = roots.best;
    memcpy(store->uuid, roots.best.store_uuid, sizeof store->uuid);
    store->segment_blocks = roots.best.segment_bytes / COF_BLOCK_BYTES;
    store->dev->ops->geometry(store->dev, &store->geometry);
    if (store->geometry.segment_count < roots.best.segment_count) {
        return cof_fault(fault, COFFER_E_TRUNCATED, COFFER_STAGE_ROOT,
                         "the store has %u segments, the file only %u: it was cut short",
                         roots.best.segment_count, store->geometry.segment_count);
    }
    if ((roots.best.ro_compat & ~COF_RO_COMPAT_KNOWN) != 0 && !store->read_only) {
        return cof_fault(fault, COFFER_E_TOO_NEW, COFFER_STAGE_ROOT,
                         "the store has features that this program can only read");
    }
    return 0;
}
