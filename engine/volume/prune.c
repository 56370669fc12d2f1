/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/prune.c - what one node of a family holds alone: counting it, and taking the node out.
 *
 * A page is born in one node and inherited until it is overwritten, so the nodes that hold it are
 * connected: what neither the parent nor a child of a node holds, nobody holds. The parent's part
 * lies at or below the node's cut; the child's is found by a walk of both trees that skips what is
 * equal. A node with two children or more can't go: which of them hold a page would need all their
 * trees. It stays, hidden, until one is left.
 *
 * The deaths and the new parent of the child are one root. While trees are walked no checkpoint
 * may change them (COF_CHECKPOINT_HELD); reads and writes go on. admin and lock are held.
 */
#include "map/diff.h"
#include "volume/import.h"

#include <string.h>

#define WALKS_MAX 16u /* others may write meanwhile, and fill what room is made */

struct prune {
    struct coffer_store *store;
    const struct coffer_key_provider *provider;
    struct coffer_fault *fault;
    const struct coffer_volume *leaving;
    struct cof_kills kills; /* of it */
    uint64_t pages;
};

static int pause_walk(void *ctx)
{
    struct prune *prune = ctx;
    cof_checkpoint_breathe(prune->store);
    return prune->store->error != 0 ? COFFER_E_FAILED : 0;
}

static int count_page(void *ctx, struct cof_vaddr addr, unsigned level, uint64_t index)
{
    struct prune *prune = ctx;
    (void)addr;
    (void)index;
    prune->pages += level == 0 ? 1u : 0u;
    return 0;
}

static int add_death(void *ctx, struct cof_vaddr addr, unsigned level, uint64_t index)
{
    struct prune *prune = ctx;
    (void)level;
    (void)index;
    return cof_death_add(&prune->kills, prune->leaving, addr);
}

/* A handle to read an entry's tree by: the one that is open, or a new one (*ret_own). */
static int borrow(struct prune *prune, struct cof_catalogue_item *item,
                  struct coffer_volume **ret_volume, bool *ret_own)
{
    *ret_own = item->open == NULL;
    if (item->open != NULL) {
        *ret_volume = item->open;
        return 0;
    }
    return cof_volume_open_item(prune->store, item, COFFER_VOLUME_READ_ONLY, prune->provider,
                                ret_volume, prune->fault);
}

static void give_back(struct coffer_volume *volume, bool own)
{
    if (own) {
        cof_volume_drop(volume);
    }
}

int cof_walk_held(struct coffer_store *store, struct cof_diff *diff)
{
    int err;
    if (store->checkpoint.state != COF_CHECKPOINT_IDLE) {
        return COFFER_E_INTERNAL; /* the trees of diff may be those of before it */
    }
    store->checkpoint.state = COF_CHECKPOINT_HELD;
    err = cof_diff_run(diff);
    store->checkpoint.state = COF_CHECKPOINT_IDLE;
    return err;
}

/* Walk what node holds and its parent and the others do not. */
static int walk(struct prune *prune, const struct coffer_volume *node,
                struct coffer_volume *const *others, unsigned count,
                int (*visit)(void *, struct cof_vaddr, unsigned, uint64_t))
{
    struct cof_diff diff;
    int err = cof_checkpoint_settle(prune->store); /* before the trees are looked at */
    if (err != 0) {
        return err;
    }
    memset(&diff, 0, sizeof diff);
    diff.env = &prune->store->env;
    diff.tree.io = &node->node_io;
    diff.tree.tree = node->tree;
    diff.cut = node->cut;
    diff.other_count = count;
    for (unsigned i = 0; i < count; i++) {
        diff.others[i].io = &others[i]->node_io;
        diff.others[i].tree = others[i]->tree;
    }
    diff.ctx = prune;
    diff.visit = visit;
    diff.pause = pause_walk;
    return cof_walk_held(prune->store, &diff);
}

static bool copying_child(const struct coffer_store *store, uint32_t number)
{
    for (const struct cof_catalogue_item *item = store->items; item != NULL; item = item->next) {
        if (item->entry.parent_number == number && item->entry.kind == COF_KIND_COPYING) {
            return true;
        }
    }
    return false;
}

/* ---- counting ---- */

