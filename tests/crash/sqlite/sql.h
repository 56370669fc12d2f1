/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/sqlite/sql.h - SQL that must work: where it does not, the case has failed (harness.h), and
 * is told what SQLite and the volumes below it say.
 */
#ifndef TESTS_CRASH_SQLITE_SQL_H
#define TESTS_CRASH_SQLITE_SQL_H

#include <sqlite3.h>

#define SQL_ANSWER_BYTES 256u

void sql(sqlite3 *db, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The first column of the first row. */
void sql_ask(sqlite3 *db, const char *text, char ret_answer[SQL_ANSWER_BYTES]);
/* integrity_check of the database called `of` finds nothing. */
void sql_check_sound(sqlite3 *db, const char *of);
/* What went wrong last; valid until the next call. */
const char *sql_why(sqlite3 *db);

#endif
