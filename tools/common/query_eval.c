/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/query_eval.c - a query's value on a document. Every function returns a new reference;
 * what isn't there is JSON null, and NULL says that why has a sentence.
 */
#include "query.h"
#include "query_tree.h"
#include <stdio.h>
#include <stdlib.h>

struct eval {
    char *why;
};

static json_t *value_of(struct eval *eval, const struct cof_node *at, json_t *in);

static bool holds(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_NULL:
    case JSON_FALSE:
        return false;
    case JSON_STRING:
        return json_string_length(value) > 0;
    case JSON_ARRAY:
        return json_array_size(value) > 0;
    case JSON_OBJECT:
        return json_object_size(value) > 0;
    default:
        return true;
    }
}

static json_t *or_null(json_t *borrowed)
{
    return borrowed != NULL ? json_incref(borrowed) : json_null();
}

static json_t *index_into(const json_t *list, int number)
{
    int count = (int)json_array_size(list);
    if (!json_is_array(list) || number >= count || number < -count) {
        return json_null();
    }
    return or_null(json_array_get(list, (size_t)(number < 0 ? number + count : number)));
}

/* Append what `right` finds in element; null is left out. */
static int project_one(struct eval *eval, const struct cof_node *right, json_t *element,
                       json_t *into)
{
    json_t *found = value_of(eval, right, element);
    if (found == NULL) {
        return -1;
    }
    if (json_is_null(found)) {
        json_decref(found);
        return 0;
    }
    return json_array_append_new(into, found);
}

static json_t *project_list(struct eval *eval, const struct cof_node *at, json_t *list)
{
    size_t i;
    json_t *element;
    if (!json_is_array(list)) {
        return json_null();
    }
    json_t *result = json_array();
    json_array_foreach(list, i, element) {
        if (at->kind == COF_QUERY_FILTER) {
            json_t *verdict = value_of(eval, at->first, element);
            bool taken = verdict != NULL && holds(verdict);
            bool failed = verdict == NULL;
            json_decref(verdict);
            if (failed) {
                json_decref(result);
                return NULL;
            }
            if (!taken) {
                continue;
            }
        }
        if (project_one(eval, at->right, element, result) != 0) {
            json_decref(result);
            return NULL;
        }
    }
    return result;
}

static json_t *project_values(struct eval *eval, const struct cof_node *at, json_t *object)
{
    const char *name;
    json_t *member;
    if (!json_is_object(object)) {
        return json_null();
    }
    json_t *result = json_array();
    json_object_foreach(object, name, member) {
        if (project_one(eval, at->right, member, result) != 0) {
            json_decref(result);
            return NULL;
        }
    }
    return result;
}

static json_t *flattened(json_t *list)
{
    size_t i;
    json_t *element;
    if (!json_is_array(list)) {
        return json_null();
    }
    json_t *result = json_array();
    json_array_foreach(list, i, element) {
        if (json_is_array(element)) {
            json_array_extend(result, element);
        } else {
            json_array_append(result, element);
        }
    }
    return result;
}

static json_t *compared(enum cof_query_token token, const json_t *left, const json_t *right)
{
    bool numbers = json_is_number(left) && json_is_number(right);
    double a = json_number_value(left);
    double b = json_number_value(right);
    switch (token) {
    case COF_TOKEN_EQ:
        return json_boolean(json_equal(left, right) || (numbers && !(a < b) && !(a > b)));
    case COF_TOKEN_NE:
        return json_boolean(!json_equal(left, right) && !(numbers && !(a < b) && !(a > b)));
    case COF_TOKEN_LT:
        return numbers ? json_boolean(a < b) : json_null();
    case COF_TOKEN_LE:
        return numbers ? json_boolean(a <= b) : json_null();
    case COF_TOKEN_GT:
        return numbers ? json_boolean(a > b) : json_null();
    default:
        return numbers ? json_boolean(a >= b) : json_null();
    }
}

