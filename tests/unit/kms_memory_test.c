/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of secrets: locked, wiped, fenced; no key or plaintext left behind in any page of the
 * process after close; every allocation and every draw of randomness failing once.
 */
#include "kms_fixture.h"
#include "kms_search.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

/* The sanitizers replace mlock by nothing. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MLOCK_IS_REAL 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define MLOCK_IS_REAL 0
#endif
#endif
#ifndef MLOCK_IS_REAL
#define MLOCK_IS_REAL 1
#endif

/* ---- the pages --------------------------------------------------------------------------- */

static int ends_by_signal(uint8_t *touched)
{
    int status = 0;
    pid_t child = fork();

    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        signal(SIGBUS, SIG_DFL);
        *(volatile uint8_t *)touched = 1;
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

static void secret_memory_is_fenced_and_wiped_on_fork(void **state)
{
    uint8_t *memory = NULL;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    int status = 0;
    pid_t child;

    (void)state;
    assert_int_equal(coffer_keystore_secret_new(page + 1, &memory), 0);
    assert_int_equal(memory[0], 0);
    memset(memory, 0x5a, 2 * page);
    assert_true(ends_by_signal(memory + 2 * page));
    assert_true(ends_by_signal(memory - 1));
    assert_false(ends_by_signal(memory));
    child = fork();
    if (child == 0) {
        _exit(memory[0] == 0 && memory[page] == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(memory[0], 0x5a);
    coffer_keystore_secret_free(memory);
    coffer_keystore_secret_free(NULL);
    assert_int_equal(coffer_keystore_secret_new(0, &memory), COFFER_E_INVALID);
}

/* "Locked" of the mapping that holds address, from smaps, in KiB. */
static long locked_kib(const void *address)
{
    char line[300];
    FILE *smaps = fopen("/proc/self/smaps", "r");
    unsigned long from, to;
    long kib = -1;
    int inside = 0;

    assert_non_null(smaps);
    while (fgets(line, sizeof(line), smaps) != NULL) {
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2) {
            inside = (uintptr_t)address >= from && (uintptr_t)address < to;
        } else if (inside && sscanf(line, "Locked: %ld kB", &kib) == 1) {
            break;
        }
    }
    fclose(smaps);
    return kib;
}

static void secret_memory_is_locked(void **state)
{
    uint8_t *memory = NULL;

    (void)state;
    if (!MLOCK_IS_REAL) {
        skip();
    }
    assert_int_equal(coffer_keystore_secret_new(8192, &memory), 0);
    assert_true(locked_kib(memory) >= 8);
    coffer_keystore_secret_free(memory);
}

/* ---- what is left behind ----------------------------------------------------------------- */

#define DRAWS_MAX 64

static uint8_t draws[DRAWS_MAX][SEARCH_BYTES]; /* masked */
static unsigned draw_count;

static int draw_and_keep(void *ctx, void *buffer, size_t bytes)
{
    uint8_t *out = buffer;
    size_t i;

    (void)ctx;
    for (i = 0; i < bytes; i++) {
        out[i] = (uint8_t)random();
    }
    if (bytes == 32 && draw_count < DRAWS_MAX) {
        for (i = 0; i < 32; i++) {
            draws[draw_count][i] = out[i] ^ SEARCH_MASK;
        }
        draw_count++;
    }
    return 0;
}

static void no_key_is_left_in_memory_after_close(void **state)
{
    struct kms_fixture *f = *state;
    struct coffer_env env = {.size = sizeof(env), .random = draw_and_keep};
    unsigned found[DRAWS_MAX], i, secrets = 0;
    struct coffer_key_blob blob;
    uint8_t *back = NULL;
    size_t bytes = 0;

    fixture_close(f);
    unlink(f->path);
    f->opts.env = &env;
    draw_count = 0;
    assert_int_equal(fixture_open(f), 0);
    /* Draws of 32 bytes: root key and salt, then id and material, then the data key's bytes. */
    assert_int_equal(draw_count, 2);
    assert_int_equal(coffer_keystore_secret_new(32, &back), 0);
    assert_int_equal(coffer_keystore_generate_data_key(f->store, NULL, 32, NULL, NULL, &blob, NULL,
                                                       &f->fault), 0);
    assert_int_equal(coffer_keystore_decrypt(f->store, NULL, blob.bytes, blob.length_bytes, NULL,
                                             back, 32, &bytes, NULL, &f->fault), 0);
    assert_int_equal(draw_count, 5);
    /* The scan finds what is there: the root key while the store is open, and the data key. */
    search_memory(draws, draw_count, found);
    for (i = 0; i < draw_count; i++) {
        secrets += found[i] > 0;
    }
    assert_true(found[0] == 1);
    assert_true(secrets >= 2);
    coffer_keystore_secret_free(back);
    fixture_close(f);
    search_memory(draws, draw_count, found);
    assert_int_equal(found[0], 0); /* root key    */
    assert_int_equal(found[2], 0); /* data key    */
    assert_int_equal(found[4], 0); /* material    */
    f->opts.env = NULL;
}

static void no_key_is_in_the_file(void **state)
{
    struct kms_fixture *f = *state;
    struct coffer_env env = {.size = sizeof(env), .random = draw_and_keep};
    static uint8_t bytes[1 << 20];
    unsigned found[DRAWS_MAX] = {0};
    struct coffer_key_blob blob;
    int fd;
    ssize_t count;

    fixture_close(f);
    unlink(f->path);
    f->opts.env = &env;
    draw_count = 0;
    assert_int_equal(fixture_open(f), 0);
    assert_int_equal(coffer_keystore_generate_data_key(f->store, NULL, 32, NULL, NULL, &blob, NULL,
                                                       &f->fault), 0);
    fixture_close(f);
    fd = open(f->path, O_RDONLY);
    count = read(fd, bytes, sizeof(bytes));
    close(fd);
    assert_true(count > 0);
    search_bytes(bytes, (size_t)count, draws, draw_count, found);
    assert_true(found[1] > 0);     /* the salt is there, so the search works */
    assert_true(found[3] > 0);     /* and the material's id                  */
    assert_int_equal(found[0], 0);
    assert_int_equal(found[2], 0);
    assert_int_equal(found[4], 0);
    f->opts.env = NULL;
}

/* ---- while the store is open ------------------------------------------------------------- */

/* What the test itself knows of a secret is masked. */
struct known {
    uint8_t masked[DRAWS_MAX + 2][SEARCH_BYTES];
    unsigned seen[DRAWS_MAX + 2]; /* how often it stands in a blob or a file: it is no secret */
    unsigned count, plaintext;    /* the plaintext's number, behind what was drawn            */
};

/* Salts and ids are drawn as secrets are; those are in what is handed out. */
static void see_blob(struct known *known, const struct coffer_key_blob *blob)
{
    search_bytes(blob->bytes, blob->length_bytes, draws, draw_count, known->seen);
}

static void know(struct known *known, const uint8_t *plaintext)
{
    memcpy(known->masked, draws, draw_count * sizeof(draws[0]));
    known->plaintext = draw_count;
    search_mask(plaintext, known->masked[draw_count]);
    known->count = draw_count + 1;
}

/* Each call of the library once: 32 bytes of plaintext, data keys, a rotation, a copy, a check. */
static void use_the_store(struct kms_fixture *f, struct known *known)
{
    struct coffer_key_blob blob, again;
    uint8_t *secret = NULL;
    uint64_t rows;
    size_t bytes, i;
    char path[160];

    assert_int_equal(coffer_keystore_secret_new(64, &secret), 0);
    for (i = 0; i < 32; i++) {
        secret[i] = (uint8_t)random();
    }
    assert_int_equal(coffer_keystore_encrypt(f->store, NULL, secret, 32, NULL, &blob, NULL,
                                             &f->fault), 0);
    see_blob(known, &blob);
    memset(secret, 0, 64);
    assert_int_equal(coffer_keystore_decrypt(f->store, NULL, blob.bytes, blob.length_bytes, NULL,
                                             secret, 64, &bytes, NULL, &f->fault), 0);
    assert_int_equal(bytes, 32);
    assert_int_equal(coffer_keystore_re_encrypt(f->store, NULL, blob.bytes, blob.length_bytes, NULL,
                                                fixture_key(f)->key_id, NULL, &again, NULL, NULL,
                                                &f->fault), 0);
    see_blob(known, &again);
    assert_int_equal(coffer_keystore_generate_data_key(f->store, NULL, 32, NULL, secret, &again,
                                                       NULL, &f->fault), 0);
    see_blob(known, &again);
    assert_int_equal(coffer_keystore_decrypt(f->store, NULL, again.bytes, again.length_bytes, NULL,
                                             secret, 64, &bytes, NULL, &f->fault), 0);
    assert_int_equal(coffer_keystore_decrypt(f->store, NULL, blob.bytes, blob.length_bytes, NULL,
                                             secret, 64, &bytes, NULL, &f->fault), 0);
    know(known, secret);
    coffer_keystore_secret_free(secret);
    snprintf(path, sizeof(path), "%s/copy", f->directory);
    assert_int_equal(coffer_keystore_backup(f->store, path, &f->fault), 0);
    assert_int_equal(coffer_keystore_check(f->store, &rows, &f->fault), 0);
}

static void begin_drawing(struct kms_fixture *f, const struct coffer_env *env)
{
    fixture_close(f);
    unlink(f->path);
    f->opts.env = env;
    draw_count = 0;
    assert_int_equal(fixture_open(f), 0);
}

/* Add what stands in the files of the directory to known->seen. */
static unsigned see_files(struct kms_fixture *f, struct known *known)
{
    static uint8_t bytes[8 << 20];
    DIR *directory = opendir(f->directory);
    struct dirent *entry;
    unsigned files = 0;

    assert_non_null(directory);
    while ((entry = readdir(directory)) != NULL) {
        char path[400];
        ssize_t count;
        int fd;

        snprintf(path, sizeof(path), "%s/%s", f->directory, entry->d_name);
        fd = open(path, O_RDONLY);
        count = entry->d_name[0] == '.' ? 0 : read(fd, bytes, sizeof(bytes));
        close(fd);
        assert_true(count < (ssize_t)sizeof(bytes));
        files += count > 0;
        search_bytes(bytes, count > 0 ? (size_t)count : 0, known->masked, known->count,
                     known->seen);
    }
    closedir(directory);
    memset(bytes, 0, sizeof(bytes));
    return files;
}

static void no_secret_outlives_its_call_or_is_in_a_file_or_a_core(void **state)
{
    struct kms_fixture *f = *state;
    struct coffer_env env = {.size = sizeof(env), .random = draw_and_keep};
    static struct known known;
    unsigned found[DRAWS_MAX + 2], secrets = 0, i;

    begin_drawing(f, &env);
    use_the_store(f, &known);
    assert_true(see_files(f, &known) >= 3); /* the store, its log, a copy */
    assert_true(known.seen[1] > 0);         /* the salt is in them, so the search works */
    assert_int_equal(known.seen[0], 0);
    assert_int_equal(known.seen[known.plaintext], 0);
    search_memory(known.masked, known.count, found);
    assert_int_equal(found[0], 1); /* the root key, once, in its locked page */
    assert_int_equal(found[known.plaintext], 0);
    for (i = 1; i < known.plaintext; i++) {
        secrets += known.seen[i] == 0;
        assert_true(known.seen[i] > 0 || found[i] == 0);
    }
    assert_int_equal(secrets, 3); /* material of two keys, and the data key */
    /* And what a core dump has of the process lacks the root key, too. */
    search_core(known.masked, known.count, found);
    assert_int_equal(found[0], 0);
    f->opts.env = NULL;
}

/* ---- failures ---------------------------------------------------------------------------- */

static long allocations_until_failure, live_allocations, draws_until_failure;

static void *failing_alloc(void *ctx, size_t bytes)
{
    (void)ctx;
    if (allocations_until_failure >= 0 && allocations_until_failure-- == 0) {
        return NULL;
    }
    live_allocations++;
    return malloc(bytes);
}

static void counting_free(void *ctx, void *memory)
{
    (void)ctx;
    live_allocations--;
    free(memory);
}

static int failing_random(void *ctx, void *buffer, size_t bytes)
{
    (void)ctx;
    if (draws_until_failure >= 0 && draws_until_failure-- == 0) {
        return -1;
    }
    memset(buffer, (int)(random() & 0xff), bytes);
    return draw_and_keep(NULL, buffer, bytes);
}

/* Everything once; the first error. */
static int use_everything(struct kms_fixture *f)
{
    static struct coffer_key_metadata key = {.size = sizeof(key)};
    struct coffer_context_pair pair[] = {{"a", "b"}};
    struct coffer_context context = {pair, 1};
    const char *const operations[] = {"Decrypt"};
    struct coffer_key_provider p;
    struct coffer_key_info info;
    struct coffer_key_blob blob;
    uint8_t back[32];
    char grant[65];
    int error = fixture_open(f);

    if (error == 0) {
        error = coffer_keystore_provider(f->store, &p);
    }
    if (error == 0) {
        error = coffer_keystore_create_key(f->store, "d", &key, NULL);
    }
    if (error == 0) {
        error = p.ops->describe(p.ctx, NULL, &info);
    }
    if (error == 0) {
        error = p.ops->generate_data_key_without_plaintext(p.ctx, info.arn, &context, &blob);
    }
    if (error == 0) {
        error = p.ops->re_encrypt(p.ctx, &blob, &context, key.arn, &context, &blob);
    }
    if (error == 0) {
        error = p.ops->decrypt(p.ctx, key.arn, &blob, &context, back);
    }
    if (error == 0) {
        error = p.ops->create_grant(p.ctx, key.arn, "g", NULL, operations, 1, &context, grant);
    }
    if (error == 0) {
        error = p.ops->retire_grant(p.ctx, key.arn, grant);
    }
    fixture_close(f);
    return error;
}

static void each_failing_allocation_is_an_error_and_no_leak(void **state)
{
    struct kms_fixture *f = *state;
    struct coffer_env env = {.size = sizeof(env), .alloc = failing_alloc,
                             .dealloc = counting_free};
    long n, failures = 0;

    fixture_close(f);
    f->opts.env = &env;
    for (n = 0;; n++) {
        int error;

        allocations_until_failure = n;
        live_allocations = 0;
        error = use_everything(f);
        assert_int_equal(live_allocations, 0);
        if (error == 0) {
            break;
        }
        failures++;
        assert_int_equal(error, COFFER_E_NO_MEMORY);
    }
    assert_true(failures > 10);
    f->opts.env = NULL;
}

static void each_failing_draw_is_an_error_and_changes_nothing(void **state)
{
    struct kms_fixture *f = *state;
    struct coffer_env env = {.size = sizeof(env), .random = failing_random};
    long n, failures = 0;

    fixture_close(f);
    f->opts.env = &env;
    for (n = 0;; n++) {
        int error;

        unlink(f->path);
        draws_until_failure = n;
        error = use_everything(f);
        if (error == 0) {
            break;
        }
        failures++;
        assert_int_equal(error, COFFER_E_CRYPTO);
        if (access(f->path, F_OK) == 0) {
            assert_int_equal(fixture_number(f, "SELECT (SELECT count(*) FROM key) ="
                                               " (SELECT count(*) FROM material)"), 1);
        } else {
            assert_int_equal(fixture_files(f), 0);
        }
    }
    assert_true(failures > 10);
    f->opts.env = NULL;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secret_memory_is_fenced_and_wiped_on_fork),
        cmocka_unit_test(secret_memory_is_locked),
        CASE(no_key_is_left_in_memory_after_close),
        CASE(no_key_is_in_the_file),
        CASE(no_secret_outlives_its_call_or_is_in_a_file_or_a_core),
        CASE(each_failing_allocation_is_an_error_and_no_leak),
        CASE(each_failing_draw_is_an_error_and_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
