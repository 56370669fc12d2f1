/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/retry.c - what is tried again, and when. Pure but for the random number of a wait.
 */
#include "client/client.h"

#include <string.h>

/* Beginnings of operations that leave things the same, done once or twice. */
static const char *const repeatable[] = {
    "Describe", "Get",     "List",    "Encrypt", "Decrypt", "ReEncrypt", "Generate", "Sign",
    "Verify",   "Derive",  "Enable",  "Disable", "Put",     "Tag",       "Untag",    "UpdateAlias",
    "UpdateKeyDescription", "Import", "Encapsulate", "Decapsulate", "CofferReEncrypt"};

/* Refused before anything was done. */
static const char *const throttled[] = {"ThrottlingException", "ThrottledException", "Throttling",
                                        "TooManyRequestsException",
                                        "RequestLimitExceeded"};

bool cof_client_repeatable(const char *operation)
{
    for (size_t i = 0; i < sizeof(repeatable) / sizeof(repeatable[0]); i++) {
        if (strncmp(operation, repeatable[i], strlen(repeatable[i])) == 0) {
            return true;
        }
    }
    return false;
}

bool cof_client_passing(const struct coffer_kms_answer *answer, bool *ret_done)
{
    for (size_t i = 0; i < sizeof(throttled) / sizeof(throttled[0]); i++) {
        if (strcmp(answer->error, throttled[i]) == 0) {
            *ret_done = false;
            return true;
        }
    }
    *ret_done = answer->status != 429;
    return answer->status == 429 || answer->status >= 500;
}

uint64_t cof_client_backoff_ns(struct coffer_kms_client *client, uint32_t tries)
{
    uint64_t longest_ms = client->backoff_ms;
    uint64_t random = 0;

    while (tries > 1 && longest_ms < client->backoff_max_ms) {
        longest_ms *= 2;
        tries--;
    }
    if (longest_ms > client->backoff_max_ms) {
        longest_ms = client->backoff_max_ms;
    }
    if (cof_kms_random(&client->env, &random, sizeof(random)) != 0) {
        return longest_ms * 1000000u;
    }
    return random % (longest_ms * 1000000u + 1);
}
