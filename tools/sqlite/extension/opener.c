/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sqlite/extension/opener.c - see opener.h.
 */
#include "opener.h"
#include "coffer/session.h"
#include "params.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A store that is open, with its keys. */
struct place {
    struct place *next;
    struct cof_tool_call *call;
    struct cli_session session;
    unsigned users;
};

/* A volume or snapshot of one. */
struct opened {
    struct place *place;
    struct cof_tool_call *call;
    struct cli_session session;
};

static struct place *places;

/* ---- names ------------------------------------------------------------------------------- */

static int full_name(const char *name, char *full, size_t capacity, struct coffer_fault *fault)
{
    char path[PATH_MAX];
    char resolved[PATH_MAX];
    const char *colon = strrchr(name, ':');
    const char *volume = colon == NULL ? name : colon + 1;
    const char *store = getenv("COFFER_STORE");
    if (colon != NULL) {
        snprintf(path, sizeof path, "%.*s", (int)(colon - name), name);
        store = path;
    }
    if (store == NULL || store[0] == '\0' || volume[0] == '\0' || strchr(volume, '/') != NULL) {
        return cof_sqlite_fault(fault, COFFER_E_INVALID,
                                "a database's name is STORE:VOLUME or STORE:VOLUME@SNAPSHOT");
    }
    if (realpath(store, resolved) == NULL) {
        return cof_sqlite_fault(fault, COFFER_E_NOT_FOUND, "the store %.100s: %m", store);
    }
    if ((size_t)snprintf(full, capacity, "%s:%s", resolved, volume) >= capacity) {
        return cof_sqlite_fault(fault, COFFER_E_INVALID, "the name is too long");
    }
    return 0;
}

/* ---- stores ------------------------------------------------------------------------------ */

static struct place *find(const char *store)
{
    struct place *place = places;
    while (place != NULL && strcmp(place->session.address.store, store) != 0) {
        place = place->next;
    }
    return place;
}

static void leave(struct place *place)
{
    struct place **link = &places;
    if (place->users > 0) {
        return;
    }
    while (*link != place && *link != NULL) {
        link = &(*link)->next;
    }
    if (*link == place) {
        *link = place->next;
    }
    (void)cli_session_end(&place->session, 0);
    cof_sqlite_params_free(place->call);
    free(place);
}

/* Look first, so that what is refused changes nothing, and then go on to write. */
static int open_place(const char *name, const char *uri, bool read_only, struct place **ret_place)
{
    struct place *place = calloc(1, sizeof *place);
    struct cof_tool_call *call = place == NULL ? NULL : cof_sqlite_params_new(uri);
    if (call == NULL) {
        free(place);
        return COF_EXIT_USAGE;
    }
    place->call = call;
    int exit_code = cli_session_begin(&place->session, call, CLI_VOLUME_OR_SNAPSHOT, name);
    if (exit_code == 0) {
        place->session.serves = true;
        place->session.uses_data = true;
        cli_session_use_keys(&place->session, 0);
        exit_code = cli_session_open_volume(&place->session, COFFER_VOLUME_READ_ONLY);
    }
    if (exit_code == 0 && !read_only) {
        exit_code = cli_session_go_on(&place->session);
    }
    if (exit_code != 0) {
        leave(place);
        return exit_code;
    }
    place->next = places;
    places = place;
    *ret_place = place;
    return 0;
}

/* ---- volumes ----------------------------------------------------------------------------- */

static int open_in(struct place *place, const char *name, struct opened *opened, bool read_only)
{
    struct cli_session *session = &opened->session;
    int exit_code = cli_session_begin(session, opened->call, CLI_VOLUME_OR_SNAPSHOT, name);
    if (exit_code != 0) {
        return exit_code;
    }
    session->store = place->session.store;
    session->store_info = place->session.store_info;
    session->writes = place->session.writes;
    session->uses_data = place->session.writes;
    session->serves = true;
    cli_session_lend_keys(&place->session, session);
    if (place->session.volume != NULL) { /* just opened, for this one */
        session->volume = place->session.volume;
        session->volume_info = place->session.volume_info;
        place->session.volume = NULL;
        return 0;
    }
    if (!read_only && !place->session.writes) {
        return cof_tool_fail(opened->call, COFFER_E_BUSY, NULL,
                             "close the databases that are open with mode=ro and the snapshots",
                             "cannot open %s to write: this process has its store open for "
                             "reading only",
                             name);
    }
    return cli_session_open_named(session, read_only ? COFFER_VOLUME_READ_ONLY : 0);
}

static void close_opened(void *ctx)
{
    struct opened *opened = ctx;
    struct coffer_fault fault;
    cof_sqlite_reports_begin();
    int exit_code = cli_session_close_volume(&opened->session);
    opened->place->users--;
    leave(opened->place);
    (void)cof_sqlite_reports_end(exit_code, &fault);
    cof_sqlite_params_free(opened->call);
    free(opened);
}

static void fill(struct opened *opened, bool read_only, struct cof_sqlite_source *ret_source)
{
    const struct coffer_key_provider *asker = cli_session_asker(&opened->session);
    ret_source->store = opened->session.store;
    ret_source->volume = opened->session.volume;
    ret_source->read_only = read_only;
    ret_source->close = close_opened;
    ret_source->ctx = opened;
    if (asker != NULL) {
        ret_source->provider = *asker;
    }
}

static int open_both(const char *name, const char *uri, bool read_only,
                     struct cof_sqlite_source *ret_source)
{
    char store[PATH_MAX];
    struct opened *opened = calloc(1, sizeof *opened);
    int exit_code = 0;
    if (opened == NULL || (opened->call = cof_sqlite_params_new(uri)) == NULL) {
        free(opened);
        return COF_EXIT_USAGE;
    }
    snprintf(store, sizeof store, "%.*s", (int)(strrchr(name, ':') - name), name);
    opened->place = find(store);
    if (opened->place == NULL) {
        exit_code = open_place(name, uri, read_only, &opened->place);
    }
    if (exit_code == 0) {
        opened->place->users++;
        exit_code = open_in(opened->place, name, opened, read_only);
        exit_code =
            exit_code != 0 ? exit_code : cli_session_record_export(&opened->session, "sqlite");
        if (exit_code != 0) {
            (void)cli_session_close_volume(&opened->session);
            opened->place->users--;
            leave(opened->place);
        }
    }
    if (exit_code != 0) {
        cof_sqlite_params_free(opened->call);
        free(opened);
        return exit_code;
    }
    fill(opened, read_only, ret_source);
    return 0;
}

static int open_source(const char *name, const char *uri, bool read_only,
                       struct cof_sqlite_source *ret_source, struct coffer_fault *fault)
{
    const char *colon = strrchr(name, ':');
    if (colon == NULL) {
        return cof_sqlite_fault(fault, COFFER_E_INVALID, "a database's name is STORE:VOLUME");
    }
    cof_sqlite_reports_begin();
    int exit_code = open_both(name, uri, read_only || strchr(colon, '@') != NULL, ret_source);
    return cof_sqlite_reports_end(exit_code, fault);
}

const struct cof_sqlite_opener cof_sqlite_sessions = {full_name, open_source};
