/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/workloads_snapshot.c - workloads of snapshots, clones and keys; see workloads.h.
 *
 * Each ends with a look at its snapshots, so that the model knows which of the requests in flight
 * they have: after a cut they must have the same.
 */
#include "common/harness.h"
#include "common/workload_steps.h"
#include "common/world_snapshot.h"

extern unsigned cof_test_reencrypt_keys;

#define SPAN 64u /* pages that are written over and over */

static uint32_t pick(struct world *world, uint32_t bound)
{
    return prng_below(&world->prng, bound);
}

static int scatter_some(struct world *world, unsigned volume, unsigned writes)
{
    for (unsigned i = 0; i < writes; i++) {
        try(workload_scatter(world, volume, SPAN, 6));
    }
    if (pick(world, 3) == 0) {
        try(world_io(world, WORLD_DISCARD, volume, (uint64_t)pick(world, SPAN) * MODEL_SECTORS,
                     3 * MODEL_SECTORS, 0));
    }
    return 0;
}

static int settle_all(struct world *world)
{
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        const struct model_volume *volume = &world->model->volumes[v];
        if (volume->used && volume->snapshot && !volume->gone) {
            try(world_snapshot_settle(world, v));
        }
    }
    return 0;
}

int workload_snapshots(struct world *world, struct workload_marks *marks)
{
    unsigned volume, snapshot;
    try(workload_begin(world, marks, true, &volume));
    try(world_queue_open(world));
    for (unsigned i = 0; i < 6; i++) {
        for (unsigned at = 0; at < 5; at++) {
            uint32_t count = 1 + pick(world, 6);
            uint32_t page = pick(world, SPAN - count + 1);
            try(world_submit(world, at == 3 ? WORLD_DISCARD : WORLD_WRITE, volume,
                             page * MODEL_SECTORS, count * MODEL_SECTORS, 0));
        }
        if (i % 2 == 0) {
            try(world_drain(world));
        }
        try(world_snapshot_create(world, volume, i, &snapshot));
        if (i == 3) {
            try(world_drain(world));
            try(world_volume_resize(world, volume, WORKLOAD_PAGES_MAX));
        }
    }
    try(world_drain(world));
    try(workload_scatter(world, volume, SPAN, 8));
    return settle_all(world);
}

/* Of a row of snapshots: one in the middle (one child), the newest, one with a volume made of it
 * (two), and then what kept that one. */
int workload_deletes(struct world *world, struct workload_marks *marks)
{
    unsigned volume, clone, snapshots[5];
    try(workload_begin(world, marks, true, &volume));
    for (unsigned i = 0; i < 5; i++) {
        try(scatter_some(world, volume, 4));
        try(world_snapshot_create(world, volume, i, &snapshots[i]));
    }
    try(world_snapshot_restore(world, snapshots[2], WORLD_OWN_KEY, &clone));
    try(world_volume_open(world, clone));
    try(scatter_some(world, clone, 3));
    try(world_snapshot_delete(world, snapshots[1]));
    try(scatter_some(world, volume, 2));
    try(world_snapshot_delete(world, snapshots[2])); /* hidden */
    try(scatter_some(world, clone, 2));
    try(world_snapshot_delete(world, snapshots[4]));
    try(world_volume_close(world, clone));
    try(world_volume_delete(world, clone)); /* the hidden one goes, too */
    try(scatter_some(world, volume, 2));
    try(world_snapshot_delete(world, snapshots[0])); /* no parent */
    try(world_volume_close(world, volume));
    try(world_volume_delete(world, volume));
    return world_snapshot_settle(world, snapshots[3]);
}

/* What was in the clear becomes encrypted: a volume that shares nothing. */
static int encrypt_plain(struct world *world)
{
    unsigned plain, snapshot, encrypted;
    try(world_volume_create(world, SPAN, SPAN, false, &plain));
    try(world_volume_open(world, plain));
    try(scatter_some(world, plain, 4));
    try(world_snapshot_create(world, plain, 0, &snapshot));
    try(world_snapshot_restore(world, snapshot, 3, &encrypted));
    try(world_volume_open(world, encrypted));
    return scatter_some(world, encrypted, 2);
}

int workload_clones(struct world *world, struct workload_marks *marks)
{
    unsigned volume, clones[3], snapshots[3];
    try(workload_begin(world, marks, true, &volume));
    try(scatter_some(world, volume, 6));
    try(world_snapshot_create(world, volume, 0, &snapshots[0]));
    try(world_snapshot_restore(world, snapshots[0], WORLD_OWN_KEY, &clones[0]));
    try(world_volume_open(world, clones[0]));
    try(scatter_some(world, volume, 3));
    try(scatter_some(world, clones[0], 3));
    try(world_snapshot_create(world, clones[0], 0, &snapshots[1]));
    try(scatter_some(world, clones[0], 3));
    try(world_snapshot_restore(world, snapshots[1], 2, &clones[1]));
    try(world_volume_open(world, clones[1]));
    try(scatter_some(world, clones[1], 3));
    try(world_volume_close(world, clones[0]));
    try(world_volume_delete(world, clones[0]));
    try(world_snapshot_create(world, clones[1], 0, &snapshots[2]));
    try(world_snapshot_restore(world, snapshots[0], WORLD_OWN_KEY, &clones[2]));
    try(world_snapshot_delete(world, snapshots[0]));
    try(scatter_some(world, volume, 3));
    try(world_flush(world, volume));
    try(encrypt_plain(world));
    return settle_all(world);
}

