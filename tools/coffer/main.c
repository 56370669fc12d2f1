/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/main.c - the option table and the verb table of `coffer`, from which parser, help,
 * completion and the man-page test are fed.
 */
#include "common/args.h"
#include "common/kms_args.h"
#include "common/sign.h"
#include "session.h"
#include "verbs.h"
#include <coffer/coffer.h>

static const struct cof_tool_option options[] = {
    CLI_VOLUME_ROWS,
    {"size", COF_TOOL_SIZE, "SIZE", "size in bytes: 512, 4K, 1.5G, 2TiB"},
    {"segment-size", COF_TOOL_SIZE, "SIZE", "a power of two, 1M to 64M (chosen by size)"},
    {"kms-key-id", COF_TOOL_TEXT, "KEY", "key id, key ARN, alias/NAME or alias ARN"},
    {"storage-encrypted", COF_TOOL_FLAG, NULL, "encrypted, which every volume is by default"},
    {"encrypted", COF_TOOL_FLAG, NULL, "the same"},
    {"no-storage-encrypted", COF_TOOL_FLAG, NULL, "not encrypted: checksums only, for ever"},
    {"create", COF_TOOL_FLAG, NULL, "make the volume; it is deleted again when this fails"},
    {"force", COF_TOOL_FLAG, NULL, "replace a file that is there"},
    {"provisioned", COF_TOOL_FLAG, NULL, "ask for the keys of all volumes, to sum up their sizes"},
    {"dry-run", COF_TOOL_FLAG, NULL, "show what would be done and do nothing"},
    {"yes", COF_TOOL_FLAG, NULL, "do not ask before something is destroyed"},
    {"keyless", COF_TOOL_FLAG, NULL, "ask for no key: checksums and placement only"},
    {"nonces", COF_TOOL_FLAG, NULL, "show that no (key, nonce) pair was used twice, without a key"},
    {"memory", COF_TOOL_SIZE, "SIZE", "memory to sort in, with --nonces (64M)"},
    {"rate", COF_TOOL_SIZE, "BYTES", "read (rekey: seal anew) at most so many bytes a second"},
    {"file", COF_TOOL_FILE, "PATH", "make a scratch store at PATH and remove it afterwards"},
    {"rw", COF_TOOL_CHOICE, "read|write|randread|randwrite|randrw|writeflush",
     "workload (randread)"},
    {"bs", COF_TOOL_SIZE, "SIZE", "bytes a request, a multiple of 512 (4K; 1M for read and write)"},
    {"depth", COF_TOOL_TEXT, "N|HOW",
     "bench: requests in flight, 1 to 1024 (32; 1 for writeflush); rekey: master, volume, data "
     "or deep (master)"},
    {"runtime", COF_TOOL_NUMBER, "SECONDS", "longest time to run (5)"},
    {"timeout", COF_TOOL_NUMBER, "SECONDS", "longest time to wait (1800)"},
    {"status", COF_TOOL_FLAG, NULL, "how far --depth deep is; keys only help to find the name"},
    {"reencrypt", COF_TOOL_FLAG, NULL, "encrypt every page anew, under keys of the copy's own"},
    {"tag", COF_TOOL_LIST, "KEY=VALUE", "a tag to begin with; more than one may be given"},
    {"copy-tags", COF_TOOL_FLAG, NULL, "with the tags of what it is made of"},
    {"all", COF_TOOL_FLAG, NULL, "all tags, also such as can't be read any more"},
    CLI_SERVE_ROWS,
    {"unix", COF_TOOL_FILE, "PATH", "listen on a unix socket, for its owner only"},
    {"listen", COF_TOOL_TEXT, "HOST:PORT", "listen on a TCP port; [ADDRESS]:PORT for IPv6"},
    {"tls-certificates", COF_TOOL_FILE, "DIR", "server-cert.pem, server-key.pem, ca-cert.pem"},
    {"tls-verify-peer", COF_TOOL_FLAG, NULL, "only clients with a certificate of ca-cert.pem"},
    {"insecure", COF_TOOL_FLAG, NULL, "listen beyond loopback without TLS"},
    {"read-only", COF_TOOL_FLAG, NULL, "open the store for reading only"},
    CLI_WRITE_BACK_ROW,
    {"threads", COF_TOOL_NUMBER, "N", "requests at once of a connection (16; in memory fewer)"},
    {"max-connections", COF_TOOL_NUMBER, "N", "more are refused (16)"},
    {"pid-file", COF_TOOL_FILE, "FILE", "where the server's process id is, once it listens"},
    COF_KMS_ROWS,
    COF_KMS_SOURCE_ROWS,
    COF_ENGINE_ROWS,
    COF_SIGN_ROWS,
    COF_TOOL_COMMON_ROWS,
};

