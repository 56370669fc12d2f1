/* SPDX-License-Identifier: Apache-2.0 */
/*
 * images/move_image.c - a frozen store as it would be if a cleaner had moved all that it may:
 * TO.store, which is PREFIX unpacked with its extents moved by hand, and TO.blocks of it. The
 * manifest is PREFIX's: nothing that anybody wrote has changed.
 */
#include "common/hand_mover.h"
#include "maker.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void unpack(const char *prefix, const char *path, size_t *ret_unit_bytes)
{
    char name[4096];
    uint8_t head[4], unit[PAGE];
    json_t *manifest, *unit_bytes;
    FILE *in, *out = maker_begin(path);
    snprintf(name, sizeof name, "%s.json", prefix);
    manifest = json_load_file(name, 0, NULL);
    must(manifest == NULL ? COFFER_E_IO : 0, name);
    unit_bytes = json_object_get(manifest, "unit_bytes");
    *ret_unit_bytes = unit_bytes != NULL ? (size_t)json_integer_value(unit_bytes) : PAGE;
    must(*ret_unit_bytes > PAGE ? COFFER_E_CORRUPT : 0, name);
    snprintf(name, sizeof name, "%s.blocks", prefix);
    in = fopen(name, "rb");
    must(in == NULL ? COFFER_E_IO : 0, name);
    while (fread(head, 1, sizeof head, in) == sizeof head) {
        long number = head[0] | head[1] << 8 | head[2] << 16;
        must(fread(unit, 1, *ret_unit_bytes, in) != *ret_unit_bytes ? COFFER_E_CORRUPT : 0, name);
        must(fseek(out, number * (long)*ret_unit_bytes, SEEK_SET) != 0 ? COFFER_E_IO : 0, path);
        fwrite(unit, 1, *ret_unit_bytes, out);
    }
    fclose(in);
    maker_end(out, path);
    must(truncate(path, (off_t)json_integer_value(json_object_get(manifest, "size_bytes"))) != 0
             ? COFFER_E_IO
             : 0,
         path);
    json_decref(manifest);
}

int main(int argc, char **argv)
{
    char path[4096], blocks[4096];
    struct coffer_store_opts opts = {
        .size = sizeof opts, .path = path, .flags = COFFER_OPEN_BUFFERED};
    struct coffer_store *store;
    size_t unit_bytes;
    unsigned moved;
    if (argc != 4) {
        fprintf(stderr, "usage: move_image PREFIX TO PIECES\n");
        return 2;
    }
    snprintf(path, sizeof path, "%s.store", argv[2]);
    snprintf(blocks, sizeof blocks, "%s.blocks", argv[2]);
    unpack(argv[1], path, &unit_bytes);
    must(coffer_store_open(&opts, &store, NULL), "open");
    moved = hand_move_all(store, (unsigned)atoi(argv[3]));
    must(coffer_store_close(store), "close");
    maker_write_blocks(path, blocks, unit_bytes);
    printf("%u extents were moved\n", moved);
    return moved > 0 ? 0 : 1;
}
