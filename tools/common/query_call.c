/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/query_call.c - the functions of the query language. Each returns a new reference, or NULL
 * with a sentence in why. Arguments are never NULL.
 */
#include "query_tree.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *complain(char why[160], const char *name, const char *text)
{
    snprintf(why, 160, "%.40s(): %s", name, text);
    return NULL;
}

static json_t *length_of(char why[160], json_t **args)
{
    if (json_is_string(args[0])) {
        return json_integer((json_int_t)json_string_length(args[0]));
    }
    if (!json_is_array(args[0]) && !json_is_object(args[0])) {
        return complain(why, "length", "it takes a string, a list or an object");
    }
    return json_integer((json_int_t)(json_is_array(args[0]) ? json_array_size(args[0])
                                                            : json_object_size(args[0])));
}

static json_t *keys_of(char why[160], json_t **args)
{
    const char *name;
    json_t *member;
    if (!json_is_object(args[0])) {
        return complain(why, "keys", "it takes an object");
    }
    json_t *result = json_array();
    json_object_foreach(args[0], name, member) {
        json_array_append_new(result, json_string(name));
    }
    return result;
}

static json_t *values_of(char why[160], json_t **args)
{
    const char *name;
    json_t *member;
    if (!json_is_object(args[0])) {
        return complain(why, "values", "it takes an object");
    }
    json_t *result = json_array();
    json_object_foreach(args[0], name, member) {
        json_array_append(result, member);
    }
    return result;
}

static json_t *contains_it(char why[160], json_t **args)
{
    size_t i;
    json_t *element;
    if (json_is_string(args[0])) {
        return json_boolean(json_is_string(args[1]) &&
                            strstr(json_string_value(args[0]), json_string_value(args[1])));
    }
    if (!json_is_array(args[0])) {
        return complain(why, "contains", "it takes a string or a list first");
    }
    json_array_foreach(args[0], i, element) {
        if (json_equal(element, args[1])) {
            return json_true();
        }
    }
    return json_false();
}

static json_t *begins(char why[160], json_t **args)
{
    if (!json_is_string(args[0]) || !json_is_string(args[1])) {
        return complain(why, "starts_with", "it takes two strings");
    }
    return json_boolean(strncmp(json_string_value(args[0]), json_string_value(args[1]),
                                json_string_length(args[1])) == 0);
}

static json_t *ends(char why[160], json_t **args)
{
    if (!json_is_string(args[0]) || !json_is_string(args[1])) {
        return complain(why, "ends_with", "it takes two strings");
    }
    size_t whole = json_string_length(args[0]);
    size_t part = json_string_length(args[1]);
    return json_boolean(part <= whole && strcmp(json_string_value(args[0]) + whole - part,
                                                json_string_value(args[1])) == 0);
}

static int by_value(const void *a, const void *b)
{
    const json_t *left = *(json_t *const *)a;
    const json_t *right = *(json_t *const *)b;
    if (json_is_string(left)) {
        return strcmp(json_string_value(left), json_string_value(right));
    }
    double difference = json_number_value(left) - json_number_value(right);
    return difference < 0 ? -1 : difference > 0;
}

static json_t *sorted(char why[160], json_t **args)
{
    size_t count = json_array_size(args[0]);
    bool strings = json_is_string(json_array_get(args[0], 0));
    json_t **elements = calloc(count + 1, sizeof *elements);
    json_t *result = json_array();
    bool fits = json_is_array(args[0]) && elements != NULL;
    for (size_t i = 0; fits && i < count; i++) {
        elements[i] = json_array_get(args[0], i);
        fits = strings ? json_is_string(elements[i]) : json_is_number(elements[i]);
    }
    if (fits) {
        qsort(elements, count, sizeof *elements, by_value);
    }
    for (size_t i = 0; fits && i < count; i++) {
        json_array_append(result, elements[i]);
    }
    free(elements);
    if (!fits) {
        json_decref(result);
        return complain(why, "sort", "it takes a list of strings or of numbers");
    }
    return result;
}

static json_t *joined(char why[160], json_t **args)
{
    size_t i;
    json_t *element;
    if (!json_is_string(args[0]) || !json_is_array(args[1])) {
        return complain(why, "join", "it takes a string and a list of strings");
    }
    json_t *result = json_string("");
    json_array_foreach(args[1], i, element) {
        json_t *longer = NULL;
        if (json_is_string(element)) {
            longer = json_sprintf("%s%s%s", json_string_value(result),
                                  i > 0 ? json_string_value(args[0]) : "",
                                  json_string_value(element));
        }
        json_decref(result);
        if (longer == NULL) {
            return complain(why, "join", "it takes a string and a list of strings");
        }
        result = longer;
    }
    return result;
}

static json_t *to_string(char why[160], json_t **args)
{
    if (json_is_string(args[0])) {
        return json_incref(args[0]);
    }
    char *text = json_dumps(args[0], JSON_ENCODE_ANY | JSON_COMPACT);
    json_t *result = text != NULL ? json_string(text) : NULL;
    free(text);
    return result != NULL ? result : complain(why, "to_string", "there is no memory");
}

static json_t *not_null(char why[160], json_t **args)
{
    (void)why;
    return json_incref(json_is_null(args[0]) ? args[1] : args[0]);
}

static const struct {
    const char *name;
    unsigned arguments;
    json_t *(*run)(char why[160], json_t **args);
} functions[] = {
    {"length", 1, length_of},      {"keys", 1, keys_of}, {"values", 1, values_of},
    {"contains", 2, contains_it},  {"starts_with", 2, begins}, {"ends_with", 2, ends},
    {"sort", 1, sorted},           {"join", 2, joined},  {"to_string", 1, to_string},
    {"not_null", 2, not_null},
};

json_t *cof_query_call(const char *name, json_t **args, unsigned count, char why[160])
{
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        if (strcmp(functions[i].name, name) != 0) {
            continue;
        }
        if (count != functions[i].arguments) {
            return complain(why, name, functions[i].arguments == 1 ? "it takes one argument"
                                                                   : "it takes two arguments");
        }
        return functions[i].run(why, args);
    }
    return complain(why, name, "there is no function of that name here");
}
