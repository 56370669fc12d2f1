/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/sqlite/sql.c - SQL that must work.
 */
#include "sql.h"

#include "common/harness.h"

#include <coffer/sqlite.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *sql_why(sqlite3 *db)
{
    static char text[900];
    char detail[512];
    coffer_sqlite_last_error(detail, sizeof detail);
    snprintf(text, sizeof text, "%.300s; %s", sqlite3_errmsg(db), detail);
    return text;
}

void sql(sqlite3 *db, const char *format, ...)
{
    char text[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    harness_require(sqlite3_exec(db, text, NULL, NULL, NULL) == SQLITE_OK, "%s: %s", text,
                    sql_why(db));
}

void sql_ask(sqlite3 *db, const char *text, char ret_answer[SQL_ANSWER_BYTES])
{
    sqlite3_stmt *statement = NULL;
    int result = sqlite3_prepare_v2(db, text, -1, &statement, NULL);
    if (result == SQLITE_OK) {
        result = sqlite3_step(statement);
    }
    harness_require(result == SQLITE_ROW, "%s: %s", text, sql_why(db));
    snprintf(ret_answer, SQL_ANSWER_BYTES, "%s", (const char *)sqlite3_column_text(statement, 0));
    sqlite3_finalize(statement);
}

void sql_check_sound(sqlite3 *db, const char *of)
{
    char question[64], answer[SQL_ANSWER_BYTES];
    snprintf(question, sizeof question, "PRAGMA %s.integrity_check", of);
    sql_ask(db, question, answer);
    harness_require(strcmp(answer, "ok") == 0, "%s: %s", question, answer);
}
