/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/image_fixture.h - a frozen store of tests/images, unpacked to a file that may be written,
 * and what its manifest says of it.
 */
#ifndef COF_TEST_IMAGE_FIXTURE_H
#define COF_TEST_IMAGE_FIXTURE_H

#include "common/fake_kms.h"
#include "unit/vector_fixture.h"

#include <coffer/coffer.h>
#include <fcntl.h>
#include <unistd.h>

#define PAGE 4096u
#define READ_BYTES (64u * PAGE)

struct image {
    json_t *manifest;
    struct fake_kms kms;
    char path[64];
    unsigned flags; /* COFFER_OPEN_BUFFERED where O_DIRECT is refused */
    struct coffer_store *store;
};

static inline void image_path(char *path, size_t room, const char *name, const char *suffix)
{
    const char *vectors = getenv("COFFER_VECTORS");
    if (vectors == NULL) {
        fail_msg("COFFER_VECTORS is not set: run it through ctest");
    }
    snprintf(path, room, "%s/../images/%s.%s", vectors, name, suffix);
}

static inline void unpack(struct image *image, const char *name)
{
    char from[4096];
    uint8_t head[4], unit[PAGE];
    size_t unit_bytes = json_object_get(image->manifest, "unit_bytes") == NULL
                            ? PAGE
                            : (size_t)number_of(image->manifest, "unit_bytes");
    unsigned units = 0;
    FILE *in;
    int out;
    assert_true(unit_bytes >= 512 && unit_bytes <= sizeof unit);
    image_path(from, sizeof from, name, "blocks");
    in = fopen(from, "rb");
    assert_non_null(in);
    strcpy(image->path, "image-test-XXXXXX");
    out = mkstemp(image->path);
    assert_true(out >= 0);
    assert_int_equal(ftruncate(out, (off_t)number_of(image->manifest, "size_bytes")), 0);
    while (fread(head, 1, sizeof head, in) == sizeof head) {
        off_t number = head[0] | head[1] << 8 | head[2] << 16;
        assert_int_equal(fread(unit, 1, unit_bytes, in), unit_bytes);
        assert_int_equal(pwrite(out, unit, unit_bytes, number * (off_t)unit_bytes), unit_bytes);
        units++;
    }
    assert_true(units > 50);
    fclose(in);
    close(out);
}

static inline void image_open(struct image *image, const char *name)
{
    char path[4096];
    json_t *key;
    size_t i;
    memset(image, 0, sizeof *image);
    image_path(path, sizeof path, name, "json");
    image->manifest = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(image->manifest);
    fake_kms_init(&image->kms, 1);
    json_array_foreach(member(image->manifest, "keys"), i, key)
    {
        assert_true(i < FAKE_KMS_KEYS);
        assert_int_equal(unhex(json_string_value(key), image->kms.keys[i].bytes, 32), 32);
    }
    unpack(image, name);
}

static inline void image_close(struct image *image)
{
    unlink(image->path);
    json_decref(image->manifest);
}

static inline void open_store(struct image *image, unsigned flags)
{
    struct coffer_store_opts opts = {.size = sizeof opts, .path = image->path};
    struct coffer_fault fault;
    int err;
    opts.flags = flags | image->flags;
    err = coffer_store_open(&opts, &image->store, &fault);
    if (err == COFFER_E_UNSUPPORTED) {
        image->flags = COFFER_OPEN_BUFFERED;
        opts.flags = flags | image->flags;
        err = coffer_store_open(&opts, &image->store, &fault);
    }
    if (err != 0) {
        fail_msg("%s: %s: %s", image->path, coffer_error_name(err), fault.detail);
    }
}

static struct coffer_volume *open_volume(struct image *image, const json_t *entry, unsigned flags)
{
    struct coffer_volume_open_opts opts = {.size = sizeof opts,
                                           .name = text_of(entry, "name"),
                                           .flags = flags | COFFER_VOLUME_ALLOW_PLAIN,
                                           .provider = &image->kms.api};
    struct coffer_volume *volume = NULL;
    struct coffer_fault fault;
    int err;
    opts.pin.use_uuid = 1;
    fixed_of(entry, "uuid", opts.pin.volume_uuid.bytes, 16);
    opts.pin.use_encrypted = 1;
    opts.pin.encrypted = truth_of(entry, "encrypted");
    opts.pin.key_arn = opts.pin.encrypted ? text_of(entry, "key_arn") : NULL;
    err = coffer_volume_open(image->store, &opts, &volume, &fault);
    if (err != 0) {
        fail_msg("%s: %s: %s", opts.name, coffer_error_name(err), fault.detail);
    }
    return volume;
}

