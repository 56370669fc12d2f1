/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/size.h - sizes as people write them: `512`, `4K`, `1.5G`, `2TiB`; K is 1024.
 *
 * `KB` and the like are refused with a sentence, because they mean 1000 to some and 1024 to
 * others. Every step is checked for overflow; a fraction must come out at whole bytes.
 */
#ifndef COF_TOOLS_COMMON_SIZE_H
#define COF_TOOLS_COMMON_SIZE_H

#include <stdint.h>

/* 0, or -1 with a sentence at *ret_why (static storage) that says what is wrong with text. */
int cof_tool_size_parse(const char *text, uint64_t *ret_bytes, const char **ret_why);
int cof_tool_number_parse(const char *text, uint64_t *ret_number, const char **ret_why);

#endif
