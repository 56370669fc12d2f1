/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/kms_name - what callers name: keys, principals, users and roles, and where a service is. The
 * first byte says which. What is accepted, written as the service writes it, means the same.
 */
#include "fuzz/fuzz_driver.h"

#include "kms/client/client.h"
#include "kms/identity/identity.h"

#include <ctype.h>

static const struct cof_kms_owner owner = {"111122223333", "local-1"};

static int read_key(const char *text)
{
    struct cof_kms_key_ref ref, again;
    struct coffer_fault fault = {0};
    char arn[COF_KMS_ALIAS_ARN_BYTES_MAX];
    if (cof_kms_key_parse(&owner, text, &ref, &fault) != 0) {
        harness_require(fault.error != 0 && fault.detail[0] != '\0', "refused without a word");
        return 0;
    }
    harness_require(ref.is_alias ? cof_kms_alias_ok(ref.alias) : cof_kms_key_id_ok(ref.key_id),
                    "'%s' is no name", text);
    harness_require(cof_kms_account_ok(ref.owner.account) &&
                        strcmp(ref.owner.region, owner.region) == 0,
                    "'%s' is nobody's", text);
    if (ref.is_alias) {
        cof_kms_alias_arn(&ref.owner, ref.alias, arn);
    } else {
        cof_kms_key_arn(&ref.owner, ref.key_id, arn);
        harness_require(strcmp(cof_kms_arn_key_id(arn), ref.key_id) == 0, "another id in %s", arn);
    }
    harness_require(cof_kms_key_parse(&owner, arn, &again, &fault) == 0 && again.is_arn &&
                        again.is_alias == ref.is_alias &&
                        strcmp(again.key_id, ref.key_id) == 0 &&
                        strcmp(again.alias, ref.alias) == 0 &&
                        strcmp(again.owner.account, ref.owner.account) == 0,
                    "%s means another key than '%s'", arn, text);
    return 1;
}

static int read_principal(const char *text)
{
    char account[13] = "", other[13], whose[COFFER_PRINCIPAL_BYTES_MAX];
    bool good = cof_kms_principal_account(text, account);
    cof_identity_owner(text, whose);
    (void)cof_identity_name_of(text);
    if (!good) {
        harness_require(!cof_identity_is_root(text) || strlen(text) > 30, "a root of no account");
        return 0;
    }
    harness_require(cof_kms_account_ok(account), "an account %s", account);
    /* What is too long is cut off, and nobody has such a name. */
    harness_require(strlen(text) >= COFFER_PRINCIPAL_BYTES_MAX ||
                        (cof_kms_principal_account(whose, other) && strcmp(other, account) == 0),
                    "'%s' belongs to '%s'", text, whose);
    return 1;
}

static int read_identity(const char *text)
{
    static const char *const kinds[] = {COF_IDENTITY_USER, COF_IDENTITY_ROLE, "policy"};
    int taken = 0;
    for (unsigned i = 0; i < 3; i++) {
        char arn[COFFER_PRINCIPAL_BYTES_MAX];
        const char *name = cof_identity_name_in(owner.account, kinds[i], text), *again;
        if (name == NULL) {
            continue;
        }
        cof_identity_arn(owner.account, kinds[i], name, arn);
        again = cof_identity_name_in(owner.account, kinds[i], arn);
        harness_require(again != NULL && strcmp(again, name) == 0, "%s names another", arn);
        taken = 1;
    }
    return taken;
}

static int read_url(const char *text)
{
    static struct cof_client_endpoint endpoint, again;
    struct coffer_fault fault = {0};
    if (cof_client_endpoint_parse(text, &endpoint, &fault) != 0) {
        harness_require(fault.detail[0] != '\0', "refused without a word");
        return 0;
    }
    for (const char *at = endpoint.unix_path[0] != '\0' ? "" : endpoint.url; *at != '\0'; at++) {
        harness_require(isgraph((unsigned char)*at) && *at != '@', "a URL with %d", *at);
    }
    harness_require(endpoint.host[0] != '\0' && strpbrk(endpoint.host, "\r\n /@?#") == NULL,
                    "a host '%s'", endpoint.host);
    harness_require(cof_client_endpoint_parse(endpoint.url, &again, &fault) == 0 &&
                        strcmp(again.url, endpoint.url) == 0 &&
                        strcmp(again.host, endpoint.host) == 0 && again.tls == endpoint.tls,
                    "'%s' is another place than '%s'", endpoint.url, text);
    return 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[4096];
    if (size < 1 || size >= sizeof text) {
        return 0;
    }
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    switch (data[0] % 4u) {
    case 0:
        return read_key(text);
    case 1:
        return read_principal(text);
    case 2:
        return read_identity(text);
    default:
        return read_url(text);
    }
}

static const char *const seeds[] = {
    "\4arn:coffer:kms:local-1:000000000000:key/00000000-0000-4000-8000-000000000000",
    "\4arn:aws:kms:local-1:111122223333:key/mrk-00112233445566778899aabbccddeeff",
    "\4arn:coffer:kms:local-1:111122223333:alias/a/B_c-1",
    "\4alias/coffer/volume",
    "\1arn:coffer:iam::111122223333:root",
    "\1arn:aws:sts::111122223333:assumed-role/admin/monday",
    "\2arn:aws:iam::111122223333:role/admin",
    "\2alice+1=x,y.z@w_v-u",
    "\3https://kms.eu-west-1.example.com:8443/",
    "\3http://[::1]:80",
    "\3http://127.1.2.3",
    "\3unix:/run/kms.sock",
};

size_t fuzz_seed(unsigned number, uint8_t *bytes, size_t room)
{
    if (number >= sizeof seeds / sizeof seeds[0] || strlen(seeds[number]) > room) {
        return 0;
    }
    memcpy(bytes, seeds[number], strlen(seeds[number]));
    return strlen(seeds[number]);
}

FUZZ_MAIN("fuzz_kms_name", 1000000)
