/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms_openssl.h - the openssl command as a second opinion: files in a directory of their own and
 * command lines over them.
 */
#ifndef KMS_OPENSSL_H
#define KMS_OPENSSL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct kms_openssl {
    char directory[64];
};

static inline int openssl_setup(void **state)
{
    struct kms_openssl *o = malloc(sizeof(*o));

    assert_non_null(o);
    strcpy(o->directory, "/tmp/coffer-kms-openssl-XXXXXX");
    assert_non_null(mkdtemp(o->directory));
    *state = o;
    return 0;
}

static inline int openssl_teardown(void **state)
{
    struct kms_openssl *o = *state;
    DIR *directory = opendir(o->directory);
    struct dirent *entry;

    assert_non_null(directory);
    while ((entry = readdir(directory)) != NULL) {
        unlinkat(dirfd(directory), entry->d_name, 0);
    }
    closedir(directory);
    rmdir(o->directory);
    free(o);
    return 0;
}

static inline void openssl_path(const struct kms_openssl *o, const char *name, char path[160])
{
    snprintf(path, 160, "%s/%s", o->directory, name);
}

static inline void openssl_write(const struct kms_openssl *o, const char *name, const void *bytes,
                                 size_t count)
{
    char path[160];
    FILE *file;

    openssl_path(o, name, path);
    file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}

static inline size_t openssl_read(const struct kms_openssl *o, const char *name, void *bytes,
                                  size_t room)
{
    char path[160];
    size_t count;
    FILE *file;

    openssl_path(o, name, path);
    file = fopen(path, "rb");
    assert_non_null(file);
    count = fread(bytes, 1, room, file);
    fclose(file);
    return count;
}

/* Exit status of the shell's line in the directory; what it says is kept in the file `said`. */
__attribute__((format(printf, 2, 3))) static inline int openssl_try(const struct kms_openssl *o,
                                                                    const char *format, ...)
{
    char line[1200], whole[1400];
    va_list args;
    int status;

    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    snprintf(whole, sizeof(whole), "cd %s && { %s; } >said 2>&1", o->directory, line);
    status = system(whole);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

#define openssl_run(o, ...)                                                    \
    do {                                                                       \
        if (openssl_try((o), __VA_ARGS__) != 0) {                              \
            char said_[600];                                                   \
            said_[openssl_read((o), "said", said_, sizeof(said_) - 1)] = '\0'; \
            fail_msg("the openssl command: %s", said_);                        \
        }                                                                      \
    } while (0)

#endif
