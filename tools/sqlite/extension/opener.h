/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sqlite/extension/opener.h - STORE:VOLUME[@SNAPSHOT], opened as the command line does it: the same
 * environment, keys, pins, anchor and audit record; parameters of the file's URI are options.
 *
 * A store is open once in the process, however many of its databases are: for reading only as long
 * as nothing but snapshots and databases with mode=ro is wanted of it. It is closed with the last
 * of them. Called under the lock of the list of databases, one at a time.
 */
#ifndef COF_TOOLS_SQLITE_EXTENSION_OPENER_H
#define COF_TOOLS_SQLITE_EXTENSION_OPENER_H

#include "sqlite/database.h"

extern const struct cof_sqlite_opener cof_sqlite_sessions;

#endif