int cof_node_exclusive(struct coffer_store *store, struct cof_catalogue_item *item,
                       const struct coffer_key_provider *provider, uint64_t *ret_pages,
                       struct coffer_fault *fault)
{
    struct prune prune = {.store = store, .provider = provider, .fault = fault};
    struct coffer_volume *node = NULL, *others[COF_DIFF_OTHERS_MAX];
    bool node_own = false, own[COF_DIFF_OTHERS_MAX];
    unsigned count = 0;
    int err = 0;
    if (cof_children_of(store, item->entry.number, NULL) > COF_DIFF_OTHERS_MAX ||
        copying_child(store, item->entry.number)) {
        return COFFER_E_LIMIT; /* what a copy will refer to is not known before it is whole */
    }
    err = borrow(&prune, item, &node, &node_own);
    for (struct cof_catalogue_item *child = store->items; err == 0 && child != NULL;
         child = child->next) {
        if (child->entry.parent_number == item->entry.number) {
            err = borrow(&prune, child, &others[count], &own[count]);
            count += err == 0 ? 1u : 0u;
        }
    }
    if (err == 0) {
        err = walk(&prune, node, others, count, count_page);
    }
    for (unsigned i = 0; i < count; i++) {
        give_back(others[i], own[i]);
    }
    give_back(node, node_own);
    if (err == 0) {
        *ret_pages = prune.pages;
    }
    return err;
}

/* ---- taking out ---- */

/* The entry's record as it now is in memory, sealed for the next root. Those of volumes that are
 * open for writing are sealed by the checkpoint. */
static int reseal(struct coffer_volume *volume)
{
    volume->record.modified_ns = cof_wall_ns(&volume->store->env);
    if (!volume->read_only) {
        return 0;
    }
    if (volume->item->entry.verbatim) { /* what changed stands in the entry */
        volume->item->dirty = true;
        return 0;
    }
    volume->record.key_uses += volume->encrypted ? 1u : 0u;
    return cof_record_seal(volume->vk, volume->vk_uuid, volume->item, &volume->record);
}

/* With several children it stays, without a name. */
static int hide(struct prune *prune, struct coffer_volume *node)
{
    int err = cof_checkpoint_ready(prune->store, 0, COF_SPARE_OPEN);
    if (err != 0) {
        return err;
    }
    node->record.kind = COF_KIND_HIDDEN;
    node->item->entry.kind = COF_KIND_HIDDEN;
    err = reseal(node);
    if (err != 0) { /* nothing was written: it is what it was */
        node->record.kind = COF_KIND_SNAPSHOT;
        node->item->entry.kind = COF_KIND_SNAPSHOT;
        return err;
    }
    return cof_checkpoint_light(prune->store);
}

static int adopt(struct coffer_volume *child, const struct coffer_volume *node)
{
    struct cof_volume_entry *entry = &child->item->entry;
    if (entry->verbatim) {
        entry->cut = node->record.cut;
        entry->node_cut = node->record.node_cut;
    }
    memcpy(child->record.parent, node->record.parent, 16);
    child->record.cut = node->record.cut;
    child->record.node_cut = node->record.node_cut;
    child->cut = node->cut;
    entry->parent_number = node->item->entry.parent_number;
    return reseal(child);
}

static bool lists_writer(const struct cof_catalogue_item *item, uint32_t number)
{
    for (uint32_t i = 0; i < item->entry.writers; i++) {
        if (item->writers[i].number == number) {
            return true;
        }
    }
    return false;
}

/* A copy without keys brings whole extents. What no tree refers to goes with the last entry that
 * may refer to the extents. extents (may be NULL): only count them. */
static int purge_writers(struct coffer_store *store, const struct cof_catalogue_item *gone,
                         uint64_t *extents)
{
    int err = 0;
    for (uint32_t i = 0; err == 0 && i < gone->entry.writers; i++) {
        uint32_t number = gone->writers[i].number;
        const struct cof_catalogue_item *item = store->items, *writer;
        bool asked = i > 0 && gone->writers[i - 1u].number == number;
        while (item != NULL && (item == gone || !lists_writer(item, number))) {
            item = item->next;
        }
        writer = cof_catalogue_at(store, number);
        if (item == NULL && !asked && (writer == NULL || writer == gone)) {
            err = extents != NULL ? cof_import_count(store, number, NULL, extents)
                                  : cof_import_purge(store, number, NULL);
        }
    }
    return err;
}

