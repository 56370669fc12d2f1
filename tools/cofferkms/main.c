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

#define KEY_SPECS                                                                               \
    "AES_256|AES_128|SYMMETRIC_DEFAULT|RSA_2048|RSA_3072|RSA_4096|ECC_NIST_P256|ECC_NIST_P384|" \
    "ECC_NIST_P521|HMAC_224|HMAC_256|HMAC_384|HMAC_512"

static const struct cof_tool_option options[] = {
    {"key-id", COF_TOOL_TEXT, "KEY", "key id, key ARN, alias/NAME or alias ARN"},
    {"description", COF_TOOL_TEXT, "TEXT", "what the key is for, up to 8192 characters"},
    {"alias-name", COF_TOOL_TEXT, "ALIAS", "alias/NAME, not under alias/coffer/ or alias/aws/"},
    {"target-key-id", COF_TOOL_TEXT, "KEY", "key id or key ARN"},
    {"limit", COF_TOOL_NUMBER, "N", "entries of a page: 1 to 1000, aliases and grants 1 to 100"},
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
    {"entries", COF_TOOL_TEXT, "JSON", "list of CiphertextBlob and contexts, or file://FILE"},
    {"key-spec", COF_TOOL_CHOICE, KEY_SPECS, "kind of key"},
    {"key-usage", COF_TOOL_CHOICE, "ENCRYPT_DECRYPT|SIGN_VERIFY|GENERATE_VERIFY_MAC",
     "what the key is for"},
    {"origin", COF_TOOL_CHOICE, "AWS_KMS|EXTERNAL", "who makes the material"},
    {"multi-region", COF_TOOL_FLAG, NULL, "a key that can be replicated into other regions"},
    {"no-multi-region", COF_TOOL_FLAG, NULL, "a key of one region (default)"},
    {"policy", COF_TOOL_TEXT, "DOCUMENT", "key policy: JSON, or file://FILE"},
    {"policy-name", COF_TOOL_TEXT, "NAME", "default, the only one"},
    {"bypass-policy-lockout-safety-check", COF_TOOL_FLAG, NULL,
     "set a policy that may lock its author out"},
    {"no-bypass-policy-lockout-safety-check", COF_TOOL_FLAG, NULL, "check that first (default)"},
    {"tags", COF_TOOL_WORDS, "TAG", "TagKey=NAME,TagValue=VALUE, or a JSON list"},
    {"tag-keys", COF_TOOL_WORDS, "NAME", "names of tags"},
    {"encryption-algorithm", COF_TOOL_CHOICE,
     "SYMMETRIC_DEFAULT|RSAES_OAEP_SHA_1|RSAES_OAEP_SHA_256",
     "SYMMETRIC_DEFAULT for a symmetric key"},
    {"source-encryption-algorithm", COF_TOOL_CHOICE,
     "SYMMETRIC_DEFAULT|RSAES_OAEP_SHA_1|RSAES_OAEP_SHA_256", "that of the ciphertext"},
    {"destination-encryption-algorithm", COF_TOOL_CHOICE,
     "SYMMETRIC_DEFAULT|RSAES_OAEP_SHA_1|RSAES_OAEP_SHA_256", "that of the result"},
    {"number-of-bytes", COF_TOOL_NUMBER, "N", "how many bytes are drawn, 1 to 1024"},
    {"pending-window-in-days", COF_TOOL_NUMBER, "N", "days until the key is deleted, 7 to 30 (30)"},
    {"rotation-period-in-days", COF_TOOL_NUMBER, "N", "days between rotations, 90 to 2560 (365)"},
    {"include-key-material", COF_TOOL_CHOICE, "ALL_KEY_MATERIAL|ROTATIONS_ONLY",
     "the first material, too, or rotations only"},
    {"grantee-principal", COF_TOOL_TEXT, "ARN", "who may use the key"},
    {"retiring-principal", COF_TOOL_TEXT, "ARN", "who may retire the grant"},
    {"operations", COF_TOOL_WORDS, "OPERATION", "Decrypt, Encrypt, DescribeKey, ..."},
    {"constraints", COF_TOOL_TEXT, "MAPS", "EncryptionContextSubset={k=v} or ...Equals={k=v}"},
    {"name", COF_TOOL_TEXT, "NAME", "name of the grant: the same one is made once"},
    {"grant-id", COF_TOOL_TEXT, "ID", "id of a grant"},
    {"grant-token", COF_TOOL_TEXT, "TOKEN", "token of the grant to retire"},
    {"grant-tokens", COF_TOOL_WORDS, "TOKEN", "tokens of grants to use, up to 10"},
    {"no-dry-run", COF_TOOL_FLAG, NULL, "do it (default)"},
    {"message", COF_TOOL_TEXT, "SOURCE",
     "fileb://FILE, - (standard input) or file://FILE (base64)"},
    {"message-type", COF_TOOL_CHOICE, "RAW|DIGEST", "the message itself (default), or its digest"},
    {"signing-algorithm", COF_TOOL_TEXT, "NAME", "as describe-key lists them"},
    {"mac-algorithm", COF_TOOL_CHOICE, "HMAC_SHA_224|HMAC_SHA_256|HMAC_SHA_384|HMAC_SHA_512",
     "that of the key"},
    {"signature", COF_TOOL_TEXT, "SOURCE", "as --ciphertext-blob"},
    {"mac", COF_TOOL_TEXT, "SOURCE", "as --ciphertext-blob"},
    {"key-pair-spec", COF_TOOL_CHOICE,
     "RSA_2048|RSA_3072|RSA_4096|ECC_NIST_P256|ECC_NIST_P384|ECC_NIST_P521|ECC_NIST_EDWARDS25519",
     "kind of key pair"},
    {"wrapping-algorithm", COF_TOOL_CHOICE,
     "RSAES_OAEP_SHA_1|RSAES_OAEP_SHA_256|RSA_AES_KEY_WRAP_SHA_1|RSA_AES_KEY_WRAP_SHA_256",
     "how material will be wrapped"},
    {"wrapping-key-spec", COF_TOOL_CHOICE, "RSA_2048|RSA_3072|RSA_4096", "kind of wrapping key"},
    {"import-token", COF_TOOL_TEXT, "SOURCE", "as --ciphertext-blob"},
    {"encrypted-key-material", COF_TOOL_TEXT, "SOURCE", "as --ciphertext-blob"},
    {"expiration-model", COF_TOOL_CHOICE, "KEY_MATERIAL_EXPIRES|KEY_MATERIAL_DOES_NOT_EXPIRE",
     "whether the material has an end"},
    {"valid-to", COF_TOOL_TEXT, "TIME", "its end: 2026-11-22T01:02:03Z, or seconds since 1970"},
    {"import-type", COF_TOOL_CHOICE, "NEW_KEY_MATERIAL|EXISTING_KEY_MATERIAL",
     "material that the key has not had, or had"},
    {"key-material-description", COF_TOOL_TEXT, "TEXT", "what the material is"},
    {"key-material-id", COF_TOOL_TEXT, "ID", "id of the material, 64 hex digits"},
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

#define VERB(name, options, summary)                                                               \
    {                                                                                              \
        NULL, name, "", 0, 0, options, summary, "cofferkms", cof_key_verb                           \
    }
#define DRY_RUN " dry-run no-dry-run"
#define GRANTED " grant-tokens" DRY_RUN
#define LOCKOUT " bypass-policy-lockout-safety-check no-bypass-policy-lockout-safety-check"

static const struct cof_tool_verb verbs[] = {
    VERB("create-key",
         "description key-spec key-usage origin policy tags multi-region no-multi-region" LOCKOUT,
         "make a key"),
    VERB("describe-key", "key-id grant-tokens", "show a key's metadata"),
    VERB("list-keys", "limit marker", "list key ids and ARNs"),
    VERB("enable-key", "key-id", "let a disabled key be used again"),
    {NULL, "disable-key", "", 0, 0, "key-id " COF_GUARD_NAMES, "keep a key from being used",
     "cofferkms", cof_key_disable_key},
    VERB("update-key-description", "key-id description", "say anew what a key is for"),
    {NULL, "schedule-key-deletion", "", 0, 0, "key-id pending-window-in-days " COF_GUARD_NAMES,
     "delete a key when a number of days has passed", "cofferkms",
     cof_key_schedule_key_deletion},
    VERB("cancel-key-deletion", "key-id", "keep a key that waits for its deletion"),
    VERB("create-alias", "alias-name target-key-id", "give a key a name"),
    VERB("update-alias", "alias-name target-key-id", "move a name to another key"),
    VERB("delete-alias", "alias-name", "take a name away"),
    VERB("list-aliases", "key-id limit marker", "list names and their keys"),
    VERB("encrypt", "key-id plaintext encryption-context encryption-algorithm" GRANTED,
         "encrypt up to 4096 bytes"),
    VERB("decrypt", "key-id ciphertext-blob encryption-context encryption-algorithm" GRANTED,
         "decrypt a ciphertext"),
    VERB("re-encrypt",
         "ciphertext-blob source-key-id source-encryption-context destination-key-id "
         "destination-encryption-context source-encryption-algorithm "
         "destination-encryption-algorithm" GRANTED,
         "move a ciphertext under another key or context"),
    VERB("coffer-re-encrypt-batch", "destination-key-id entries" GRANTED,
         "move many ciphertexts in one request"),
    VERB("generate-data-key", "key-id key-spec number-of-bytes encryption-context" GRANTED,
         "draw a key, in clear and encrypted"),
    VERB("generate-data-key-without-plaintext",
         "key-id key-spec number-of-bytes encryption-context" GRANTED,
         "draw a key, encrypted only"),
    VERB("generate-data-key-pair", "key-id key-pair-spec encryption-context" GRANTED,
         "draw a key pair, its private half in clear and encrypted"),
    VERB("generate-data-key-pair-without-plaintext",
         "key-id key-pair-spec encryption-context" GRANTED,
         "draw a key pair, its private half encrypted only"),
    VERB("sign", "key-id message message-type signing-algorithm" GRANTED, "sign a message"),
    VERB("verify", "key-id message message-type signature signing-algorithm" GRANTED,
         "check a signature"),
    VERB("get-public-key", "key-id grant-tokens", "show a key's public half"),
    VERB("generate-mac", "key-id message mac-algorithm" GRANTED, "authenticate a message"),
    VERB("verify-mac", "key-id message mac mac-algorithm" GRANTED,
         "check a message authentication code"),
    VERB("get-parameters-for-import", "key-id wrapping-algorithm wrapping-key-spec",
         "get what material is wrapped with for its import"),
    VERB("import-key-material",
         "key-id import-token encrypted-key-material expiration-model valid-to import-type "
         "key-material-description key-material-id",
         "give a key of origin EXTERNAL its material"),
    VERB("delete-imported-key-material", "key-id key-material-id",
         "take imported material away until it is imported again"),
    VERB("generate-random", "number-of-bytes", "draw random bytes"),
    VERB("create-grant",
         "key-id grantee-principal retiring-principal operations constraints name" GRANTED,
         "let a principal use a key"),
    VERB("list-grants", "key-id grant-id grantee-principal limit marker", "list a key's grants"),
    VERB("list-retirable-grants", "retiring-principal limit marker",
         "list the grants that a principal may retire"),
    VERB("retire-grant", "grant-token key-id grant-id" DRY_RUN, "give up a grant"),
    VERB("revoke-grant", "key-id grant-id" DRY_RUN, "take a grant away"),
    VERB("put-key-policy", "key-id policy-name policy" LOCKOUT, "set who may do what with a key"),
    VERB("get-key-policy", "key-id policy-name", "show who may do what with a key"),
    VERB("list-key-policies", "key-id limit marker", "list a key's policies: default"),
    VERB("enable-key-rotation", "key-id rotation-period-in-days", "draw new material regularly"),
    VERB("disable-key-rotation", "key-id", "draw no more material by itself"),
    VERB("get-key-rotation-status", "key-id", "show whether and when a key rotates"),
    VERB("rotate-key-on-demand", "key-id", "draw new material now"),
    VERB("list-key-rotations", "key-id include-key-material limit marker",
         "list a key's materials"),
    VERB("tag-resource", "key-id tags", "set tags of a key"),
    VERB("untag-resource", "key-id tag-keys", "take tags of a key away"),
    VERB("list-resource-tags", "key-id limit marker", "list a key's tags"),
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
