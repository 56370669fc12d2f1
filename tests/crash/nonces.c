/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/nonces - no (key, nonce) pair is ever used twice, whatever becomes of a store.
 *
 * Every harness installs the recorder; this one does to stores what the others do not: copies of a
 * store, taken while it is open, that all go on writing (and copies of copies); a store put back to
 * an older image and written on; power cuts whose lost tail is written anew; clean reopens; and a
 * forked process that goes on using the handles it inherited, which must seal nothing.
 * --tight: on stores that are nearly full (common/tight.h), so that the cleaner is at work.
 * One set over the whole run holds every pair.
 */
#include "common/cleaning.h"
#include "common/harness.h"
#include "common/recorder.h"
#include "common/tight.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGES 512u
#define OLD_IMAGES 4u
#define COPY_DEPTH 2u

static bool tight;
static struct {
    uint64_t copies, put_back, cuts, reopens, forks;
} counts;

struct scene {
    struct world *world;
    struct prng *prng;
    struct sim_image *old[OLD_IMAGES];
    unsigned old_count, depth;
};

static void live(struct scene *scene, unsigned steps)
{
    struct world *world = scene->world;
    for (unsigned i = 0; i < steps; i++) {
        for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
            uint32_t count = 1 + prng_below(scene->prng, 24);
            uint32_t page = prng_below(scene->prng, PAGES - count);
            if (world->volumes[v] == NULL) {
                continue;
            }
            must(world, world_write_pages(world, v, page, count));
            if (prng_chance(scene->prng, 1, 4)) {
                must(world, world_flush(world, v));
            }
            if (prng_chance(scene->prng, 1, 10)) {
                must(world, world_checkpoint(world));
            }
        }
    }
}

/* Open what is on the disk now and take it for the truth. */
static void open_as_found(struct world *world)
{
    struct model_seen seen;
    det_env_incarnate(&world->env, world->options.seed, ++world->incarnation);
    must(world, world_open(world));
    world_look(world, &seen);
    model_rebase(world->model, &seen, sim_disk_events(world->disk));
    model_seen_done(&seen);
}

static void play(struct scene *scene, unsigned rounds);

/* Two copies of the store as it is on the medium now; each goes on. */
static void copy_and_go_on(struct scene *scene)
{
    uint64_t event = sim_disk_events(scene->world->disk);
    enum sim_variant variant = (enum sim_variant)prng_below(scene->prng, SIM_VARIANTS);
    struct sim_image *image =
        sim_disk_image_at(scene->world->disk, event, variant, prng_next(scene->prng));
    for (unsigned i = 0; i < 2; i++) {
        struct world copy;
        struct model forked;
        struct model_seen seen;
        struct scene inner = {.world = &copy, .prng = scene->prng, .depth = scene->depth + 1};
        world_init_on(&copy, scene->world, image, prng_next(scene->prng), true);
        must(&copy, world_open(&copy));
        world_look(&copy, &seen);
        model_fork(&forked, scene->world->model, &seen);
        model_seen_done(&seen);
        copy.model = &forked;
        play(&inner, 2);
        must(&copy, world_close(&copy));
        world_done(&copy);
        model_done(&forked);
        counts.copies++;
    }
    sim_image_free(image);
}

static void put_back(struct scene *scene)
{
    struct world *world = scene->world;
    unsigned which = prng_below(scene->prng, scene->old_count);
    world_crash(world);
    world_replace_disk(world, scene->old[which]);
    open_as_found(world);
    counts.put_back++;
}

static void cut(struct scene *scene)
{
    struct world *world = scene->world;
    enum sim_variant variant = (enum sim_variant)prng_below(scene->prng, SIM_VARIANTS);
    struct sim_image *image = sim_disk_image_at(world->disk, sim_disk_events(world->disk), variant,
                                                prng_next(scene->prng));
    world_crash(world);
    world_replace_disk(world, image);
    sim_image_free(image);
    open_as_found(world);
    counts.cuts++;
}

static void reopen(struct scene *scene)
{
    must(scene->world, world_close(scene->world));
    open_as_found(scene->world);
    counts.reopens++;
}

