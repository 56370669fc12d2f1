/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/output_table.c - output for people: "Name: value" lines, or columns under their names.
 *
 * A list of objects becomes columns; nested objects are indented under their name. Byte counts are
 * shown with their unit. The form may change; scripts use json or text.
 */
#include "internal.h"
#include "output.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS_MAX 32
#define CELL_BYTES 512

struct layout {
    const char *byte_fields;
    const char *names[COLUMNS_MAX];
    size_t widths[COLUMNS_MAX];
    size_t count;
};

/* value as one line of text; nested values as compact JSON. */
static const char *cell_of(const struct layout *layout, const char *name, const json_t *value,
                           char cell[CELL_BYTES])
{
    char bytes[32];
    bool is_bytes = name != NULL && layout->byte_fields != NULL &&
                    cof_tool_word_in(layout->byte_fields, name, ' ');
    if (json_is_integer(value) && is_bytes) {
        return strcpy(cell, cof_tool_people_bytes((uint64_t)json_integer_value(value), bytes));
    }
    if (json_is_string(value)) {
        snprintf(cell, CELL_BYTES, "%s", json_string_value(value));
        for (char *at = cell; *at != '\0'; at++) {
            if (iscntrl((unsigned char)*at)) {
                *at = ' ';
            }
        }
        return cell;
    }
    if (value == NULL || json_is_null(value)) {
        return strcpy(cell, "-");
    }
    if (json_is_boolean(value)) {
        return strcpy(cell, json_is_true(value) ? "true" : "false");
    }
    size_t length = json_dumpb(value, cell, CELL_BYTES - 1, JSON_ENCODE_ANY | JSON_COMPACT);
    cell[length < CELL_BYTES ? length : CELL_BYTES - 1] = '\0';
    return cell;
}

static void add_column(struct layout *layout, const char *name)
{
    for (size_t i = 0; i < layout->count; i++) {
        if (strcmp(layout->names[i], name) == 0) {
            return;
        }
    }
    if (layout->count < COLUMNS_MAX) {
        layout->names[layout->count] = name;
        layout->widths[layout->count++] = strlen(name);
    }
}

static void find_columns(struct layout *layout, const json_t *rows, const char *wanted)
{
    size_t i;
    json_t *row;
    json_array_foreach((json_t *)rows, i, row) {
        const char *name;
        json_t *member;
        json_object_foreach(row, name, member) {
            if (wanted == NULL || cof_tool_word_in(wanted, name, ' ')) {
                add_column(layout, name);
            }
        }
    }
    json_array_foreach((json_t *)rows, i, row) {
        for (size_t column = 0; column < layout->count; column++) {
            char cell[CELL_BYTES];
            size_t length = strlen(cell_of(layout, layout->names[column],
                                           json_object_get(row, layout->names[column]), cell));
            if (length > layout->widths[column]) {
                layout->widths[column] = length;
            }
        }
    }
}

static void put_row(const struct layout *layout, const json_t *row)
{
    for (size_t i = 0; i < layout->count; i++) {
        char cell[CELL_BYTES];
        const char *text = row == NULL ? layout->names[i]
                                       : cell_of(layout, layout->names[i],
                                                 json_object_get(row, layout->names[i]), cell);
        bool last = i + 1 == layout->count;
        printf("%-*s%s", last ? 0 : (int)layout->widths[i], text, last ? "\n" : "  ");
    }
}

static void put_rows(const json_t *rows, const char *columns, const char *byte_fields)
{
    size_t i;
    json_t *row;
    struct layout layout = {.byte_fields = byte_fields};
    find_columns(&layout, rows, columns);
    put_row(&layout, NULL);
    json_array_foreach((json_t *)rows, i, row) {
        put_row(&layout, row);
    }
}

static bool all_objects(const json_t *value)
{
    size_t i;
    json_t *element;
    json_array_foreach((json_t *)value, i, element) {
        if (!json_is_object(element)) {
            return false;
        }
    }
    return json_array_size(value) > 0;
}

static void put_nested(const struct layout *layout, const json_t *value, int indent)
{
    const char *name;
    json_t *member;
    json_object_foreach((json_t *)value, name, member) {
        char cell[CELL_BYTES];
        if (json_is_object(member) && json_object_size(member) > 0) {
            printf("%*s%s:\n", indent, "", name);
            put_nested(layout, member, indent + 4);
        } else if (all_objects(member)) {
            size_t i;
            json_t *element;
            json_array_foreach(member, i, element) {
                printf("%*s%s %zu:\n", indent, "", name, i);
                put_nested(layout, element, indent + 4);
            }
        } else {
            printf("%*s%s: %s\n", indent, "", name, cell_of(layout, name, member, cell));
        }
    }
}

int cof_tool_write_table(const json_t *value, const char *columns, const char *byte_fields)
{
    struct layout layout = {.byte_fields = byte_fields};
    char cell[CELL_BYTES];
    size_t i;
    json_t *element;
    if (json_is_object(value)) {
        put_nested(&layout, value, 0);
    } else if (all_objects(value)) {
        put_rows(value, columns, byte_fields);
    } else if (json_is_array(value)) {
        json_array_foreach((json_t *)value, i, element) {
            puts(cell_of(&layout, NULL, element, cell));
        }
    } else {
        puts(cell_of(&layout, NULL, value, cell));
    }
    return 0;
}
