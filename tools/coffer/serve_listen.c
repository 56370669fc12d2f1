/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/serve_listen.c - where `coffer serve` listens, and by which certificates.
 */
#include "common/error.h"
#include "serve.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define HOST_BYTES 254u

/* ---- certificates ------------------------------------------------------------------------ */

static void check_file(struct cli_serve *serve, const char *directory, const char *name,
                       bool secret)
{
    char path[PATH_MAX];
    struct stat about;
    snprintf(path, sizeof path, "%s/%s", directory, name);
    if (serve->exit_code != 0) {
        return;
    }
    if (access(path, R_OK) != 0 || stat(path, &about) != 0) {
        serve->exit_code = cof_tool_fail_errno(
            serve->call, errno, "docs/operations.md shows how the three files are made",
            "cannot read %s", path);
    } else if (secret && (about.st_mode & 077) != 0) {
        serve->exit_code = cof_tool_fail_named(serve->call, "ACCESS", "io", COF_EXIT_IO,
                                               "others may read the server's private key",
                                               "chmod 600 it", "will not use %s", path);
    }
}

static bool add_tls(struct cli_serve *serve)
{
    const char *directory = cof_tool_text(serve->call, "tls-certificates", NULL);
    bool verify = cof_tool_given(serve->call, "tls-verify-peer");
    if (directory == NULL) {
        if (verify) {
            serve->exit_code = cof_tool_usage(serve->call, "MissingParameter",
                                              "--tls-verify-peer needs --tls-certificates");
        }
        cli_serve_add(serve, "--tls=off");
        return false;
    }
    check_file(serve, directory, "server-cert.pem", false);
    check_file(serve, directory, "server-key.pem", true);
    check_file(serve, directory, "ca-cert.pem", false);
    cli_serve_add(serve, "--tls=require");
    cli_serve_add(serve, "--tls-certificates=%s", directory);
    if (verify) {
        cli_serve_add(serve, "--tls-verify-peer");
    }
    return true;
}

/* ---- a path ------------------------------------------------------------------------------ */

/* Remove a socket that nobody listens on. */
static int clear_path(struct cli_serve *serve, const struct sockaddr_un *address)
{
    const char *path = address->sun_path;
    struct stat about;
    if (lstat(path, &about) != 0) {
        return errno == ENOENT
                   ? 0
                   : cof_tool_fail_errno(serve->call, errno, NULL, "cannot listen on %s", path);
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int found = S_ISSOCK(about.st_mode)
                    ? connect(fd, (const struct sockaddr *)(const void *)address, sizeof *address)
                    : 0;
    int why = found == 0 ? EADDRINUSE : errno;
    close(fd);
    if (why == ECONNREFUSED && unlink(path) == 0) {
        return 0;
    }
    return cof_tool_fail_named(serve->call, "BUSY", "busy", COF_EXIT_STATE,
                               S_ISSOCK(about.st_mode) ? "another server listens there"
                                                       : "it is there and is no socket",
                               "name another path", "cannot listen on %s", path);
}

/* What may stand in a URI as it is. */
static void add_escaped(char *at, const char *text)
{
    size_t used = strlen(at);
    for (; *text != '\0' && used + 4 < CLI_SERVE_AT_BYTES; text++) {
        bool plain = isalnum((unsigned char)*text) || strchr("/._-~@", *text) != NULL;
        used += (size_t)snprintf(at + used, CLI_SERVE_AT_BYTES - used, plain ? "%c" : "%%%02X",
                                 (unsigned char)*text);
    }
}

static void listen_unix(struct cli_serve *serve, bool tls)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = cof_tool_text(serve->call, "unix", "");
    if (path[0] == '\0' || strlen(path) >= sizeof address.sun_path) {
        serve->exit_code =
            cof_tool_usage(serve->call, NULL, "the path of a unix socket has 1 to %zu bytes",
                           sizeof address.sun_path - 1);
        return;
    }
    memcpy(address.sun_path, path, strlen(path));
    serve->exit_code = clear_path(serve, &address);
    snprintf(serve->at, sizeof serve->at, "%s:///%s?socket=", tls ? "nbds+unix" : "nbd+unix",
             serve->address.name);
    add_escaped(serve->at, path);
    cli_serve_add(serve, "--unix=%s", path);
}

/* ---- a port ------------------------------------------------------------------------------ */

/* As it stands: a name that leads here today may lead elsewhere when nbdkit asks. */
static bool is_loopback(const char *host)
{
    struct in_addr four;
    struct in6_addr six;
    if (inet_pton(AF_INET, host, &four) == 1) {
        return ((const uint8_t *)&four)[0] == 127; /* network order */
    }
    if (inet_pton(AF_INET6, host, &six) == 1) {
        return IN6_IS_ADDR_LOOPBACK(&six);
    }
    return strcmp(host, "localhost") == 0;
}

static bool split(const char *address, char host[HOST_BYTES], const char **ret_port)
{
    const char *colon = strrchr(address, ':');
    size_t bytes = colon == NULL ? 0 : (size_t)(colon - address);
    bool brackets = bytes > 2 && address[0] == '[' && address[bytes - 1] == ']';
    const char *from = brackets ? address + 1 : address;
    bytes -= brackets ? 2 : 0;
    if (bytes == 0 || bytes >= HOST_BYTES || (!brackets && strcspn(from, ":[]") < bytes) ||
        strspn(colon + 1, "0123456789") != strlen(colon + 1)) {
        return false;
    }
    snprintf(host, HOST_BYTES, "%.*s", (int)bytes, from);
    *ret_port = colon + 1;
    return strtoul(colon + 1, NULL, 10) - 1u < UINT16_MAX;
}

static void listen_port(struct cli_serve *serve, bool tls)
{
    const char *address = cof_tool_text(serve->call, "listen", "");
    const char *port = NULL;
    char host[HOST_BYTES];
    if (!split(address, host, &port)) {
        serve->exit_code = cof_tool_usage(serve->call, NULL,
                                          "--listen %.80s: give HOST:PORT, or [ADDRESS]:PORT for "
                                          "IPv6",
                                          address);
        return;
    }
    if (!tls && !is_loopback(host) && !cof_tool_given(serve->call, "insecure")) {
        serve->exit_code =
            cof_tool_usage(serve->call, "InvalidParameterCombination",
                           "--listen %.80s is no loopback address, and without TLS all that is "
                           "read and written would cross the network in the clear: give "
                           "--tls-certificates, or --insecure if the network is trusted",
                           address);
        return;
    }
    snprintf(serve->at, sizeof serve->at, "%s://%s/%s", tls ? "nbds" : "nbd", address,
             serve->address.name);
    cli_serve_add(serve, "--ipaddr=%s", host);
    cli_serve_add(serve, "--port=%s", port);
}

void cli_serve_listen(struct cli_serve *serve)
{
    bool path = cof_tool_given(serve->call, "unix");
    if (serve->exit_code != 0) {
        return;
    }
    if (path == cof_tool_given(serve->call, "listen")) {
        serve->exit_code =
            cof_tool_usage(serve->call, path ? "InvalidParameterCombination" : "MissingParameter",
                           "%s: give --unix PATH or --listen HOST:PORT",
                           path ? "it listens at one place" : "nothing to listen on");
        return;
    }
    bool tls = add_tls(serve);
    if (serve->exit_code == 0 && path) {
        listen_unix(serve, tls);
    } else if (serve->exit_code == 0) {
        listen_port(serve, tls);
    }
}