#define WRITES "dry-run yes"
#define KINDS "kms-key-id storage-encrypted encrypted no-storage-encrypted"

static const struct cof_tool_verb verbs[] = {
    {"store", "create", "STORE", 0, 1, "store size segment-size anchor dry-run yes",
     "make an empty store in a file or block device", "coffer-store", cli_store_create},
    {"store", "describe", "[STORE]", 0, 1, CLI_STORE_NAMES " " CLI_KEY_NAMES " provisioned",
     "show a store's size, room and state", "coffer-store", cli_store_describe},
    {"store", "grow", "[STORE]", 0, 1, CLI_STORE_NAMES " size dry-run", "make a store larger",
     "coffer-store", cli_store_grow},
    {"store", "shrink", "[STORE]", 0, 1, CLI_STORE_NAMES " size " WRITES,
     "make a store smaller, while moving what is in the way", "coffer-store", cli_store_shrink},

    {"volume", "create", "STORE:VOLUME", 1, 1,
     CLI_VOLUME_NAMES " " KINDS " size tag dry-run",
     "make a volume, all zeros, encrypted unless told otherwise", "coffer-volume",
     cli_volume_create},
    {"volume", "describe", "STORE:VOLUME[@SNAPSHOT]", 1, 1, CLI_VOLUME_NAMES " keyless",
     "show a volume's encryption, key, size and state", "coffer-volume", cli_volume_describe},
    {"volume", "list", "[STORE]", 0, 1, CLI_STORE_NAMES " " CLI_KEY_NAMES " keyless",
     "list a store's volumes", "coffer-volume", cli_volume_list},
    {"volume", "modify", "STORE:VOLUME", 1, 1,
     CLI_VOLUME_NAMES " " KINDS,
     "refuses to change the key, and says what does", "coffer-volume", cli_volume_modify},
    {"volume", "resize", "STORE:VOLUME", 1, 1, CLI_VOLUME_NAMES " size " WRITES,
     "make a volume larger or smaller", "coffer-volume", cli_volume_resize},
    {"volume", "delete", "STORE:VOLUME", 1, 1, CLI_VOLUME_NAMES " " WRITES,
     "delete a volume with its wrapped keys", "coffer-volume", cli_volume_delete},
    {"volume", "start", "STORE:VOLUME", 1, 1, CLI_VOLUME_NAMES " dry-run",
     "let a volume be opened again that was stopped, or lost its key", "coffer-volume",
     cli_volume_start},
    {"volume", "stop", "STORE:VOLUME", 1, 1, CLI_VOLUME_NAMES " dry-run",
     "keep a volume from being opened until it is started", "coffer-volume", cli_volume_stop},
    {"volume", "pin", "STORE:VOLUME[@SNAPSHOT]", 1, 1, CLI_STORE_NAMES " " CLI_KEY_NAMES " " WRITES,
     "remember a volume as it is now, in place of what was remembered", "coffer-volume",
     cli_volume_pin},
    {"volume", "import", "STORE:VOLUME FILE|-", 2, 2,
     CLI_VOLUME_NAMES " " KINDS " create size",
     "copy a file or standard input into a volume", "coffer-volume", cli_volume_import},
    {"volume", "export", "STORE:VOLUME[@SNAPSHOT] FILE|-", 2, 2, CLI_VOLUME_NAMES " force",
     "copy a volume into a file or to standard output", "coffer-volume", cli_volume_export},
    {"volume", "read", "STORE:VOLUME[@SNAPSHOT] OFFSET LENGTH", 3, 3, CLI_VOLUME_NAMES,
     "write bytes of a volume to standard output", "coffer-volume", cli_volume_read},
    {"volume", "write", "STORE:VOLUME OFFSET", 2, 2, CLI_VOLUME_NAMES,
     "put the bytes of standard input into a volume, durably", "coffer-volume", cli_volume_write},

    {"snapshot", "create", "STORE:VOLUME[@SNAPSHOT]", 1, 1,
     CLI_VOLUME_NAMES " " KINDS " tag copy-tags",
     "keep a volume as it is now, under a name or the time", "coffer-snapshot",
     cli_snapshot_create},
    {"snapshot", "list", "[STORE|STORE:VOLUME]", 0, 1,
     CLI_STORE_NAMES " " CLI_KEY_NAMES " keyless", "list the snapshots of a store or volume",
     "coffer-snapshot", cli_snapshot_list},
    {"snapshot", "describe", "STORE:VOLUME@SNAPSHOT", 1, 1, CLI_VOLUME_NAMES " keyless",
     "show a snapshot's encryption, key, size and what it alone holds", "coffer-snapshot",
     cli_snapshot_describe},
    {"snapshot", "wait", "STORE:VOLUME@SNAPSHOT", 1, 1,
     CLI_STORE_NAMES " " CLI_KEY_NAMES " timeout", "wait until a snapshot is available",
     "coffer-snapshot", cli_snapshot_wait},
    {"snapshot", "diff", "STORE:VOLUME[@FROM] STORE:VOLUME[@TO]", 2, 2, CLI_VOLUME_NAMES,
     "list the ranges that differ from an earlier snapshot", "coffer-snapshot",
     cli_snapshot_diff},
    {"snapshot", "restore", "STORE:VOLUME@SNAPSHOT STORE:NEW", 2, 2,
     CLI_VOLUME_NAMES " " KINDS " tag dry-run", "make a writable volume of a snapshot, at once",
     "coffer-snapshot", cli_snapshot_restore},
    {"snapshot", "delete", "STORE:VOLUME@SNAPSHOT", 1, 1, CLI_VOLUME_NAMES " " WRITES,
     "delete a snapshot; others keep what they share with it", "coffer-snapshot",
     cli_snapshot_delete},

    {"snapshot", "copy", "STORE:VOLUME@SNAPSHOT STORE:VOLUME@SNAPSHOT", 2, 2,
     CLI_VOLUME_NAMES " " COF_KMS_SOURCE_NAMES " kms-key-id reencrypt copy-tags",
     "copy a snapshot into another store, or under another key", "coffer-snapshot",
     cli_snapshot_copy},
    {"snapshot", "add-recipient", "STORE:VOLUME@SNAPSHOT", 1, 1, CLI_VOLUME_NAMES " kms-key-id",
     "let another master key open a snapshot", "coffer-snapshot", cli_snapshot_add_recipient},
    {"snapshot", "remove-recipient", "STORE:VOLUME@SNAPSHOT", 1, 1,
     CLI_VOLUME_NAMES " kms-key-id", "take a recipient's wrapped key away", "coffer-snapshot",
     cli_snapshot_remove_recipient},

    {"tag", "set", "STORE:VOLUME[@SNAPSHOT] KEY=VALUE...", 2, COF_TOOL_OPERANDS_MAX,
     CLI_VOLUME_NAMES, "give a volume or snapshot tags, or others of the same keys", "coffer-tag",
     cli_tag_set},
    {"tag", "remove", "STORE:VOLUME[@SNAPSHOT] KEY...", 1, COF_TOOL_OPERANDS_MAX,
     CLI_VOLUME_NAMES " all", "take tags away", "coffer-tag", cli_tag_remove},
    {"tag", "list", "STORE:VOLUME[@SNAPSHOT]", 1, 1, CLI_VOLUME_NAMES,
     "list the tags of a volume or snapshot", "coffer-tag", cli_tag_list},

    {NULL, "key-usage", "STORE KEY", 2, 2, CLI_STORE_NAMES " " CLI_KEY_NAMES " keyless",
     "list the volumes and snapshots that need a key", "coffer-rekey", cli_key_usage},
    {NULL, "rekey", "STORE:VOLUME[@SNAPSHOT]", 1, 1,
     CLI_VOLUME_NAMES " kms-key-id depth status rate dry-run",
     "change the keys of a volume and its snapshots, in place", "coffer-rekey", cli_rekey},

    {NULL, "check", "[STORE]...", 0, 64, CLI_STORE_NAMES " " CLI_KEY_NAMES " keyless nonces memory",
     "check a store's structure, and with its keys every tag", "coffer-check", cli_check},
    {NULL, "scrub", "[STORE]", 0, 1, CLI_STORE_NAMES " " CLI_KEY_NAMES " keyless rate",
     "read every live byte of a store and verify it", "coffer-check", cli_scrub},
    {NULL, "dump", "[STORE]", 0, 1, CLI_STORE_NAMES, "a store's metadata as JSON, without any key",
     "coffer-check", cli_dump},
    {NULL, "serve", "[STORE|STORE:VOLUME[@SNAPSHOT]]", 0, 1,
     CLI_SERVE_NAMES " " CLI_WRITE_BACK_NAME " unix listen tls-certificates tls-verify-peer "
     "insecure read-only threads max-connections pid-file",
     "serve volumes and snapshots by NBD, until a signal", "coffer-serve", cli_serve},
    {NULL, "bench", "[STORE:VOLUME]", 0, 1,
     CLI_VOLUME_NAMES " file rw bs depth size runtime yes", "measure a volume's speed",
     "coffer-bench", cli_bench},

    {NULL, "sign", "FILE", 1, 1, COF_SIGN_NAMES " region",
     "sign a request by AWS Signature Version 4", "coffer-sign", cof_tool_sign_request},
};

