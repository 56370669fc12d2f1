/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/catalogue - volume entries, sealed records and tag lists (as if authenticated) and data key
 * entries.
 */
#include "fuzz/fuzz_driver.h"

#include "format/catalogue_format.h"
#include "format/taglist_format.h"

static int try_entry(const uint8_t *data, size_t size)
{
    uint8_t bytes[COF_VOLUME_ENTRY_BYTES] = {0}, again[COF_VOLUME_ENTRY_BYTES];
    struct cof_volume_entry entry;
    memcpy(bytes, data, size < sizeof bytes ? size : sizeof bytes);
    if (cof_volume_entry_decode(bytes, &entry) != 0) {
        return 0;
    }
    harness_require(entry.number >= 1 && entry.kind <= COF_KIND_COPYING &&
                        entry.record_bytes <= 28u * 4096u &&
                        entry.ring_bytes <= COF_RING_BYTES_MAX &&
                        entry.data_keys <= COF_EK_PARTS_MAX * COF_EK_PER_PART,
                    "an entry out of bounds was accepted");
    cof_volume_entry_encode(&entry, again);
    harness_require(cof_volume_entry_decode(again, &entry) == 0, "encode does not decode");
    return 1;
}

static int try_record(const uint8_t *data, size_t size)
{
    uint8_t bytes[COF_RECORD_BYTES] = {0}, again[COF_RECORD_BYTES];
    struct cof_record record;
    memcpy(bytes, data, size < sizeof bytes ? size : sizeof bytes);
    if (cof_record_decode(bytes, &record) != 0) {
        return 0;
    }
    harness_require(memchr(record.name, 0, sizeof record.name) != NULL, "a name without its end");
    harness_require(memchr(record.key_arn, 0, sizeof record.key_arn) != NULL,
                    "an ARN without its end");
    cof_record_encode(&record, again);
    harness_require(cof_record_decode(again, &record) == 0, "encode does not decode");
    return 1;
}

/* What a decoder takes is just what the encoder makes of it. */
static int try_tags(const uint8_t *data, size_t size)
{
    static uint8_t again[COF_TAGLIST_BYTES_MAX];
    uint8_t bytes[COF_TAGLIST_HEADER_BYTES] = {0};
    struct cof_taglist_header header;
    struct cof_taglist list;
    memcpy(bytes, data, size < sizeof bytes ? size : sizeof bytes);
    harness_require(cof_taglist_header_decode(bytes, &header) != 0 ||
                        header.list_bytes <= COF_TAGLIST_BYTES_MAX,
                    "a list that is too long was accepted");
    if (size > sizeof again || cof_taglist_decode(data, size, &list) != 0) {
        return 0;
    }
    harness_require(list.count >= 1 && list.count <= COF_TAGS_MAX, "a list out of bounds");
    harness_require(cof_taglist_bytes(&list) == size, "a list of another length");
    cof_taglist_encode(&list, again);
    again[2] = data[2]; /* reserved */
    again[3] = data[3];
    harness_require(memcmp(again, data, size) == 0, "a list changes when it is copied");
    return 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t key[COF_EK_ENTRY_BYTES] = {0}, again[COF_EK_ENTRY_BYTES];
    struct cof_ek_entry entry, other;
    int accepted = try_entry(data, size) | try_record(data, size) | try_tags(data, size);
    memcpy(key, data, size < sizeof key ? size : sizeof key);
    cof_ek_entry_decode(key, &entry);
    cof_ek_entry_encode(&entry, again);
    cof_ek_entry_decode(again, &other);
    harness_require(entry.first_extent == other.first_extent && entry.key_id == other.key_id,
                    "a data key entry changes when it is copied");
    return accepted;
}

size_t fuzz_seed(unsigned number, uint8_t *bytes, size_t room)
{
    struct cof_volume_entry entry = {.encrypted = true,
                                     .number = 1 + number,
                                     .ring_slots = 1,
                                     .ring_bytes = 256,
                                     .record_bytes = COF_RECORD_BYTES,
                                     .data_keys = number,
                                     .generation = 1,
                                     .tail_first = 1};
    struct cof_record record;
    if (number > 4 || room < COF_RECORD_BYTES) {
        return 0;
    }
    if (number == 4) {
        struct cof_taglist list = {2, {{"a", "1", 1, 1}, {"key", "v\xc3\xa4lue", 3, 6}}};
        cof_taglist_encode(&list, bytes);
        return cof_taglist_bytes(&list);
    }
    if (number < 2) {
        cof_volume_entry_encode(&entry, bytes);
        return COF_VOLUME_ENTRY_BYTES;
    }
    memset(&record, 0, sizeof record);
    memcpy(record.name, "name", 5);
    record.size_pages = 100 * number;
    record.height = 1;
    record.root_address = 1u << 10;
    record.created_ns = 5;
    cof_record_encode(&record, bytes);
    return COF_RECORD_BYTES;
}

FUZZ_MAIN("fuzz_catalogue", 2000000)
