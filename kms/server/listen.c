/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/listen.c - from an address to a socket that listens.
 *
 * Never listens without TLS where other machines could reach it, and never takes a path from a
 * server that lives: the lock tells, and a connection, for servers that know of no lock.
 */
#include "server/listen.h"

#include "env.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 1024
#define HOST_BYTES 254u

/* ---- addresses --------------------------------------------------------------------------- */

static int split(const char *address, char host[HOST_BYTES], const char **ret_port,
                 struct coffer_fault *fault)
{
    const char *colon = strrchr(address, ':');
    size_t bytes = colon == NULL ? 0 : (size_t)(colon - address);
    const char *from = address;
    bool brackets = bytes > 2 && address[0] == '[' && address[bytes - 1] == ']';
    if (brackets) {
        from++;
        bytes -= 2;
    }
    if (bytes == 0 || bytes >= HOST_BYTES || strcspn(from, "[]") < bytes ||
        brackets != (memchr(from, ':', bytes) != NULL) || colon[1] == '\0' ||
        strspn(colon + 1, "0123456789") != strlen(colon + 1) ||
        strtoul(colon + 1, NULL, 10) > UINT16_MAX) {
        return cof_kms_fault(fault, COFFER_E_INVALID,
                             "'%.60s' is no address to listen on: give HOST:PORT, or "
                             "[ADDRESS]:PORT for IPv6, and a port up to 65535 (0: any free one)",
                             address);
    }
    memcpy(host, from, bytes);
    host[bytes] = '\0';
    *ret_port = colon + 1;
    return 0;
}

static bool is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        const uint8_t *ip =
            (const uint8_t *)&((const struct sockaddr_in *)(const void *)address)->sin_addr;
        return ip[0] == 127;
    }
    if (address->sa_family == AF_INET6) {
        const struct in6_addr *ip =
            &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
        return IN6_IS_ADDR_LOOPBACK(ip) || (IN6_IS_ADDR_V4MAPPED(ip) && ip->s6_addr[12] == 127);
    }
    return false;
}

static uint8_t *port_of(struct sockaddr *address)
{
    return address->sa_family == AF_INET
               ? (uint8_t *)&((struct sockaddr_in *)(void *)address)->sin_port
               : (uint8_t *)&((struct sockaddr_in6 *)(void *)address)->sin6_port;
}

/* Where fd really listens, as text. */
static void name_place(int fd, char place[COF_SERVER_PLACE_BYTES])
{
    struct sockaddr_storage own;
    socklen_t bytes = sizeof own;
    char host[64] = "?", port[8] = "?";
    if (getsockname(fd, (struct sockaddr *)(void *)&own, &bytes) == 0) {
        (void)getnameinfo((struct sockaddr *)(void *)&own, bytes, host, sizeof host, port,
                          sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
    }
    (void)snprintf(place, COF_SERVER_PLACE_BYTES, strchr(host, ':') != NULL ? "[%s]:%s" : "%s:%s",
                   host, port);
}

static int refuse(const char *what, const char *place, int os_errno, struct coffer_fault *fault)
{
    errno = os_errno;
    return cof_kms_fault(fault, os_errno == EADDRINUSE ? COFFER_E_BUSY : COFFER_E_ACCESS,
                         "cannot %s %.70s: %s", what, place, strerror(os_errno));
}

static int listen_at(const struct addrinfo *info, const char *address,
                     struct cof_server_socket *ret_socket, struct coffer_fault *fault)
{
    int on = 1;
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return refuse("listen on", address, errno, fault);
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (info->ai_family == AF_INET6) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    }
    if (bind(fd, info->ai_addr, info->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0) {
        int saved = errno;
        close(fd);
        return refuse("listen on", address, saved, fault);
    }
    ret_socket->fd = fd;
    name_place(fd, ret_socket->place);
    return 0;
}

/* The port that the first socket got, for the others of the same name. */
static void take_port(struct addrinfo *list, int fd)
{
    struct sockaddr_storage own;
    socklen_t bytes = sizeof own;
    if (getsockname(fd, (struct sockaddr *)(void *)&own, &bytes) == 0) {
        for (; list != NULL; list = list->ai_next) {
            memcpy(port_of(list->ai_addr), port_of((struct sockaddr *)(void *)&own), 2);
        }
    }
}

static int listen_all(struct addrinfo *list, const char *address, bool tls,
                      struct cof_server_socket *sockets, unsigned *count, unsigned capacity,
                      struct coffer_fault *fault)
{
    unsigned first = *count;
    for (struct addrinfo *info = list; info != NULL; info = info->ai_next) {
        if (!tls && !is_loopback(info->ai_addr)) {
            return cof_kms_fault(fault, COFFER_E_INVALID,
                                 "%.60s is no loopback address: give --tls-cert and --tls-key, or "
                                 "listen on 127.0.0.1 or a unix socket",
                                 address);
        }
        if (*count == capacity) {
            return cof_kms_fault(fault, COFFER_E_LIMIT, "at most %u addresses to listen on",
                                 capacity);
        }
        int error = listen_at(info, address, &sockets[*count], fault);
        if (error != 0) {
            return error;
        }
        if (*count == first) {
            take_port(info->ai_next, sockets[first].fd);
        }
        ++*count;
    }
    return 0;
}

int cof_server_listen(const char *address, bool tls, struct cof_server_socket *sockets,
                      unsigned *count, unsigned capacity, struct coffer_fault *fault)
{
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    char host[HOST_BYTES];
    const char *port = NULL;
    int error = split(address, host, &port, fault);
    if (error != 0) {
        return error;
    }
    if (strchr(host, ':') != NULL) {
        hints.ai_flags |= AI_NUMERICHOST; /* no name has a colon: nobody else is asked */
    }
    int status = getaddrinfo(host, port, &hints, &list);
    if (status != 0) {
        return cof_kms_fault(fault, COFFER_E_NOT_FOUND, "%.60s is no address: %s", address,
                             gai_strerror(status));
    }
    error = listen_all(list, address, tls, sockets, count, capacity, fault);
    freeaddrinfo(list);
    return error;
}

/* ---- a path ------------------------------------------------------------------------------ */

static int take_lock(const char *path, int *ret_fd, struct coffer_fault *fault)
{
    char name[sizeof((struct sockaddr_un *)NULL)->sun_path + 8];
    (void)snprintf(name, sizeof name, "%s.lock", path);
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return refuse("lock", name, errno, fault);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        close(fd);
        return cof_kms_fault(fault, COFFER_E_BUSY, "another server listens on %.90s", path);
    }
    *ret_fd = fd;
    return 0;
}

