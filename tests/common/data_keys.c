/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/data_keys.c - see data_keys.h.
 */
#include "common/data_keys.h"

#include "common/harness.h"

#include "volume/reencrypt.h"

#include <stdlib.h>
#include <string.h>

bool data_keys_running(const struct coffer_store *store)
{
    return store != NULL && store->reencrypt != NULL;
}

void data_keys_forget(struct data_keys *keys)
{
    free(keys->list);
    keys->list = NULL;
    keys->count = 0;
}

static void note(struct data_keys *keys, const uint8_t *commitment)
{
    keys->list = realloc(keys->list, (keys->count + 1) * sizeof *keys->list);
    if (keys->list == NULL) {
        abort();
    }
    memcpy(keys->list[keys->count++], commitment, sizeof *keys->list);
}

static bool is_noted(const struct data_keys *keys, const uint8_t *commitment)
{
    for (unsigned i = 0; i < keys->count; i++) {
        if (memcmp(keys->list[i], commitment, sizeof *keys->list) == 0) {
            return true;
        }
    }
    return false;
}

/* Every table, as it is in the catalogue. */
static int each_table(struct coffer_store *store,
                      void (*visit)(void *ctx, const struct coffer_volume *table), void *ctx)
{
    int error = 0;
    for (struct cof_catalogue_item *item = store->items; error == 0 && item != NULL;
         item = item->next) {
        struct coffer_volume *twin;
        uint8_t digest[32];
        if (!item->entry.encrypted) {
            continue;
        }
        error = cof_twin_new(store, item, true, &twin);
        if (error != 0) {
            break;
        }
        error = cof_keys_read(twin, item->entry.data_keys, digest);
        if (error == 0) {
            visit(ctx, twin);
        }
        cof_twin_free(twin);
    }
    return error;
}

static void note_leaving(void *ctx, const struct coffer_volume *table)
{
    for (unsigned i = 0; i < table->ek_count; i++) {
        if (cof_family_of(table->item) == table->store->reencrypt->family &&
            cof_ek_turn_is(table, &table->eks[i].entry, COF_EK_LEAVING)) {
            note(ctx, table->eks[i].entry.commitment);
        }
    }
}

int data_keys_note(struct data_keys *keys, struct coffer_store *store)
{
    data_keys_forget(keys);
    return each_table(store, note_leaving, keys);
}

/* What a copy from elsewhere brought along under an index of its own is another family's. */
struct looking {
    const struct data_keys *keys;
    uint32_t family;
};

static void must_be_absent(void *ctx, const struct coffer_volume *table)
{
    const struct looking *looking = ctx;
    for (unsigned i = 0; cof_family_of(table->item) == looking->family && i < table->ek_count;
         i++) {
        harness_require(!is_noted(looking->keys, table->eks[i].entry.commitment),
                        "a data key is in a table after all was sealed anew");
    }
}

int data_keys_absent(const struct data_keys *keys, struct coffer_store *store)
{
    struct looking looking = {keys, store->reencrypt->family};
    return each_table(store, must_be_absent, &looking);
}
