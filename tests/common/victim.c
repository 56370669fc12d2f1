/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/victim.c - fork, listen, kill, listen to the end.
 *
 * A failure in the child is told by the child, even where the parent keeps quiet about its own, and
 * shows in the parent as a child that ended by itself.
 */
#include "victim.h"

#include "harness.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECONDS_MAX 20.0

struct child {
    const struct victim *victim;
    int fd;
};

static void work(void *ctx)
{
    const struct child *child = ctx;
    child->victim->work(child->victim->ctx, child->fd);
}

static void listen_and_kill(const struct victim *victim, int fd, pid_t pid, uint64_t notes)
{
    double start = harness_seconds();
    uint64_t heard = 0;
    bool killed = false;
    for (;;) {
        struct pollfd waiting = {.fd = fd, .events = POLLIN};
        _Alignas(max_align_t) char note[PIPE_BUF];
        if (!killed && (heard >= notes || harness_seconds() - start > SECONDS_MAX)) {
            (void)kill(pid, SIGKILL);
            killed = true;
        }
        if (poll(&waiting, 1, 20) < 0 && errno != EINTR) {
            break;
        }
        if ((waiting.revents & (POLLIN | POLLHUP)) == 0) {
            continue;
        }
        if (read(fd, note, victim->note_bytes) != (ssize_t)victim->note_bytes) {
            break;
        }
        victim->hear(victim->ctx, note);
        heard++;
    }
}

void victim_kill(const struct victim *victim, uint64_t notes)
{
    int ends[2], status = 0;
    harness_require(victim->note_bytes <= PIPE_BUF, "a note is too long to be written at once");
    harness_require(pipe(ends) == 0, "pipe: %s", strerror(errno));
    fflush(stdout);
    pid_t pid = fork();
    harness_require(pid >= 0, "fork: %s", strerror(errno));
    if (pid == 0) {
        struct child child = {victim, ends[1]};
        close(ends[0]);
        harness_quiet(false);
        (void)harness_run(work, &child);
        fflush(stdout);
        _exit(1);
    }
    close(ends[1]);
    listen_and_kill(victim, ends[0], pid, notes);
    close(ends[0]);
    (void)waitpid(pid, &status, 0);
    harness_require(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
                    "the child ended by itself, status %d", status);
}

void victim_tell(int fd, const void *note, size_t note_bytes)
{
    if (write(fd, note, note_bytes) != (ssize_t)note_bytes) {
        _exit(3);
    }
}
