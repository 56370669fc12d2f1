/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cofferkms/main.c - the option table and the verb table of `cofferkms`: the verbs and options of
 * `aws kms`, spelled the same.
 */
#include "common/args.h"
#include "common/key_usage.h"
#include "common/kms_args.h"
#include "common/sign.h"
#include "identity.h"
#include "verbs.h"
#include <coffer/coffer.h>

#define TEXT_OF(x) #x
#define VERSION_OF(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)
#define VERSION_TEXT                                                                               \
    VERSION_OF(COFFER_VERSION_MAJOR, COFFER_VERSION_MINOR, COFFER_VERSION_PATCH)

static const struct cof_tool_option options[] = {
    {"key-id", COF_TOOL_TEXT, "KEY", "key id, key ARN, alias/NAME or alias ARN"},
    {"description", COF_TOOL_TEXT, "TEXT", "what the key is for, up to 8192 bytes"},
    {"alias-name", COF_TOOL_TEXT, "ALIAS", "alias/NAME, not under alias/coffer/ or alias/aws/"},
    {"target-key-id", COF_TOOL_TEXT, "KEY", "key id or key ARN"},
    {"limit", COF_TOOL_NUMBER, "N", "entries of a page: 1 to 1000 keys, 1 to 100 aliases (all)"},
    {"marker", COF_TOOL_TEXT, "MARKER", "NextMarker of the page before"},
    {"plaintext", COF_TOOL_TEXT, "SOURCE",
     "fileb://FILE, - (standard input) or file://FILE (base64)"},
    {"ciphertext-blob", COF_TOOL_TEXT, "SOURCE",
     "fileb://FILE, - (standard input), file://FILE (base64), or base64"},
    {"encryption-context", COF_TOOL_TEXT, "CONTEXT", "k=v,k2=v2, a JSON object, or file://FILE"},
    {"source-key-id", COF_TOOL_TEXT, "KEY", "key of the ciphertext (the one that it names)"},
    {"source-encryption-context", COF_TOOL_TEXT, "CONTEXT", "context of the ciphertext"},
    {"destination-key-id", COF_TOOL_TEXT, "KEY", "key to encrypt under"},
    {"destination-encryption-context", COF_TOOL_TEXT, "CONTEXT", "context of the result"},
    {"key-spec", COF_TOOL_CHOICE, "AES_256|AES_128|SYMMETRIC_DEFAULT", "kind of key"},
    {"key-usage", COF_TOOL_CHOICE, "ENCRYPT_DECRYPT", "what the key is for"},
    {"origin", COF_TOOL_CHOICE, "AWS_KMS", "who makes the material: the key store"},
    {"encryption-algorithm", COF_TOOL_CHOICE, "SYMMETRIC_DEFAULT", "the only one"},
    {"source-encryption-algorithm", COF_TOOL_CHOICE, "SYMMETRIC_DEFAULT", "the only one"},
    {"destination-encryption-algorithm", COF_TOOL_CHOICE, "SYMMETRIC_DEFAULT", "the only one"},
    {"number-of-bytes", COF_TOOL_NUMBER, "N", "length of the data key, 1 to 1024"},
    {"listen", COF_TOOL_LIST, "HOST:PORT",
     "serve by TCP; [ADDRESS]:PORT for IPv6, port 0 for any; may stand more than once"},
    {"unix", COF_TOOL_FILE, "PATH", "serve on a unix socket that only its owner may use"},
    {"tls-cert", COF_TOOL_FILE, "FILE", "PEM certificate and its chain, for --listen"},
    {"tls-key", COF_TOOL_FILE, "FILE", "its private key, in a file that only its owner can read"},
    {"workers", COF_TOOL_NUMBER, "N", "threads that make calls, 1 to 64 (4)"},
    {"max-connections", COF_TOOL_NUMBER, "N", "served at a time; others wait (16384)"},
    {"max-queue", COF_TOOL_NUMBER, "N", "requests that wait for a worker; others get 503 (1024)"},
    {"max-requests", COF_TOOL_NUMBER, "N", "of one connection before it is closed (100000)"},
    {"max-memory", COF_TOOL_SIZE, "SIZE", "of requests and answers under way (256M)"},
    {"request-timeout", COF_TOOL_NUMBER, "SECONDS", "to send a request or take an answer (20)"},
    {"idle-timeout", COF_TOOL_NUMBER, "SECONDS", "between two requests of a connection (60)"},
    {"stop-timeout", COF_TOOL_NUMBER, "SECONDS", "for what is under way at a stop (30)"},
    {"rate", COF_TOOL_NUMBER, "N", "requests a second of one account; 0: no limit (5500)"},
    {"burst", COF_TOOL_NUMBER, "N", "requests at once of one account (twice the rate)"},
    {"log", COF_TOOL_CHOICE, "access|service", "a line for each request too, or not (access)"},
    {"principal", COF_TOOL_TEXT, "ARN", "events of this caller"},
    {"event-name", COF_TOOL_TEXT, "NAME", "events of this operation, such as Decrypt"},
    {"class", COF_TOOL_CHOICE, "creation|usage|modification|deletion|reading",
     "events of this class"},
    {"volume", COF_TOOL_TEXT, "UUID", "events of this volume's keys"},
    {"since", COF_TOOL_TEXT, "TIME", "from then on: 2026-11-22T01:02:03Z, a day, or seconds"},
    {"until", COF_TOOL_TEXT, "TIME", "before then"},
    {"head-file", COF_TOOL_FILE, "FILE", "keeps the head: a trail that was cut off shows"},
    COF_GUARD_ROWS,
    COF_KMS_ROWS,
    COF_SIGN_ROWS,
    COF_IDENTITY_ROWS,
    COF_TOOL_COMMON_ROWS,
};

