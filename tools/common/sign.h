/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/sign.h - sign a request that stands in a file, as `coffer sign` and `cofferkms
 * sign-request`, with the access key that the environment has: AWS_ACCESS_KEY_ID,
 * AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION (or AWS_DEFAULT_REGION).
 */
#ifndef COF_TOOLS_COMMON_SIGN_H
#define COF_TOOLS_COMMON_SIGN_H

#include "args.h"

#define COF_SIGN_ROWS                                                                              \
    {"service", COF_TOOL_TEXT, "NAME", "service that the request is for (kms)"},                   \
    {"expires-in", COF_TOOL_NUMBER, "SECONDS", "presign the target, for up to 604800 seconds"},    \
    {"time", COF_TOOL_TEXT, "STAMP", "sign as of YYYYMMDDTHHMMSSZ (now)"},                         \
    {"sign-body", COF_TOOL_FLAG, NULL, "send the body's hash, too"},                               \
    {"path-as-is", COF_TOOL_FLAG, NULL, "keep dots and double slashes of the path"}
#define COF_SIGN_NAMES "service expires-in time sign-body path-as-is"

/* Operand: a file, or - for standard input. */
int cof_tool_sign_request(struct cof_tool_call *call);

#endif
