/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/world.c - incarnations, store and volumes of a world; see world.h.
 */
#include "common/world.h"

#include "common/cleaning.h"
#include "common/harness.h"
#include "common/model_snapshot.h"
#include "common/tight.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int anchor_get(void *ctx, const struct coffer_uuid *store_uuid,
                      struct coffer_anchor_state *ret_state)
{
    struct world *world = ctx;
    const struct world_anchor *anchor = &world->anchor;
    if (!anchor->has || memcmp(&anchor->state.store_uuid, store_uuid, sizeof *store_uuid) != 0) {
        return COFFER_E_NOT_FOUND;
    }
    *ret_state = anchor->state;
    return 0;
}

static uint64_t newest_of(const struct coffer_anchor_state *state)
{
    return state->next_epoch > state->epoch ? state->next_epoch : state->epoch;
}

static int anchor_put(void *ctx, const struct coffer_anchor_state *state)
{
    struct world *world = ctx;
    struct world_anchor *anchor = &world->anchor;
    if (anchor->failing) {
        return COFFER_E_IO;
    }
    if (anchor->has && newest_of(state) < newest_of(&anchor->state)) {
        return COFFER_E_ROLLBACK;
    }
    anchor->has = true;
    anchor->state = *state;
    if (world->options.disk.record) {
        if (anchor->put_count == anchor->put_room) {
            anchor->put_room = anchor->put_room == 0 ? 16 : anchor->put_room * 2;
            anchor->puts = realloc(anchor->puts, anchor->put_room * sizeof *anchor->puts);
            if (anchor->puts == NULL) {
                abort();
            }
        }
        anchor->puts[anchor->put_count++] = (struct world_anchor_put){world_event(world), *state};
    }
    return 0;
}

static const struct coffer_anchor_ops anchor_ops = {
    .size = sizeof anchor_ops,
    .get = anchor_get,
    .put = anchor_put,
};

void world_anchor_at(const struct world *from, uint64_t event, unsigned lost,
                     struct world_anchor *anchor)
{
    uint32_t count = 0;
    while (count < from->anchor.put_count && from->anchor.puts[count].event <= event) {
        count++;
    }
    for (; lost > 0 && count > 0 && from->anchor.puts[count - 1u].event == event; lost--) {
        count--;
    }
    if (count > 0) {
        anchor->has = true;
        anchor->state = from->anchor.puts[count - 1u].state;
    }
}

static void init_common(struct world *world, const struct world_options *options)
{
    memset(world, 0, sizeof *world);
    world->options = *options;
    world->options.segments = options->segments == 0 ? WORLD_SEGMENTS : options->segments;
    if (world->options.segments_max < world->options.segments) {
        world->options.segments_max = world->options.segments;
    }
    world->options.disk.seed = options->seed;
    world->prng.state = prng_mix(options->seed, 0x776f726c64u);
    world->anchor.api.ops = options->anchor ? &anchor_ops : NULL;
    world->anchor.api.ctx = world;
}

void world_init(struct world *world, const struct world_options *options)
{
    init_common(world, options);
    if (options->path == NULL) {
        world->disk = sim_disk_new(WORLD_SEGMENT_BYTES, world->options.segments,
                                   world->options.segments_max, &world->options.disk);
    }
    det_env_init(&world->env, options->seed, 0);
    fake_kms_init(&world->own_kms, options->seed);
    world->kms = &world->own_kms;
    model_init(&world->own_model, (uint32_t)options->seed);
    world->model = &world->own_model;
    if (options->tight != TIGHT_NOT) {
        tight_begin(world, (enum tight_kind)options->tight);
    }
}

void world_init_on(struct world *world, const struct world *from, const struct sim_image *image,
                   uint64_t incarnation, bool record)
{
    struct world_options options = from->options;
    options.seed = prng_mix(from->options.seed, incarnation);
    options.disk.record = record;
    init_common(world, &options);
    world->disk = sim_disk_from_image(image, &world->options.disk);
    det_env_init(&world->env, from->options.seed, incarnation);
    world->env.now_ns = from->env.now_ns;
    world->incarnation = incarnation;
    world->kms = from->kms;
    world->model = from->model;
    memcpy(world->ballast, from->ballast, sizeof world->ballast);
    world->anchor.has = from->anchor.has;
    world->anchor.state = from->anchor.state;
}

