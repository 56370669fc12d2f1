/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/args.h - one option table feeds parser, --help, completion and the man-page checks.
 *
 * A program is a struct cof_tool_program: its options, its verbs, and what each verb takes. A verb
 * names its options in one string, separated by blanks, so that the table reads like the help it
 * prints. Families of options shared by programs are two macros: rows for the option table and
 * names for the verbs (COF_TOOL_COMMON_ROWS and COF_TOOL_COMMON_NAMES below, COF_KMS_ROWS and
 * COF_KMS_NAMES in kms_args.h). Options are long only and may stand anywhere on the line; "--"
 * ends them; a unique abbreviation is refused, because a later option would change its meaning.
 *
 * cof_tool_main is the whole main(): it hardens the process, parses, answers --help, --version,
 * help, completion and options (the table as JSON, for tests), and runs the verb. A verb returns
 * an exit code, which it gets from cof_tool_fail or cof_tool_usage of common/error.h when not 0.
 *
 * Asking for an option that the table does not hold is a programmer's error and aborts.
 * One thread.
 */
#ifndef COF_TOOLS_COMMON_ARGS_H
#define COF_TOOLS_COMMON_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cof_tool_kind {
    COF_TOOL_FLAG = 0, /* --name                                                        */
    COF_TOOL_TEXT,     /* --name VALUE or --name=VALUE                                  */
    COF_TOOL_FILE,     /* the same, completed with file names                           */
    COF_TOOL_SIZE,     /* 512, 4K, 1.5G, 2TiB                                           */
    COF_TOOL_NUMBER,   /* a decimal number, not negative                                */
    COF_TOOL_CHOICE,   /* one of the words in `value`, which are separated by '|'       */
    COF_TOOL_LIST,     /* like TEXT, and may be given more than once                    */
    COF_TOOL_WORDS     /* one value or more, up to the next option: --name A B          */
};

struct cof_tool_option {
    const char *name;  /* without dashes                                */
    enum cof_tool_kind kind;
    const char *value; /* what stands for the value in help; NULL: FLAG */
    const char *help;  /* one line                                      */
};

struct cof_tool_call;

struct cof_tool_verb {
    const char *noun;     /* NULL: the verb stands alone                       */
    const char *name;
    const char *operands; /* as help shows them; "" for none                   */
    unsigned operands_min, operands_max;
    const char *options;  /* names, separated by blanks; the common ones apart */
    const char *summary;  /* one line                                          */
    const char *page;     /* man page that describes it, e.g. "coffer-store"   */
    int (*run)(struct cof_tool_call *call);
};

struct cof_tool_program {
    const char *name;
    const char *summary;
    const char *version;
    const char *page; /* the program's own man page                 */
    const struct cof_tool_option *options;
    size_t option_count;
    const struct cof_tool_verb *verbs;
    size_t verb_count;
    const char *common;       /* names of options that every verb takes */
    const char *environment;  /* lines for --help, or NULL              */
};

#define COF_TOOL_OPERANDS_MAX 64
#define COF_TOOL_OPTIONS_MAX 192
#define COF_TOOL_LIST_MAX 64

struct cof_tool_value {
    bool given;
    const char *text;         /* the last one given; NULL for a flag */
    uint64_t number;          /* SIZE, NUMBER                        */
    unsigned list_count;      /* LIST, WORDS                         */
    const char *list[COF_TOOL_LIST_MAX];
};

/* One run of one verb. */
struct cof_tool_call {
    const struct cof_tool_program *program;
    const struct cof_tool_verb *verb; /* NULL until it is known */
    unsigned operand_count;
    const char *operands[COF_TOOL_OPERANDS_MAX];
    struct cof_tool_value values[COF_TOOL_OPTIONS_MAX]; /* as the option table is ordered */
};

/* The options that every verb of both programs takes. */
#define COF_TOOL_COMMON_ROWS                                                                       \
    {"output", COF_TOOL_CHOICE, "json|text|table", "form of the result (table, or text)"},         \
    {"query", COF_TOOL_TEXT, "QUERY", "a field's name, or a JMESPath expression"},                 \
    {"progress", COF_TOOL_CHOICE, "auto|always|json|never", "progress on standard error (auto)"},  \
    {"help", COF_TOOL_FLAG, NULL, "what the verb does and takes"},                                 \
    {"version", COF_TOOL_FLAG, NULL, "the program's version"}
#define COF_TOOL_COMMON_NAMES "output query progress help version"

/* Parse, run the verb, return the exit code of the process. */
int cof_tool_main(const struct cof_tool_program *program, int argc, char **argv);

/* Set an option as if it had stood on the line. text is borrowed, and NULL for a flag. For programs
 * that get their options in another way; returns 0 or the exit code of the usage error. */
int cof_tool_set(struct cof_tool_call *call, const char *name, const char *text);

/* What the line said. text, size and number give the fallback when the option was not given. */
bool cof_tool_given(const struct cof_tool_call *call, const char *name);
const char *cof_tool_text(const struct cof_tool_call *call, const char *name,
                          const char *fallback);
uint64_t cof_tool_number(const struct cof_tool_call *call, const char *name, uint64_t fallback);
#define cof_tool_size cof_tool_number
unsigned cof_tool_list(const struct cof_tool_call *call, const char *name,
                       const char *const **ret_values);

/* For help.c, complete.c and tests: find in the tables; NULL when it is not there. */
const struct cof_tool_option *cof_tool_option_find(const struct cof_tool_program *program,
                                                   const char *name, size_t length);
bool cof_tool_verb_takes(const struct cof_tool_program *program, const struct cof_tool_verb *verb,
                         const char *name);

#endif
