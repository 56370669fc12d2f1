/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/serve.c - becomes nbdkit, with the plugin of attach/nbdkit, in the foreground.
 *
 * What it was told goes on as the plugin's parameters: paths and URIs, and the number of a
 * descriptor, never a secret. The plugin opens the store before nbdkit listens and fails with the
 * exit codes of this program; so nothing is opened here. Where to listen is in serve_listen.c.
 */
#include "serve.h"
#include "common/error.h"
#include "session.h"
#include "verbs.h"
#include <assert.h>
#include <errno.h>
#include <libgen.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#define THREADS_DEFAULT 16u
#define THREADS_MAX 1024u
#define CONNECTIONS_MAX 65536u

/* What the plugin takes by the same name. */
static const struct cof_tool_verb parameters = {
    .options = CLI_SERVE_NAMES " " CLI_WRITE_BACK_NAME};
static const struct cof_tool_program plugin = {.common = "output"};

static const char install_nbdkit[] = "install nbdkit (on Debian the package nbdkit)";

void cli_serve_add(struct cli_serve *serve, const char *format, ...)
{
    va_list list;
    char *word = NULL;
    if (serve->exit_code != 0) {
        return;
    }
    va_start(list, format);
    int bytes = vasprintf(&word, format, list);
    va_end(list);
    assert(serve->word_count + 1 < CLI_SERVE_WORDS_MAX);
    if (bytes < 0) {
        serve->exit_code =
            cof_tool_fail(serve->call, COFFER_E_NO_MEMORY, NULL, NULL, "cannot serve");
        return;
    }
    serve->words[serve->word_count++] = word;
}

/* ---- the plugin -------------------------------------------------------------------------- */

/* Beside the program in the build tree, else where both are installed. */
static const char *find_plugin(char path[PATH_MAX])
{
    static const char *const places[] = {"", COFFER_PLUGIN_FROM_PROGRAMS "/"};
    const char *named = getenv("COFFER_NBDKIT_PLUGIN");
    char program[PATH_MAX];
    if (named != NULL && named[0] != '\0') {
        return named;
    }
    ssize_t bytes = readlink("/proc/self/exe", program, sizeof program - 1);
    if (bytes <= 0) {
        return NULL;
    }
    program[bytes] = '\0';
    const char *directory = dirname(program);
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        int length = snprintf(path, PATH_MAX, "%s/%snbdkit-coffer-plugin.so", directory, places[i]);
        if (length < PATH_MAX && access(path, R_OK) == 0) {
            return path;
        }
    }
    return NULL;
}

static void add_plugin(struct cli_serve *serve)
{
    char path[PATH_MAX];
    const char *found = find_plugin(path);
    if (serve->exit_code == 0 && found == NULL) {
        serve->exit_code =
            cof_tool_fail_named(serve->call, "NOT_FOUND", "absent", COF_EXIT_FAILED,
                                "nbdkit-coffer-plugin.so is not installed with this program",
                                "install it, or name it in COFFER_NBDKIT_PLUGIN", "cannot serve");
    } else if (serve->exit_code == 0) {
        /* nbdkit takes a word without a slash for the name of one of its own. */
        cli_serve_add(serve, "%s%s", strchr(found, '/') == NULL ? "./" : "", found);
    }
}

/* ---- what goes on ------------------------------------------------------------------------ */

/* Every option that plugin and verb have in common, by the same name. */
static void add_options(struct cli_serve *serve)
{
    const struct cof_tool_call *call = serve->call;
    for (size_t i = 0; i < call->program->option_count; i++) {
        const struct cof_tool_option *option = &call->program->options[i];
        if (call->values[i].given && strcmp(option->name, "store") != 0 &&
            cof_tool_verb_takes(&plugin, &parameters, option->name)) {
            cli_serve_add(serve, "%s=%s", option->name,
                          option->kind == COF_TOOL_FLAG ? "true" : call->values[i].text);
        }
    }
}

static void add_parameters(struct cli_serve *serve)
{
    cli_serve_add(serve, "store=%s", serve->address.store);
    if (serve->address.name[0] != '\0') {
        cli_serve_add(serve, "volume=%s", serve->address.name);
    }
    if (cof_tool_given(serve->call, "read-only")) {
        cli_serve_add(serve, "readonly=true");
    }
    add_options(serve);
    cli_serve_add(serve, "served-at=%s", serve->at);
}

static uint64_t take_number(struct cli_serve *serve, const char *name, uint64_t fallback,
                            uint64_t most)
{
    uint64_t number = cof_tool_number(serve->call, name, fallback);
    if (serve->exit_code == 0 && (number < 1 || number > most)) {
        serve->exit_code =
            cof_tool_usage(serve->call, NULL, "--%s is 1 to %llu", name, (unsigned long long)most);
    }
    return number;
}

/* Where the store is in memory no request waits for a device: more threads than processors would
 * only take each other's turns, and the caches with them (docs/decisions/0024). */
static uint64_t threads_for(const char *store)
{
    struct statfs system;
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    if (statfs(store, &system) != 0 ||
        (system.f_type != TMPFS_MAGIC && system.f_type != RAMFS_MAGIC) ||
        processors > (long)THREADS_DEFAULT) {
        return THREADS_DEFAULT;
    }
    return processors > 2 ? (uint64_t)processors : 2;
}

/* nbdkit takes its own options, then the plugin, then parameters of plugin and filters. */
static void make_line(struct cli_serve *serve)
{
    uint64_t threads =
        take_number(serve, "threads", threads_for(serve->address.store), THREADS_MAX);
    uint64_t connections = take_number(serve, "max-connections", 16, CONNECTIONS_MAX);
    cli_serve_add(serve, "nbdkit");
    cli_serve_add(serve, "--foreground");
    cli_serve_listen(serve);
    cli_serve_add(serve, "--threads=%llu", (unsigned long long)threads);
    cli_serve_add(serve, "--filter=limit");
    if (cof_tool_given(serve->call, "read-only")) {
        cli_serve_add(serve, "--readonly");
    }
    if (cof_tool_given(serve->call, "pid-file")) {
        cli_serve_add(serve, "--pidfile=%s", cof_tool_text(serve->call, "pid-file", NULL));
    }
    add_plugin(serve);
    add_parameters(serve);
    cli_serve_add(serve, "limit=%llu", (unsigned long long)connections);
}

static int become_nbdkit(struct cli_serve *serve)
{
    execvp(serve->words[0], serve->words);
    return errno == ENOENT
               ? cof_tool_fail_named(serve->call, "NOT_FOUND", "absent", COF_EXIT_FAILED,
                                     "there is no nbdkit in PATH", install_nbdkit, "cannot serve")
               : cof_tool_fail_errno(serve->call, errno, install_nbdkit, "cannot run nbdkit");
}

int cli_serve(struct cof_tool_call *call)
{
    struct cli_serve serve = {.call = call};
    serve.exit_code = cli_address_take(
        call, CLI_ANY, call->operand_count > 0 ? call->operands[0] : NULL, &serve.address);
    if (serve.exit_code == 0) {
        make_line(&serve);
    }
    if (serve.exit_code == 0) {
        serve.exit_code = become_nbdkit(&serve);
    }
    for (unsigned i = 0; i < serve.word_count; i++) {
        free(serve.words[i]);
    }
    return serve.exit_code;
}