/* Remove a socket that nobody listens on. */
static int clear_path(int fd, const struct sockaddr_un *address, struct coffer_fault *fault)
{
    struct stat about;
    const char *path = address->sun_path;
    if (lstat(path, &about) != 0) {
        return errno == ENOENT ? 0 : refuse("listen on", path, errno, fault);
    }
    if (!S_ISSOCK(about.st_mode)) {
        return cof_kms_fault(fault, COFFER_E_EXISTS, "%.90s is there and is no socket", path);
    }
    if (connect(fd, (const struct sockaddr *)(const void *)address, sizeof *address) == 0 ||
        errno == EAGAIN) {
        return cof_kms_fault(fault, COFFER_E_BUSY, "another server listens on %.90s", path);
    }
    if (errno != ECONNREFUSED) {
        return refuse("reach the socket", path, errno, fault);
    }
    return unlink(path) == 0 ? 0 : refuse("replace", path, errno, fault);
}

static int bind_path(const struct sockaddr_un *address, int *ret_fd, struct coffer_fault *fault)
{
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int error = probe < 0 || fd < 0 ? refuse("listen on", address->sun_path, errno, fault)
                                    : clear_path(probe, address, fault);
    if (probe >= 0) {
        close(probe);
    }
    if (error == 0) {
        mode_t before = umask(0177);
        if (bind(fd, (const struct sockaddr *)(const void *)address, sizeof *address) != 0 ||
            listen(fd, BACKLOG) != 0) {
            error = refuse("listen on", address->sun_path, errno, fault);
        }
        (void)umask(before);
    }
    if (error != 0 && fd >= 0) {
        close(fd);
    }
    *ret_fd = error == 0 ? fd : -1;
    return error;
}

int cof_server_listen_unix(const char *path, struct cof_server_socket *ret_socket, int *ret_lock_fd,
                           struct coffer_fault *fault)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int lock_fd = -1;
    if (path[0] == '\0' || strlen(path) >= sizeof address.sun_path) {
        return cof_kms_fault(fault, COFFER_E_INVALID,
                             "the path of a unix socket has 1 to %zu bytes",
                             sizeof address.sun_path - 1);
    }
    memcpy(address.sun_path, path, strlen(path));
    int error = take_lock(path, &lock_fd, fault);
    if (error == 0) {
        error = bind_path(&address, &ret_socket->fd, fault);
    }
    if (error != 0) {
        if (lock_fd >= 0) {
            close(lock_fd);
        }
        return error;
    }
    (void)snprintf(ret_socket->place, sizeof ret_socket->place, "%s", path);
    *ret_lock_fd = lock_fd;
    return 0;
}
