/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attach/nbdkit/plugin.c - what nbdkit calls.
 *
 * The life of it: parameters; get_ready, before nbdkit listens and forks; after_fork, where the
 * store is opened, unless `coffer serve` did the starting: its server does not fork, so the store
 * is opened in get_ready and there is no socket before it can be served. Connections; cleanup,
 * which closes the store. A server that is killed is, for the store, a loss of power.
 *
 * Parallel: everything called for a connection may be called by any thread at any time.
 */
#define NBDKIT_API_VERSION 2
#include "common/harden.h"
#include "params.h"
#include "request.h"
#include "served.h"
#include <errno.h>
#include <fcntl.h>
#include <nbdkit-plugin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL
#define REQUEST_BYTES_MAX (32u << 20)

static struct {
    int directory; /* where the server was started: paths are relative to it */
    pid_t starter;
    FILE *reports;
} server = {.directory = -1};

/* ---- start and end ----------------------------------------------------------------------- */

static void load(void)
{
    cof_tool_harden();
    server.directory = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    server.starter = getpid();
}

static int config_complete(void)
{
    if (cof_tool_text(plug_params(), "store", getenv("COFFER_STORE")) == NULL) {
        nbdkit_error("the parameter store= is missing; see nbdkit-coffer-plugin(1)");
        return -1;
    }
    return 0;
}

static int get_ready(void)
{
    bool served = plug_params_served_at() != NULL;
    int exit_code = served ? plug_served_open() : plug_served_check();
    if (exit_code != 0 && served) {
        exit(exit_code);
    }
    return exit_code == 0 ? 0 : -1;
}

/* A report is a line; its newline is nbdkit's to write. */
static ssize_t pass_on(void *cookie, const char *text, size_t bytes)
{
    (void)cookie;
    int length = (int)(bytes > 0 && text[bytes - 1] == '\n' ? bytes - 1 : bytes);
    nbdkit_error("%.*s", length, text);
    return (ssize_t)bytes;
}

/* In the background standard error leads nowhere, and the directory is another. */
static int go_to_background(void)
{
    static const cookie_io_functions_t functions = {.write = pass_on};
    server.reports = fopencookie(NULL, "w", functions);
    if (server.reports == NULL || setvbuf(server.reports, NULL, _IOLBF, 4096) != 0) {
        nbdkit_error("no memory");
        return -1;
    }
    cof_tool_reports_to(server.reports);
    if (server.directory < 0 || fchdir(server.directory) != 0) {
        nbdkit_error("the directory in which the server was started: %m");
        return -1;
    }
    return 0;
}

static int after_fork(void)
{
    const char *at = plug_params_served_at();
    if (at != NULL) {
        cof_tool_note(plug_params(), "serving %s at %s", cof_tool_text(plug_params(), "store", ""),
                      at);
        return 0;
    }
    cof_tool_harden(); /* the user may be another */
    if (getpid() != server.starter && go_to_background() != 0) {
        return -1;
    }
    return plug_served_open() == 0 ? 0 : -1;
}

static void cleanup(void)
{
    plug_served_close();
}

static void unload(void)
{
    cof_tool_reports_to(NULL);
    if (server.reports != NULL) {
        fclose(server.reports);
    }
    if (server.directory >= 0) {
        close(server.directory);
    }
}

/* ---- exports ----------------------------------------------------------------------------- */

static int add_export(void *ctx, const char *name)
{
    return nbdkit_add_export(ctx, name, NULL);
}

static int list_exports(int readonly, int is_tls, struct nbdkit_exports *exports)
{
    (void)readonly;
    (void)is_tls;
    return plug_served_list(add_export, exports);
}

static const char *default_export(int readonly, int is_tls)
{
    (void)readonly;
    (void)is_tls;
    return plug_served_only();
}

static void *open_export(int readonly)
{
    const char *name = nbdkit_export_name();
    if (name != NULL && name[0] == '\0') {
        name = plug_served_only();
    }
    if (name == NULL) {
        nbdkit_error("the client named no export, and the store has more than one");
        return NULL;
    }
    return plug_served_export(name, readonly != 0);
}

static const char *describe(void *handle)
{
    const struct plug_export *export = handle;
    return export->session.volume_info.encrypted ? "encrypted (AES-256-GCM)" : "not encrypted";
}

static int64_t get_size(void *handle)
{
    const struct plug_export *export = handle;
    return (int64_t) export->session.volume_info.size_bytes;
}

static int block_size(void *handle, uint32_t *minimum, uint32_t *preferred, uint32_t *maximum)
{
    (void)handle;
    *minimum = COFFER_SECTOR_BYTES;
    *preferred = COFFER_PAGE_BYTES;
    *maximum = REQUEST_BYTES_MAX;
    return 0;
}

static int can_write(void *handle)
{
    const struct plug_export *export = handle;
    return !export->read_only;
}

static int yes(void *handle)
{
    (void)handle;
    return 1;
}

static int no(void *handle)
{
    (void)handle;
    return 0;
}

static int can_fua(void *handle)
{
    (void)handle;
    return NBDKIT_FUA_NATIVE;
}

/* Reading what is to be cached warms the caches of map and tags. */
static int can_cache(void *handle)
{
    (void)handle;
    return NBDKIT_CACHE_EMULATE;
}

static struct nbdkit_plugin plugin = {
    .name = "coffer",
    .longname = "encrypted, crash-safe volumes",
    .description = "Serves volumes and snapshots of a Coffer store",
    .version = COFFER_PLUGIN_VERSION,
    .load = load,
    .unload = unload,
    .config = plug_params_take,
    .config_complete = config_complete,
    .config_help = plug_params_help,
    .magic_config_key = "store",
    .get_ready = get_ready,
    .after_fork = after_fork,
    .cleanup = cleanup,
    .list_exports = list_exports,
    .default_export = default_export,
    .open = open_export,
    .export_description = describe,
    .get_size = get_size,
    .block_size = block_size,
    .can_write = can_write,
    .can_flush = yes,
    .is_rotational = no,
    .can_trim = yes,
    .can_zero = yes,
    .can_fast_zero = yes,
    .can_extents = yes,
    .can_fua = can_fua,
    .can_cache = can_cache,
    .can_multi_conn = yes, /* a flush is of all connections, and no connection has a cache */
    .pread = plug_read,
    .pwrite = plug_write,
    .flush = plug_flush,
    .trim = plug_trim,
    .zero = plug_zero,
    .extents = plug_extents,
};

/* The header that defines it declares it nowhere. */
struct nbdkit_plugin *plugin_init(void);

NBDKIT_REGISTER_PLUGIN(plugin)
