/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/notify.c - one datagram a message; a path, or a name in the abstract space after '@'.
 */
#include "server/notify.h"

#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void cof_server_notify(const char *socket_path, const char *state)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t bytes = socket_path == NULL ? 0 : strlen(socket_path);
    if (bytes == 0 || bytes >= sizeof to.sun_path ||
        (socket_path[0] != '/' && socket_path[0] != '@')) {
        return;
    }
    memcpy(to.sun_path, socket_path, bytes);
    if (to.sun_path[0] == '@') {
        to.sun_path[0] = '\0';
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0) {
        (void)!sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)(void *)&to,
                      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes));
        close(fd);
    }
}
