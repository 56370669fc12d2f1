/* SPDX-License-Identifier: Apache-2.0 */
/*
 * images/maker.c - see maker.h.
 */
#include "maker.h"

#include <stdlib.h>
#include <string.h>

void must(int error, const char *what)
{
    if (error != 0) {
        fprintf(stderr, "maker of an image: %s: %s\n", what, coffer_error_name(error));
        exit(1);
    }
}

FILE *maker_begin(const char *name)
{
    FILE *out = fopen(name, "wb");
    must(out == NULL ? COFFER_E_IO : 0, name);
    return out;
}

void maker_end(FILE *out, const char *name)
{
    must(fclose(out) != 0 ? COFFER_E_IO : 0, name);
}

void maker_write_blocks(const char *path, const char *name, size_t unit_bytes)
{
    static const uint8_t zeros[PAGE];
    uint8_t unit[PAGE];
    FILE *in = fopen(path, "rb"), *out = maker_begin(name);
    must(in == NULL ? COFFER_E_IO : 0, path);
    for (uint32_t number = 0; fread(unit, 1, unit_bytes, in) == unit_bytes; number++) {
        uint8_t head[4] = {(uint8_t)number, (uint8_t)(number >> 8), (uint8_t)(number >> 16), 0};
        if (memcmp(unit, zeros, unit_bytes) != 0) {
            fwrite(head, 1, sizeof head, out);
            fwrite(unit, 1, unit_bytes, out);
        }
    }
    fclose(in);
    maker_end(out, name);
}

void maker_put_hex(FILE *out, const uint8_t *bytes, size_t count)
{
    fputc('"', out);
    for (size_t i = 0; i < count; i++) {
        fprintf(out, "%02x", bytes[i]);
    }
    fputc('"', out);
}
