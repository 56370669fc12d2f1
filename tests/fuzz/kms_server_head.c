/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/kms_server_head - heads as libevent hands them over: a method, a target, and pairs of a name
 * and a value, separated by newlines. What is accepted is judged anew, by other means.
 */
#include "fuzz/fuzz_driver.h"

#include "server/head.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

#define PAIRS_MAX 40u

static unsigned count_of(const struct cof_server_head *head, const char *name)
{
    unsigned count = 0;
    for (unsigned i = 0; i < head->header_count; i++) {
        count += strcasecmp(head->headers[i].name, name) == 0;
    }
    return count;
}

static void judge(const struct cof_server_head *head)
{
    static const char *const once[] = {"content-length", "transfer-encoding", "authorization",
                                       "x-amz-target",   "content-type",      "x-amz-date"};
    const char *length = cof_server_header(head->headers, head->header_count, "content-length");
    harness_require(count_of(head, "host") == 1, "%u hosts", count_of(head, "host"));
    for (size_t i = 0; i < sizeof once / sizeof once[0]; i++) {
        harness_require(count_of(head, once[i]) <= 1, "two of %s", once[i]);
    }
    harness_require(count_of(head, "content-length") + count_of(head, "transfer-encoding") <= 1,
                    "two ways to tell the end");
    if (length != NULL) {
        char *end = NULL;
        unsigned long long bytes = strtoull(length, &end, 10);
        harness_require(*end == '\0' && isdigit((unsigned char)length[0]) && bytes < 1ull << 50,
                        "a length of '%s'", length);
        harness_require(strcmp(head->method, "GET") != 0 || bytes == 0, "GET with a body");
    }
    for (unsigned i = 0; i < head->header_count; i++) {
        for (const char *at = head->headers[i].name; *at != '\0'; at++) {
            harness_require(isgraph((unsigned char)*at) && *at != ':', "a name with %d", *at);
        }
        for (const char *at = head->headers[i].value; *at != '\0'; at++) {
            harness_require(!iscntrl((unsigned char)*at) || *at == '\t', "a value with %d", *at);
        }
    }
    for (const char *at = head->target; *at != '\0'; at++) {
        harness_require(isgraph((unsigned char)*at), "a target with %d", *at);
    }
}

static void judge_word(const char *word)
{
    if (strcmp(word, "-") == 0) {
        return;
    }
    for (const char *at = word; *at != '\0'; at++) {
        harness_require(isalnum((unsigned char)*at), "a log line shows %d", *at);
    }
    harness_require(word[0] != '\0' && strlen(word) < COF_SERVER_WORD_BYTES, "a word");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[16 * 1024 + 1];
    struct coffer_kms_header headers[PAIRS_MAX];
    char word[COF_SERVER_WORD_BYTES];
    char *parts[2 * PAIRS_MAX + 2];
    unsigned count = 0;
    size = size < sizeof text - 1 ? size : sizeof text - 1;
    memcpy(text, data, size);
    text[size] = '\0';
    for (char *rest = text, *part; count < 2 * PAIRS_MAX + 2 && (part = strsep(&rest, "\n"));) {
        parts[count++] = part;
    }
    if (count < 2) {
        return 0;
    }
    for (unsigned i = 0; i + 3 < count; i += 2) {
        headers[i / 2] = (struct coffer_kms_header){parts[i + 2], parts[i + 3]};
    }
    struct cof_server_head head = {1, 1, parts[0], parts[1], headers, (count - 2) / 2};
    const struct cof_server_refusal *refusal = cof_server_head_check(&head);
    cof_server_head_operation(&head, word);
    judge_word(word);
    cof_server_head_access_key(&head, word);
    judge_word(word);
    if (refusal != NULL) {
        harness_require(refusal->status >= 400 && refusal->message[0] != '\0', "no refusal");
        return 0;
    }
    judge(&head);
    return 1;
}

size_t fuzz_seed(unsigned number, uint8_t *bytes, size_t room)
{
    static const char *const seeds[] = {
        "POST\n/"
        "\nHost\nkms\nX-Amz-Target\nTrentService.Encrypt\nContent-Length\n12\nAuthorization\n"
        "AWS4-HMAC-SHA256 Credential=AKIA1/20260101/r/kms/aws4_request, SignedHeaders=host, "
        "Signature=00\nX-Amz-Date\n20260101T000000Z\nContent-Type\napplication/x-amz-json-1.1",
        "GET\n/healthz\nhost\nkms",
        "POST\n/?X-Amz-Signature=00\nHost\nkms\nTransfer-Encoding\nchunked\nExpect\n100-continue",
    };
    if (number >= sizeof seeds / sizeof seeds[0] || strlen(seeds[number]) > room) {
        return 0;
    }
    memcpy(bytes, seeds[number], strlen(seeds[number]));
    return strlen(seeds[number]);
}

FUZZ_MAIN("fuzz_kms_server_head", 300000)
