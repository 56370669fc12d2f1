/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/pins_file.c - the pin file: where it is, what it holds, and how it is changed.
 */
#include "pins_file.h"
#include "common/error.h"
#include "common/kept_file.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char advice[] = "set COFFER_PINS to another file, or give --no-pin";

/* Where the file is; a usage error when there is no home to keep it in. */
static int find_path(const struct cof_tool_call *call, char path[PATH_MAX])
{
    const char *named = getenv("COFFER_PINS");
    const char *data = getenv("XDG_DATA_HOME");
    const char *home = getenv("HOME");
    int length;
    if (named != NULL && named[0] != '\0') {
        length = snprintf(path, PATH_MAX, "%s", named);
    } else if (data != NULL && data[0] == '/') {
        length = snprintf(path, PATH_MAX, "%s/coffer/pins.json", data);
    } else if (home != NULL && home[0] == '/') {
        length = snprintf(path, PATH_MAX, "%s/.local/share/coffer/pins.json", home);
    } else {
        return cof_tool_usage(call, NULL, "there is no home directory to keep pins in: %s", advice);
    }
    /* Room for the suffixes of the lock and of the file that replaces this one. */
    if (length < 0 || length >= PATH_MAX - 16) {
        return cof_tool_usage(call, NULL, "the path of the pin file is too long");
    }
    return 0;
}

int cli_pins_complain(const struct cof_tool_call *call, const char *why)
{
    char path[PATH_MAX] = "";
    int exit_code = find_path(call, path);
    if (exit_code != 0) {
        return exit_code;
    }
    return cof_tool_fail_named(call, "PIN_FILE", "tamper", COF_EXIT_INTEGRITY, why,
                               "see who changed it and restore it from a backup, or move it away "
                               "to pin anew",
                               "cannot trust the pin file %s", path);
}

static json_t *empty_file(void)
{
    return json_pack("{s:i, s:[]}", "version", 1, "pins");
}

static int check_document(const struct cof_tool_call *call, const json_t *file)
{
    if (file == NULL || !json_is_array(json_object_get(file, "pins"))) {
        return cli_pins_complain(call, "it is damaged");
    }
    if (json_integer_value(json_object_get(file, "version")) != 1) {
        return cof_tool_fail_named(call, "TOO_NEW", "format", COF_EXIT_TOO_NEW,
                                   "its version is not 1", "use a newer version of this program",
                                   "cannot read the pin file");
    }
    return 0;
}

static int load(const struct cof_tool_call *call, const char *path, json_t **ret_file)
{
    const char *why;
    int fd = cof_tool_kept_open(path, &why);
    if (fd < 0 && why != NULL) {
        return cli_pins_complain(call, why);
    }
    if (fd < 0 && errno == ENOENT) {
        *ret_file = empty_file();
        return *ret_file != NULL ? 0 : cof_tool_fail(call, COFFER_E_NO_MEMORY, NULL, NULL,
                                                     "cannot read the pin file");
    }
    if (fd < 0) {
        return cof_tool_fail_errno(call, errno, advice, "cannot open the pin file %s", path);
    }
    json_t *file = json_loadfd(fd, JSON_REJECT_DUPLICATES, NULL);
    int exit_code = check_document(call, file);
    close(fd);
    if (exit_code != 0) {
        json_decref(file);
        return exit_code;
    }
    *ret_file = file;
    return 0;
}

int cli_pins_load(const struct cof_tool_call *call, json_t **ret_file)
{
    char path[PATH_MAX];
    int exit_code = find_path(call, path);
    return exit_code != 0 ? exit_code : load(call, path, ret_file);
}

/* Make the directories above path, for this user alone. */
static int make_parents(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        int status = mkdir(path, 0700);
        int error = errno;
        *slash = '/';
        if (status != 0 && error != EEXIST) {
            errno = error;
            return -1;
        }
    }
    return 0;
}

static int change_locked(const struct cof_tool_call *call, const char *path,
                         int (*change)(json_t *entries, void *ctx), void *ctx)
{
    json_t *file = NULL;
    int exit_code = load(call, path, &file);
    if (exit_code != 0) {
        return exit_code;
    }
    json_t *before = json_deep_copy(file);
    if (before == NULL || change(json_object_get(file, "pins"), ctx) != 0) {
        exit_code = cof_tool_fail(call, COFFER_E_NO_MEMORY, NULL, NULL,
                                  "cannot change the pin file");
    } else if (!json_equal(before, file) && cof_tool_kept_replace(path, file) != 0) {
        exit_code = cof_tool_fail_errno(call, errno, advice, "cannot replace the pin file %s",
                                        path);
    }
    json_decref(before);
    json_decref(file);
    return exit_code;
}

int cli_pins_change(const struct cof_tool_call *call, bool create,
                    int (*change)(json_t *entries, void *ctx), void *ctx)
{
    char path[PATH_MAX];
    int exit_code = find_path(call, path);
    if (exit_code != 0) {
        return exit_code;
    }
    if (!create && access(path, F_OK) != 0 && errno == ENOENT) {
        return 0;
    }
    if (make_parents(path) != 0) {
        return cof_tool_fail_errno(call, errno, advice, "cannot make the directory of %s", path);
    }
    int lock = cof_tool_kept_lock(path);
    if (lock < 0) {
        return cof_tool_fail_errno(call, errno, advice, "cannot lock the pin file %s", path);
    }
    exit_code = change_locked(call, path, change, ctx);
    close(lock);
    return exit_code;
}
