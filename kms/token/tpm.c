/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/token/tpm.c - the URI and the file of what a TPM sealed; tpm.h has both forms.
 *
 * Invariants: the auth value is in secret memory; a file is whole and synced, or not there.
 */
#include "tpm_internal.h"

#include <coffer/keystore.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SCHEME "tpm2:"
#define AUTH "auth-source=file:"
#define TCTI "tcti="
#define MAGIC "CfTP\x01"
#define MAGIC_BYTES 5u
#define FILE_BYTES_MAX (MAGIC_BYTES + COF_TPM_SEALED_BYTES_MAX)
#define PATH_BYTES_MAX 1024u

struct place {
    char path[PATH_BYTES_MAX];
    char auth_path[PATH_BYTES_MAX];
    char tcti[PATH_BYTES_MAX]; /* "": the library's choice */
};

bool cof_tpm_is_uri(const char *text)
{
    return strncmp(text, SCHEME, sizeof(SCHEME) - 1) == 0;
}

static bool copy(char *to, const char *from, size_t bytes)
{
    if (bytes == 0 || bytes >= PATH_BYTES_MAX) {
        return false;
    }
    memcpy(to, from, bytes);
    to[bytes] = '\0';
    return true;
}

/* One of the parts behind the question mark. */
static bool take_part(struct place *place, const char *part, size_t bytes)
{
    if (bytes > sizeof(AUTH) - 1 && strncmp(part, AUTH, sizeof(AUTH) - 1) == 0) {
        return place->auth_path[0] == '\0' &&
               copy(place->auth_path, part + sizeof(AUTH) - 1, bytes - (sizeof(AUTH) - 1));
    }
    if (bytes > sizeof(TCTI) - 1 && strncmp(part, TCTI, sizeof(TCTI) - 1) == 0) {
        return place->tcti[0] == '\0' &&
               copy(place->tcti, part + sizeof(TCTI) - 1, bytes - (sizeof(TCTI) - 1));
    }
    return false;
}

static int parse_uri(const char *uri, struct place *place, struct coffer_fault *fault)
{
    const char *at = uri + sizeof(SCHEME) - 1;
    size_t bytes = strcspn(at, "?");
    bool good = copy(place->path, at, bytes);

    place->auth_path[0] = place->tcti[0] = '\0';
    at += bytes;
    while (good && *at != '\0') {
        at++; /* ? or & */
        bytes = strcspn(at, "&");
        good = take_part(place, at, bytes);
        at += bytes;
    }
    if (!good || place->auth_path[0] == '\0') {
        return cof_kms_fault(fault, COFFER_E_INVALID,
                             "a TPM's URI is tpm2:FILE?auth-source=file:PATH, and &tcti=... when "
                             "the TPM is not the usual one");
    }
    return 0;
}

/* ---- files ------------------------------------------------------------------------------- */

static int read_file(const char *path, uint8_t *bytes, size_t room, size_t *ret_count,
                     struct coffer_fault *fault)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat about;
    ssize_t got = -1;

    if (fd < 0) {
        return cof_kms_fault(fault, errno == ENOENT ? COFFER_E_NOT_FOUND : COFFER_E_ACCESS,
                             "%.100s: %s", path, strerror(errno));
    }
    if (fstat(fd, &about) == 0 && S_ISREG(about.st_mode) && (about.st_mode & 077) == 0) {
        got = read(fd, bytes, room);
    }
    (void)close(fd);
    if (got <= 0) {
        return cof_kms_fault(fault, COFFER_E_ACCESS,
                             "%.80s is empty, no file, or open to others: chmod 600 it", path);
    }
    *ret_count = (size_t)got;
    return 0;
}

static int read_auth(const struct place *place, uint8_t *memory, struct cof_kms_bytes *ret_auth,
                     struct coffer_fault *fault)
{
    size_t count = 0;
    int error = read_file(place->auth_path, memory, COF_TPM_AUTH_BYTES_MAX + 2, &count, fault);

    if (error == 0 && memory[count - 1] == '\n') {
        count--;
    }
    if (error == 0 && (count == 0 || count > COF_TPM_AUTH_BYTES_MAX)) {
        error = cof_kms_fault(fault, COFFER_E_INVALID, "%.90s must hold 1 to %u bytes",
                              place->auth_path, COF_TPM_AUTH_BYTES_MAX);
    }
    ret_auth->at = memory;
    ret_auth->length_bytes = count;
    return error;
}

