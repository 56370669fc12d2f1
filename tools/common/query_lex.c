/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/query_lex.c - tokens of a query.
 */
#include "query_tree.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void bad(struct cof_query_lexer *lexer, const char *why)
{
    lexer->token = COF_TOKEN_BAD;
    snprintf(lexer->why, 160, "at character %zu: %s", (size_t)(lexer->token_at - lexer->text) + 1,
             why);
}

static bool name_byte(char byte, bool first)
{
    return byte == '_' || isalpha((unsigned char)byte) || (!first && isdigit((unsigned char)byte));
}

static void lex_name(struct cof_query_lexer *lexer)
{
    size_t length = 1;
    while (name_byte(lexer->at[length], false)) {
        length++;
    }
    lexer->token = COF_TOKEN_NAME;
    lexer->token_bare = true;
    lexer->value = json_stringn(lexer->at, length);
    lexer->at += length;
}

static void lex_number(struct cof_query_lexer *lexer)
{
    char *end;
    long number = strtol(lexer->at, &end, 10);
    if (end == lexer->at || number > 1000000 || number < -1000000) {
        bad(lexer, "an index is a whole number of at most a million");
        return;
    }
    lexer->token = COF_TOKEN_NUMBER;
    lexer->number = (int)number;
    lexer->at = end;
}

/* Find the closing quote; a backslash takes the next byte with it. NULL when there is none. */
static const char *closing(const char *at, char quote)
{
    for (; *at != '\0' && *at != quote; at++) {
        if (*at == '\\' && at[1] != '\0') {
            at++;
        }
    }
    return *at == quote ? at : NULL;
}

static json_t *raw_string(const char *begin, const char *end)
{
    char *text = malloc((size_t)(end - begin) + 1);
    size_t length = 0;
    if (text == NULL) {
        return NULL;
    }
    for (const char *at = begin; at < end; at++) {
        if (*at == '\\' && at + 1 < end && at[1] == '\'') {
            at++;
        }
        text[length++] = *at;
    }
    json_t *value = json_stringn(text, length);
    free(text);
    return value;
}

/* Text between backquotes is JSON, in which a backquote is written \`. */
static json_t *json_literal(const char *begin, const char *end)
{
    char *text = malloc((size_t)(end - begin) + 1);
    size_t length = 0;
    if (text == NULL) {
        return NULL;
    }
    for (const char *at = begin; at < end; at++) {
        if (*at == '\\' && at[1] == '`') {
            at++;
        }
        text[length++] = *at;
    }
    json_t *value = json_loadb(text, length, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
    free(text);
    return value;
}

static void lex_quoted(struct cof_query_lexer *lexer, char quote)
{
    const char *begin = lexer->at + 1;
    const char *end = closing(begin, quote);
    if (end == NULL) {
        bad(lexer, "a quote is not closed");
        return;
    }
    if (quote == '\'') {
        lexer->value = raw_string(begin, end);
    } else if (quote == '`') {
        lexer->value = json_literal(begin, end);
    } else {
        lexer->value = json_loadb(begin - 1, (size_t)(end - begin) + 2, JSON_DECODE_ANY, NULL);
    }
    if (lexer->value == NULL) {
        bad(lexer, quote == '`' ? "the text between backquotes is not JSON"
                                : "the quoted text is not valid");
        return;
    }
    lexer->token = quote == '"' ? COF_TOKEN_NAME : COF_TOKEN_LITERAL;
    lexer->token_bare = false;
    lexer->at = end + 1;
}

static const struct {
    const char *text;
    enum cof_query_token token;
} symbols[] = {
    /* Longer ones first: the first that fits is taken. */
    {"||", COF_TOKEN_OR},      {"&&", COF_TOKEN_AND},     {"==", COF_TOKEN_EQ},
    {"!=", COF_TOKEN_NE},      {"<=", COF_TOKEN_LE},      {">=", COF_TOKEN_GE},
    {"[]", COF_TOKEN_FLATTEN}, {"[?", COF_TOKEN_FILTER},  {"[", COF_TOKEN_LBRACKET},
    {"]", COF_TOKEN_RBRACKET}, {"{", COF_TOKEN_LBRACE},   {"}", COF_TOKEN_RBRACE},
    {"(", COF_TOKEN_LPAREN},   {")", COF_TOKEN_RPAREN},   {"@", COF_TOKEN_CURRENT},
    {"*", COF_TOKEN_STAR},     {".", COF_TOKEN_DOT},      {",", COF_TOKEN_COMMA},
    {":", COF_TOKEN_COLON},    {"|", COF_TOKEN_PIPE},     {"!", COF_TOKEN_NOT},
    {"<", COF_TOKEN_LT},       {">", COF_TOKEN_GT},
};

void cof_query_next(struct cof_query_lexer *lexer)
{
    json_decref(lexer->value);
    lexer->value = NULL;
    lexer->at += strspn(lexer->at, " \t\r\n");
    lexer->token_at = lexer->at;
    char byte = *lexer->at;
    if (byte == '\0') {
        lexer->token = COF_TOKEN_END;
        return;
    }
    if (name_byte(byte, true)) {
        lex_name(lexer);
        return;
    }
    if (isdigit((unsigned char)byte) || byte == '-') {
        lex_number(lexer);
        return;
    }
    if (byte == '\'' || byte == '"' || byte == '`') {
        lex_quoted(lexer, byte);
        return;
    }
    for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; i++) {
        size_t length = strlen(symbols[i].text);
        if (strncmp(lexer->at, symbols[i].text, length) == 0) {
            lexer->token = symbols[i].token;
            lexer->at += length;
            return;
        }
    }
    bad(lexer, "this character has no meaning here");
}
