/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attach/nbdkit/served.c - open the store and its volumes, list them, close all.
 *
 * Invariants: all of `served` is under its lock, but for an export's volume once it is open; an
 * export is linked only when it is open, and is never unlinked before the store is closed.
 */
#include "served.h"
#include "params.h"
#include <coffer/snapshot.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
    pthread_mutex_t lock;
    struct cli_session session; /* the store and its keys */
    struct plug_export *exports;
    char **names; /* once they are listed */
    size_t name_count;
    bool listed;
} served = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const char *only_volume(void)
{
    return cof_tool_text(plug_params(), "volume", NULL);
}

static int no_memory(void)
{
    return cof_tool_fail(plug_params(), COFFER_E_NO_MEMORY, NULL, NULL, "cannot serve");
}

/* ---- opening ----------------------------------------------------------------------------- */

/* The address of a name that the parameters or a client gave. */
static int address_of(const char *name, struct cli_address *ret_address)
{
    char word[PATH_MAX + CLI_NAME_BYTES_MAX];
    struct cli_address store;
    int exit_code = cli_address_take(plug_params(), CLI_STORE, NULL, &store);
    if (exit_code != 0) {
        return exit_code;
    }
    /* So that the colon before it is the last one. */
    if (strlen(name) >= CLI_NAME_BYTES_MAX || strpbrk(name, ":/") != NULL) {
        return cof_tool_fail(plug_params(), COFFER_E_NOT_FOUND, NULL,
                             "an export's name is VOLUME or VOLUME@SNAPSHOT",
                             "there is no export '%.80s'", name);
    }
    snprintf(word, sizeof word, "%s:%s", store.store, name);
    return cli_address_take(plug_params(), CLI_VOLUME_OR_SNAPSHOT, word, ret_address);
}

static int begin(struct cli_session *session)
{
    struct cli_address address;
    int exit_code = 0;
    if (only_volume() != NULL) {
        exit_code = address_of(only_volume(), &address);
    }
    if (exit_code == 0) {
        exit_code = cli_session_begin(session, plug_params(), CLI_STORE, NULL);
    }
    if (exit_code == 0 && only_volume() != NULL) {
        session->address = address;
    }
    session->serves = true;
    return exit_code;
}

int plug_served_check(void)
{
    struct cli_session session;
    int exit_code = begin(&session);
    if (exit_code != 0) {
        return exit_code;
    }
    return cli_session_end(&session, cli_session_open_store(&session, COFFER_OPEN_READ_ONLY));
}

/* A session for a volume of the store that is open; NULL when there is no memory. */
static struct plug_export *new_export(const struct cli_address *address, bool read_only)
{
    struct plug_export *export = calloc(1, sizeof *export);
    if (export == NULL) {
        (void)no_memory();
        return NULL;
    }
    export->session.call = plug_params();
    export->session.address = *address;
    export->session.store = served.session.store;
    export->session.store_info = served.session.store_info;
    export->session.writes = served.session.writes;
    export->session.uses_data = served.session.writes; /* else the loss is another's to note */
    export->session.serves = true;
    export->read_only = read_only;
    export->write_flags = cof_tool_given(plug_params(), "write-back") ? COFFER_IO_WRITE_BACK : 0;
    cli_session_lend_keys(&served.session, &export->session);
    return export;
}

static void link_export(struct plug_export *export)
{
    export->next = served.exports;
    served.exports = export;
}

/* Record that plaintext goes out, before the first byte does. */
static int record(struct plug_export *export)
{
    const char *at = plug_params_served_at();
    return cli_session_record_export(&export->session, at != NULL ? at : "nbd");
}

/* The volume that parameters name is open in the server's own session: let an export have it. */
static int hand_over(bool read_only)
{
    struct cli_session *session = &served.session;
    struct plug_export *export = new_export(&session->address, read_only);
    if (export == NULL) {
        return COF_EXIT_FAILED;
    }
    export->session.volume = session->volume;
    export->session.volume_info = session->volume_info;
    session->volume = NULL;
    link_export(export);
    return record(export);
}

/* As every verb that writes: look first, so that what is refused changes nothing. */
static int open_all(void)
{
    struct cli_session *session = &served.session;
    bool one = only_volume() != NULL;
    bool read_only = cof_tool_given(plug_params(), "readonly") || session->address.snapshot[0] != 0;
    int exit_code;
    cli_session_use_keys(session, 0);
    session->uses_data = one;
    if (one) {
        exit_code = cli_session_open_volume(session, COFFER_VOLUME_READ_ONLY);
    } else {
        exit_code = cli_session_open_store(session, COFFER_OPEN_READ_ONLY);
    }
    if (exit_code == 0 && !read_only) {
        exit_code = cli_session_go_on(session);
    }
    return exit_code == 0 && one ? hand_over(read_only) : exit_code;
}