static bool sync_directory(const char *path)
{
    char copy_of_path[PATH_BYTES_MAX];
    bool synced;
    int fd;

    (void)snprintf(copy_of_path, sizeof(copy_of_path), "%s", path);
    fd = open(dirname(copy_of_path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    synced = fsync(fd) == 0;
    (void)close(fd);
    return synced;
}

static int write_file(const char *path, const uint8_t *bytes, size_t count,
                      struct coffer_fault *fault)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool written;

    if (fd < 0) {
        return cof_kms_fault(fault, errno == EEXIST ? COFFER_E_EXISTS : COFFER_E_ACCESS,
                             "%.100s: %s", path, strerror(errno));
    }
    written = write(fd, bytes, count) == (ssize_t)count && fsync(fd) == 0;
    written = close(fd) == 0 && written;
    if (!written || !sync_directory(path)) {
        (void)unlink(path);
        return cof_kms_fault(fault, COFFER_E_IO, "%.100s can't be written", path);
    }
    return 0;
}

/* ---- both ways --------------------------------------------------------------------------- */

static const char *tcti_of(const struct place *place)
{
    return place->tcti[0] != '\0' ? place->tcti : NULL;
}

static int seal_into(const struct place *place, struct cof_kms_bytes auth, const uint8_t *secret,
                     struct coffer_fault *fault)
{
    uint8_t file[FILE_BYTES_MAX];
    size_t count = 0;
    int error;

    if (access(place->path, F_OK) == 0) {
        return cof_kms_fault(fault, COFFER_E_EXISTS, "%.100s is there already", place->path);
    }
    memcpy(file, MAGIC, MAGIC_BYTES);
    error = cof_tpm_seal(tcti_of(place), auth, secret, file + MAGIC_BYTES, &count, fault);
    return error == 0 ? write_file(place->path, file, MAGIC_BYTES + count, fault) : error;
}

static int unseal_from(const struct place *place, struct cof_kms_bytes auth, uint8_t *ret_secret,
                       struct coffer_fault *fault)
{
    uint8_t file[FILE_BYTES_MAX];
    struct cof_kms_bytes sealed = {file + MAGIC_BYTES, 0};
    size_t count = 0;
    int error = read_file(place->path, file, sizeof(file), &count, fault);

    if (error != 0) {
        return error;
    }
    if (count <= MAGIC_BYTES || memcmp(file, MAGIC, MAGIC_BYTES) != 0) {
        return cof_kms_fault(fault, COFFER_E_TAMPER, "%.90s is not what a TPM sealed here",
                             place->path);
    }
    sealed.length_bytes = count - MAGIC_BYTES;
    return cof_tpm_unseal(tcti_of(place), auth, sealed, ret_secret, fault);
}

/* The place that the URI names, and its authorization, in memory that the caller frees, failed or
 * not. */
static int find(const char *uri, struct place *ret_place, uint8_t **ret_memory,
                struct cof_kms_bytes *ret_auth, struct coffer_fault *fault)
{
    int error = parse_uri(uri, ret_place, fault);

    *ret_memory = NULL;
    if (error == 0) {
        error = coffer_keystore_secret_new(COF_TPM_AUTH_BYTES_MAX + 2, ret_memory);
    }
    return error == 0 ? read_auth(ret_place, *ret_memory, ret_auth, fault) : error;
}

int cof_tpm_make(const char *uri, const uint8_t secret[COF_TPM_SECRET_BYTES],
                 struct coffer_fault *fault)
{
    struct cof_kms_bytes auth;
    struct place place;
    uint8_t *memory;
    int error = find(uri, &place, &memory, &auth, fault);

    if (error == 0) {
        error = seal_into(&place, auth, secret, fault);
    }
    coffer_keystore_secret_free(memory);
    return error;
}

int cof_tpm_open(const char *uri, uint8_t ret_secret[COF_TPM_SECRET_BYTES],
                 struct coffer_fault *fault)
{
    struct cof_kms_bytes auth;
    struct place place;
    uint8_t *memory;
    int error = find(uri, &place, &memory, &auth, fault);

    if (error == 0) {
        error = unseal_from(&place, auth, ret_secret, fault);
    }
    coffer_keystore_secret_free(memory);
    return error;
}
