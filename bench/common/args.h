/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/args.h - long options of a benchmark: one table feeds the parser and --help.
 */
#ifndef COF_BENCH_ARGS_H
#define COF_BENCH_ARGS_H

#include <stddef.h>
#include <stdint.h>

#define COF_BENCH_LIST_MAX 8u

struct cof_bench_list {
    uint64_t values[COF_BENCH_LIST_MAX];
    size_t count;
};

enum cof_bench_arg_kind {
    COF_BENCH_FLAG = 0, /* bool                                                        */
    COF_BENCH_TEXT,     /* const char *, borrowed from argv                            */
    COF_BENCH_SIZE,     /* uint64_t, with a binary suffix: 512, 4K, 64T                */
    COF_BENCH_SECONDS,  /* uint64_t of nanoseconds, said in seconds                    */
    COF_BENCH_WORD,     /* an enum whose values count from 0, one of words             */
    COF_BENCH_SIZES     /* struct cof_bench_list: sizes with commas between            */
};

struct cof_bench_arg {
    const char *name;
    enum cof_bench_arg_kind kind;
    size_t place; /* in the struct that is filled */
    const char *help;
    const char *const *words; /* of COF_BENCH_WORD, NULL after the last */
};

/* Fill what options points to from the command line; --help prints usage and the table. Returns 0,
 * 1 after --help, or -1 after a sentence on standard error about what is wrong. */
int cof_bench_args_parse(int argc, char **argv, const char *usage, const struct cof_bench_arg *args,
                         size_t count, void *options);

/* Say on standard error what is wrong with the command line. Returns -1. */
int cof_bench_args_refuse(const char *sentence);

#endif
