/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cofferkms/secret_file.c - a file of mode 0600 for credentials. One thread.
 */
#include "secret_file.h"
#include "ask.h"
#include "common/error.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int cof_key_secret_open(const struct cof_tool_call *call, const char *path, int *ret_fd)
{
    if (path != NULL) {
        *ret_fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
        if (*ret_fd < 0) {
            return cof_tool_fail_errno(call, errno, NULL, "cannot make %s", path);
        }
    }
    return 0;
}

static int write_credentials(const struct cof_tool_call *call, const char *path, int fd,
                             json_t *value)
{
    static const char *const names[] = {"AccessKeyId", "SecretAccessKey", "SessionToken",
                                        "Expiration"};
    json_t *credentials = json_pack("{s:i}", "Version", 1);
    size_t bytes = 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        json_t *member = json_object_get(value, names[i]);
        if (member != NULL) {
            json_object_set(credentials, names[i], member);
        }
    }
    json_object_del(value, "SecretAccessKey");
    json_object_del(value, "SessionToken");
    char *text = cof_key_text(credentials, &bytes);
    json_decref(credentials);
    errno = ENOMEM;
    bool done = text != NULL && write(fd, text, bytes) == (ssize_t)bytes &&
                write(fd, "\n", 1) == 1 && fsync(fd) == 0;
    int saved = errno;
    cof_key_text_free(text, bytes);
    return done ? 0
                : cof_tool_fail_errno(call, saved, "the secret is lost: delete this access key",
                                      "cannot write %s", path);
}

int cof_key_secret_close(const struct cof_tool_call *call, const char *path, int fd, json_t *value,
                         int exit_code)
{
    if (fd < 0) {
        return exit_code;
    }
    if (exit_code == 0) {
        exit_code = write_credentials(call, path, fd, value);
    }
    close(fd);
    if (exit_code != 0) {
        unlink(path);
    }
    return exit_code;
}
