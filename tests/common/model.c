/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/model.c - operations, versions and contents of the reference model; see model.h.
 *
 * Invariant: a page's versions stand in order of their operations, at most one an operation.
 */
#include "common/model.h"

#include "common/harness.h"
#include "common/model_snapshot.h"
#include "common/prng.h"

#include <stdlib.h>
#include <string.h>

#define SECTORS_KEPT 16384u

static void *grow_array(void *array, uint32_t *room, size_t item_bytes)
{
    *room = *room == 0 ? 4 : *room * 2;
    array = realloc(array, *room * item_bytes);
    if (array == NULL) {
        abort();
    }
    return array;
}

void model_init(struct model *model, uint32_t seed)
{
    memset(model, 0, sizeof *model);
    model->seed = seed;
    model->salt_next = 1;
    model->op_base = 1;
    model->op_next = 1;
    model->clock = model->clock_base = 1;
}

static void drop_versions(struct model_volume *volume)
{
    for (uint64_t i = 0; i < volume->pages_max; i++) {
        free(volume->pages[i].versions);
    }
    free(volume->pages);
    free(volume->sizes);
}

void model_volume_drop(struct model *model, unsigned volume)
{
    model_node_gone(model, volume);
    model->volumes[volume].name[0] = 0;
    if (model->volumes[volume].hidden) {
        return;
    }
    drop_versions(&model->volumes[volume]);
    memset(&model->volumes[volume], 0, sizeof model->volumes[volume]);
}

void model_done(struct model *model)
{
    for (unsigned i = 0; i < MODEL_VOLUMES_MAX; i++) {
        drop_versions(&model->volumes[i]);
    }
    free(model->ops);
    memset(model, 0, sizeof *model);
}

static void add_size(struct model_volume *volume, uint32_t op, uint64_t pages)
{
    if (volume->size_count == volume->size_room) {
        volume->sizes = grow_array(volume->sizes, &volume->size_room, sizeof *volume->sizes);
    }
    volume->sizes[volume->size_count++] = (struct model_size){op, false, pages};
}

unsigned model_volume_add(struct model *model, uint64_t pages, uint64_t pages_max, bool encrypted,
                          uint64_t event)
{
    unsigned number = model_slot_take(model, pages_max, event);
    struct model_volume *volume = &model->volumes[number];
    volume->encrypted = encrypted;
    volume->number = volume->salt = model->salt_next++;
    model_name_give(model, number, "%s%u", encrypted ? "vol" : "plain", volume->number);
    add_size(volume, 0, pages);
    return number;
}

void model_volume_created(struct model *model, unsigned volume, uint64_t event)
{
    model->volumes[volume].create_done = event;
    model_node_made(model, volume);
}

void model_volume_deleting(struct model *model, unsigned volume, uint64_t event)
{
    if (model->volumes[volume].delete_from == MODEL_NEVER) {
        model->volumes[volume].delete_from = event;
    }
}

void model_volume_deleted(struct model *model, unsigned volume, uint64_t event)
{
    model->volumes[volume].delete_done = event;
    model_node_gone(model, volume);
}

uint64_t model_volume_pages(const struct model *model, unsigned volume)
{
    const struct model_volume *v = &model->volumes[volume];
    return v->sizes[v->size_count - 1].pages;
}

/* ---- operations ---- */

static uint32_t new_op(struct model *model, unsigned volume, uint64_t first_page,
                       uint64_t page_count)
{
    uint32_t at = model->op_next - model->op_base;
    if (at == model->op_room) {
        model->ops = grow_array(model->ops, &model->op_room, sizeof *model->ops);
    }
    model->ops[at] = (struct model_op){
        .volume = volume,
        .first_page = first_page,
        .page_count = page_count,
        .submitted_at = model->clock++,
        .completed_at = MODEL_NEVER,
        .reached_event = MODEL_NEVER,
        .durable_at = MODEL_NEVER,
    };
    return model->op_next++;
}