static const struct cof_tool_program program = {
    .name = "coffer",
    .summary = "encrypted, crash-safe volumes in one file or block device",
    .version = NULL, /* set by main: the library's */
    .page = "coffer",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .verbs = verbs,
    .verb_count = sizeof verbs / sizeof verbs[0],
    .common = COF_TOOL_COMMON_NAMES,
    .environment = "  COFFER_STORE            the store, when an operand leaves it out\n"
                   "  COFFER_KMS              the key service, as --kms\n"
                   "  COFFER_PASSPHRASE_FILE  as --passphrase-file\n"
                   "  COFFER_ROOT_KEY_FILE    as --root-key-file\n"
                   "  COFFER_AS, COFFER_ENGINE_AS, COFFER_ENGINE_CREDENTIALS\n"
                   "                          as --as, --engine-as, --engine-credentials\n"
                   "  COFFER_SOURCE_KMS, COFFER_SOURCE_PASSPHRASE_FILE, "
                   "COFFER_SOURCE_ROOT_KEY_FILE\n"
                   "                          the same of a copy's source\n"
                   "  COFFER_PINS             the pin file\n"
                   "  COFFER_ANCHOR           the anchor file, as --anchor\n"
                   "  COFFER_CIPHER_BACKEND   auto, evp or ipsec-mb: what pages are sealed by\n"
                   "  COFFER_NBDKIT_PLUGIN    the plugin that `serve` gives to nbdkit\n",
};

int main(int argc, char **argv)
{
    struct cof_tool_program versioned = program;
    versioned.version = coffer_version();
    return cof_tool_main(&versioned, argc, argv);
}
