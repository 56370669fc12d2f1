/* SPDX-License-Identifier: Apache-2.0 */
/*
 * images/maker.h - what the makers of frozen stores share: an end at the first error, and the two
 * files that an image is (README.md).
 */
#ifndef TESTS_IMAGES_MAKER_H
#define TESTS_IMAGES_MAKER_H

#include <coffer/coffer.h>
#include <stdint.h>
#include <stdio.h>

#define PAGE 4096u

/* Says what failed, and ends the program, unless the error is 0. */
void must(int error, const char *what);
/* The units of the file at `path` that are not all zeros, to the file `name`: number (4 bytes),
 * then the unit, of at most a page. */
void maker_write_blocks(const char *path, const char *name, size_t unit_bytes);
FILE *maker_begin(const char *name);
void maker_put_hex(FILE *out, const uint8_t *bytes, size_t count);
void maker_end(FILE *out, const char *name);

#endif
