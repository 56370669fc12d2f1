/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/wire/shape.c - the check of a request's parameters. Pure; any thread.
 *
 * Invariants: all constraints are tried and counted, so that one answer names every mistake; the
 * message is bounded and holds no value of a blob or of a secret shape.
 */
#include "wire/shape.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PATH_BYTES 200u
#define VALUE_BYTES 2304u /* more of a value is cut off in a message */

/* ---- messages ---------------------------------------------------------------------------- */

static void say(struct cof_wire_check *check, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void say(struct cof_wire_check *check, const char *format, ...)
{
    size_t room = sizeof(check->message) - check->length;
    va_list args;
    int length;

    va_start(args, format);
    length = vsnprintf(check->message + check->length, room, format, args);
    va_end(args);
    if (length > 0) {
        check->length += (size_t)length < room ? (size_t)length : room - 1;
    }
}

static int malformed(struct cof_wire_check *check, const char *what)
{
    check->malformed = true;
    check->length = 0;
    say(check, "%s", what);
    return COFFER_E_INVALID;
}

/* The value as messages show it. */
static void show(const struct cof_wire_shape *shape, const json_t *value, size_t blob_bytes,
                 char *text, size_t room)
{
    if (shape->secret && shape->type != COF_WIRE_BLOB) {
        (void)snprintf(text, room, "***");
    } else if (shape->type == COF_WIRE_BLOB) {
        (void)snprintf(text, room, "java.nio.HeapByteBuffer[pos=0 lim=%zu cap=%zu]", blob_bytes,
                       blob_bytes);
    } else if (shape->type == COF_WIRE_NUMBER) {
        (void)snprintf(text, room, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    } else if (shape->type == COF_WIRE_TEXT) {
        (void)snprintf(text, room, "%s", json_string_value(value));
    } else {
        (void)snprintf(text, room, "[%zu entries]",
                       json_is_array(value) ? json_array_size(value) : json_object_size(value));
    }
}

static void fails(struct cof_wire_check *check, const char *path, const char *shown,
                  const char *constraint, const char *operand)
{
    const char *mark = shown == NULL ? "" : "'";

    say(check, "%sValue %s%s%s at '%s' failed to satisfy constraint: Member must %s%s",
        check->errors > 0 ? "; " : "", mark, shown == NULL ? "null" : shown, mark, path, constraint,
        operand);
    check->errors++;
}

void cof_wire_check_text(const struct cof_wire_check *check, char *buffer, size_t room)
{
    (void)snprintf(buffer, room, "%u validation error%s detected: %s", check->errors,
                   check->errors == 1 ? "" : "s", check->message);
}

/* ---- constraints ------------------------------------------------------------------------- */

static size_t characters(const char *text)
{
    size_t count = 0;

    for (; *text != '\0'; text++) {
        count += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return count;
}

static bool letter_fits(const struct cof_wire_pattern *pattern, unsigned char c)
{
    if (c < 0x80 && c != '\0' && pattern->extra != NULL && strchr(pattern->extra, c) != NULL) {
        return true;
    }
    switch (pattern->letters) {
    case COF_WIRE_ALNUM:
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    case COF_WIRE_HEX:
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
    default:
        /* In UTF-8 U+0080 to U+00FF are C2 or C3 and one continuation byte. */
        return c >= 0x20 && c <= 0xc3;
    }
}

static bool pattern_fits(const struct cof_wire_pattern *pattern, const char *text)
{
    for (; *text != '\0'; text++) {
        if (!letter_fits(pattern, (unsigned char)*text)) {
            return false;
        }
    }
    return true;
}

static bool value_known(const char *const *values, const char *text)
{
    for (; *values != NULL; values++) {
        if (strcmp(*values, text) == 0) {
            return true;
        }
    }
    return false;
}

static void check_values(struct cof_wire_check *check, const struct cof_wire_shape *shape,
                         const char *path, const char *text)
{
    char list[1024] = "[";
    size_t length = 1;
    unsigned i;

    if (shape->values == NULL || value_known(shape->values, text)) {
        return;
    }
    for (i = 0; shape->values[i] != NULL && length < sizeof(list) - 2; i++) {
        length += (size_t)snprintf(list + length, sizeof(list) - length, "%s%s", i > 0 ? ", " : "",
                                   shape->values[i]);
    }
    length = length < sizeof(list) - 2 ? length : sizeof(list) - 2;
    (void)snprintf(list + length, sizeof(list) - length, "]");
    fails(check, path, text, "satisfy enum value set: ", list);
}

/* measure: length, entries or value. */
static void check_bounds(struct cof_wire_check *check, const struct cof_wire_shape *shape,
                         const char *path, const char *shown, int64_t measure)
{
    const char *what = shape->type == COF_WIRE_NUMBER ? "value" : "length";
    char constraint[64], bound[24];

    if (shape->min == 0 && shape->max == 0) {
        return;
    }
    if (measure < (int64_t)shape->min) {
        (void)snprintf(constraint, sizeof(constraint), "have %s greater than or equal to ", what);
        (void)snprintf(bound, sizeof(bound), "%" PRIu32, shape->min);
        fails(check, path, shown, constraint, bound);
    }
    if (measure > (int64_t)shape->max) {
        (void)snprintf(constraint, sizeof(constraint), "have %s less than or equal to ", what);
        (void)snprintf(bound, sizeof(bound), "%" PRIu32, shape->max);
        fails(check, path, shown, constraint, bound);
    }
}

/* ---- values ------------------------------------------------------------------------------ */

static int check_members(struct cof_wire_check *check, const json_t *object,
                         const struct cof_wire_member *members, const char *path);
static int check_value(struct cof_wire_check *check, const struct cof_wire_shape *shape,
                       const json_t *value, const char *path);

static const char *const type_names[] = {"String", "Integer", "Timestamp", "Boolean",
                                         "Blob",   "Map",     "List",      "Structure"};

static bool type_fits(enum cof_wire_type type, const json_t *value)
{
    switch (type) {
    case COF_WIRE_TEXT:
    case COF_WIRE_BLOB:
        return json_is_string(value);
    case COF_WIRE_NUMBER:
        return json_is_integer(value);
    case COF_WIRE_TIME:
        return json_is_number(value);
    case COF_WIRE_FLAG:
        return json_is_boolean(value);
    case COF_WIRE_LIST:
        return json_is_array(value);
    default:
        return json_is_object(value);
    }
}

static const char *token_of(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "START_OF_STRUCTURE";
    case JSON_ARRAY:
        return "START_OF_LIST";
    case JSON_STRING:
        return "STRING_VALUE";
    case JSON_INTEGER:
    case JSON_REAL:
        return "NUMBER_VALUE";
    default:
        return json_is_boolean(value) ? "BOOLEAN_VALUE" : "NULL_VALUE";
    }
}

static int check_list(struct cof_wire_check *check, const struct cof_wire_shape *shape,
                      const json_t *value, const char *path)
{
    char entry[PATH_BYTES];
    size_t i, count = json_array_size(value);

    for (i = 0; i < count; i++) {
        int error;

        (void)snprintf(entry, sizeof(entry), "%.160s.%zu.member", path, i + 1);
        error = check_value(check, shape->of, json_array_get(value, i), entry);
        if (error != 0) {
            return error;
        }
    }
    return 0;
}

static int check_map(struct cof_wire_check *check, const json_t *value)
{
    const char *key;
    json_t *text;

    json_object_foreach((json_t *)value, key, text)
    {
        if (!json_is_string(text)) {
            char why[96];

            (void)snprintf(why, sizeof(why), "%s cannot be converted to String", token_of(text));
            return malformed(check, why);
        }
    }
    return 0;
}

static int64_t measure_of(const struct cof_wire_shape *shape, const json_t *value,
                          size_t blob_bytes)
{
    switch (shape->type) {
    case COF_WIRE_TEXT:
        return (int64_t)characters(json_string_value(value));
    case COF_WIRE_NUMBER:
        return json_integer_value(value);
    case COF_WIRE_BLOB:
        return (int64_t)blob_bytes;
    case COF_WIRE_LIST:
        return (int64_t)json_array_size(value);
    default:
        return (int64_t)json_object_size(value);
    }
}

static int check_value(struct cof_wire_check *check, const struct cof_wire_shape *shape,
                       const json_t *value, const char *path)
{
    char shown[VALUE_BYTES];
    size_t blob_bytes = 0;
    int error = 0;

    if (!type_fits(shape->type, value)) {
        (void)snprintf(shown, sizeof(shown), "%s cannot be converted to %s", token_of(value),
                       type_names[shape->type]);
        return malformed(check, shown);
    }
    if (shape->type == COF_WIRE_BLOB) {
        error = check->on_blob(check->ctx, value, shape, &blob_bytes);
        if (error == COFFER_E_INVALID) {
            return malformed(check, "a binary value is not base64 with padding");
        }
    }
    if (error != 0) {
        return error;
    }
    show(shape, value, blob_bytes, shown, sizeof(shown));
    check_bounds(check, shape, path, shown, measure_of(shape, value, blob_bytes));
    if (shape->type == COF_WIRE_TEXT) {
        check_values(check, shape, path, json_string_value(value));
        if (shape->pattern != NULL && !pattern_fits(shape->pattern, json_string_value(value))) {
            fails(check, path, shown, "satisfy regular expression pattern: ", shape->pattern->text);
        }
    }
    switch (shape->type) {
    case COF_WIRE_LIST:
        return check_list(check, shape, value, path);
    case COF_WIRE_MAP:
        return check_map(check, value);
    case COF_WIRE_STRUCT:
        return check_members(check, value, shape->members, path);
    default:
        return 0;
    }
}

static int check_members(struct cof_wire_check *check, const json_t *object,
                         const struct cof_wire_member *members, const char *path)
{
    char name[PATH_BYTES];

    for (; members->name != NULL; members++) {
        const json_t *value = json_object_get(object, members->name);
        const char *dot = path[0] != '\0' ? "." : "";
        int first = members->name[0], error = 0;

        /* Paths begin with a small letter: KeyId is 'keyId'. */
        first += first >= 'A' && first <= 'Z' ? 'a' - 'A' : 0;
        (void)snprintf(name, sizeof(name), "%.120s%s%c%.60s", path, dot, first, members->name + 1);
        if (value != NULL && !json_is_null(value)) {
            error = check_value(check, members->shape, value, name);
        } else if (members->required) {
            fails(check, name, NULL, "not be null", "");
        }
        if (error != 0) {
            return error;
        }
    }
    return 0;
}

int cof_wire_check_params(struct cof_wire_check *check, const json_t *params,
                          const struct cof_wire_member *members)
{
    return check_members(check, params, members, "");
}
