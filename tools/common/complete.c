/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/complete.c - completion scripts for bash and zsh, written from the option table.
 *
 * bash gets one function that finds noun and verb on the line and offers the verb's options, the
 * choices of an option, or file names. zsh gets the same knowledge as _arguments calls, one
 * function for each verb. Neither runs the program again.
 */
#include "internal.h"
#include <stdio.h>
#include <string.h>

static void print_names(const struct cof_tool_program *program, const struct cof_tool_verb *verb)
{
    for (size_t i = 0; i < program->option_count; i++) {
        if (cof_tool_verb_takes(program, verb, program->options[i].name)) {
            printf(" --%s", program->options[i].name);
        }
    }
}

static void print_words(const char *words, char separator)
{
    for (const char *at = words; *at != '\0'; at++) {
        putchar(*at == separator ? ' ' : *at);
    }
}

/* Distinct first words, or the second words of noun. */
static void print_verbs(const struct cof_tool_program *program, const char *noun)
{
    char names[4096];
    const char *at = cof_tool_verb_names(program, noun, names, sizeof names);
    for (; *at != '\0'; at++) {
        if (*at != ',') {
            putchar(*at);
        }
    }
}

static bool first_of_noun(const struct cof_tool_program *program, size_t i)
{
    const struct cof_tool_verb *verb = &program->verbs[i];
    return verb->noun != NULL && (i == 0 || verb[-1].noun == NULL ||
                                  strcmp(verb[-1].noun, verb->noun) != 0);
}

static void bash_values(const struct cof_tool_program *program)
{
    printf("    case \"$previous\" in\n");
    for (size_t i = 0; i < program->option_count; i++) {
        const struct cof_tool_option *option = &program->options[i];
        if (option->kind == COF_TOOL_CHOICE) {
            printf("    --%s) COMPREPLY=($(compgen -W \"", option->name);
            print_words(option->value, '|');
            printf("\" -- \"$word\")); return ;;\n");
        } else if (option->kind == COF_TOOL_FILE) {
            printf("    --%s) COMPREPLY=($(compgen -f -- \"$word\")); return ;;\n", option->name);
        } else if (option->kind != COF_TOOL_FLAG) {
            printf("    --%s) return ;;\n", option->name);
        }
    }
    printf("    esac\n");
}

static void bash_options(const struct cof_tool_program *program)
{
    printf("    case \"$noun $verb\" in\n");
    for (size_t i = 0; i < program->verb_count; i++) {
        const struct cof_tool_verb *verb = &program->verbs[i];
        printf("    \"%s %s\") options=\"", verb->noun ? verb->noun : "", verb->name);
        print_names(program, verb);
        printf("\" ;;\n");
    }
    for (size_t i = 0; i < program->verb_count; i++) {
        if (first_of_noun(program, i)) {
            printf("    \"%s \") words=\"", program->verbs[i].noun);
            print_verbs(program, program->verbs[i].noun);
            printf("\" ;;\n");
        }
    }
    printf("    \" \") words=\"");
    print_verbs(program, NULL);
    printf(" help completion\" ;;\n    \" completion\") words=\"bash zsh\" ;;\n    esac\n");
}

static void bash_nouns(const struct cof_tool_program *program)
{
    for (size_t i = 0, count = 0; i < program->verb_count; i++) {
        if (first_of_noun(program, i)) {
            printf("%s%s", count++ > 0 ? "|" : "", program->verbs[i].noun);
        }
    }
}

static bool has_nouns(const struct cof_tool_program *program)
{
    for (size_t i = 0; i < program->verb_count; i++) {
        if (program->verbs[i].noun != NULL) {
            return true;
        }
    }
    return false;
}