int plug_served_open(void)
{
    pthread_mutex_lock(&served.lock);
    int exit_code = begin(&served.session);
    if (exit_code == 0) {
        exit_code = open_all();
    }
    pthread_mutex_unlock(&served.lock);
    if (exit_code != 0) {
        plug_served_close();
    }
    return exit_code;
}

void plug_served_close(void)
{
    pthread_mutex_lock(&served.lock);
    if (served.session.call != NULL) {
        (void)cli_session_end(&served.session, 0); /* with the volumes that are open */
        served.session.call = NULL;
    }
    while (served.exports != NULL) {
        struct plug_export *export = served.exports;
        served.exports = export->next;
        free(export);
    }
    while (served.name_count > 0) {
        free(served.names[--served.name_count]);
    }
    free(served.names);
    served.names = NULL;
    served.listed = false;
    pthread_mutex_unlock(&served.lock);
}

/* ---- exports ----------------------------------------------------------------------------- */

static struct plug_export *open_export(const char *name, bool read_only)
{
    struct cli_address address;
    if (only_volume() != NULL) {
        (void)cof_tool_fail(plug_params(), COFFER_E_NOT_FOUND, NULL, "ask for that one",
                            "there is no export '%.80s': %s is the only one", name, only_volume());
        return NULL;
    }
    if (address_of(name, &address) != 0) {
        return NULL;
    }
    read_only = read_only || !served.session.writes || address.snapshot[0] != '\0';
    struct plug_export *export = new_export(&address, read_only);
    if (export == NULL) {
        return NULL;
    }
    if (cli_session_open_named(&export->session, read_only ? COFFER_VOLUME_READ_ONLY : 0) != 0) {
        free(export);
        return NULL;
    }
    link_export(export); /* whatever comes now: the volume is open */
    return record(export) == 0 ? export : NULL;
}

struct plug_export *plug_served_export(const char *name, bool read_only)
{
    pthread_mutex_lock(&served.lock);
    struct plug_export *export = served.exports;
    while (export != NULL && strcmp(export->session.address.name, name) != 0) {
        export = export->next;
    }
    if (export == NULL) {
        export = open_export(name, read_only);
    }
    pthread_mutex_unlock(&served.lock);
    return export;
}

/* ---- names ------------------------------------------------------------------------------- */

static int add_name(const char *volume, const char *snapshot)
{
    char name[CLI_NAME_BYTES_MAX];
    char **names = realloc(served.names, (served.name_count + 1) * sizeof *names);
    if (names == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    served.names = names;
    snprintf(name, sizeof name, "%s%s%s", volume, snapshot[0] ? "@" : "", snapshot);
    names[served.name_count] = strdup(name);
    if (names[served.name_count] == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    served.name_count++;
    return 0;
}

static int add_volume(void *ctx, const struct coffer_volume_info *info)
{
    (void)ctx;
    return info->name_known ? add_name(info->name, "") : 0;
}

static int add_snapshot(void *ctx, const struct coffer_snapshot_info *info)
{
    (void)ctx;
    return info->name_known && info->status == COFFER_SNAPSHOT_AVAILABLE
               ? add_name(info->volume, info->name)
               : 0;
}

static int make_list(void)
{
    struct coffer_fault fault = cli_no_fault();
    struct cli_session *session = &served.session;
    int error = 0;
    if (served.listed) {
        return 0;
    }
    while (served.name_count > 0) { /* of an earlier attempt */
        free(served.names[--served.name_count]);
    }
    if (only_volume() != NULL) {
        error = add_name(only_volume(), "");
    } else {
        error = coffer_volume_list(session->store, &session->provider, add_volume, NULL, &fault);
        if (error == 0) {
            error = coffer_snapshot_list(session->store, NULL, &session->provider, add_snapshot,
                                         NULL, &fault);
        }
    }
    served.listed = error == 0;
    if (error != 0) {
        (void)cli_session_fail(session, error, &fault, NULL, "cannot list what is in %s",
                               session->address.store);
    }
    return error;
}

int plug_served_list(int (*visit)(void *ctx, const char *name), void *ctx)
{
    int status = 0;
    pthread_mutex_lock(&served.lock);
    if (make_list() != 0) {
        status = -1;
    }
    for (size_t i = 0; status == 0 && i < served.name_count; i++) {
        status = visit(ctx, served.names[i]);
    }
    pthread_mutex_unlock(&served.lock);
    return status;
}

const char *plug_served_only(void)
{
    const char *name = only_volume();
    pthread_mutex_lock(&served.lock);
    if (name == NULL && make_list() == 0 && served.name_count == 1) {
        name = served.names[0];
    }
    pthread_mutex_unlock(&served.lock);
    return name;
}
