/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/query_parse.c - a query's tree, by operator precedence.
 *
 * Binding strengths are those of the JMESPath reference implementation. What follows a projection
 * belongs to its elements as long as it binds at least as strongly as `projection_stop`.
 */
#include "query.h"
#include "query_tree.h"
#include <stdio.h>
#include <string.h>

#define PROJECTION_STOP 10

struct parser {
    struct cof_query_tree *tree;
    struct cof_query_lexer lexer;
    unsigned depth;
    char *why;
};

static struct cof_node *expression(struct parser *parser, int strength);

static int strength_of(enum cof_query_token token)
{
    static const unsigned char strengths[COF_TOKEN_BAD + 1] = {
        [COF_TOKEN_PIPE] = 1,      [COF_TOKEN_OR] = 2,      [COF_TOKEN_AND] = 3,
        [COF_TOKEN_EQ] = 5,        [COF_TOKEN_NE] = 5,      [COF_TOKEN_LT] = 5,
        [COF_TOKEN_LE] = 5,        [COF_TOKEN_GT] = 5,      [COF_TOKEN_GE] = 5,
        [COF_TOKEN_FLATTEN] = 9,   [COF_TOKEN_STAR] = 20,   [COF_TOKEN_FILTER] = 21,
        [COF_TOKEN_DOT] = 40,      [COF_TOKEN_NOT] = 45,    [COF_TOKEN_LBRACE] = 50,
        [COF_TOKEN_LBRACKET] = 55, [COF_TOKEN_LPAREN] = 60,
    };
    return strengths[token];
}

static struct cof_node *fail(struct parser *parser, const char *why)
{
    if (parser->lexer.token != COF_TOKEN_BAD && parser->why[0] == '\0') {
        snprintf(parser->why, 160, "at character %zu: %s",
                 (size_t)(parser->lexer.token_at - parser->lexer.text) + 1, why);
    }
    return NULL;
}

static struct cof_node *make(struct parser *parser, enum cof_query_kind kind,
                             struct cof_node *left, struct cof_node *right)
{
    if (parser->tree->count == COF_QUERY_NODES_MAX) {
        return fail(parser, "the query is too long");
    }
    struct cof_node *made = &parser->tree->nodes[parser->tree->count++];
    made->kind = kind;
    made->left = left;
    made->right = right;
    return made;
}

static bool at(const struct parser *parser, enum cof_query_token token)
{
    return parser->lexer.token == token;
}

static bool accept(struct parser *parser, enum cof_query_token token)
{
    if (!at(parser, token)) {
        return false;
    }
    cof_query_next(&parser->lexer);
    return true;
}

static json_t *take_value(struct parser *parser)
{
    json_t *value = parser->lexer.value;
    parser->lexer.value = NULL;
    cof_query_next(&parser->lexer);
    return value;
}

/* Expressions up to `end`, linked by next. */
static bool list_until(struct parser *parser, enum cof_query_token end, struct cof_node **ret_first)
{
    struct cof_node **link = ret_first;
    do {
        struct cof_node *element = expression(parser, 0);
        if (element == NULL) {
            return false;
        }
        *link = element;
        link = &element->next;
    } while (accept(parser, COF_TOKEN_COMMA));
    if (!accept(parser, end)) {
        fail(parser, "a comma or a closing bracket is missing");
        return false;
    }
    return true;
}

static struct cof_node *multiselect_list(struct parser *parser)
{
    struct cof_node *list = make(parser, COF_QUERY_LIST, NULL, NULL);
    return list != NULL && list_until(parser, COF_TOKEN_RBRACKET, &list->first) ? list : NULL;
}

static struct cof_node *multiselect_hash(struct parser *parser)
{
    struct cof_node *hash = make(parser, COF_QUERY_HASH, NULL, NULL);
    struct cof_node **link = hash != NULL ? &hash->first : NULL;
    do {
        if (hash == NULL || !at(parser, COF_TOKEN_NAME)) {
            return fail(parser, "a name is missing");
        }
        json_t *name = take_value(parser);
        struct cof_node *element = accept(parser, COF_TOKEN_COLON) ? expression(parser, 0) : NULL;
        /* The element may be a shared kind of node; a chain of its own carries the name. */
        struct cof_node *member =
            element != NULL ? make(parser, COF_QUERY_CHAIN, element, NULL) : NULL;
        if (member == NULL) {
            json_decref(name);
            return fail(parser, "a colon and an expression must follow the name");
        }
        member->name = name;
        *link = member;
        link = &member->next;
    } while (accept(parser, COF_TOKEN_COMMA));
    return accept(parser, COF_TOKEN_RBRACE) ? hash : fail(parser, "a closing brace is missing");
}

