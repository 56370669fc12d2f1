/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/model_nodes.c - who was made after whom, and which pages they share; model_snapshot.h.
 */
#include "common/model_snapshot.h"

#include "common/harness.h"

static bool is_there(const struct model *model, unsigned node)
{
    const struct model_volume *volume = &model->volumes[node];
    return volume->used && (!volume->gone || volume->hidden) && volume->create_done != MODEL_NEVER;
}

unsigned model_node_children(const struct model *model, unsigned node)
{
    unsigned children = 0;
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        children += is_there(model, v) && model->volumes[v].parent == node ? 1u : 0u;
    }
    return children;
}

unsigned model_node_parent(const struct model *model, unsigned node)
{
    unsigned parent = model->volumes[node].parent;
    while (parent != MODEL_NONE && model->volumes[parent].hidden) {
        parent = model->volumes[parent].parent;
    }
    return parent;
}

/* A snapshot moves in between its volume and what that was made after. */
void model_node_made(struct model *model, unsigned node)
{
    struct model_volume *made = &model->volumes[node];
    if (!made->snapshot || made->linked) {
        return;
    }
    made->linked = true;
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        struct model_volume *volume = &model->volumes[v];
        if (volume->used && !volume->snapshot && !volume->gone && volume->number == made->number) {
            made->parent = volume->parent;
            volume->parent = node;
        }
    }
}

static void adopt_children(struct model *model, unsigned node)
{
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        if (model->volumes[v].used && model->volumes[v].parent == node) {
            model->volumes[v].parent = model->volumes[node].parent;
        }
    }
}

/* One that is hidden goes when it has one child left. */
static void unhide(struct model *model, unsigned node)
{
    while (node != MODEL_NONE && model->volumes[node].hidden &&
           model_node_children(model, node) < 2) {
        unsigned parent = model->volumes[node].parent;
        adopt_children(model, node);
        model->volumes[node].hidden = false;
        if (model->volumes[node].name[0] == 0) {
            model_volume_drop(model, node);
        }
        node = parent;
    }
}

void model_node_gone(struct model *model, unsigned node)
{
    struct model_volume *volume = &model->volumes[node];
    unsigned parent = volume->parent;
    if (!volume->used || volume->gone) {
        return;
    }
    volume->gone = true;
    if (model_node_children(model, node) >= 2) {
        volume->hidden = true;
        return;
    }
    adopt_children(model, node);
    unhide(model, parent);
}

bool model_page_known(const struct model *model, unsigned node, uint64_t page, uint64_t *ret_id)
{
    const struct model_volume *volume = &model->volumes[node];
    const struct model_page *p;
    const struct model_version *version;
    *ret_id = 0;
    if (page >= volume->pages_max || volume->pages[page].count == 0) {
        return true;
    }
    p = &volume->pages[page];
    version = &p->versions[p->count - 1];
    *ret_id = version->page_id;
    return !version->unsure && !version->optional;
}

/* Another node has the same page: 1 yes, 0 no, -1 perhaps. */
static int shared(const struct model *model, unsigned node, uint64_t page, uint64_t id)
{
    int answer = 0;
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        uint64_t other;
        if (v == node || !is_there(model, v) ||
            model->volumes[v].salt != model->volumes[node].salt) {
            continue;
        }
        if (!model_page_known(model, v, page, &other)) {
            answer = -1;
        } else if (other == id) {
            return 1;
        }
    }
    return answer;
}

void model_exclusive(const struct model *model, unsigned node, uint64_t *ret_least,
                     uint64_t *ret_most)
{
    *ret_least = *ret_most = 0;
    for (uint64_t page = 0; page < model->volumes[node].pages_max; page++) {
        uint64_t id;
        bool known = model_page_known(model, node, page, &id);
        int others = known && id == 0 ? 1 : shared(model, node, page, id);
        if (!known) {
            *ret_most += 1;
        } else if (others <= 0) {
            *ret_least += others == 0 ? 1u : 0u;
            *ret_most += 1;
        }
    }
}

