/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/kms_engine.c - the engine's credentials out of their file.
 *
 * Invariants: a file that others can read is refused; its bytes lie in locked memory, and what the
 * parser makes of them is wiped when it is freed (coffer_kms_client_new has seen to that). Any
 * thread.
 */
#include "kms_engine.h"
#include <coffer/keystore.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_MAX 16384u

static bool copy_text(const json_t *value, const char *name, bool needed, char *room,
                      size_t room_bytes)
{
    const char *text = json_string_value(json_object_get(value, name));
    if (text == NULL || strlen(text) >= room_bytes) {
        return text == NULL && !needed;
    }
    memcpy(room, text, strlen(text) + 1);
    return true;
}

static int parse(const char *bytes, size_t count, struct coffer_kms_credentials *ret_credentials)
{
    json_t *value = json_loadb(bytes, count, JSON_REJECT_DUPLICATES, NULL);
    bool good = copy_text(value, "AccessKeyId", true, ret_credentials->access_key_id,
                          sizeof ret_credentials->access_key_id) &&
                copy_text(value, "SecretAccessKey", true, ret_credentials->secret,
                          sizeof ret_credentials->secret) &&
                copy_text(value, "SessionToken", false, ret_credentials->session_token,
                          sizeof ret_credentials->session_token);
    json_decref(value);
    return good ? 0 : COFFER_E_INVALID;
}

/* Up to FILE_BYTES_MAX bytes; more, or an error, is -1. */
static ssize_t read_all(int fd, uint8_t *bytes)
{
    size_t have = 0;
    while (have < FILE_BYTES_MAX) {
        ssize_t got = read(fd, bytes + have, FILE_BYTES_MAX - have);
        if (got == 0) {
            return (ssize_t)have;
        }
        if (got < 0 && errno != EINTR) {
            return -1;
        }
        have += got > 0 ? (size_t)got : 0;
    }
    return -1;
}

static int open_private(const char *path, int *ret_fd)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        return errno == ENOENT ? COFFER_E_NOT_FOUND : COFFER_E_ACCESS;
    }
    if (fstat(fd, &status) != 0 || (S_ISREG(status.st_mode) && (status.st_mode & 077) != 0)) {
        close(fd);
        return COFFER_E_ACCESS;
    }
    *ret_fd = fd;
    return 0;
}

int cof_tool_engine_read(void *ctx, struct coffer_kms_credentials *ret_credentials)
{
    uint8_t *bytes = NULL;
    int fd = -1, error = open_private(ctx, &fd);
    if (error != 0) {
        return error;
    }
    error = coffer_keystore_secret_new(FILE_BYTES_MAX, &bytes);
    if (error == 0) {
        ssize_t count = read_all(fd, bytes);
        error =
            count < 0 ? COFFER_E_IO : parse((const char *)bytes, (size_t)count, ret_credentials);
    }
    close(fd);
    coffer_keystore_secret_free(bytes);
    return error;
}

bool cof_tool_principal(const char *text, const char *kind, const char *account,
                        char ret_arn[COFFER_PRINCIPAL_BYTES_MAX])
{
    bool bare = strchr(text, '/') == NULL && strcmp(text, "root") != 0;
    int length;
    if (strncmp(text, "arn:", 4) == 0) {
        length = snprintf(ret_arn, COFFER_PRINCIPAL_BYTES_MAX, "%s", text);
    } else if (strlen(text) == 12 && strspn(text, "0123456789") == 12) {
        length = snprintf(ret_arn, COFFER_PRINCIPAL_BYTES_MAX, "arn:coffer:iam::%s:root", text);
    } else if (account != NULL) {
        length = snprintf(ret_arn, COFFER_PRINCIPAL_BYTES_MAX, "arn:coffer:iam::%s:%s%s", account,
                          bare ? kind : "", text);
    } else {
        return false;
    }
    return length > 0 && length < COFFER_PRINCIPAL_BYTES_MAX;
}
