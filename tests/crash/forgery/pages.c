/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/forgery/pages.c - a page's ciphertext, header entry or run in another's place.
 */
#include "crash/forgery/forgery.h"

#include "common/harness.h"

#include <string.h>

struct sealed_page {
    const struct forge_batch *batch;
    unsigned page;
};

/* A random page that some volume sealed. */
static struct sealed_page any_page(void)
{
    for (;;) {
        const struct forge_batch *batch =
            &forgery.rich.map.batches[prng_below(&forgery.prng, forgery.rich.map.batch_count)];
        struct cof_run run;
        unsigned first, which;
        if (batch->header.runs == 0) {
            continue;
        }
        which = prng_below(&forgery.prng, batch->header.runs);
        forge_run(forgery.rich.image, batch, which, &run, &first);
        if (run.volume != COF_VOLUME_TAG_RAW && !run.no_pages) {
            return (struct sealed_page){batch, first + prng_below(&forgery.prng, run.slots)};
        }
    }
}

/* Put ciphertext and header entry of one page in another's place. */
static void put_page(struct sim_image *image, struct sealed_page to, struct sealed_page from)
{
    uint8_t entry[COF_ENTRY_BYTES];
    sim_image_put(image, to.batch->segment, to.batch->block + 1 + to.page,
                  sim_image_block(forgery.rich.image, from.batch->segment,
                                  from.batch->block + 1 + from.page));
    forge_read(forgery.rich.image, from.batch->segment, from.batch->block,
               from.batch->entries_offset + from.page * COF_ENTRY_BYTES, entry, sizeof entry);
    forge_write(image, to.batch->segment, to.batch->block,
                to.batch->entries_offset + to.page * COF_ENTRY_BYTES, entry, sizeof entry);
}

/* An old, or any other, page replayed under an address. */
void replay_page(uint64_t number)
{
    struct attack attack;
    attack_begin(&attack, "replay_page", number);
    put_page(attack.image, any_page(), any_page());
    forge_fix_all(attack.image, &forgery.rich.map);
    attack_conclude(&attack);
}

void swap_pages(uint64_t number)
{
    struct attack attack;
    struct sealed_page a = any_page(), b = any_page();
    attack_begin(&attack, "swap_pages", number);
    put_page(attack.image, a, b);
    put_page(attack.image, b, a);
    forge_fix_all(attack.image, &forgery.rich.map);
    attack_conclude(&attack);
}

/* The run says that its pages belong to another extent, uuid, key, slot or volume. */
void edit_run(uint64_t number)
{
    struct attack attack;
    struct sealed_page page = any_page();
    struct cof_run run;
    unsigned which = prng_below(&forgery.prng, page.batch->header.runs), first;
    attack_begin(&attack, "edit_run", number);
    forge_run(forgery.rich.image, page.batch, which, &run, &first);
    switch (number % 6) {
    case 0:
        run.extent += 1 + prng_below(&forgery.prng, 3);
        break;
    case 1:
        run.uuid[prng_below(&forgery.prng, 16)] ^= 1;
        break;
    case 2:
        run.key_id ^= 1u + prng_below(&forgery.prng, 3);
        break;
    case 3:
        run.first_slot = (uint16_t)(run.first_slot + 1);
        break;
    case 4:
        run.volume = 1 + run.volume % 3;
        break;
    default:
        run.tag[prng_below(&forgery.prng, 16)] ^= 1;
        break;
    }
    forge_run_put(attack.image, page.batch, which, &run);
    forge_fix_all(attack.image, &forgery.rich.map);
    attack_conclude(&attack);
}
