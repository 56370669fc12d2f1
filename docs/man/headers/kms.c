/* SPDX-License-Identifier: Apache-2.0 */
/* The example of coffer_kms.h(3): not linked, but compiled by tests/cli/man_pages.sh. */

#include <coffer/kms.h>
#include <stdio.h>
#include <string.h>

/* DescribeKey, in AWS KMS's words, of an embedded key store. */
int describe(struct coffer_keystore *keys)
{
    static const char body[] = "{\"KeyId\": \"alias/coffer/default\"}";
    struct coffer_kms_request request;
    struct coffer_kms_answer answer;
    int error;

    memset(&request, 0, sizeof request);
    request.size = sizeof request;
    request.operation = "DescribeKey";
    request.body = (const uint8_t *)body;
    request.body_bytes = sizeof body - 1;
    memset(&answer, 0, sizeof answer);
    answer.size = sizeof answer;
    error = coffer_kms_call(keys, &request, &answer);
    if (error != 0) {
        return error; /* there is no answer */
    }
    printf("%d %s %s\n", answer.status, answer.error, (const char *)answer.body);
    error = answer.code; /* 0, or why it was refused */
    coffer_kms_answer_done(&answer);
    return error;
}
