/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/output_text.c - tab separated text, laid out as the AWS command line does.
 *
 * An object is one line of its scalars, in the order of their names, and then its other members,
 * each line of which begins with the member's name in capitals. A list of scalars is one line, or
 * one line each below a member's name. In a list of objects every object has the same columns.
 * Booleans are TRUE and FALSE, null is None. Tabs and newlines inside strings become blanks, so
 * that columns stay columns.
 */
#include "internal.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_scalar(const json_t *value)
{
    return !json_is_array(value) && !json_is_object(value);
}

static void put_scalar(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_TRUE:
        fputs("TRUE", stdout);
        break;
    case JSON_FALSE:
        fputs("FALSE", stdout);
        break;
    case JSON_INTEGER:
        printf("%lld", (long long)json_integer_value(value));
        break;
    case JSON_REAL:
        printf("%.17g", json_real_value(value));
        break;
    case JSON_STRING:
        for (const char *at = json_string_value(value); *at != '\0'; at++) {
            putchar(iscntrl((unsigned char)*at) ? ' ' : *at);
        }
        break;
    default:
        fputs("None", stdout);
    }
}

static void put_label(const char *label)
{
    for (; *label != '\0'; label++) {
        putchar(toupper((unsigned char)*label));
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Names of object's members in order; free the list, not the names. */
static const char **names_of(const json_t *object, size_t *ret_count)
{
    const char *name;
    json_t *member;
    size_t count = 0;
    const char **names = calloc(json_object_size(object) + 1, sizeof *names);
    if (names == NULL) {
        return NULL;
    }
    json_object_foreach((json_t *)object, name, member) {
        names[count++] = name;
    }
    qsort(names, count, sizeof *names, by_name);
    *ret_count = count;
    return names;
}

static int put(const json_t *value, const char *label, const json_t *columns);

static int put_object(const json_t *object, const char *label, const json_t *columns)
{
    size_t count;
    bool begun = false;
    int status = 0;
    const json_t *lined = columns != NULL ? columns : object;
    const char **names = names_of(lined, &count);
    if (names == NULL) {
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *member = json_object_get(object, names[i]);
        if (columns == NULL && !is_scalar(member)) {
            continue;
        }
        if (begun) {
            putchar('\t');
        } else if (label != NULL) {
            put_label(label);
            putchar('\t');
        }
        begun = true;
        if (member != NULL && is_scalar(member)) {
            put_scalar(member);
        }
    }
    free(names);
    if (begun) {
        putchar('\n');
    }
    names = names_of(object, &count);
    for (size_t i = 0; names != NULL && i < count && status == 0; i++) {
        const json_t *member = json_object_get(object, names[i]);
        if (!is_scalar(member)) {
            status = put(member, names[i], NULL);
        }
    }
    free(names);
    return names != NULL ? status : -1;
}

/* Every name that is a scalar in one of the list's objects. */
static json_t *columns_of(const json_t *list)
{
    size_t i;
    json_t *element;
    json_t *columns = json_object();
    json_array_foreach((json_t *)list, i, element) {
        const char *name;
        json_t *member;
        json_object_foreach(element, name, member) {
            if (is_scalar(member)) {
                json_object_set_new(columns, name, json_null());
            }
        }
    }
    return columns;
}

static void put_scalars(const json_t *list, const char *label)
{
    size_t i;
    json_t *element;
    bool begun = false;
    json_array_foreach((json_t *)list, i, element) {
        if (!is_scalar(element)) {
            continue;
        }
        if (label != NULL) {
            put_label(label);
            putchar('\t');
        } else if (begun) {
            putchar('\t');
        }
        put_scalar(element);
        begun = true;
        if (label != NULL) {
            putchar('\n');
        }
    }
    if (begun && label == NULL) {
        putchar('\n');
    }
}

static int put_list(const json_t *list, const char *label)
{
    size_t i;
    json_t *element;
    int status = 0;
    json_t *columns = columns_of(list);
    if (columns == NULL) {
        return -1;
    }
    put_scalars(list, label);
    json_array_foreach((json_t *)list, i, element) {
        if (!is_scalar(element) && status == 0) {
            status = put(element, label, columns);
        }
    }
    json_decref(columns);
    return status;
}

static int put(const json_t *value, const char *label, const json_t *columns)
{
    if (json_is_object(value)) {
        return put_object(value, label, columns);
    }
    if (json_is_array(value)) {
        return put_list(value, label);
    }
    put_scalar(value);
    putchar('\n');
    return 0;
}

int cof_tool_write_text(const json_t *value)
{
    return put(value, NULL, NULL);
}
