/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/root_forge.c - what anyone with a store and docs/format.md can do to its root, for the test
 * of rollbacks:
 *
 *   root_forge STORE          prints the epoch of the newest root
 *   root_forge STORE EPOCH    writes that root again under EPOCH, with right checksums
 */
#include "format/root_format.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SLOTS 4u
#define BLOCK 4096u

static void die(const char *what)
{
    fprintf(stderr, "root_forge: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* Slots 2 and 3 stand where the segment size says. */
static off_t place_of(unsigned slot, uint32_t segment_bytes)
{
    static const uint32_t segments[SLOTS] = {0, 0, 32, 63};
    return slot == 1 ? 8192 : (off_t)segments[slot] * (off_t)segment_bytes;
}

static void take_newer(int fd, unsigned slot, struct cof_root *newest)
{
    uint8_t block[BLOCK];
    struct cof_root root;
    if (pread(fd, block, sizeof block, place_of(slot, newest->segment_bytes)) != BLOCK) {
        die("read");
    }
    if (cof_root_decode(block, &root) == 0 && root.epoch > newest->epoch) {
        *newest = root;
    }
}

static void write_pair(int fd, const struct cof_root *root)
{
    uint8_t block[BLOCK];
    cof_root_encode(root, block);
    for (unsigned slot = (unsigned)(root->epoch % 2u); slot < SLOTS; slot += 2u) {
        if (pwrite(fd, block, sizeof block, place_of(slot, root->segment_bytes)) != BLOCK) {
            die("write");
        }
    }
}

int main(int argc, char **argv)
{
    struct cof_root newest;
    int fd = argc == 2 || argc == 3 ? open(argv[1], O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) {
        die("usage: root_forge STORE [EPOCH]");
    }
    memset(&newest, 0, sizeof newest);
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        take_newer(fd, slot, &newest);
        if (slot == 1 && newest.epoch == 0) {
            errno = EINVAL;
            die("no root");
        }
    }
    if (argc == 2) {
        printf("%" PRIu64 "\n", newest.epoch);
    } else {
        newest.epoch = strtoull(argv[2], NULL, 10);
        write_pair(fd, &newest);
    }
    if (close(fd) != 0) {
        die("close");
    }
    return 0;
}
