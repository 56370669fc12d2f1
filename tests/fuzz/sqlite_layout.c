/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/sqlite_layout - superblock and super-journal slot of a SQLite database in a volume. What
 * decodes lies within its volume and encodes to what decodes to the same. The first eight bytes are
 * the volume's size; the sums are made right, so that what is behind them is reached.
 */
#include "fuzz/fuzz_driver.h"

#include "format/endian.h"
#include "sqlite/layout.h"

static uint64_t sum_of(const uint8_t *bytes, size_t length)
{
    uint64_t sum = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < length; i++) {
        sum = (sum ^ bytes[i]) * UINT64_C(0x100000001b3);
    }
    return sum;
}

static int superblock(uint8_t page[COFFER_PAGE_BYTES], uint64_t volume_bytes)
{
    uint8_t again[COFFER_PAGE_BYTES];
    struct cof_sqlite_layout layout, other;
    (void)!cof_sqlite_layout_decode(page, volume_bytes, &layout);
    cof_le64_put(page + 120, sum_of(page, 120));
    if (cof_sqlite_layout_decode(page, volume_bytes, &layout) != 0) {
        return 0;
    }
    harness_require(layout.supers_offset >= COFFER_PAGE_BYTES &&
                        layout.supers_offset + COF_SQLITE_SUPERS_BYTES <= layout.journal_offset &&
                        layout.journal_offset < layout.wal_offset &&
                        layout.wal_offset < layout.main_offset &&
                        layout.main_offset < volume_bytes &&
                        layout.main_floor_bytes <= volume_bytes - layout.main_offset &&
                        layout.journal_bytes <= layout.wal_offset - layout.journal_offset,
                    "regions that overlap were accepted");
    cof_sqlite_layout_encode(&layout, again);
    harness_require(cof_sqlite_layout_decode(again, volume_bytes, &other) == 0 &&
                        memcmp(&layout, &other, sizeof layout) == 0,
                    "an encoded superblock decodes to another");
    return 1;
}

static int slot(uint8_t head[COF_SQLITE_SUPER_HEAD_BYTES])
{
    uint8_t again[COF_SQLITE_SUPER_HEAD_BYTES];
    struct cof_sqlite_super super, other;
    (void)!cof_sqlite_super_decode(head, &super);
    cof_le64_put(head + 56, sum_of(head, 56));
    if (cof_sqlite_super_decode(head, &super) != 0) {
        return 0;
    }
    harness_require(strlen(super.name) == 12 &&
                        super.length_bytes <= COF_SQLITE_SUPER_SLOT_BYTES - sizeof again,
                    "an impossible slot was accepted");
    cof_sqlite_super_encode(&super, again);
    harness_require(cof_sqlite_super_decode(again, &other) == 0 &&
                        strcmp(super.name, other.name) == 0,
                    "an encoded slot decodes to another");
    return 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t page[COFFER_PAGE_BYTES] = {0};
    uint8_t head[COF_SQLITE_SUPER_HEAD_BYTES] = {0};
    if (size < 8) {
        return 0;
    }
    uint64_t volume_bytes = cof_le64_get(data);
    data += 8;
    size -= 8;
    memcpy(page, data, size < sizeof page ? size : sizeof page);
    memcpy(head, data, size < sizeof head ? size : sizeof head);
    int accepted = superblock(page, volume_bytes);
    return slot(head) == 1 || accepted == 1;
}

size_t fuzz_seed(unsigned number, uint8_t *bytes, size_t room)
{
    const struct cof_sqlite_super super = {.name = "-mjA0B1C2933", .length_bytes = 99};
    struct cof_sqlite_layout layout;
    uint64_t volume_bytes = (16ull << 20) << (10u * number);
    if (number > 3 || room < 8 + COFFER_PAGE_BYTES) {
        return 0;
    }
    cof_le64_put(bytes, volume_bytes);
    if (number == 3) {
        cof_sqlite_super_encode(&super, bytes + 8);
        return 8 + COF_SQLITE_SUPER_HEAD_BYTES;
    }
    harness_require(cof_sqlite_layout_plan(volume_bytes, &layout) == 0, "no plan");
    layout.main_floor_bytes = number * COFFER_PAGE_BYTES;
    cof_sqlite_layout_encode(&layout, bytes + 8);
    return 8 + COFFER_PAGE_BYTES;
}

FUZZ_MAIN("fuzz_sqlite_layout", 1000000)