static inline void hash_volume(struct coffer_volume *volume, uint64_t size_bytes,
                               uint8_t digest[32])
{
    static uint8_t bytes[READ_BYTES];
    struct cof_sha256_stream *stream;
    struct cof_env env;
    cof_env_init(&env, NULL);
    assert_int_equal(cof_sha256_begin(&env, &stream), 0);
    for (uint64_t at = 0; at < size_bytes; at += READ_BYTES) {
        size_t part = size_bytes - at < READ_BYTES ? (size_t)(size_bytes - at) : READ_BYTES;
        struct coffer_fault fault;
        int err = coffer_volume_read(volume, bytes, at, part, &fault);
        if (err != 0) {
            fail_msg("page %llu: %s: %s", (unsigned long long)fault.page, coffer_error_name(err),
                     fault.detail);
        }
        assert_int_equal(cof_sha256_add(stream, bytes, part), 0);
    }
    assert_int_equal(cof_sha256_end(stream, digest), 0);
}

static inline void check_hash(struct coffer_volume *volume, const json_t *entry)
{
    struct coffer_volume_info info = {.size = sizeof info};
    uint8_t digest[32], expected[32];
    assert_int_equal(coffer_volume_info_get(volume, &info), 0);
    assert_int_equal(info.size_bytes, number_of(entry, "size_bytes"));
    hash_volume(volume, info.size_bytes, digest);
    fixed_of(entry, "sha256", expected, sizeof expected);
    assert_memory_equal(digest, expected, sizeof digest);
}

struct tags_seen {
    const json_t *expected;
    size_t count;
};

static inline int on_tag(void *ctx, const struct coffer_tag *tag)
{
    struct tags_seen *seen = ctx;
    assert_string_equal(tag->value, text_of(seen->expected, tag->key));
    seen->count++;
    return 0;
}

/* Those of the manifest, and no others. */
static inline void check_tags(struct image *image, const json_t *entry)
{
    struct coffer_tags_opts opts = {
        .size = sizeof opts, .name = text_of(entry, "name"), .provider = &image->kms.api};
    struct tags_seen seen = {.expected = json_object_get(entry, "tags")};
    assert_int_equal(coffer_tags_visit(image->store, &opts, on_tag, &seen, NULL), 0);
    assert_int_equal(seen.count, json_object_size(seen.expected));
}

/* Of the list of that name, if the image has it. */
static inline void compare(struct image *image, const char *list, unsigned flags)
{
    json_t *entry;
    size_t i;
    json_array_foreach(json_object_get(image->manifest, list), i, entry)
    {
        struct coffer_volume *volume = open_volume(image, entry, flags);
        check_hash(volume, entry);
        check_tags(image, entry);
        assert_int_equal(coffer_volume_close(volume), 0);
    }
}

static inline void compare_all(struct image *image, unsigned flags)
{
    compare(image, "volumes", flags);
    compare(image, "snapshots", COFFER_VOLUME_READ_ONLY);
}

static inline int on_finding(void *ctx, const struct coffer_finding *finding)
{
    (void)ctx;
    fail_msg("check: %s: %s", coffer_error_name(finding->error), finding->text);
    return 1;
}

static inline size_t listed(const struct image *image, const char *list)
{
    return json_array_size(json_object_get(image->manifest, list));
}

/* The store is open and no volume of it is. All of `nodes` volumes and snapshots open with keys. */
static inline void check_open_store(struct image *image, uint64_t nodes)
{
    struct coffer_check_opts opts = {
        .size = sizeof opts, .provider = &image->kms.api, .on_finding = on_finding};
    struct coffer_check_summary summary;
    assert_int_equal(coffer_store_check(image->store, &opts, &summary, NULL), 0);
    assert_int_equal(summary.findings, 0);
    assert_int_equal(summary.volumes, nodes);
    assert_int_equal(summary.volumes_opened, nodes);
}

/* As the maker left it: volumes, snapshots and those that are hidden. */
static inline uint64_t nodes_made(const struct image *image)
{
    return listed(image, "volumes") + listed(image, "snapshots") +
           (uint64_t)json_integer_value(json_object_get(image->manifest, "hidden"));
}

static inline void file_digest(const struct image *image, uint8_t digest[32])
{
    size_t size = (size_t)number_of(image->manifest, "size_bytes");
    uint8_t *bytes = malloc(size);
    FILE *in = fopen(image->path, "rb");
    assert_true(bytes != NULL && in != NULL);
    assert_int_equal(fread(bytes, 1, size, in), size);
    assert_int_equal(cof_sha256(bytes, size, digest), 0);
    fclose(in);
    free(bytes);
}

#endif