void model_mapped(const struct model *model, unsigned node, uint64_t *ret_least, uint64_t *ret_most)
{
    *ret_least = *ret_most = 0;
    for (uint64_t page = 0; page < model->volumes[node].pages_max; page++) {
        uint64_t id;
        bool known = model_page_known(model, node, page, &id);
        *ret_least += known && id != 0 ? 1u : 0u;
        *ret_most += !known || id != 0 ? 1u : 0u;
    }
}

/* ---- keys ---- */

void model_key_first(struct model *model, unsigned node, unsigned key)
{
    struct model_volume *volume = &model->volumes[node];
    volume->keys[0] = (struct model_key){.key = key};
    volume->key_count = volume->encrypted ? 1 : 0;
}

bool model_rekeying(const struct model *model, unsigned node)
{
    const struct model_volume *volume = &model->volumes[node];
    for (unsigned i = 1; i < volume->key_count; i++) {
        if (volume->keys[i].key != volume->keys[0].key) {
            return true;
        }
    }
    return false;
}

static bool needs_key(const struct model_volume *volume, unsigned key)
{
    unsigned first = volume->key_count;
    if ((volume->recipients >> key & 1u) != 0) {
        return true;
    }
    while (first > 0 && volume->keys[first - 1].done == MODEL_NEVER) {
        first--;
    }
    for (unsigned i = first == 0 ? 0 : first - 1; i < volume->key_count; i++) {
        if (volume->keys[i].key == key) {
            return true;
        }
    }
    return false;
}

bool model_key_needed(const struct model *model, unsigned key)
{
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        const struct model_volume *volume = &model->volumes[v];
        if (volume->used && (!volume->gone || volume->hidden) && needs_key(volume, key)) {
            return true;
        }
    }
    return false;
}

static bool of_volume(const struct model *model, unsigned node, unsigned volume)
{
    const struct model_volume *at = &model->volumes[node];
    return at->used && (!at->gone || at->hidden) && at->number == model->volumes[volume].number &&
           at->key_count > 0;
}

void model_rekey(struct model *model, unsigned volume, unsigned key, uint64_t event)
{
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        struct model_volume *at = &model->volumes[v];
        if (!of_volume(model, v, volume)) {
            continue;
        }
        harness_require(at->key_count < MODEL_KEYS_MAX, "model: too many keys");
        at->keys[at->key_count++] =
            (struct model_key){.key = key, .from = event, .done = MODEL_NEVER};
    }
}

void model_rekeyed(struct model *model, unsigned volume, uint64_t event)
{
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        if (of_volume(model, v, volume)) {
            struct model_volume *at = &model->volumes[v];
            at->keys[at->key_count - 1].done = event;
            at->recipients &= ~(1u << at->keys[at->key_count - 1].key);
        }
    }
}

/* The newest key whose change was acknowledged by `event`, or one whose change had begun. */
static bool key_allowed(const struct model_volume *volume, unsigned key, uint64_t event)
{
    for (unsigned i = volume->key_count; i > 0; i--) {
        const struct model_key *at = &volume->keys[i - 1];
        if ((i == 1 || event > at->from) && at->key == key) {
            return true;
        }
        if (event >= at->done) {
            return false;
        }
    }
    return false;
}

void model_check_keys(const struct model *model, const struct model_seen *seen, uint64_t event)
{
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        const struct model_volume *volume = &model->volumes[v];
        unsigned key = seen->volumes[v].key;
        if (!seen->volumes[v].key_known) {
            continue;
        }
        harness_require(key_allowed(volume, key, event), "%s opens by key %u only", volume->name,
                        key);
        for (unsigned other = 0; other < v; other++) {
            harness_require(!seen->volumes[other].key_known || seen->volumes[other].key == key ||
                                model->volumes[other].number != volume->number,
                            "%s opens by key %u only, %s by key %u", volume->name, key,
                            model->volumes[other].name, seen->volumes[other].key);
        }
    }
}