static struct cof_node *dot_right(struct parser *parser, int strength)
{
    if (at(parser, COF_TOKEN_NAME) || at(parser, COF_TOKEN_STAR)) {
        return expression(parser, strength);
    }
    if (accept(parser, COF_TOKEN_LBRACKET)) {
        return multiselect_list(parser);
    }
    if (accept(parser, COF_TOKEN_LBRACE)) {
        return multiselect_hash(parser);
    }
    return fail(parser, "a name, *, [ or { must follow the dot");
}

static struct cof_node *projection_right(struct parser *parser, int strength)
{
    if (strength_of(parser->lexer.token) < PROJECTION_STOP) {
        return make(parser, COF_QUERY_CURRENT, NULL, NULL);
    }
    if (at(parser, COF_TOKEN_LBRACKET) || at(parser, COF_TOKEN_FILTER)) {
        return expression(parser, strength);
    }
    if (accept(parser, COF_TOKEN_DOT)) {
        return dot_right(parser, strength);
    }
    return fail(parser, "this can't follow a projection");
}

static struct cof_node *project(struct parser *parser, enum cof_query_kind kind,
                                struct cof_node *left, int strength)
{
    struct cof_node *right = left != NULL ? projection_right(parser, strength) : NULL;
    return right != NULL ? make(parser, kind, left, right) : NULL;
}

static struct cof_node *filter(struct parser *parser, struct cof_node *left)
{
    struct cof_node *condition = left != NULL ? expression(parser, 0) : NULL;
    if (condition == NULL) {
        return NULL;
    }
    if (!accept(parser, COF_TOKEN_RBRACKET)) {
        return fail(parser, "the filter's closing bracket is missing");
    }
    struct cof_node *right = at(parser, COF_TOKEN_FLATTEN)
                                 ? make(parser, COF_QUERY_CURRENT, NULL, NULL)
                                 : projection_right(parser, 21);
    struct cof_node *made = right != NULL ? make(parser, COF_QUERY_FILTER, left, right) : NULL;
    if (made != NULL) {
        made->first = condition;
    }
    return made;
}

static struct cof_node *flatten(struct parser *parser, struct cof_node *left)
{
    struct cof_node *flat = left != NULL ? make(parser, COF_QUERY_FLATTEN, left, NULL) : NULL;
    return project(parser, COF_QUERY_PROJECT, flat, 9);
}

/* After '[': an index or a `*`; anything else is a multiselect list, where that is allowed. */
static struct cof_node *bracket(struct parser *parser, struct cof_node *left, bool list_allowed)
{
    if (at(parser, COF_TOKEN_NUMBER)) {
        struct cof_node *index = make(parser, COF_QUERY_INDEX, NULL, NULL);
        if (index == NULL) {
            return NULL;
        }
        index->number = parser->lexer.number;
        cof_query_next(&parser->lexer);
        if (at(parser, COF_TOKEN_COLON)) {
            return fail(parser, "slices are not supported");
        }
        return accept(parser, COF_TOKEN_RBRACKET) ? make(parser, COF_QUERY_CHAIN, left, index)
                                                  : fail(parser, "] is missing");
    }
    if (at(parser, COF_TOKEN_COLON)) {
        return fail(parser, "slices are not supported");
    }
    if (at(parser, COF_TOKEN_STAR)) {
        struct cof_query_lexer before = parser->lexer;
        cof_query_next(&parser->lexer);
        if (accept(parser, COF_TOKEN_RBRACKET)) {
            return project(parser, COF_QUERY_PROJECT, left, 20);
        }
        json_decref(parser->lexer.value);
        parser->lexer = before;
    }
    return list_allowed ? multiselect_list(parser) : fail(parser, "an index or * is missing");
}

static struct cof_node *call(struct parser *parser, json_t *name)
{
    struct cof_node *made = make(parser, COF_QUERY_CALL, NULL, NULL);
    if (made == NULL) {
        json_decref(name);
        return NULL;
    }
    made->value = name;
    cof_query_next(&parser->lexer);
    if (accept(parser, COF_TOKEN_RPAREN)) {
        return made;
    }
    return list_until(parser, COF_TOKEN_RPAREN, &made->first) ? made : NULL;
}

static struct cof_node *name_or_call(struct parser *parser)
{
    bool bare = parser->lexer.token_bare;
    json_t *name = take_value(parser);
    if (bare && at(parser, COF_TOKEN_LPAREN)) {
        return call(parser, name);
    }
    struct cof_node *made = make(parser, COF_QUERY_FIELD, NULL, NULL);
    if (made == NULL) {
        json_decref(name);
        return NULL;
    }
    made->value = name;
    return made;
}

static struct cof_node *literal(struct parser *parser)
{
    struct cof_node *made = make(parser, COF_QUERY_LITERAL, NULL, NULL);
    if (made != NULL) {
        made->value = take_value(parser);
    }
    return made;
}

static struct cof_node *values(struct parser *parser, struct cof_node *left, int strength)
{
    if (at(parser, COF_TOKEN_RBRACKET)) {
        return make(parser, COF_QUERY_PROJECT_VALUES, left,
                    make(parser, COF_QUERY_CURRENT, NULL, NULL));
    }
    return project(parser, COF_QUERY_PROJECT_VALUES, left, strength);
}

