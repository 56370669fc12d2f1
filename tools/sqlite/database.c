/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sqlite/database.c - the list of databases.
 */
#include "database.h"
#include "vfs.h"
#include <stdlib.h>
#include <string.h>

SQLITE_EXTENSION_INIT3

static pthread_mutex_t list_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct cof_sqlite_database *list;
static const struct cof_sqlite_opener *the_opener;

void cof_sqlite_opener_set(const struct cof_sqlite_opener *opener)
{
    the_opener = opener;
}

const struct cof_sqlite_opener *cof_sqlite_opener_get(void)
{
    return the_opener;
}

static struct cof_sqlite_database *find(const char *name)
{
    struct cof_sqlite_database *database = list;
    while (database != NULL && strcmp(database->name, name) != 0) {
        database = database->next;
    }
    return database;
}

static void give_back(struct cof_sqlite_source *source)
{
    if (source->close != NULL) {
        source->close(source->ctx);
    }
}

/* Put a source under a name into the list; it is the caller's still on failure. */
static int add(const char *name, const struct cof_sqlite_source *source,
               struct cof_sqlite_database **ret_database, struct coffer_fault *fault)
{
    struct cof_sqlite_database *database = calloc(1, sizeof *database);
    size_t length = strlen(name);
    if (database == NULL || length >= sizeof database->name) {
        free(database);
        return database == NULL ? COFFER_E_NO_MEMORY : COFFER_E_INVALID;
    }
    memcpy(database->name, name, length + 1u);
    database->source = *source;
    int error = pthread_mutex_init(&database->mutex, NULL) != 0 ? COFFER_E_NO_MEMORY : 0;
    if (error == 0) {
        error = cof_sqlite_volume_open(&database->volume, source->store, source->volume,
                                       source->read_only, fault);
    }
    if (error != 0) {
        free(database);
        return error;
    }
    database->next = list;
    list = database;
    *ret_database = database;
    return 0;
}

static int take_out(struct cof_sqlite_database *database, struct coffer_fault *fault)
{
    struct cof_sqlite_database **link = &list;
    while (*link != database) {
        link = &(*link)->next;
    }
    *link = database->next;
    int error = cof_sqlite_volume_close(&database->volume, fault);
    give_back(&database->source);
    pthread_mutex_destroy(&database->mutex);
    free(database);
    return error;
}

static int open_named(const char *name, const char *uri, bool read_only,
                      struct cof_sqlite_database **ret_database, struct coffer_fault *fault)
{
    struct cof_sqlite_source source;
    memset(&source, 0, sizeof source);
    if (the_opener == NULL) {
        return cof_sqlite_fault(fault, COFFER_E_NOT_FOUND,
                                "no volume was registered under the name %.80s", name);
    }
    int error = the_opener->open(name, uri, read_only, &source, fault);
    if (error != 0) {
        return error;
    }
    error = add(name, &source, ret_database, fault);
    if (error != 0) {
        give_back(&source);
    }
    return error;
}

int cof_sqlite_database_get(const char *name, const char *uri, bool read_only,
                            struct cof_sqlite_database **ret_database, struct coffer_fault *fault)
{
    int error = 0;
    pthread_mutex_lock(&list_mutex);
    struct cof_sqlite_database *database = find(name);
    if (database == NULL) {
        error = open_named(name, uri, read_only, &database, fault);
    }
    if (error == 0) {
        database->users++;
        *ret_database = database;
    }
    pthread_mutex_unlock(&list_mutex);
    return error;
}

int cof_sqlite_database_put(struct cof_sqlite_database *database, struct coffer_fault *fault)
{
    int error = 0;
    pthread_mutex_lock(&list_mutex);
    database->users--;
    if (database->users == 0 && database->source.close != NULL) {
        error = take_out(database, fault);
    } else if (database->users == 0 && !database->source.read_only) {
        error = cof_sqlite_volume_settle(&database->volume, fault);
    }
    pthread_mutex_unlock(&list_mutex);
    return error;
}

bool cof_sqlite_database_is_lent(const char *name)
{
    pthread_mutex_lock(&list_mutex);
    const struct cof_sqlite_database *database = find(name);
    bool lent = database != NULL && database->source.close == NULL;
    pthread_mutex_unlock(&list_mutex);
    return lent;
}

/* ---- lending ----------------------------------------------------------------------------- */

int coffer_sqlite_register(const struct coffer_sqlite_opts *opts, struct coffer_fault *fault)
{
    struct cof_sqlite_database *database;
    if (opts == NULL || opts->size != sizeof *opts || opts->name == NULL || opts->name[0] == '\0' ||
        opts->store == NULL || opts->volume == NULL ||
        strlen(opts->name) >= COFFER_SQLITE_NAME_BYTES_MAX) {
        return cof_sqlite_fault(fault, COFFER_E_INVALID,
                                "a name of 1 to %d bytes, a store and a volume are needed",
                                COFFER_SQLITE_NAME_BYTES_MAX - 1);
    }
    struct cof_sqlite_source source;
    memset(&source, 0, sizeof source);
    source.store = opts->store;
    source.volume = opts->volume;
    source.read_only = (opts->flags & COFFER_SQLITE_READ_ONLY) != 0;
    if (opts->provider != NULL) {
        source.provider = *opts->provider;
    }
    if (cof_sqlite_vfs_install((opts->flags & COFFER_SQLITE_DEFAULT) != 0) != SQLITE_OK) {
        return cof_sqlite_fault(fault, COFFER_E_EXISTS,
                                "SQLite refused the VFS, or another one has its name");
    }
    pthread_mutex_lock(&list_mutex);
    int error = find(opts->name) != NULL ? cof_sqlite_fault(fault, COFFER_E_EXISTS,
                                                            "the name %.80s is taken", opts->name)
                                         : add(opts->name, &source, &database, fault);
    pthread_mutex_unlock(&list_mutex);
    return error;
}

int coffer_sqlite_unregister(const char *name, struct coffer_fault *fault)
{
    int error;
    pthread_mutex_lock(&list_mutex);
    struct cof_sqlite_database *database = name == NULL ? NULL : find(name);
    if (database == NULL || database->source.close != NULL) {
        error =
            cof_sqlite_fault(fault, COFFER_E_NOT_FOUND, "no volume was registered under that name");
    } else if (database->users > 0) {
        error = cof_sqlite_fault(fault, COFFER_E_BUSY, "a connection has the database %.80s open",
                                 name);
    } else {
        error = take_out(database, fault);
    }
    pthread_mutex_unlock(&list_mutex);
    return error;
}
