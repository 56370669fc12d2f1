/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/error.c - names, classes and sentences of the errors, all from COFFER_ERROR_TABLE.
 */
#include <coffer/error.h>
#include <errno.h>
#include <stddef.h>

struct entry {
    const char *name;
    enum coffer_error_class cls;
    int os_errno;
    const char *sentence;
};

static const struct entry table[] = {[0] = {"OK", COFFER_CLASS_NONE, 0, "no error"},
#define COFFER_X(name, number, cls, err, text) [number] = {#name, COFFER_CLASS_##cls, err, text},
                                     COFFER_ERROR_TABLE(COFFER_X)
#undef COFFER_X
};

static const struct entry unknown = {"UNKNOWN", COFFER_CLASS_BUG, EIO, "an unknown error"};

static const struct entry *find(int error)
{
    size_t count = sizeof table / sizeof table[0];
    if (error > 0 || error < -(int)(count - 1) || table[-error].name == NULL) {
        return &unknown;
    }
    return &table[-error];
}

const char *coffer_error_name(int error)
{
    return find(error)->name;
}

enum coffer_error_class coffer_error_class_of(int error)
{
    return find(error)->cls;
}

int coffer_error_errno(int error)
{
    return find(error)->os_errno;
}

const char *coffer_error_sentence(int error)
{
    return find(error)->sentence;
}

const char *coffer_error_class_name(enum coffer_error_class cls)
{
    static const char *const names[] = {
        [COFFER_CLASS_NONE] = "none",     [COFFER_CLASS_USAGE] = "usage",
        [COFFER_CLASS_IO] = "io",         [COFFER_CLASS_RETRY] = "retry",
        [COFFER_CLASS_FULL] = "full",     [COFFER_CLASS_BUSY] = "busy",
        [COFFER_CLASS_KEY] = "key",       [COFFER_CLASS_CORRUPT] = "corrupt",
        [COFFER_CLASS_TAMPER] = "tamper", [COFFER_CLASS_FORMAT] = "format",
        [COFFER_CLASS_ABSENT] = "absent", [COFFER_CLASS_BUG] = "bug",
    };
    size_t at = (size_t)cls;
    return at < sizeof names / sizeof names[0] ? names[at] : "bug";
}

const char *coffer_stage_name(enum coffer_stage stage)
{
    static const char *const names[] = {
        [COFFER_STAGE_NONE] = "none",
        [COFFER_STAGE_IO] = "io",
        [COFFER_STAGE_CHECKSUM] = "checksum",
        [COFFER_STAGE_TAG] = "tag",
        [COFFER_STAGE_PLACEMENT] = "placement",
        [COFFER_STAGE_MAP] = "map",
        [COFFER_STAGE_ROOT] = "root",
        [COFFER_STAGE_LOG] = "log",
        [COFFER_STAGE_KEY] = "key",
    };
    size_t at = (size_t)stage;
    return at < sizeof names / sizeof names[0] ? names[at] : "none";
}