void world_replace_disk(struct world *world, const struct sim_image *image)
{
    world->result_trace = prng_mix(world->result_trace, sim_disk_trace(world->disk));
    sim_disk_free(world->disk);
    world->options.disk.seed = prng_next(&world->prng);
    world->disk = sim_disk_from_image(image, &world->options.disk);
    world->anchor.put_count = 0;
}

void world_done(struct world *world)
{
    harness_require(world->store == NULL, "world: done while its store is open");
    det_env_check_leaks(&world->env);
    sim_disk_free(world->disk);
    for (unsigned i = 0; i < WORLD_DEPTH_MAX; i++) {
        free(world->slots[i].buffer);
    }
    data_keys_forget(&world->leaving);
    free(world->scratch);
    free(world->anchor.puts);
    model_done(&world->own_model);
    memset(world, 0, sizeof *world);
}

uint64_t world_event(const struct world *world)
{
    return world->disk != NULL ? sim_disk_events(world->disk) : world->model->clock;
}

void world_tell(const struct world *world, const char *format, ...)
{
    va_list args;
    if (!world->tell) {
        return;
    }
    va_start(args, format);
    printf("  event %llu: ", (unsigned long long)world_event(world));
    vprintf(format, args);
    printf("\n");
    va_end(args);
    fflush(stdout);
}

void world_must(const struct world *world, int error, const char *what)
{
    harness_require(error == 0, "%s: %s: %s", what, coffer_error_name(error),
                    world->fault.error == error ? world->fault.detail : "");
}

/* ---- store ---- */

/* NULL where the store has a path. */
static struct coffer_segdev *open_device(const struct world *world)
{
    return world->disk != NULL ? sim_disk_open(world->disk) : NULL;
}

static bool is_device_open(const struct world *world)
{
    return world->disk != NULL && sim_disk_is_open(world->disk);
}

int world_create(struct world *world)
{
    struct coffer_store_create_opts opts = {
        .size = sizeof opts,
        .path = world->options.path,
        .size_bytes = (uint64_t)WORLD_SEGMENT_BYTES * world->options.segments,
        .segment_bytes = WORLD_SEGMENT_BYTES,
        .env = &world->env.api,
    };
    int error;
    if (world->options.tight != TIGHT_NOT) {
        return 0;
    }
    opts.device = open_device(world);
    error = coffer_store_create(&opts, &world->fault);
    harness_require(!is_device_open(world), "create did not close its device");
    return error;
}

int world_open(struct world *world)
{
    const struct world_options *from = &world->options;
    uint64_t cache = from->cache_bytes == 0 ? 256u << 10 : from->cache_bytes;
    struct coffer_store_opts opts = {
        .size = sizeof opts,
        .path = from->path,
        .device = open_device(world),
        .flags = world->open_flags,
        .env = &world->env.api,
        .anchor = world->anchor.api,
        .staging_bytes = from->staging_bytes == 0 ? 2u << 20 : from->staging_bytes,
        .delta_entries_max = from->delta_entries_max == 0 ? 4096 : from->delta_entries_max,
        .node_cache_bytes = cache,
        .tag_cache_bytes = cache,
        .placement_bytes = cache,
        .key_arena_bytes = 64u << 10,
        .checkpoint_ns = from->checkpoint_ns,
        .sync_ns = from->sync_ns,
    };
    int error = coffer_store_open(&opts, &world->store, &world->fault);
    world_tell(world, "open: %s", coffer_error_name(error));
    harness_require(error == 0 || world->store == NULL, "open failed, yet gave a store");
    harness_require(error == 0 || !is_device_open(world),
                    "an open that failed did not close its device");
    return error;
}

static void forget_handles(struct world *world)
{
    world->store = NULL;
    memset(world->volumes, 0, sizeof world->volumes);
}

int world_close(struct world *world)
{
    uint64_t moment;
    int error;
    if (world->store == NULL) {
        return 0;
    }
    world_queue_close(world);
    cleaning_note(world->store);
    moment = model_now(world->model);
    error = coffer_store_close(world->store);
    world_tell(world, "close: %s", coffer_error_name(error));
    forget_handles(world);
    harness_require(!is_device_open(world), "close did not close its device");
    if (error == 0) {
        model_durable(world->model, moment, world_event(world));
    }
    return error;
}

