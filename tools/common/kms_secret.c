/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/kms_secret.c - reading a passphrase into locked memory.
 *
 * Invariants: no byte of a passphrase passes through stdio, the heap or the stack; the terminal's
 * echo is put back on every path, an interrupt included; a command's failure is not an empty
 * passphrase. One thread.
 */
#include "kms_secret.h"
#include "error.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

extern char **environ;

#define READ_BYTES_MAX (COFFER_PASSPHRASE_BYTES_MAX + 2) /* with a line end of one or two bytes */

int cof_tool_secret_fail(struct coffer_fault *fault, int error, const char *format, ...)
{
    va_list list;
    memset(fault, 0, sizeof *fault);
    fault->error = error;
    fault->page = COFFER_NOWHERE;
    fault->segment = COFFER_NOWHERE;
    fault->offset = COFFER_NOWHERE;
    va_start(list, format);
    vsnprintf(fault->detail, sizeof fault->detail, format, list);
    va_end(list);
    return error;
}

/* Read up to the first newline or the end, at most READ_BYTES_MAX. -1 with errno on failure. */
static ssize_t read_line(int fd, uint8_t *line)
{
    size_t have = 0;
    while (have < READ_BYTES_MAX) {
        ssize_t got = read(fd, line + have, 1);
        if (got < 0 && errno == EINTR && !cof_tool_interrupted()) {
            continue;
        }
        if (got < 0) {
            return -1;
        }
        if (got == 0 || line[have] == '\n') {
            break;
        }
        have++;
    }
    if (have > 0 && line[have - 1] == '\r') {
        have--;
    }
    return (ssize_t)have;
}

/* read_line into the caller's buffer, by way of locked memory that has room for the line end. */
static int take_line(const struct cof_tool_secret_source *source, int fd, const char *what,
                     uint8_t *buffer, size_t capacity, size_t *ret_bytes)
{
    uint8_t *line = NULL;
    int error = coffer_keystore_secret_new(READ_BYTES_MAX, &line);
    if (error != 0) {
        return cof_tool_secret_fail(source->fault, error, "%s", coffer_error_sentence(error));
    }
    ssize_t have = read_line(fd, line);
    if (have < 0) {
        error = errno == EINTR ? COFFER_E_CANCELLED : COFFER_E_IO;
        cof_tool_secret_fail(source->fault, error, "%.80s: %s", what, strerror(errno));
    } else if (have == 0) {
        error = cof_tool_secret_fail(source->fault, COFFER_E_PASSPHRASE,
                                     "%.80s gave an empty passphrase", what);
    } else if ((size_t)have > capacity) {
        error = cof_tool_secret_fail(source->fault, COFFER_E_PASSPHRASE,
                                     "%.80s gave a passphrase of more than %zu bytes", what,
                                     capacity);
    } else {
        memcpy(buffer, line, (size_t)have);
        *ret_bytes = (size_t)have;
    }
    coffer_keystore_secret_free(line);
    return error;
}

static int read_file(const struct cof_tool_secret_source *source, uint8_t *buffer, size_t capacity,
                     size_t *ret_bytes)
{
    int fd = open(source->file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return cof_tool_secret_fail(source->fault,
                                    errno == ENOENT ? COFFER_E_NOT_FOUND : COFFER_E_ACCESS,
                                    "passphrase file %.90s: %s", source->file, strerror(errno));
    }
    int error = take_line(source, fd, source->file, buffer, capacity, ret_bytes);
    close(fd);
    return error;
}

