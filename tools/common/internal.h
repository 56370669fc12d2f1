/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/internal.h - what the parser, the help and the completion of tools/common share.
 *
 * Nothing here is for the programs; they include args.h, error.h, output.h and the like.
 */
#ifndef COF_TOOLS_COMMON_INTERNAL_H
#define COF_TOOLS_COMMON_INTERNAL_H

#include "args.h"
#include <jansson.h>

/* Whether word stands in words, which separator divides. */
bool cof_tool_word_in(const char *words, const char *word, char separator);

/* Read the options of the line; what is left begins at *ret_words_at. */
int cof_tool_parse(struct cof_tool_call *call, int argc, char **argv, int *ret_words_at);
/* Find call->verb in the words left, and step past its one or two words. */
int cof_tool_find_verb(struct cof_tool_call *call, int *count, char ***words);
/* Check that the verb takes what was given, and keep its operands. */
int cof_tool_take_operands(struct cof_tool_call *call, int count, char **words);

bool cof_tool_is_noun(const struct cof_tool_program *program, const char *word);
/* "store, volume, check": verbs of noun; for NULL the nouns and the verbs that stand alone. */
const char *cof_tool_verb_names(const struct cof_tool_program *program, const char *noun,
                                char *buffer, size_t capacity);

/* Print help for the program, a noun or a verb; returns an exit code. */
int cof_tool_help(const struct cof_tool_call *call, const char *noun);
/* The table itself, for --output json. */
json_t *cof_tool_table(const struct cof_tool_program *program);
/* The completion script of shell ("bash" or "zsh") on standard output. */
int cof_tool_complete(const struct cof_tool_call *call, const char *shell);

/* The three forms of output; each 0, or -1 when there is no memory. */
int cof_tool_write_text(const json_t *value);
int cof_tool_write_table(const json_t *value, const char *columns, const char *byte_fields);

#endif
