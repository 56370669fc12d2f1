#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# cofferkms store: describe, check, backup, restore, rekey-root from the shell.
. "$(dirname "$0")/lib.sh"

k() { "$COFFERKMS" "$@"; }
store() { k store "$@"; }

key=$(make_key)
ok k create-alias --alias-name alias/one --target-key-id "$key"

# Describing needs no secret; checking does.
prints ROOT_KEY_FILE env -u COFFER_ROOT_KEY_FILE "$COFFERKMS" store describe --query SealedBy
prints "$work/keys" store describe --query File
prints 1 store describe --query Keys
matches '"Version": 1' store describe --output json
matches '^[0-9]+$' store check --query Rows
fails 3 'no passphrase, root key file or terminal' \
    setsid env -u COFFER_ROOT_KEY_FILE "$COFFERKMS" store check
fails 7 'No such file' store describe --kms "file:$work/none"

# A copy: 0600, never over a file, opens by the same secret.
fails 2 'to is missing' store backup
ok store backup --to copy
[ "$(stat -c %a copy)" = 600 ] || die "mode of the copy"
fails 5 'there already' store backup --to copy
prints "$key" k --kms "file:$work/copy" describe-key --key-id alias/one --query KeyMetadata.KeyId
ok rm -f copy
ok store backup --to copy

# Back again: where nothing is; never over a store without --force, which keeps the old one.
later=$(make_key)
fails 2 'from is missing' store restore
fails 5 '--force replaces it' store restore --from copy
ok store restore --from copy --force
fails 3 'there is no key' k describe-key --key-id "$later"
ok k describe-key --key-id "$key"
[ "$(find . -name 'keys.replaced-*' | wc -l)" = 1 ] || die "the store that was there is not kept"
ok rm -f keys keys-wal keys-shm
ok store restore --from copy
ok k describe-key --key-id "$key"
ok store check

# A damaged copy and a wrong secret change nothing.
head -c 30000 copy >short
cp root other
head -c 32 /dev/urandom >other
chmod 600 other
unchanged keys fails 4 . store restore --from short --force
unchanged keys fails 3 'does not open' store restore --from copy --force --root-key-file other
[ -z "$(find . -name '*.new-*')" ] || die "something half-made was left"

# Another secret: a key file, a passphrase with a cost, and what excludes each other.
ok store rekey-root --new-root-key-file other
fails 3 'does not open' k list-keys
fails 3 'give the secret that was set on 20' k list-keys
export COFFER_ROOT_KEY_FILE=$work/other
ok k describe-key --key-id "$key"
prints 1 store describe --query SealChanges
printf 'correct horse\n' >pass
fails 2 'exclude each other' store rekey-root --new-root-key-file root --new-passphrase-file pass
fails 2 'has no cost' store rekey-root --new-root-key-file root --argon2-passes 2
fails 2 'out of bounds' store rekey-root --new-passphrase-file pass --argon2-memory 4K
fails 7 'No such file' store rekey-root --new-passphrase-file none
ok store rekey-root --new-passphrase-file pass --argon2-memory 64K --argon2-passes 1
unset COFFER_ROOT_KEY_FILE
export COFFER_PASSPHRASE_FILE=$work/pass
ok k describe-key --key-id "$key"
prints PASSPHRASE store describe --query SealedBy
prints 65536 store describe --query Argon2Memory
ok store check
# The copy from before opens by what sealed it then.
ok k list-keys --kms "file:$work/copy" --root-key-file root
prints 0 store describe --kms "file:$work/copy" --query SealChanges
grep -q 'correct horse' keys* copy && die "a passphrase in a file"

# A store in use is not replaced.
python3 - "$work/keys" <<'EOF' &
import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1])
db.execute("SELECT count(*) FROM key").fetchone()
open("held", "w").close()
time.sleep(20)
EOF
holder=$!
until [ -e held ]; do sleep 0.05; done
fails 5 'stop it first' store restore --from copy --force --root-key-file root
kill "$holder"
finish
