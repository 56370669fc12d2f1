/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/tight.c - see tight.h. The images are static: made at first use, and kept.
 */
#include "common/tight.h"

#include "common/harness.h"
#include "common/world_snapshot.h"

#include <string.h>

#define SEGMENTS 64u
#define SEGMENTS_MAX 160u
#define SEGMENT_PAGES 250u /* about as many as the log has room for */
#define HOT_PAGES 128u     /* of each ballast volume               */
#define PAGES_MAX 1536u    /* that histories resize it to          */
#define FREE_SEGMENTS 7u   /* and the cleaner begins               */
#define CLEANED_SEGMENTS 4u
#define BRINK_SEGMENTS 5u
#define STRETCHES_MAX 64u /* cold pages are written in stretches, one for each segment */
#define SQUEEZE_PAGES 24u
#define SQUEEZES_FAR 7u /* writes at once, while more are free than at the brink */

static const struct {
    uint32_t cold; /* pages in a stretch */
    bool kin;
} kinds[TIGHT_KINDS] = {
    [TIGHT_SPARSE] = {36, false}, [TIGHT_KIN] = {28, true}, [TIGHT_DENSE] = {168, false}};

static struct tight {
    struct world world; /* the maker; its store is closed */
    struct sim_image *image;
    struct model_seen seen;
} tights[TIGHT_KINDS];

enum tight_kind tight_kind_for(uint64_t seed)
{
    return seed % 8 == 7 ? TIGHT_DENSE : seed % 2 == 0 ? TIGHT_KIN : TIGHT_SPARSE;
}

static struct coffer_store_info info_of(const struct world *world)
{
    struct coffer_store_info info = {.size = sizeof info};
    must(world, coffer_store_info_get(world->store, &info));
    return info;
}

/* Cold pages of one volume among hot pages of it. */
static void write_stretch(struct world *world, unsigned volume, uint32_t stretch, uint32_t cold)
{
    uint32_t hot = SEGMENT_PAGES - cold, first = HOT_PAGES + stretch * cold;
    for (uint32_t done = 0; done < cold || hot > 0;) {
        uint32_t count = 1 + prng_below(&world->prng, 24);
        if (done < cold && prng_below(&world->prng, SEGMENT_PAGES) < cold) {
            count = count < cold - done ? count : cold - done;
            must(world, world_write_pages(world, volume, first + done, count));
            done += count;
        } else if (hot > 0) {
            count = count < hot ? count : hot;
            must(world, world_write_pages(world, volume,
                                          prng_below(&world->prng, HOT_PAGES - count), count));
            hot -= count;
        }
    }
}

static void make_kin(struct world *world)
{
    unsigned snapshot, clone;
    must(world, world_snapshot_create(world, world->ballast[0].volume, 0, &snapshot));
    must(world, world_snapshot_restore(world, snapshot, WORLD_OWN_KEY, &clone));
    must(world, world_volume_open(world, clone));
    must(world, world_write_pages(world, clone, 0, SQUEEZE_PAGES));
}

static void fill(struct world *world, enum tight_kind kind)
{
    uint32_t stretch = 0;
    for (; info_of(world).segments_free > FREE_SEGMENTS &&
           info_of(world).cleaned_segments < CLEANED_SEGMENTS;
         stretch++) {
        harness_require(stretch < STRETCHES_MAX, "tight: the store is never tight");
        write_stretch(world, world->ballast[stretch % 2].volume, stretch / 2, kinds[kind].cold);
        if (kinds[kind].kin && stretch == 24) {
            make_kin(world);
        }
    }
}

static void make(struct tight *tight, enum tight_kind kind)
{
    struct world_options options;
    struct world *world = &tight->world;
    uint32_t pages = HOT_PAGES + STRETCHES_MAX / 2 * kinds[kind].cold;
    uint32_t pages_max = pages < PAGES_MAX ? PAGES_MAX : pages;
    memset(&options, 0, sizeof options);
    options.seed = prng_mix(kind, 0x7469676874u);
    options.segments = SEGMENTS;
    options.segments_max = SEGMENTS_MAX;
    world_init(world, &options);
    must(world, world_create(world));
    must(world, world_open(world));
    for (unsigned i = 0; i < WORLD_BALLASTS; i++) {
        struct world_ballast *ballast = &world->ballast[i];
        must(world, world_volume_create(world, pages, pages_max, i == 0, &ballast->volume));
        must(world, world_volume_open(world, ballast->volume));
        ballast->number = world->model->volumes[ballast->volume].number;
    }
    fill(world, kind);
    world_look(world, &tight->seen);
    must(world, world_close(world));
    tight->image = sim_disk_image_live(world->disk);
}

void tight_begin(struct world *world, enum tight_kind kind)
{
    struct tight *tight = &tights[kind];
    if (tight->image == NULL) {
        make(tight, kind);
    }
    world_replace_disk(world, tight->image);
    memcpy(world->own_kms.keys, tight->world.own_kms.keys, sizeof world->own_kms.keys);
    model_done(&world->own_model);
    model_fork(&world->own_model, tight->world.model, &tight->seen);
    memcpy(world->ballast, tight->world.ballast, sizeof world->ballast);
}

static int overwrite(struct world *world, unsigned volume)
{
    uint32_t page = prng_below(&world->prng, HOT_PAGES - SQUEEZE_PAGES);
    int error =
        world_wait(world, WORLD_WRITE, volume, page * MODEL_SECTORS, SQUEEZE_PAGES * MODEL_SECTORS);
    return error != 0 ? error : world_write_pages(world, volume, page, SQUEEZE_PAGES);
}

int tight_squeeze(struct world *world)
{
    const struct world_ballast *ballast = &world->ballast[prng_below(&world->prng, WORLD_BALLASTS)];
    const struct model_volume *volume = &world->model->volumes[ballast->volume];
    unsigned times = info_of(world).segments_free > BRINK_SEGMENTS ? SQUEEZES_FAR : 1u;
    int error = 0;
    if (!model_wanted(volume) || volume->gone || volume->number != ballast->number ||
        model_volume_pages(world->model, ballast->volume) < HOT_PAGES) {
        return 0;
    }
    if (world->volumes[ballast->volume] == NULL) {
        error = world_volume_open(world, ballast->volume);
    }
    for (unsigned i = 0; error == 0 && i < times; i++) {
        error = overwrite(world, ballast->volume);
    }
    return error;
}
