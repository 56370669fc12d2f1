/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attach/nbdkit/served.h - the store that is served, and its volumes that are open.
 *
 * The store is opened once, by the process that serves: keys do not survive fork. A volume or
 * snapshot is opened for the first connection that asks for it, stays open until the store is
 * closed, and is shared by all its connections. Names are looked up by the volumes' pins, as
 * everywhere on the command line.
 *
 * Any thread; opening and listing are one at a time. Failures are reported here.
 */
#ifndef COF_TOOLS_ATTACH_NBDKIT_SERVED_H
#define COF_TOOLS_ATTACH_NBDKIT_SERVED_H

#include "coffer/session.h"
#include <stdatomic.h>
#include <stdbool.h>

#define PLUG_ERRORS 128 /* the library's numbers are below */

/* A volume or snapshot that is open. */
struct plug_export {
    struct cli_session session; /* its volume; the store is the server's */
    bool read_only;
    unsigned write_flags; /* of writes without FUA */
    atomic_uint
        failures[PLUG_ERRORS]; /* requests that failed, by error: so that logs are bounded */
    struct plug_export *next;
};

/* Before the server forks, while somebody sees what is said: is there such a store, and do the
 * parameters agree? 0, or the exit code of what was reported, here and in plug_served_open. */
int plug_served_check(void);
/* Open the store, and the volume if parameters name one. */
int plug_served_open(void);
/* Close all; reports what closing finds. */
void plug_served_close(void);

/* The export called name, opened if need be; NULL when it can't be. Good until the store is closed.
 * read_only opens a volume so, unless it is open for writing already. */
struct plug_export *plug_served_export(const char *name, bool read_only);

/* Visit the names of all volumes and snapshots, those apart that no key opens. -1 when they can't
 * be listed, or visit said so. The list is made once: nobody else changes a store that is served.
 */
int plug_served_list(int (*visit)(void *ctx, const char *name), void *ctx);
/* The one export there is, or NULL. */
const char *plug_served_only(void);

#endif
