/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/kept_file.h - a small JSON file that the command line keeps and has to believe later: the
 * pin file, the anchor file, the head of an audit trail.
 *
 * It is opened with suspicion (others must not have been able to write it), changed by replacing it
 * whole under a lock on a file beside it, and durable on return, so that readers need no lock and a
 * crash leaves the old or the new one. Functions report nothing: -1 leaves errno. One thread.
 */
#ifndef COF_TOOLS_COMMON_KEPT_FILE_H
#define COF_TOOLS_COMMON_KEPT_FILE_H

#include <jansson.h>

/* A descriptor to read from. -1 with *ret_why NULL: errno, ENOENT where there is no file. -1 with
 * *ret_why set: it can't be believed, and why. */
int cof_tool_kept_open(const char *path, const char **ret_why);

/* Waits for other writers; close the descriptor to let them on. EINTR when interrupted. The path
 * must be 16 bytes shorter than PATH_MAX. */
int cof_tool_kept_lock(const char *path);

/* Replace the file, which is of mode 0600 from then on, and sync it and its directory. */
int cof_tool_kept_replace(const char *path, const json_t *file);

#endif