static void bash(const struct cof_tool_program *program)
{
    printf("# bash completion for %s; source it, or put it into\n"
           "# /usr/share/bash-completion/completions/%s\n"
           "_%s()\n{\n"
           "    local word=\"${COMP_WORDS[COMP_CWORD]}\" previous=\"${COMP_WORDS[COMP_CWORD-1]}\"\n"
           "    local noun=\"\" verb=\"\" options=\"\" words=\"\" at\n"
           "    COMPREPLY=()\n",
           program->name, program->name, program->name);
    bash_values(program);
    printf("    for ((at = 1; at < COMP_CWORD; at++)); do\n"
           "        case \"${COMP_WORDS[at]}\" in\n"
           "        -*) continue ;;\n");
    if (has_nouns(program)) {
        printf("        ");
        bash_nouns(program);
        printf(") if [[ -z $noun$verb ]]; then noun=\"${COMP_WORDS[at]}\"; continue; fi ;;\n");
    }
    printf("        esac\n"
           "        verb=\"${COMP_WORDS[at]}\"; break\n"
           "    done\n");
    bash_options(program);
    printf("    if [[ $word == -* ]]; then words=\"$options\"; fi\n"
           "    if [[ -n $words ]]; then\n"
           "        COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
           "    else\n"
           "        COMPREPLY=($(compgen -f -- \"$word\"))\n"
           "    fi\n"
           "}\n"
           "complete -o filenames -F _%s %s\n",
           program->name, program->name);
}

/* Inside single quotes and brackets of an _arguments specification. */
static void zsh_quoted(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\'') {
            printf("'\\''");
        } else if (*text == '[' || *text == ']' || *text == ':' || *text == '\\') {
            printf("\\%c", *text);
        } else {
            putchar(*text);
        }
    }
}

static void zsh_option(const struct cof_tool_option *option)
{
    printf(" \\\n        '%s--%s[", option->kind == COF_TOOL_LIST ? "*" : "", option->name);
    zsh_quoted(option->help);
    printf("]");
    if (option->kind == COF_TOOL_CHOICE) {
        printf(":%s:(", option->name);
        print_words(option->value, '|');
        printf(")");
    } else if (option->kind == COF_TOOL_FILE) {
        printf(":file:_files");
    } else if (option->kind != COF_TOOL_FLAG) {
        printf(":");
        zsh_quoted(option->value);
        printf(":");
    }
    printf("'");
}

static void zsh_verb(const struct cof_tool_program *program, const struct cof_tool_verb *verb)
{
    printf("    '%s %s') _arguments", verb->noun ? verb->noun : "", verb->name);
    for (size_t i = 0; i < program->option_count; i++) {
        if (cof_tool_verb_takes(program, verb, program->options[i].name)) {
            zsh_option(&program->options[i]);
        }
    }
    printf(" \\\n        '*:operand:_files' ;;\n");
}

static void zsh(const struct cof_tool_program *program)
{
    printf("#compdef %s\n# zsh completion for %s; put it into a directory of $fpath as _%s\n"
           "_%s() {\n"
           "    local noun='' verb=''\n"
           "    local -i skip=0\n",
           program->name, program->name, program->name, program->name);
    if (has_nouns(program)) {
        printf("    case ${words[2]} in\n    ");
        bash_nouns(program);
        printf(") noun=${words[2]}; skip=1 ;;\n    esac\n");
    }
    printf("    if (( CURRENT == 2 )); then\n        compadd --");
    putchar(' ');
    print_verbs(program, NULL);
    printf(" help completion\n        return\n    fi\n"
           "    if (( CURRENT == 2 + skip )); then\n        case $noun in\n");
    for (size_t i = 0; i < program->verb_count; i++) {
        if (first_of_noun(program, i)) {
            printf("        %s) compadd -- ", program->verbs[i].noun);
            print_verbs(program, program->verbs[i].noun);
            printf(" ;;\n");
        }
    }
    printf("        esac\n        return\n    fi\n"
           "    verb=${words[2 + skip]}\n"
           "    shift $((1 + skip)) words\n"
           "    (( CURRENT -= 1 + skip ))\n"
           "    case \"$noun $verb\" in\n");
    for (size_t i = 0; i < program->verb_count; i++) {
        zsh_verb(program, &program->verbs[i]);
    }
    printf("    ' completion') compadd -- bash zsh ;;\n    esac\n}\n_%s \"$@\"\n", program->name);
}

int cof_tool_complete(const struct cof_tool_call *call, const char *shell)
{
    if (strcmp(shell, "bash") == 0) {
        bash(call->program);
    } else {
        zsh(call->program);
    }
    return 0;
}