/* A new version of the page, a copy of its newest. */
static struct model_version *new_version(struct model *model, unsigned volume, uint64_t page,
                                         uint32_t op)
{
    struct model_page *p;
    struct model_version *version;
    harness_require(page < model->volumes[volume].pages_max, "model: page %llu is out of range",
                    (unsigned long long)page);
    p = &model->volumes[volume].pages[page];
    if (p->count == p->room) {
        p->versions = grow_array(p->versions, &p->room, sizeof *p->versions);
    }
    version = &p->versions[p->count++];
    if (p->count == 1) {
        memset(version, 0, sizeof *version);
    } else {
        *version = version[-1];
    }
    version->op = op;
    version->optional = false;
    return version;
}

static uint32_t change(struct model *model, unsigned volume, uint64_t sector, uint64_t count,
                       bool zero)
{
    uint64_t first = sector / MODEL_SECTORS;
    uint64_t last = count == 0 ? first : (sector + count - 1) / MODEL_SECTORS;
    uint32_t op = new_op(model, volume, first, last - first + 1);
    struct model_version *version = NULL;
    for (uint64_t i = sector; i < sector + count; i++) {
        if (i == sector || i % MODEL_SECTORS == 0) {
            bool whole = i % MODEL_SECTORS == 0 && i + MODEL_SECTORS <= sector + count;
            version = new_version(model, volume, i / MODEL_SECTORS, op);
            version->page_id = zero && whole ? 0 : op;
            version->unsure = false;
        }
        version->tags[i % MODEL_SECTORS] = zero ? 0 : op;
    }
    return op;
}

uint32_t model_write(struct model *model, unsigned volume, uint64_t sector, uint64_t count)
{
    return change(model, volume, sector, count, false);
}

uint32_t model_zero(struct model *model, unsigned volume, uint64_t sector, uint64_t count)
{
    return change(model, volume, sector, count, true);
}

uint32_t model_resize(struct model *model, unsigned volume, uint64_t pages)
{
    uint64_t old = model_volume_pages(model, volume);
    uint64_t lost = old > pages ? old - pages : 0;
    uint32_t op = change(model, volume, pages * MODEL_SECTORS, lost * MODEL_SECTORS, true);
    add_size(&model->volumes[volume], op, pages);
    return op;
}

static struct model_op *op_of(struct model *model, uint32_t op)
{
    harness_require(op >= model->op_base && op < model->op_next, "model: op %u is settled", op);
    return &model->ops[op - model->op_base];
}

void model_op_completed(struct model *model, uint32_t op)
{
    op_of(model, op)->completed_at = model->clock++;
}

void model_op_reached(struct model *model, uint32_t op, uint64_t moment, uint64_t event)
{
    op_of(model, op)->reached_event = event;
    for (uint32_t i = 0; i < model->op_next - model->op_base; i++) {
        struct model_op *before = &model->ops[i];
        if (before->completed_at < moment && before->reached_event == MODEL_NEVER) {
            before->reached_event = event;
        }
    }
}

void model_op_failed(struct model *model, uint32_t op)
{
    struct model_op *failed = op_of(model, op);
    struct model_volume *volume = &model->volumes[failed->volume];
    failed->failed = true;
    for (uint64_t i = failed->first_page;
         i < failed->first_page + failed->page_count && i < volume->pages_max; i++) {
        for (uint32_t at = 0; at < volume->pages[i].count; at++) {
            volume->pages[i].versions[at].optional |= volume->pages[i].versions[at].op == op;
        }
    }
    for (uint32_t at = 0; at < volume->size_count; at++) {
        volume->sizes[at].optional |= volume->sizes[at].op == op;
    }
}

uint64_t model_now(struct model *model)
{
    return model->clock++;
}

void model_durable(struct model *model, uint64_t moment, uint64_t event)
{
    for (uint32_t i = 0; i < model->op_next - model->op_base; i++) {
        struct model_op *op = &model->ops[i];
        if (op->completed_at < moment && op->durable_at == MODEL_NEVER) {
            op->durable_at = event;
        }
    }
}

