/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/dump.c - the store's keyless metadata, as named values. Asks for no key, shows none.
 */
#include "volume/store.h"

#include "format/group_format.h"

#include <stdio.h>
#include <string.h>

struct dump {
    const struct coffer_dump_ops *ops;
    void *ctx;
    int stop;
};

static void number(struct dump *dump, const char *name, uint64_t value)
{
    dump->stop = dump->stop != 0 ? dump->stop : dump->ops->number(dump->ctx, name, value);
}

static void string(struct dump *dump, const char *name, const char *value)
{
    dump->stop = dump->stop != 0 ? dump->stop : dump->ops->string(dump->ctx, name, value);
}

static void boolean(struct dump *dump, const char *name, bool value)
{
    dump->stop = dump->stop != 0 ? dump->stop : dump->ops->boolean(dump->ctx, name, value ? 1 : 0);
}

static void object(struct dump *dump, const char *name)
{
    dump->stop = dump->stop != 0 ? dump->stop : dump->ops->begin_object(dump->ctx, name);
}

static void array(struct dump *dump, const char *name)
{
    dump->stop = dump->stop != 0 ? dump->stop : dump->ops->begin_array(dump->ctx, name);
}

static void end(struct dump *dump)
{
    dump->stop = dump->stop != 0 ? dump->stop : dump->ops->end(dump->ctx);
}

static void uuid(struct dump *dump, const char *name, const uint8_t bytes[16])
{
    char text[37];
    cof_uuid_text(bytes, text);
    string(dump, name, text);
}

static void tree(struct dump *dump, const char *name, const struct cof_tree_pointer *pointer)
{
    char sum[17];
    snprintf(sum, sizeof sum, "%016llx", (unsigned long long)pointer->sum);
    object(dump, name);
    number(dump, "segment", pointer->segment);
    number(dump, "block", pointer->block);
    number(dump, "blocks", pointer->blocks);
    number(dump, "height", pointer->height);
    string(dump, "xxh3", sum);
    end(dump);
}

static void lane(struct dump *dump, unsigned id, const struct cof_lane_head *head)
{
    object(dump, NULL);
    number(dump, "lane", id);
    number(dump, "segment", head->segment);
    number(dump, "next_segment", head->next_segment);
    number(dump, "block", head->block);
    number(dump, "batch", head->batch_no);
    number(dump, "durable_upto", head->durable_upto);
    end(dump);
}

static void root(struct dump *dump, const struct cof_root *fields)
{
    object(dump, "root");
    number(dump, "epoch", fields->epoch);
    number(dump, "format_major", fields->major);
    number(dump, "format_minor", fields->minor);
    boolean(dump, "clean", fields->clean);
    uuid(dump, "store", fields->store_uuid);
    uuid(dump, "session", fields->session);
    number(dump, "segment_bytes", fields->segment_bytes);
    number(dump, "segment_count", fields->segment_count);
    number(dump, "conditioned", fields->conditioned);
    number(dump, "next_extent", fields->next_extent);
    tree(dump, "catalogue", &fields->catalogue);
    tree(dump, "placement", &fields->placement);
    tree(dump, "segments", &fields->segments);
    array(dump, "lanes");
    for (unsigned i = 0; i < COF_LANES; i++) {
        if (fields->lanes[i].used) {
            lane(dump, i, &fields->lanes[i]);
        }
    }
    end(dump);
    end(dump);
}

static void relations(struct dump *dump, const struct cof_catalogue_item *item)
{
    static const char *const kinds[] = {"volume", "snapshot", "hidden", "copying"};
    char grant[COF_GRANT_ID_MAX + 1u] = "";
    memcpy(grant, item->grant_id, item->entry.grant_bytes);
    string(dump, "kind", kinds[item->entry.kind]);
    number(dump, "parent", item->entry.parent_number);
    number(dump, "family", item->entry.family);
    number(dump, "own_cut", item->entry.own_cut);
    number(dump, "own_node_cut", item->entry.own_node_cut);
    boolean(dump, "verbatim", item->entry.verbatim);
    boolean(dump, "interim", item->entry.interim);
    boolean(dump, "tags_left", item->entry.tags_left);
    number(dump, "access", item->entry.access);
    number(dump, "access_since_ns", item->entry.access_since_ns);
    string(dump, "grant", grant);
    array(dump, "lineages");
    for (uint32_t i = 0; i < item->entry.lineages; i++) {
        number(dump, NULL, item->lineages[i]);
    }
    end(dump);
}

/* Blocks of the record that its tags are sealed in; 0: it has none. */
static int tags(struct dump *dump, struct coffer_store *store,
                const struct cof_catalogue_item *item)
{
    struct cof_tree_pointer pointer = {.blocks = 0};
    int err =
        cof_ptree_find(&store->catalogue_tree,
                       cof_catalogue_key(item->entry.number, COF_CATALOGUE_TAGS_PART), &pointer);
    number(dump, "tag_blocks", err == 0 ? pointer.blocks : 0u);
    return err == COFFER_E_NOT_FOUND ? 0 : err;
}

