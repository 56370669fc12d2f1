/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/listen.h - sockets that listen: addresses and ports, and one path.
 */
#ifndef COF_KMS_SERVER_LISTEN_H
#define COF_KMS_SERVER_LISTEN_H

#include "server/server.h"

#define COF_SERVER_PLACE_BYTES 128u

struct cof_server_socket {
    int fd;
    char place[COF_SERVER_PLACE_BYTES]; /* 127.0.0.1:8443, [::1]:8443, or the path */
};

/*
 * Bind and listen on what `address` (HOST:PORT) stands for; every address of a name, and when the
 * port is 0 the first one's port for all. Without tls only loopback addresses: INVALID for others.
 * Adds to sockets, *count of capacity.
 */
COFFER_MUST_CHECK int cof_server_listen(const char *address, bool tls,
                                        struct cof_server_socket *sockets, unsigned *count,
                                        unsigned capacity, struct coffer_fault *fault);

/*
 * Listen on a unix socket that only its owner may use (mode 0600). A socket that a dead server left
 * is replaced, a live one's gives BUSY, and anything else at path EXISTS. ret_lock_fd holds
 * PATH.lock for as long as it is open; its file stays.
 */
COFFER_MUST_CHECK int cof_server_listen_unix(const char *path, struct cof_server_socket *ret_socket,
                                             int *ret_lock_fd, struct coffer_fault *fault);

#endif