int workload_rekeys(struct world *world, struct workload_marks *marks)
{
    static const enum coffer_rekey_depth depths[] = {COFFER_REKEY_MASTER, COFFER_REKEY_VOLUME,
                                                     COFFER_REKEY_DATA};
    unsigned volume, snapshots[3];
    try(workload_begin(world, marks, true, &volume));
    for (unsigned i = 0; i < 3; i++) {
        try(scatter_some(world, volume, 4));
        try(world_snapshot_create(world, volume, i, &snapshots[i]));
        try(scatter_some(world, volume, 2));
        if (i != 1) {
            try(world_flush(world, volume));
        }
        try(world_volume_close(world, volume));
        try(world_rekey(world, volume, i == 2 ? 2 : (int)i + 2, depths[i]));
        if (i > 0) {
            try(world_recipient_set(world, snapshots[0], 0, i == 1));
        }
        try(world_volume_open(world, volume));
    }
    try(scatter_some(world, volume, 4));
    return settle_all(world);
}

/* Over and over, with three keys a round, so that it lists more than once; the family is open and
 * changes between the steps. */
int workload_reencrypt(struct world *world, struct workload_marks *marks)
{
    unsigned volume, clone, snapshots[4], at = 0;
    bool over = false;
    cof_test_reencrypt_keys = 3;
    try(workload_begin(world, marks, true, &volume));
    for (unsigned i = 0; i < 2; i++) {
        try(scatter_some(world, volume, 5));
        try(world_snapshot_create(world, volume, i, &snapshots[i]));
    }
    try(world_snapshot_restore(world, snapshots[0], WORLD_OWN_KEY, &clone));
    try(world_volume_open(world, clone));
    try(scatter_some(world, clone, 4));
    try(scatter_some(world, volume, 3));
    try(world_volume_close(world, clone));
    try(world_volume_close(world, volume));
    try(world_reencrypt_begin(world, volume));
    try(world_volume_open(world, volume));
    while (!over) {
        try(world_reencrypt_steps(world, 2, &over));
        try(scatter_some(world, volume, 1));
        if (at == 1 || at == 3) {
            try(world_snapshot_create(world, volume, 2 + at / 2, &snapshots[2 + at / 2]));
        } else if (at == 4) {
            try(world_checkpoint(world));
        } else if (at == 5) {
            try(world_snapshot_delete(world, snapshots[0]));
        }
        at++;
    }
    cof_test_reencrypt_keys = 0;
    try(world_volume_open(world, clone));
    try(scatter_some(world, clone, 2));
    return settle_all(world);
}

/* Stopped with what was written and not flushed; opened by a start; with a snapshot; and one that
 * is deleted while its key is refused. */
int workload_losses(struct world *world, struct workload_marks *marks)
{
    unsigned volume, other, snapshot;
    int error;
    try(workload_begin(world, marks, true, &volume));
    try(world_volume_close(world, volume));
    try(world_rekey(world, volume, 2, COFFER_REKEY_MASTER)); /* others are under the first */
    try(world_volume_open(world, volume));
    for (unsigned i = 0; i < 3; i++) {
        try(scatter_some(world, volume, 4));
        if (i == 1) {
            try(world_snapshot_create(world, volume, 0, &snapshot));
            try(scatter_some(world, volume, 2));
        }
        try(world_volume_lose(world, volume));
        if (i == 2) {
            try(world_close(world));
            try(world_open(world));
        }
        try(world_volume_start(world, volume));
        try(world_volume_open(world, volume));
    }
    try(world_volume_create(world, SPAN, SPAN, true, &other));
    try(world_rekey(world, other, 2, COFFER_REKEY_VOLUME));
    try(world_volume_open(world, other));
    try(scatter_some(world, other, 3));
    try(scatter_some(world, volume, 2));
    try(world_volume_lose(world, other)); /* both: they have one key */
    try(world_volume_close(world, volume));
    try(world_volume_open(world, volume)); /* starts it */
    try(scatter_some(world, volume, 2));
    world->kms->keys[2].state = COFFER_KEY_IS_DISABLED;
    error = world_volume_delete(world, other);
    world->kms->keys[2].state = COFFER_KEY_ENABLED;
    try(error);
    try(scatter_some(world, volume, 2));
    return settle_all(world);
}
