/* SPDX-License-Identifier: Apache-2.0 */
/* The example of coffer_kms_client.h(3): not linked, but compiled by tests/cli/man_pages.sh. */

#include <coffer/kms_client.h>
#include <string.h>

/* A provider whose keys are elsewhere. The client is freed after the last volume is closed. */
int connect_to(const char *url, const char *access_key_id, const char *secret,
               struct coffer_kms_client **ret_client, struct coffer_key_provider *ret_provider,
               struct coffer_fault *fault)
{
    struct coffer_kms_client_opts opts;
    int error;

    memset(&opts, 0, sizeof opts);
    opts.size = sizeof opts;
    opts.url = url; /* https://kms.example.org:8443 */
    opts.access_key_id = access_key_id;
    opts.secret = secret;
    error = coffer_kms_client_new(&opts, ret_client, fault);
    if (error != 0) {
        return error;
    }
    return coffer_kms_client_provider(*ret_client, ret_provider);
}