static const struct cof_tool_verb verbs[] = {
    {NULL, "create-key", "", 0, 0, "description key-spec key-usage origin",
     "make a key with fresh material", "cofferkms", cof_key_create_key},
    {NULL, "describe-key", "", 0, 0, "key-id", "show a key's metadata", "cofferkms",
     cof_key_describe_key},
    {NULL, "list-keys", "", 0, 0, "limit marker", "list key ids and ARNs", "cofferkms",
     cof_key_list_keys},
    {NULL, "enable-key", "", 0, 0, "key-id", "let a disabled key be used again", "cofferkms",
     cof_key_enable_key},
    {NULL, "disable-key", "", 0, 0, "key-id " COF_GUARD_NAMES, "keep a key from being used", "cofferkms",
     cof_key_disable_key},
    {NULL, "create-alias", "", 0, 0, "alias-name target-key-id", "give a key a name", "cofferkms",
     cof_key_create_alias},
    {NULL, "list-aliases", "", 0, 0, "key-id limit marker", "list names and their keys",
     "cofferkms", cof_key_list_aliases},
    {NULL, "encrypt", "", 0, 0, "key-id plaintext encryption-context encryption-algorithm",
     "encrypt up to 4096 bytes", "cofferkms", cof_key_encrypt},
    {NULL, "decrypt", "", 0, 0, "key-id ciphertext-blob encryption-context encryption-algorithm",
     "decrypt a ciphertext", "cofferkms", cof_key_decrypt},
    {NULL, "re-encrypt", "", 0, 0,
     "ciphertext-blob source-key-id source-encryption-context destination-key-id "
     "destination-encryption-context source-encryption-algorithm destination-encryption-algorithm",
     "move a ciphertext under another key or context", "cofferkms", cof_key_re_encrypt},
    {NULL, "generate-data-key", "", 0, 0, "key-id key-spec number-of-bytes encryption-context",
     "draw a key, in clear and encrypted", "cofferkms", cof_key_generate_data_key},
    {NULL, "generate-data-key-without-plaintext", "", 0, 0,
     "key-id key-spec number-of-bytes encryption-context", "draw a key, encrypted only",
     "cofferkms", cof_key_generate_data_key_without_plaintext},
    COF_IDENTITY_VERBS,
    {NULL, "sign-request", "FILE", 1, 1, COF_SIGN_NAMES,
     "sign a request by AWS Signature Version 4", "cofferkms", cof_tool_sign_request},
    {NULL, "serve", "", 0, 0,
     "listen unix tls-cert tls-key workers max-connections max-queue max-requests max-memory "
     "request-timeout idle-timeout stop-timeout rate burst log",
     "serve the keys over the AWS KMS protocol", "cofferkms-serve", cof_key_serve},
    {"audit", "query", "", 0, 0,
     "key-id principal event-name class volume since until limit",
     "events of the audit trail, each checked", "cofferkms", cof_key_audit_query},
    {"audit", "verify", "", 0, 0, "head-file", "check that the audit trail is whole",
     "cofferkms", cof_key_audit_verify},
    {"audit", "export", "", 0, 0, "key-id principal event-name class volume since until",
     "events as lines of JSON, and the signed head", "cofferkms", cof_key_audit_export},
    {NULL, "key-usage", "KEY", 1, 1, "", "what used a key, and when last", "cofferkms",
     cof_key_usage},
};

static const struct cof_tool_program program = {
    .name = "cofferkms",
    .summary = "keys of the embedded key store, with the verbs of `aws kms`",
    .version = VERSION_TEXT,
    .page = "cofferkms",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .verbs = verbs,
    .verb_count = sizeof verbs / sizeof verbs[0],
    .common = COF_KMS_NAMES " " COF_TOOL_COMMON_NAMES,
    .environment = "  COFFER_KMS              the key service, as --kms\n"
                   "  COFFER_PASSPHRASE_FILE  file with the key store's passphrase\n"
                   "  COFFER_ROOT_KEY_FILE    file with the key store's root key\n"
                   "  XDG_DATA_HOME           where the default key store lies: coffer/keys\n",
};

int main(int argc, char **argv)
{
    cof_key_wipe_json();
    return cof_tool_main(&program, argc, argv);
}
