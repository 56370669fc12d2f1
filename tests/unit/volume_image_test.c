/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frozen stores of tests/images open, for reading and for writing, and hold what their makers
 * remember; they can be written, closed and opened again, and the check finds nothing.
 */
#include "common/fake_kms.h"
#include "unit/vector_fixture.h"

#include <coffer/coffer.h>
#include <fcntl.h>
#include <unistd.h>

#define PAGE 4096u
#define READ_BYTES (64u * PAGE)

static const char *const images[] = {"format-1.0"};

struct image {
    json_t *manifest;
    struct fake_kms kms;
    char path[64];
    unsigned flags; /* COFFER_OPEN_BUFFERED where O_DIRECT is refused */
    struct coffer_store *store;
};

static void image_path(char *path, size_t room, const char *name, const char *suffix)
{
    const char *vectors = getenv("COFFER_VECTORS");
    if (vectors == NULL) {
        fail_msg("COFFER_VECTORS is not set: run it through ctest");
    }
    snprintf(path, room, "%s/../images/%s.%s", vectors, name, suffix);
}

static void unpack(struct image *image, const char *name)
{
    char from[4096];
    uint8_t head[4], block[PAGE];
    unsigned blocks = 0;
    FILE *in;
    int out;
    image_path(from, sizeof from, name, "blocks");
    in = fopen(from, "rb");
    assert_non_null(in);
    strcpy(image->path, "image-test-XXXXXX");
    out = mkstemp(image->path);
    assert_true(out >= 0);
    assert_int_equal(ftruncate(out, (off_t)number_of(image->manifest, "size_bytes")), 0);
    while (fread(head, 1, sizeof head, in) == sizeof head) {
        off_t number = head[0] | head[1] << 8 | head[2] << 16;
        assert_int_equal(fread(block, 1, PAGE, in), PAGE);
        assert_int_equal(pwrite(out, block, PAGE, number * (off_t)PAGE), PAGE);
        blocks++;
    }
    assert_true(blocks > 50);
    fclose(in);
    close(out);
}

static void image_open(struct image *image, const char *name)
{
    char path[4096];
    json_t *key;
    size_t i;
    memset(image, 0, sizeof *image);
    image_path(path, sizeof path, name, "json");
    image->manifest = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(image->manifest);
    fake_kms_init(&image->kms, 1);
    json_array_foreach (member(image->manifest, "keys"), i, key) {
        assert_int_equal(unhex(json_string_value(key), image->kms.keys[i].bytes, 32), 32);
    }
    unpack(image, name);
}

static void image_close(struct image *image)
{
    unlink(image->path);
    json_decref(image->manifest);
}

static void open_store(struct image *image, unsigned flags)
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

static void hash_volume(struct coffer_volume *volume, uint64_t size_bytes, uint8_t digest[32])
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

static void compare(struct image *image, unsigned flags)
{
    json_t *entry;
    size_t i;
    json_array_foreach (member(image->manifest, "volumes"), i, entry) {
        struct coffer_volume *volume = open_volume(image, entry, flags);
        struct coffer_volume_info info = {.size = sizeof info};
        uint8_t digest[32], expected[32];
        assert_int_equal(coffer_volume_info_get(volume, &info), 0);
        assert_int_equal(info.size_bytes, number_of(entry, "size_bytes"));
        hash_volume(volume, info.size_bytes, digest);
        fixed_of(entry, "sha256", expected, sizeof expected);
        assert_memory_equal(digest, expected, sizeof digest);
        assert_int_equal(coffer_volume_close(volume), 0);
    }
}

static int on_finding(void *ctx, const struct coffer_finding *finding)
{
    (void)ctx;
    fail_msg("check: %s: %s", coffer_error_name(finding->error), finding->text);
    return 1;
}

static void check_store(struct image *image)
{
    struct coffer_check_opts opts = {.size = sizeof opts,
                                     .provider = &image->kms.api,
                                     .on_finding = on_finding};
    struct coffer_check_summary summary;
    open_store(image, COFFER_OPEN_READ_ONLY);
    assert_int_equal(coffer_store_check(image->store, &opts, &summary, NULL), 0);
    assert_int_equal(summary.findings, 0);
    assert_int_equal(summary.volumes, json_array_size(member(image->manifest, "volumes")));
    assert_int_equal(coffer_store_close(image->store), 0);
}

static void file_digest(const struct image *image, uint8_t digest[32])
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

static void images_read_as_they_were_made(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof images / sizeof images[0]; i++) {
        struct image image;
        uint8_t before[32], after[32];
        image_open(&image, images[i]);
        file_digest(&image, before);
        open_store(&image, COFFER_OPEN_READ_ONLY);
        compare(&image, COFFER_VOLUME_READ_ONLY);
        assert_int_equal(coffer_store_close(image.store), 0);
        file_digest(&image, after);
        assert_memory_equal(before, after, sizeof before);
        image_close(&image);
    }
}

static void images_can_be_written_and_opened_again(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof images / sizeof images[0]; i++) {
        struct image image;
        const json_t *first;
        struct coffer_volume *volume;
        uint8_t page[PAGE], seen[PAGE];
        image_open(&image, images[i]);
        open_store(&image, 0);
        compare(&image, 0);
        first = json_array_get(member(image.manifest, "volumes"), 0);
        volume = open_volume(&image, first, 0);
        memset(page, 0x42, sizeof page);
        assert_int_equal(coffer_volume_write(volume, page, 3 * PAGE, PAGE, COFFER_IO_FUA, NULL), 0);
        assert_int_equal(coffer_store_close(image.store), 0);
        check_store(&image);
        open_store(&image, 0);
        volume = open_volume(&image, first, 0);
        assert_int_equal(coffer_volume_read(volume, seen, 3 * PAGE, PAGE, NULL), 0);
        assert_memory_equal(page, seen, PAGE);
        assert_int_equal(coffer_store_close(image.store), 0);
        image_close(&image);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(images_read_as_they_were_made),
        cmocka_unit_test(images_can_be_written_and_opened_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