static int volumes(struct dump *dump, struct coffer_store *store)
{
    int err = 0;
    array(dump, "volumes");
    for (const struct cof_catalogue_item *item = store->items; err == 0 && item != NULL;
         item = item->next) {
        char id[COFFER_RESOURCE_ID_BYTES];
        cof_resource_id(item->entry.kind == COF_KIND_VOLUME ? "vol" : "snap", item->entry.uuid, id);
        object(dump, NULL);
        number(dump, "number", item->entry.number);
        uuid(dump, "uuid", item->entry.uuid);
        string(dump, "resource_id", id);
        boolean(dump, "encrypted", item->entry.encrypted);
        number(dump, "name_hint", item->entry.name_hint);
        number(dump, "generation", item->entry.generation);
        number(dump, "data_keys", item->entry.data_keys);
        number(dump, "tail_first", item->entry.tail_first);
        number(dump, "tail_last", item->entry.tail_last);
        relations(dump, item);
        err = tags(dump, store, item);
        end(dump);
    }
    end(dump);
    return err;
}

static void segments(struct dump *dump, const struct coffer_store *store)
{
    array(dump, "segments");
    for (uint32_t i = 0; dump->stop == 0 && i < store->segments.count; i++) {
        const struct cof_segment *segment = &store->segments.table[i];
        if (segment->state != COF_SEGMENT_USED) {
            continue;
        }
        object(dump, NULL);
        number(dump, "segment", i);
        number(dump, "lane", segment->lane);
        number(dump, "sequence", segment->sequence);
        number(dump, "live_blocks", segment->live + segment->own);
        end(dump);
    }
    end(dump);
}

static void pieces(struct dump *dump, const struct cof_desc *desc)
{
    array(dump, "pieces");
    for (unsigned i = 0; cof_desc_moved(desc) && i < desc->piece_count; i++) {
        const struct cof_piece *piece = &desc->pieces[i];
        object(dump, NULL);
        number(dump, "segment", piece->segment);
        number(dump, "first_slot", piece->first_slot);
        number(dump, "block", piece->block);
        number(dump, "header_block", cof_group_header_block(piece->block));
        end(dump);
    }
    end(dump);
}

static void extent(struct dump *dump, const struct cof_desc *desc)
{
    object(dump, NULL);
    number(dump, "extent", desc->extent);
    number(dump, "lineage", desc->lineage);
    uuid(dump, "uuid", desc->uuid);
    number(dump, "volume", desc->volume);
    number(dump, "key", desc->key_id);
    boolean(dump, "metadata", desc->metadata);
    boolean(dump, "summary", desc->summary);
    number(dump, "segment", desc->pieces[0].segment);
    number(dump, "slots", desc->slots_used);
    number(dump, "present", cof_bitmap_count(&desc->present));
    number(dump, "live", cof_bitmap_count(&desc->live));
    array(dump, "batches");
    for (unsigned i = 0; i < desc->ref_count; i++) {
        object(dump, NULL);
        number(dump, "first_slot", desc->refs[i].first_slot);
        number(dump, "block", desc->refs[i].block);
        number(dump, "header_block", (uint64_t)desc->refs[i].block - desc->refs[i].distance);
        end(dump);
    }
    end(dump);
    pieces(dump, desc);
    end(dump);
}

static int extents_of(struct dump *dump, struct coffer_store *store, uint32_t lineage)
{
    for (uint64_t at = 1; dump->stop == 0 && at <= COF_EXTENT_MAX; at++) {
        struct cof_desc *desc;
        int err = cof_place_next(&store->place, lineage, &at, &desc);
        if (err != 0) {
            return err == COFFER_E_NOT_FOUND ? 0 : err;
        }
        extent(dump, desc);
        cof_place_trim(&store->place);
    }
    return 0;
}

static int extents(struct dump *dump, struct coffer_store *store)
{
    int err = 0;
    array(dump, "extents");
    for (uint32_t lineage = 0; err == 0 && lineage <= store->lineage_count; lineage++) {
        err = extents_of(dump, store, lineage);
    }
    if (err == 0) {
        end(dump);
    }
    return err;
}

int coffer_store_dump(struct coffer_store *store, const struct coffer_dump_ops *ops, void *ctx,
                      struct coffer_fault *fault)
{
    struct dump dump = {ops, ctx, 0};
    int err;
    cof_fault_clear(fault);
    pthread_mutex_lock(&store->lock);
    object(&dump, NULL);
    number(&dump, "schema_version", 1);
    root(&dump, &store->root);
    err = volumes(&dump, store);
    segments(&dump, store);
    if (err == 0) {
        err = extents(&dump, store);
    }
    end(&dump);
    pthread_mutex_unlock(&store->lock);
    if (err != 0) {
        return cof_fault(fault, err, COFFER_STAGE_PLACEMENT,
                         "a descriptor or a tree does not read: %s", coffer_error_sentence(err));
    }
    return dump.stop;
}
