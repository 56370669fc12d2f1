/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sqlite/result.c - what SQLite and people are told of a failure.
 *
 * SQLite takes a code and no more, so the sentence goes to its log, and is kept for who asks.
 */
#include "database.h"
#include <stdio.h>
#include <string.h>

SQLITE_EXTENSION_INIT3

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char last[512];

static int code_of(int error, int usual)
{
    switch (coffer_error_class_of(error)) {
    case COFFER_CLASS_FULL:
        return error == COFFER_E_NO_SPACE || error == COFFER_E_LIMIT ? SQLITE_FULL : SQLITE_NOMEM;
    case COFFER_CLASS_CORRUPT:
    case COFFER_CLASS_TAMPER:
        return usual == SQLITE_CANTOPEN ? usual : SQLITE_IOERR_DATA;
    case COFFER_CLASS_KEY:
        return usual == SQLITE_CANTOPEN ? SQLITE_AUTH : SQLITE_IOERR_AUTH;
    case COFFER_CLASS_FORMAT:
        return SQLITE_NOTADB;
    default:
        break;
    }
    if (error == COFFER_E_READ_ONLY) {
        return SQLITE_READONLY;
    }
    return usual == SQLITE_CANTOPEN && error == COFFER_E_BUSY ? SQLITE_BUSY : usual;
}

int cof_sqlite_result(int error, const struct coffer_fault *fault, int usual, const char *what,
                      const char *name)
{
    if (error == 0) {
        return SQLITE_OK;
    }
    bool told = fault != NULL && fault->error == error && fault->detail[0] != '\0';
    int code = code_of(error, usual);
    char text[sizeof last];
    snprintf(text, sizeof text, "coffer: %s %.200s: %s", what, name,
             told ? fault->detail : coffer_error_sentence(error));
    pthread_mutex_lock(&mutex);
    memcpy(last, text, sizeof last);
    pthread_mutex_unlock(&mutex);
    sqlite3_log(code, "%s", text);
    return code;
}

void coffer_sqlite_last_error(char *text, size_t capacity)
{
    pthread_mutex_lock(&mutex);
    snprintf(text, capacity, "%s", last);
    pthread_mutex_unlock(&mutex);
}