/* What begins an expression. */
static struct cof_node *prefix(struct parser *parser)
{
    if (at(parser, COF_TOKEN_NAME)) {
        return name_or_call(parser);
    }
    if (at(parser, COF_TOKEN_LITERAL)) {
        return literal(parser);
    }
    if (accept(parser, COF_TOKEN_LBRACE)) {
        return multiselect_hash(parser);
    }
    if (accept(parser, COF_TOKEN_LPAREN)) {
        struct cof_node *inner = expression(parser, 0);
        return inner != NULL && !accept(parser, COF_TOKEN_RPAREN) ? fail(parser, ") is missing")
                                                                  : inner;
    }
    if (accept(parser, COF_TOKEN_NOT)) {
        struct cof_node *inner = expression(parser, 45);
        return inner != NULL ? make(parser, COF_QUERY_NOT, inner, NULL) : NULL;
    }
    struct cof_node *current = make(parser, COF_QUERY_CURRENT, NULL, NULL);
    if (current == NULL || accept(parser, COF_TOKEN_CURRENT)) {
        return current;
    }
    if (accept(parser, COF_TOKEN_STAR)) {
        return values(parser, current, 20);
    }
    if (accept(parser, COF_TOKEN_FLATTEN)) {
        return flatten(parser, current);
    }
    if (accept(parser, COF_TOKEN_FILTER)) {
        return filter(parser, current);
    }
    if (accept(parser, COF_TOKEN_LBRACKET)) {
        return bracket(parser, current, true);
    }
    return fail(parser, at(parser, COF_TOKEN_END) ? "the query ends too early"
                                                  : "this can't begin an expression");
}

static struct cof_node *binary(struct parser *parser, enum cof_query_kind kind,
                               struct cof_node *left, int strength)
{
    struct cof_node *right = expression(parser, strength);
    return right != NULL ? make(parser, kind, left, right) : NULL;
}

static struct cof_node *dot(struct parser *parser, struct cof_node *left)
{
    if (accept(parser, COF_TOKEN_STAR)) {
        return values(parser, left, 40);
    }
    struct cof_node *right = dot_right(parser, 40);
    return right != NULL ? make(parser, COF_QUERY_CHAIN, left, right) : NULL;
}

/* What continues an expression, left of which stands already. */
static struct cof_node *infix(struct parser *parser, struct cof_node *left)
{
    enum cof_query_token token = parser->lexer.token;
    cof_query_next(&parser->lexer);
    switch (token) {
    case COF_TOKEN_DOT:
        return dot(parser, left);
    case COF_TOKEN_PIPE:
        return binary(parser, COF_QUERY_CHAIN, left, 1);
    case COF_TOKEN_OR:
        return binary(parser, COF_QUERY_OR, left, 2);
    case COF_TOKEN_AND:
        return binary(parser, COF_QUERY_AND, left, 3);
    case COF_TOKEN_FLATTEN:
        return flatten(parser, left);
    case COF_TOKEN_FILTER:
        return filter(parser, left);
    case COF_TOKEN_LBRACKET:
        return bracket(parser, left, false);
    case COF_TOKEN_EQ:
    case COF_TOKEN_NE:
    case COF_TOKEN_LT:
    case COF_TOKEN_LE:
    case COF_TOKEN_GT:
    case COF_TOKEN_GE: {
        struct cof_node *made = binary(parser, COF_QUERY_COMPARE, left, 5);
        if (made != NULL) {
            made->number = (int)token;
        }
        return made;
    }
    default:
        return fail(parser, "this can't follow an expression");
    }
}

static struct cof_node *expression(struct parser *parser, int strength)
{
    if (++parser->depth > COF_QUERY_DEPTH_MAX) {
        return fail(parser, "the query is nested too deeply");
    }
    struct cof_node *left = prefix(parser);
    while (left != NULL && strength < strength_of(parser->lexer.token)) {
        left = infix(parser, left);
    }
    parser->depth--;
    return left;
}

int cof_query_parse(struct cof_query_tree *tree, const char *text, char why[160])
{
    struct parser parser = {.tree = tree, .why = why,
                            .lexer = {.text = text, .at = text, .token_at = text, .why = why}};
    why[0] = '\0';
    cof_query_next(&parser.lexer);
    tree->top = expression(&parser, 0);
    if (tree->top != NULL && !at(&parser, COF_TOKEN_END)) {
        tree->top = fail(&parser, "this can't follow an expression");
    }
    json_decref(parser.lexer.value);
    return tree->top != NULL ? 0 : -1;
}

void cof_query_free(struct cof_query_tree *tree)
{
    for (unsigned i = 0; i < tree->count; i++) {
        json_decref(tree->nodes[i].value);
        json_decref(tree->nodes[i].name);
    }
    tree->count = 0;
}