/* Whether the root that follows has room for all buckets that change. */
static int room_for_deaths(struct prune *prune, const struct cof_catalogue_item *item)
{
    const struct cof_kills *kills = &prune->kills;
    uint64_t buckets = 0, last = UINT64_MAX;
    int err = cof_kills_sort(&prune->kills);
    if (err != 0) {
        return err;
    }
    for (uint64_t i = 0; i < kills->count; i++) {
        struct cof_vaddr addr = kills->addrs[i];
        uint64_t bucket = cof_bucket_key(cof_vaddr_index(addr), cof_vaddr_extent(addr));
        buckets += bucket != last ? 1u : 0u;
        last = bucket;
    }
    err = purge_writers(prune->store, item, &buckets);
    return err == 0 ? cof_checkpoint_ready(prune->store, cof_bucket_blocks(prune->store, buckets),
                                           COF_SPARE_OPEN)
                    : err;
}

/* What dies with the node, with room for it in the next root. A checkpoint that makes the room may
 * take pages out of the child's tree that the node holds too: nobody but the node does from then
 * on, so they are looked for again. */
static int find_deaths(struct prune *prune, const struct coffer_volume *node,
                       struct coffer_volume *child)
{
    struct coffer_store *store = prune->store;
    for (unsigned tries = 0; tries < WALKS_MAX; tries++) {
        uint64_t merges;
        int err = cof_checkpoint_settle(store);
        merges = store->checkpoint.count;
        cof_kills_done(&prune->kills);
        if (err == 0) {
            err = walk(prune, node, &child, child != NULL ? 1u : 0u, add_death);
        }
        if (err == 0) {
            err = room_for_deaths(prune, node->item);
        }
        if (err != 0 || store->checkpoint.count == merges) {
            return err;
        }
    }
    return COFFER_E_NO_SPACE;
}

/* One root in which the node, and what only it held, are gone. *at is closed, and NULL then. */
static int take_out(struct prune *prune, struct coffer_volume **at, struct coffer_volume *child)
{
    struct coffer_store *store = prune->store;
    struct coffer_volume *node = *at;
    struct cof_catalogue_item *item = node->item;
    unsigned parts = node->eks_parts_written;
    int err;
    prune->leaving = node;
    err = store->forgotten_count >= 64u ? COFFER_E_LIMIT : find_deaths(prune, node, child);
    if (err != 0) {
        return err;
    }
    err = cof_deaths_apply(store, &prune->kills);
    if (err == 0) {
        err = purge_writers(store, item, NULL);
    }
    if (err == 0 && child != NULL) {
        err = adopt(child, node);
    }
    if (err == 0) {
        err = cof_catalogue_remove(store, item, parts);
    }
    if (err != 0) {
        cof_store_fail(store, err);
        return err;
    }
    cof_volume_drop(node);
    *at = NULL;
    err = cof_checkpoint_light(store);
    if (err == 0) {
        cof_grant_release(store, item, prune->provider);
    }
    cof_catalogue_item_free(store, item);
    return err;
}

/* A snapshot or a hidden node. */
static int remove_one(struct prune *prune, struct cof_catalogue_item *item, uint32_t children,
                      struct cof_catalogue_item *child_item)
{
    struct coffer_volume *node, *child = NULL;
    bool child_own = false;
    int err;
    if (item->open != NULL) {
        return cof_fault(prune->fault, COFFER_E_BUSY, COFFER_STAGE_NONE, "the snapshot is open");
    }
    if (copying_child(prune->store, item->entry.number)) {
        return cof_fault(prune->fault, COFFER_E_BUSY, COFFER_STAGE_NONE,
                         "a copy that begins with the snapshot was interrupted: go on with it, or "
                         "delete it first");
    }
    err = cof_volume_open_item(prune->store, item, COFFER_VOLUME_READ_ONLY, prune->provider, &node,
                               prune->fault);
    if (err != 0) {
        return err;
    }
    if (children > 1) {
        err = hide(prune, node);
        cof_volume_drop(node);
        return err;
    }
    if (children == 1) {
        err = borrow(prune, child_item, &child, &child_own);
    }
    if (err == 0) {
        err = take_out(prune, &node, child);
    }
    cof_volume_drop(node);
    give_back(child, child_own);
    return err;
}

/* Hidden ancestors that no longer branch. That they can't go now, for want of a key, is no failure:
 * they go with the next that is taken out below them. */