static json_t *multiselect(struct eval *eval, const struct cof_node *at, json_t *in)
{
    if (json_is_null(in)) {
        return json_null();
    }
    json_t *result = at->kind == COF_QUERY_LIST ? json_array() : json_object();
    for (const struct cof_node *child = at->first; child != NULL; child = child->next) {
        const struct cof_node *expression = at->kind == COF_QUERY_LIST ? child : child->left;
        json_t *found = value_of(eval, expression, in);
        if (found == NULL) {
            json_decref(result);
            return NULL;
        }
        if (at->kind == COF_QUERY_LIST) {
            json_array_append_new(result, found);
        } else {
            json_object_set_new(result, json_string_value(child->name), found);
        }
    }
    return result;
}

static json_t *call(struct eval *eval, const struct cof_node *at, json_t *in)
{
    json_t *args[COF_QUERY_ARGUMENTS_MAX] = {NULL};
    json_t *result = NULL;
    unsigned count = 0;
    bool valued = true;
    for (const struct cof_node *child = at->first; child != NULL && valued; child = child->next) {
        if (count < COF_QUERY_ARGUMENTS_MAX) {
            args[count] = value_of(eval, child, in);
            valued = args[count] != NULL;
        }
        count++;
    }
    if (valued) {
        result = cof_query_call(json_string_value(at->value), args, count, eval->why);
    }
    for (unsigned i = 0; i < COF_QUERY_ARGUMENTS_MAX; i++) {
        json_decref(args[i]);
    }
    return result;
}

/* Nodes whose left side is valued first. */
static json_t *after_left(struct eval *eval, const struct cof_node *at, json_t *left, json_t *in)
{
    json_t *right;
    json_t *result;
    switch (at->kind) {
    case COF_QUERY_CHAIN:
        return value_of(eval, at->right, left);
    case COF_QUERY_PROJECT:
    case COF_QUERY_FILTER:
        return project_list(eval, at, left);
    case COF_QUERY_PROJECT_VALUES:
        return project_values(eval, at, left);
    case COF_QUERY_FLATTEN:
        return flattened(left);
    case COF_QUERY_OR:
        return holds(left) ? json_incref(left) : value_of(eval, at->right, in);
    case COF_QUERY_AND:
        return holds(left) ? value_of(eval, at->right, in) : json_incref(left);
    case COF_QUERY_NOT:
        return json_boolean(!holds(left));
    default:
        right = value_of(eval, at->right, in);
        result = right != NULL ? compared((enum cof_query_token)at->number, left, right) : NULL;
        json_decref(right);
        return result;
    }
}

static json_t *value_of(struct eval *eval, const struct cof_node *at, json_t *in)
{
    switch (at->kind) {
    case COF_QUERY_CURRENT:
        return json_incref(in);
    case COF_QUERY_FIELD:
        return or_null(json_object_get(in, json_string_value(at->value)));
    case COF_QUERY_INDEX:
        return index_into(in, at->number);
    case COF_QUERY_LITERAL:
        return json_incref(at->value);
    case COF_QUERY_LIST:
    case COF_QUERY_HASH:
        return multiselect(eval, at, in);
    case COF_QUERY_CALL:
        return call(eval, at, in);
    default: {
        json_t *left = value_of(eval, at->left, in);
        json_t *result = left != NULL ? after_left(eval, at, left, in) : NULL;
        json_decref(left);
        return result;
    }
    }
}

json_t *cof_tool_query(const char *query, json_t *document, char why[160])
{
    struct cof_query_tree *tree = calloc(1, sizeof *tree);
    struct eval eval = {.why = why};
    json_t *result = NULL;
    if (tree == NULL) {
        snprintf(why, 160, "there is no memory");
        return NULL;
    }
    if (cof_query_parse(tree, query, why) == 0) {
        result = value_of(&eval, tree->top, document);
    }
    cof_query_free(tree);
    free(tree);
    return result;
}
