/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inject.c - what a program may put in the place of the system: heap, clocks, log, and a device in
 * memory. Randomness can be injected too; leave it alone wherever keys are drawn.
 *
 *     cc inject.c $(pkg-config --cflags --libs coffer) && ./a.out
 */
#include <coffer/coffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct world {
    unsigned long allocations, releases;
    uint64_t now_ns;
    unsigned lines;
};

static void *take(void *ctx, size_t bytes)
{
    struct world *world = (struct world *)ctx;
    void *memory = malloc(bytes);
    world->allocations += memory != NULL;
    return memory;
}

static void give(void *ctx, void *memory)
{
    struct world *world = (struct world *)ctx;
    world->releases += memory != NULL;
    free(memory);
}

/* A clock that goes on by a microsecond at each look: the same run, every time. */
static uint64_t tick(void *ctx)
{
    struct world *world = (struct world *)ctx;
    world->now_ns += 1000;
    return world->now_ns;
}

static uint64_t calendar(void *ctx)
{
    return 1700000000ull * 1000000000ull + tick(ctx);
}

static void line(void *ctx, enum coffer_log_level level, const char *text)
{
    struct world *world = (struct world *)ctx;
    world->lines++;
    printf("log %d: %s\n", (int)level, text);
}

static struct coffer_fault fault;

static void must(int error, const char *what)
{
    if (error != 0) {
        fprintf(stderr, "%s: %s: %s\n", what, coffer_error_sentence(error), fault.detail);
        exit(1);
    }
}

/*
 * A store owns its device and closes it. A memory device that is to outlive its stores is wrapped:
 * all calls go to the inner device, close goes nowhere.
 */
struct lasting {
    struct coffer_segdev device; /* first, so that the engine can call it */
    struct coffer_segdev_ops ops;
    struct coffer_segdev *inner;
};

static void lasting_geometry(struct coffer_segdev *device, struct coffer_geometry *ret_geometry)
{
    struct coffer_segdev *inner = ((struct lasting *)device)->inner;
    inner->ops->geometry(inner, ret_geometry);
}

static int lasting_set_segment_bytes(struct coffer_segdev *device, uint32_t segment_bytes)
{
    struct coffer_segdev *inner = ((struct lasting *)device)->inner;
    return inner->ops->set_segment_bytes(inner, segment_bytes);
}

static int lasting_channel_open(struct coffer_segdev *device, unsigned depth,
                                struct coffer_segdev_channel **ret_channel)
{
    struct coffer_segdev *inner = ((struct lasting *)device)->inner;
    return inner->ops->channel_open(inner, depth, ret_channel);
}

static void lasting_close(struct coffer_segdev *device)
{
    (void)device;
}

static void wrap(struct lasting *lasting, struct coffer_segdev *inner)
{
    lasting->inner = inner;
    lasting->ops = *inner->ops; /* calls on a channel are the inner device's own */
    lasting->ops.geometry = lasting_geometry;
    lasting->ops.set_segment_bytes = lasting_set_segment_bytes;
    lasting->ops.channel_open = lasting_channel_open;
    lasting->ops.close = lasting_close;
    lasting->device.ops = &lasting->ops;
}

static struct coffer_store *open_store(struct lasting *device, const struct coffer_env *env)
{
    struct coffer_store_opts opts;
    struct coffer_store *store;
    memset(&opts, 0, sizeof opts);
    opts.size = sizeof opts;
    opts.device = &device->device;
    opts.env = env;
    must(coffer_store_open(&opts, &store, &fault), "open the store");
    return store;
}

static struct coffer_volume *open_volume(struct coffer_store *store)
{
    struct coffer_volume_open_opts opts;
    struct coffer_volume *volume;
    memset(&opts, 0, sizeof opts);
    opts.size = sizeof opts;
    opts.name = "scratch";
    must(coffer_volume_open(store, &opts, &volume, &fault), "open the volume");
    return volume;
}

static void create(struct lasting *device, const struct coffer_env *env)
{
    struct coffer_store_create_opts create;
    struct coffer_volume_create_opts volume;
    struct coffer_store *store;

    memset(&create, 0, sizeof create);
    create.size = sizeof create;
    create.device = &device->device;
    create.env = env;
    must(coffer_store_create(&create, &fault), "create the store");

    store = open_store(device, env);
    memset(&volume, 0, sizeof volume);
    volume.size = sizeof volume;
    volume.name = "scratch";
    volume.size_bytes = 16ull << 20;
    volume.not_encrypted = 1;
    must(coffer_volume_create(store, &volume, &fault), "create the volume");
    must(coffer_store_close(store), "close the store");
}

int main(void)
{
    static unsigned char out[65536], in[65536];
    struct world world;
    struct coffer_env env;
    struct coffer_segdev *memory;
    struct lasting device;
    struct coffer_store *store;
    struct coffer_volume *volume;

    memset(&world, 0, sizeof world);
    memset(&env, 0, sizeof env);
    env.size = sizeof env;
    env.ctx = &world;
    env.alloc = take;
    env.dealloc = give;
    env.monotonic_ns = tick;
    env.wall_ns = calendar;
    env.log = line;

    must(coffer_segdev_memory_open(&env, 256ull << 20, 1u << 20, &memory), "open the device");
    wrap(&device, memory);
    create(&device, &env);

    store = open_store(&device, &env);
    volume = open_volume(store);
    memset(out, 0x5a, sizeof out);
    must(coffer_volume_write(volume, out, 4096, sizeof out, COFFER_IO_FUA, &fault), "write");
    must(coffer_volume_close(volume), "close the volume");
    must(coffer_store_close(store), "close the store");

    store = open_store(&device, &env);
    volume = open_volume(store);
    must(coffer_volume_read(volume, in, 4096, sizeof in, &fault), "read");
    must(coffer_volume_close(volume), "close the volume");
    must(coffer_store_close(store), "close the store");
    memory->ops->close(memory);

    printf("%lu allocations, %lu released, %u log lines, %.3f ms by our clock\n",
           world.allocations, world.releases, world.lines, (double)world.now_ns / 1e6);
    return memcmp(in, out, sizeof out) == 0 && world.allocations > 0 &&
                   world.allocations == world.releases
               ? 0
               : 1;
}