static int remove_hidden(struct prune *prune, uint32_t number)
{
    struct coffer_store *store = prune->store;
    int err = 0;
    while (err == 0) {
        struct cof_catalogue_item *item = cof_catalogue_at(store, number), *child = NULL;
        uint32_t children = cof_children_of(store, number, &child);
        if (item == NULL || item->entry.kind != COF_KIND_HIDDEN || children > 1) {
            return 0;
        }
        number = item->entry.parent_number;
        cof_kills_done(&prune->kills);
        err = remove_one(prune, item, children, child);
        if (err != 0 && store->error == 0) {
            cof_log(&store->env, COFFER_LOG_WARN,
                    "a hidden node of the version tree stays for now: %s",
                    coffer_error_sentence(err));
            cof_fault_clear(prune->fault);
            return 0;
        }
    }
    return err;
}

int cof_node_remove_hidden(struct coffer_store *store, uint32_t number,
                           const struct coffer_key_provider *provider, struct coffer_fault *fault)
{
    struct prune prune = {.store = store, .provider = provider, .fault = fault};
    int err;
    cof_kills_init(&prune.kills, &store->env);
    err = remove_hidden(&prune, number);
    cof_kills_done(&prune.kills);
    return err;
}

int cof_node_remove(struct coffer_store *store, struct cof_catalogue_item *item,
                    struct coffer_volume *node, const struct coffer_key_provider *provider,
                    struct coffer_fault *fault)
{
    struct prune prune = {.store = store, .provider = provider, .fault = fault};
    struct cof_catalogue_item *child = NULL;
    uint32_t parent = item->entry.parent_number;
    uint32_t children = cof_children_of(store, item->entry.number, &child);
    int err;
    cof_kills_init(&prune.kills, &store->env);
    if (node != NULL) {
        node->deleting = true;
        err = take_out(&prune, &node, NULL);
        if (node != NULL) {
            node->deleting = false;
            cof_volume_drop(node);
        }
    } else {
        err = remove_one(&prune, item, children, child);
    }
    if (err == 0) {
        err = remove_hidden(&prune, parent);
    }
    cof_kills_done(&prune.kills);
    if (err != 0 && fault != NULL && fault->error == 0) {
        cof_fault(fault, err, COFFER_STAGE_ROOT, "it can't be deleted: %s",
                  coffer_error_sentence(err));
    }
    return err;
}

/* ---- without a key ---- */

static int purge(struct coffer_store *store, struct cof_catalogue_item *item, bool *ret_changed)
{
    const struct cof_volume_entry *entry = &item->entry;
    const struct cof_catalogue_item *parent = cof_catalogue_at(store, entry->parent_number);
    const struct cof_inherited inherited = {parent != NULL ? &parent->entry : NULL,
                                            entry->lineages > 0 ? entry->lineages - 1u : 0u};
    uint64_t extents = 0;
    int err = store->forgotten_count >= 64u ? COFFER_E_LIMIT : cof_checkpoint_run(store, false);
    if (err == 0) {
        err = cof_import_count(store, entry->number, &inherited, &extents);
    }
    if (err == 0) {
        err = purge_writers(store, item, &extents);
    }
    if (err == 0) {
        err = cof_checkpoint_ready(store, extents * COF_BUCKET_BLOCKS, COF_SPARE_OPEN);
    }
    if (err != 0) {
        return err;
    }
    *ret_changed = true;
    err = cof_import_purge(store, entry->number, &inherited);
    if (err == 0) {
        err = purge_writers(store, item, NULL);
    }
    return err == 0 ? cof_catalogue_remove(
                          store, item, (entry->data_keys + COF_EK_PER_PART - 1u) / COF_EK_PER_PART)
                    : err;
}

int cof_node_purge(struct coffer_store *store, struct cof_catalogue_item *item,
                   const struct coffer_key_provider *provider, struct coffer_fault *fault)
{
    uint32_t parent = item->entry.parent_number;
    bool changed = false;
    int err = purge(store, item, &changed);
    if (err != 0 && changed) {
        cof_store_fail(store, err);
    }
    if (err == 0) {
        err = cof_checkpoint_light(store);
        if (err == 0) {
            cof_grant_release(store, item, provider);
        }
        cof_catalogue_item_free(store, item);
    }
    if (err == 0) {
        err = cof_node_remove_hidden(store, parent, provider, fault);
    }
    return err == 0 ? 0
                    : cof_fault(fault, err, COFFER_STAGE_ROOT, "it can't be deleted: %s",
                                coffer_error_sentence(err));
}