void world_crash(struct world *world)
{
    harness_require(world->disk != NULL, "world: a crash on a real file");
    world_tell(world, "crash");
    cleaning_note(world->store);
    sim_disk_power_off(world->disk);
    world_queue_close(world);
    (void)coffer_store_close(world->store);
    forget_handles(world);
    sim_disk_power_on(world->disk);
    det_env_check_leaks(&world->env);
    det_env_incarnate(&world->env, world->options.seed, ++world->incarnation);
}

int world_checkpoint(struct world *world)
{
    uint64_t moment = model_now(world->model);
    int error = coffer_store_checkpoint(world->store, &world->fault);
    world_tell(world, "checkpoint: %s", coffer_error_name(error));
    if (error == 0) {
        model_durable(world->model, moment, world_event(world));
    }
    return error;
}

int world_maintain(struct world *world)
{
    int result = 1;
    for (unsigned i = 0; i < WORLD_SPINS_MAX && result == 1; i++) {
        result = coffer_store_maintain(world->store);
    }
    harness_require(result != 1, "hang: maintain never ends");
    return result;
}

static int tell_finding(void *ctx, const struct coffer_finding *finding)
{
    struct world *world = ctx;
    snprintf(world->fault.detail, sizeof world->fault.detail, "%s %s volume %.40s page %lld %.60s",
             coffer_error_name(finding->error), coffer_stage_name(finding->stage), finding->volume,
             (long long)finding->page, finding->text);
    return 0;
}

/* The store must be open with no volume open. Findings fail the case. */
int world_check_store(struct world *world, unsigned flags)
{
    struct coffer_check_summary summary;
    struct coffer_check_opts opts = {
        .size = sizeof opts,
        .flags = flags,
        .provider = &world->kms->api,
        .on_finding = tell_finding,
        .ctx = world,
    };
    int error;
    memset(&summary, 0, sizeof summary);
    error = coffer_store_check(world->store, &opts, &summary, &world->fault);
    harness_require(error != 0 || summary.findings == 0, "check: %llu findings, the last: %s",
                    (unsigned long long)summary.findings, world->fault.detail);
    harness_require(error != 0 || summary.volumes_opened == summary.volumes,
                    "check: %llu volumes and snapshots, of which %llu open",
                    (unsigned long long)summary.volumes,
                    (unsigned long long)summary.volumes_opened);
    return error;
}

/* ---- volumes ---- */

static void open_opts(const struct world *world, unsigned volume,
                      struct coffer_volume_open_opts *opts)
{
    memset(opts, 0, sizeof *opts);
    opts->size = sizeof *opts;
    opts->name = world->model->volumes[volume].name;
    opts->flags = world->model->volumes[volume].encrypted ? 0u : COFFER_VOLUME_ALLOW_PLAIN;
    if ((world->open_flags & COFFER_OPEN_READ_ONLY) != 0 ||
        world->model->volumes[volume].snapshot) {
        opts->flags |= COFFER_VOLUME_READ_ONLY;
    }
    opts->provider = &world->kms->api;
}

int world_volume_create(struct world *world, uint64_t pages, uint64_t pages_max, bool encrypted,
                        unsigned *ret_volume)
{
    unsigned volume =
        model_volume_add(world->model, pages, pages_max, encrypted, world_event(world));
    struct coffer_volume_create_opts opts = {
        .size = sizeof opts,
        .name = world->model->volumes[volume].name,
        .size_bytes = pages * COFFER_PAGE_BYTES,
        .not_encrypted = encrypted ? 0 : 1,
        .kms_key_id = encrypted ? "alias/k1" : NULL,
        .provider = &world->kms->api, /* whether the name is taken may need a key */
    };
    int error = coffer_volume_create(world->store, &opts, &world->fault);
    world_tell(world, "create %s of %llu pages: %s", opts.name, (unsigned long long)pages,
               coffer_error_name(error));
    model_key_first(world->model, volume, 1);
    if (error == 0) {
        model_volume_created(world->model, volume, world_event(world));
    }
    *ret_volume = volume;
    return error;
}

int world_volume_open(struct world *world, unsigned volume)
{
    struct coffer_volume_open_opts opts;
    int error;
    open_opts(world, volume, &opts);
    error = coffer_volume_open(world->store, &opts, &world->volumes[volume], &world->fault);
    if (error == COFFER_E_INACCESSIBLE_CREDENTIALS &&
        (world->open_flags & COFFER_OPEN_READ_ONLY) == 0) { /* a cut left it so: it can be mended */
        error = world_volume_start(world, volume);
        if (error == 0) {
            error = coffer_volume_open(world->store, &opts, &world->volumes[volume], &world->fault);
        }
    }
    world_tell(world, "open %s: %s", opts.name, coffer_error_name(error));
    return error;
}

