/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/query_tree.h - a parsed query: nodes in one array, children by pointer into it.
 *
 * The parser makes it, the evaluator reads it. A tree holds at most COF_QUERY_NODES_MAX nodes, so
 * that evaluating, which recurses over it, is bounded too.
 */
#ifndef COF_TOOLS_COMMON_QUERY_TREE_H
#define COF_TOOLS_COMMON_QUERY_TREE_H

#include <jansson.h>
#include <stdbool.h>

#define COF_QUERY_NODES_MAX 256

enum cof_query_kind {
    COF_QUERY_CURRENT = 0,
    COF_QUERY_FIELD,         /* value: the name                                    */
    COF_QUERY_INDEX,         /* number                                             */
    COF_QUERY_CHAIN,         /* left, then right on its result (`.`, `|`, `[n]`)   */
    COF_QUERY_PROJECT,       /* right on each element of left                      */
    COF_QUERY_PROJECT_VALUES,/* right on each member's value of left               */
    COF_QUERY_FILTER,        /* elements of left where first holds, right on each  */
    COF_QUERY_FLATTEN,       /* left, its lists opened once                        */
    COF_QUERY_OR,
    COF_QUERY_AND,
    COF_QUERY_NOT,
    COF_QUERY_COMPARE,       /* number: enum cof_query_token of the operator       */
    COF_QUERY_LITERAL,       /* value                                              */
    COF_QUERY_LIST,          /* first, and its `next`                              */
    COF_QUERY_HASH,          /* first, and its `next`; each has its name in `name` */
    COF_QUERY_CALL           /* value: the function's name; first: arguments       */
};

struct cof_node {
    enum cof_query_kind kind;
    int number;
    json_t *value;
    json_t *name;
    struct cof_node *left, *right;
    struct cof_node *first, *next;
};

struct cof_query_tree {
    struct cof_node nodes[COF_QUERY_NODES_MAX];
    unsigned count;
    struct cof_node *top;
};

enum cof_query_token {
    COF_TOKEN_END = 0,
    COF_TOKEN_NAME,   /* identifier or "quoted" */
    COF_TOKEN_NUMBER,
    COF_TOKEN_LITERAL,
    COF_TOKEN_CURRENT,
    COF_TOKEN_STAR,
    COF_TOKEN_DOT,
    COF_TOKEN_COMMA,
    COF_TOKEN_COLON,
    COF_TOKEN_PIPE,
    COF_TOKEN_OR,
    COF_TOKEN_AND,
    COF_TOKEN_NOT,
    COF_TOKEN_EQ,
    COF_TOKEN_NE,
    COF_TOKEN_LT,
    COF_TOKEN_LE,
    COF_TOKEN_GT,
    COF_TOKEN_GE,
    COF_TOKEN_FLATTEN, /* []  */
    COF_TOKEN_FILTER,  /* [?  */
    COF_TOKEN_LBRACKET,
    COF_TOKEN_RBRACKET,
    COF_TOKEN_LBRACE,
    COF_TOKEN_RBRACE,
    COF_TOKEN_LPAREN,
    COF_TOKEN_RPAREN,
    COF_TOKEN_BAD
};

struct cof_query_lexer {
    const char *text, *at;
    enum cof_query_token token;
    const char *token_at; /* where it begins                      */
    bool token_bare;      /* NAME: an identifier, not "quoted"    */
    json_t *value;        /* NAME and LITERAL                     */
    int number;           /* NUMBER                               */
    char *why;            /* 160 bytes; set when token is BAD     */
};

/* Read the next token into lexer->token. */
void cof_query_next(struct cof_query_lexer *lexer);

/* Parse into an empty tree; 0, or -1 with a sentence in why. */
int cof_query_parse(struct cof_query_tree *tree, const char *text, char why[160]);
void cof_query_free(struct cof_query_tree *tree);

/* Run a function on count arguments, of which at most COF_QUERY_ARGUMENTS_MAX are in args; a new
 * reference, or NULL with a sentence in why. */
#define COF_QUERY_ARGUMENTS_MAX 2
json_t *cof_query_call(const char *name, json_t **args, unsigned count, char why[160]);

#endif