void model_op_durable(struct model *model, uint32_t op, uint64_t event)
{
    struct model_op *at = op_of(model, op);
    if (at->durable_at == MODEL_NEVER) {
        at->durable_at = event;
    }
}

/* ---- contents ---- */

static void make_sector(const struct model *model, unsigned volume, uint32_t tag, uint64_t sector,
                        uint64_t words[64])
{
    struct prng prng;
    if (tag == 0) {
        memset(words, 0, 512);
        return;
    }
    words[0] = (uint64_t)model->volumes[volume].salt << 32 | tag;
    words[1] = sector << 32 | model->seed;
    prng.state = prng_mix(words[0], words[1]);
    for (unsigned i = 2; i < 64; i++) {
        words[i] = prng_next(&prng);
    }
}

void model_fill(const struct model *model, unsigned volume, uint32_t tag, uint64_t sector,
                uint64_t count, void *buffer)
{
    uint64_t words[64];
    for (uint64_t i = 0; i < count; i++) {
        make_sector(model, volume, tag, sector + i, words);
        memcpy((uint8_t *)buffer + i * 512, words, 512);
    }
}

/* A sector's content follows from its first two words, so what was made once is kept. */
static const uint64_t *sector_like(const struct model *model, unsigned volume, uint32_t tag,
                                   uint64_t sector)
{
    static uint64_t kept[SECTORS_KEPT][64];
    uint64_t first = (uint64_t)model->volumes[volume].salt << 32 | tag;
    uint64_t second = sector << 32 | model->seed;
    uint64_t *at = kept[prng_mix(first, second) % SECTORS_KEPT];
    if (at[0] != first || at[1] != second) {
        make_sector(model, volume, tag, sector, at);
    }
    return at;
}

bool model_tag(const struct model *model, unsigned volume, uint64_t sector, const void *bytes,
               uint32_t *ret_tag)
{
    static const uint64_t zeros[64];
    uint64_t first;
    memcpy(&first, bytes, sizeof first);
    if (memcmp((uint32_t)first == 0 ? zeros : sector_like(model, volume, (uint32_t)first, sector),
               bytes, 512) != 0) {
        return false;
    }
    *ret_tag = (uint32_t)first;
    return true;
}

/* The sectors from..to of a page match one version that may be the newest. */
static bool page_is_newest(const struct model *model, unsigned volume, uint64_t page,
                           const uint32_t tags[MODEL_SECTORS], unsigned from, unsigned to)
{
    static const struct model_version none;
    const struct model_page *p = &model->volumes[volume].pages[page];
    for (uint32_t i = p->count; i <= p->count; i--) {
        const struct model_version *version = i == 0 ? &none : &p->versions[i - 1];
        if (memcmp(version->tags + from, tags + from, (to - from) * sizeof tags[0]) == 0) {
            return true;
        }
        if (!version->optional) {
            return false;
        }
    }
    return false;
}

void model_check_read(const struct model *model, unsigned volume, uint64_t sector, uint64_t count,
                      const void *buffer)
{
    uint32_t tags[MODEL_SECTORS] = {0};
    unsigned from = (unsigned)(sector % MODEL_SECTORS);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t at = sector + i;
        unsigned s = (unsigned)(at % MODEL_SECTORS);
        from = s == 0 ? 0 : from;
        harness_require(model_tag(model, volume, at, (const uint8_t *)buffer + i * 512, &tags[s]),
                        "read: %s sector %llu (page %llu) is nothing that was written there",
                        model->volumes[volume].name, (unsigned long long)at,
                        (unsigned long long)(at / MODEL_SECTORS));
        if (s == MODEL_SECTORS - 1 || i + 1 == count) {
            harness_require(page_is_newest(model, volume, at / MODEL_SECTORS, tags, from, s + 1),
                            "read: %s page %llu shows op %u.., not its newest version",
                            model->volumes[volume].name, (unsigned long long)(at / MODEL_SECTORS),
                            tags[from]);
        }
    }
}