/* In the child: exit 0 when nothing could be sealed and writing gave an error. */
static void use_in_child(struct world *world)
{
    static uint8_t page[4096];
    uint64_t before = recorder_seals();
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        if (world->volumes[v] == NULL || !world->model->volumes[v].encrypted) {
            continue;
        }
        if (coffer_volume_write(world->volumes[v], page, 0, sizeof page, 0, NULL) == 0) {
            _exit(recorder_seals() == before ? 3 : 4);
        }
        if (coffer_volume_flush(world->volumes[v], NULL) == 0 && recorder_seals() != before) {
            _exit(5);
        }
    }
    _exit(recorder_seals() == before ? 0 : 6);
}

static void fork_and_use(struct scene *scene)
{
    int status;
    pid_t pid;
    fflush(stdout);
    pid = fork();
    harness_require(pid >= 0, "fork failed");
    if (pid == 0) {
        use_in_child(scene->world);
    }
    (void)waitpid(pid, &status, 0);
    harness_require(WIFEXITED(status) && WEXITSTATUS(status) == 0,
                    "a forked child could seal or write: status %x", (unsigned)status);
    counts.forks++;
}

static void keep_image(struct scene *scene)
{
    struct sim_image *image = sim_disk_image_live(scene->world->disk);
    if (scene->old_count < OLD_IMAGES) {
        scene->old[scene->old_count++] = image;
        return;
    }
    unsigned which = prng_below(scene->prng, OLD_IMAGES);
    sim_image_free(scene->old[which]);
    scene->old[which] = image;
}

static void play(struct scene *scene, unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++) {
        keep_image(scene);
        live(scene, 6);
        switch (prng_below(scene->prng, 5)) {
        case 0:
            if (scene->depth < COPY_DEPTH) {
                copy_and_go_on(scene);
            }
            break;
        case 1:
            put_back(scene);
            break;
        case 2:
            cut(scene);
            break;
        case 3:
            reopen(scene);
            break;
        default:
            fork_and_use(scene);
            break;
        }
        live(scene, 3);
        recorder_check();
    }
    for (unsigned i = 0; i < scene->old_count; i++) {
        sim_image_free(scene->old[i]);
    }
}

static void one_story(void *ctx)
{
    uint64_t seed = *(const uint64_t *)ctx;
    struct prng prng = {prng_mix(seed, 0x6e6f6e63u)};
    struct world_options options;
    struct world world;
    struct scene scene = {.world = &world, .prng = &prng};
    unsigned volume;
    harness_context("nonces --seed %llu --stories 1%s", (unsigned long long)seed,
                    tight ? " --tight" : "");
    memset(&options, 0, sizeof options);
    options.seed = seed;
    options.segments = 128;
    options.disk.record = true;
    options.delta_entries_max = 400;
    options.tight = tight ? tight_kind_for(seed) : TIGHT_NOT;
    world_init(&world, &options);
    must(&world, world_create(&world));
    must(&world, world_open(&world));
    for (unsigned i = 0; i < 2; i++) {
        must(&world, world_volume_create(&world, PAGES, PAGES, true, &volume));
        must(&world, world_volume_open(&world, volume));
    }
    play(&scene, 8);
    must(&world, world_close(&world));
    world_done(&world);
    recorder_check();
}

int main(int argc, char **argv)
{
    uint64_t seed = 1, stories = 60, done = 0;
    const char *broken = NULL;
    double start = harness_seconds();
    const struct harness_option options[] = {
        {"--seed", &seed, NULL, NULL, "first seed [1]"},
        {"--stories", &stories, NULL, NULL, "stores to follow [60]"},
        {"--tight", NULL, NULL, &tight, "on stores that are nearly full: the cleaner is at work"},
        {"--break", NULL, &broken, NULL, "plant a fault in the engine, which must be caught"},
        {NULL, NULL, NULL, NULL, NULL},
    };
    harness_options(argc, argv, options, "no (key, nonce) pair twice: copies, rollbacks, forks");
    if (broken != NULL) {
        harness_break(broken);
    }
    recorder_install();
    for (; done < stories && harness_failures() < (broken != NULL ? 1u : 20u); done++) {
        uint64_t story = seed + done;
        (void)harness_run(one_story, &story);
    }
    printf("nonces: seed %llu, %llu seals, %llu copies, %llu put back, %llu cuts, %llu reopens, "
           "%llu forks, %.1f s\n",
           (unsigned long long)seed, (unsigned long long)recorder_seals(),
           (unsigned long long)counts.copies, (unsigned long long)counts.put_back,
           (unsigned long long)counts.cuts, (unsigned long long)counts.reopens,
           (unsigned long long)counts.forks, harness_seconds() - start);
    return cleaning_close(harness_close("nonces", done, broken), tight);
}