int world_volume_lose(struct world *world, unsigned volume)
{
    struct coffer_volume_info info = {.size = sizeof info};
    uint64_t moment = world_event(world);
    const struct model_volume *at = &world->model->volumes[volume];
    unsigned key = at->keys[at->key_count - 1u].key;
    int error = 0;
    for (unsigned half = 0; error == 0 && half < 2 && info.access == COFFER_VOLUME_AVAILABLE;
         half++) { /* where the first call fails, the lease ends */
        world->kms->keys[key].state = COFFER_KEY_IS_DISABLED;
        det_env_advance(&world->env, COFFER_LEASE_NS_DEFAULT / 2u + UINT64_C(1000000));
        do {
            error = coffer_store_maintain(world->store);
        } while (error > 0);
        world->kms->keys[key].state = COFFER_KEY_ENABLED;
        if (error == 0) {
            error = coffer_volume_info_get(world->volumes[volume], &info);
        }
    }
    world_tell(world, "lose the key of volume %u: %s", volume, coffer_error_name(error));
    if (error != 0) {
        return error;
    }
    if (info.access != COFFER_VOLUME_RECOVERABLE) {
        return COFFER_E_FAILED; /* there was no room, or the store failed */
    }
    model_durable(world->model, moment, world_event(world));
    return world_volume_close(world, volume);
}

int world_volume_start(struct world *world, unsigned volume)
{
    struct coffer_volume_open_opts opts;
    int error;
    open_opts(world, volume, &opts);
    error = coffer_volume_start(world->store, &opts, &world->fault);
    world_tell(world, "start %s: %s", opts.name, coffer_error_name(error));
    return error;
}

int world_volume_close(struct world *world, unsigned volume)
{
    int error = coffer_volume_close(world->volumes[volume]);
    world_tell(world, "close volume %u: %s", volume, coffer_error_name(error));
    world->volumes[volume] = NULL;
    return error;
}

int world_volume_delete(struct world *world, unsigned volume)
{
    struct coffer_volume_open_opts opts;
    int error;
    open_opts(world, volume, &opts);
    model_volume_deleting(world->model, volume, world_event(world));
    error = coffer_volume_delete(world->store, &opts, &world->fault);
    world_tell(world, "delete %s: %s", opts.name, coffer_error_name(error));
    if (error == 0) {
        model_volume_deleted(world->model, volume, world_event(world));
    }
    return error;
}

struct meanwhile {
    struct world *world;
    int (*call)(struct world *world, void *ctx, unsigned call);
    void *ctx;
    unsigned calls;
};

static int on_progress(void *ctx, uint64_t done_bytes, uint64_t total_bytes)
{
    struct meanwhile *meanwhile = ctx;
    harness_require(done_bytes <= total_bytes, "more was emptied than there is");
    return meanwhile->call(meanwhile->world, meanwhile->ctx, ++meanwhile->calls);
}

int world_store_resize(struct world *world, uint32_t segments,
                       int (*call)(struct world *world, void *ctx, unsigned call), void *ctx)
{
    struct meanwhile meanwhile = {world, call, ctx, 0};
    struct coffer_store_resize_opts opts = {.size = sizeof opts,
                                            .size_bytes = (uint64_t)segments * WORLD_SEGMENT_BYTES,
                                            .on_progress = call != NULL ? on_progress : NULL,
                                            .ctx = &meanwhile};
    int error = coffer_store_resize_with(world->store, &opts, &world->fault);
    world_tell(world, "resize store to %u segments: %s", segments, coffer_error_name(error));
    return error;
}

int world_volume_resize(struct world *world, unsigned volume, uint64_t pages)
{
    uint32_t op = model_resize(world->model, volume, pages);
    int error =
        coffer_volume_resize(world->volumes[volume], pages * COFFER_PAGE_BYTES, &world->fault);
    world_tell(world, "op %u: resize %u to %llu pages: %s", op, volume, (unsigned long long)pages,
               coffer_error_name(error));
    if (error == 0) {
        model_op_completed(world->model, op);
        model_op_durable(world->model, op, world_event(world));
    } else {
        model_op_failed(world->model, op);
    }
    return error;
}