static int read_command(const struct cof_tool_secret_source *source, uint8_t *buffer,
                        size_t capacity, size_t *ret_bytes)
{
    char *arguments[] = {(char *)"sh", (char *)"-c", (char *)source->command, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t defaults;
    int ends[2];
    pid_t child;
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return cof_tool_secret_fail(source->fault, COFFER_E_IO, "passphrase command: %s",
                                    strerror(errno));
    }
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    /* The tools ignore SIGPIPE; a command that has more to say than a line must end by it. */
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    int failed = posix_spawn(&child, "/bin/sh", &actions, &attributes, arguments, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (failed != 0) {
        close(ends[0]);
        return cof_tool_secret_fail(source->fault, COFFER_E_IO, "passphrase command: %s",
                                    strerror(failed));
    }
    int error = take_line(source, ends[0], "the passphrase command", buffer, capacity, ret_bytes);
    close(ends[0]);
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    /* Being cut off while it writes a second line is no failure of the command. */
    bool cut = (WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE) ||
               (WIFEXITED(status) && WEXITSTATUS(status) == 128 + SIGPIPE);
    if (!cut && !(WIFEXITED(status) && WEXITSTATUS(status) == 0)) {
        return cof_tool_secret_fail(source->fault, COFFER_E_PASSPHRASE,
                                    "the passphrase command failed (status %d): run it by hand",
                                    WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    }
    return error;
}

/* ---- the prompt -------------------------------------------------------------------------- */

static void say(int fd, const char *text)
{
    ssize_t written = write(fd, text, strlen(text));
    (void)written;
}

static int ask(const struct cof_tool_secret_source *source, int tty, const char *words,
               uint8_t *buffer, size_t capacity, size_t *ret_bytes)
{
    struct termios shown, hidden;
    char line[1200];
    if (tcgetattr(tty, &shown) != 0) {
        return cof_tool_secret_fail(source->fault, COFFER_E_IO, "the terminal: %s",
                                    strerror(errno));
    }
    hidden = shown;
    hidden.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL);
    hidden.c_lflag |= ICANON | ISIG;
    tcsetattr(tty, TCSAFLUSH, &hidden);
    snprintf(line, sizeof line, "%s: %s %s: ", source->prompt, words, source->path);
    say(tty, line);
    int error = take_line(source, tty, "the terminal", buffer, capacity, ret_bytes);
    tcsetattr(tty, TCSAFLUSH, &shown);
    say(tty, "\n");
    return error;
}

static int ask_twice(const struct cof_tool_secret_source *source, int tty, uint8_t *buffer,
                     size_t capacity, size_t *ret_bytes)
{
    uint8_t *again = NULL;
    size_t again_bytes = 0;
    size_t bytes = 0;
    int error = coffer_keystore_secret_new(capacity, &again);
    if (error != 0) {
        return cof_tool_secret_fail(source->fault, error, "%s", coffer_error_sentence(error));
    }
    error = ask(source, tty, "new passphrase for the key store", buffer, capacity, &bytes);
    if (error == 0) {
        error = ask(source, tty, "the same again for", again, capacity, &again_bytes);
    }
    if (error == 0 && (bytes != again_bytes || memcmp(buffer, again, bytes) != 0)) {
        error = cof_tool_secret_fail(source->fault, COFFER_E_PASSPHRASE,
                                     "the two passphrases differ: run the command again");
    }
    coffer_keystore_secret_free(again);
    if (error == 0) {
        *ret_bytes = bytes;
    }
    return error;
}

static int read_terminal(const struct cof_tool_secret_source *source, int creating,
                         uint8_t *buffer, size_t capacity, size_t *ret_bytes)
{
    int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (tty < 0) {
        return cof_tool_secret_fail(source->fault, COFFER_E_PASSPHRASE,
                                    "no passphrase, root key file or terminal: give "
                                    "--passphrase-file, -fd, -command or --root-key-file, or set "
                                    "COFFER_PASSPHRASE_FILE");
    }
    int error = creating ? ask_twice(source, tty, buffer, capacity, ret_bytes)
                         : ask(source, tty, "passphrase of the key store", buffer, capacity,
                               ret_bytes);
    close(tty);
    return error;
}

int cof_tool_secret_terminal(void)
{
    int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (tty >= 0) {
        close(tty);
    }
    return tty >= 0;
}

int cof_tool_secret_read(void *ctx, int creating, uint8_t *buffer, size_t capacity,
                         size_t *ret_bytes)
{
    const struct cof_tool_secret_source *source = ctx;
    if (source->file != NULL) {
        return read_file(source, buffer, capacity, ret_bytes);
    }
    if (source->fd >= 0) {
        char what[40];
        snprintf(what, sizeof what, "file descriptor %d", source->fd);
        return take_line(source, source->fd, what, buffer, capacity, ret_bytes);
    }
    if (source->command != NULL) {
        return read_command(source, buffer, capacity, ret_bytes);
    }
    return read_terminal(source, creating, buffer, capacity, ret_bytes);
}
