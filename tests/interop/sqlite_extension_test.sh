#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# coffervfs.so in SQLite's own shell: the same SQL gives the same dump as in a file; two volumes
# attached; snapshots; reading only; what is refused, and in what words; the shell killed while it
# commits; and no plaintext on any disk, temporary files included.
set -euo pipefail
COFFER=${COFFER:?} binary_dir=${COFFER_BINARY_DIR:?}
extension=$(dirname "$COFFER")/coffervfs.so
if [[ -n ${COFFER_SANITIZE:-} ]]; then
    echo "SQLite's shell, which is not instrumented, cannot load an instrumented extension"
    exit 77
fi
if [[ ! -e $extension ]] || ! command -v sqlite3 > /dev/null; then
    echo "there is no extension, or no sqlite3"
    exit 77
fi

scratch=$(mktemp -d "$binary_dir/sqlite_test.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
export COFFER_ROOT_KEY_FILE=$scratch/root.key COFFER_KMS=file:$scratch/keys
export XDG_DATA_HOME=$scratch/data SQLITE_TMPDIR=$scratch/tmp
mkdir tmp
(umask 077 && head -c 32 /dev/urandom > root.key)
fail() {
    echo "FAILED: $*"
    exit 1
}
on() { # DATABASE SQL...: on a volume
    local database=$1
    shift
    sqlite3 -bail :memory: -cmd ".load $extension" -cmd ".open 'file:$database?vfs=coffer'" "$@"
}

"$COFFER" store create vault.coffer --size 1G > create.log 2>&1
for volume in one two; do
    "$COFFER" volume create "vault.coffer:$volume" --size 1T >> create.log 2>&1
done

# --- the same work in a file and on a volume
cat > work.sql << 'SQL'
CREATE TABLE t(id INTEGER PRIMARY KEY, k, v); CREATE INDEX i ON t(k); CREATE TABLE b(x);
CREATE TRIGGER g AFTER DELETE ON t BEGIN INSERT INTO b VALUES(old.k); END;
CREATE VIRTUAL TABLE f USING fts5(words);
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 8000)
INSERT INTO t(k, v) SELECT x * 7919 % 1000, 'MARKER' || printf('%*c', x % 300, 'x') FROM c;
INSERT INTO f SELECT 'word' || k || ' and more' FROM t WHERE id < 2000;
INSERT INTO b VALUES(zeroblob(3000000));
UPDATE t SET v = upper(v) WHERE k < 100; DELETE FROM t WHERE k > 900;
CREATE TABLE sorted AS SELECT k, v FROM t ORDER BY v, k; VACUUM;
SQL
for mode in delete wal; do
    rm -f plain.db
    sqlite3 plain.db "PRAGMA journal_mode = $mode" < work.sql > /dev/null
    sqlite3 plain.db < work.sql > /dev/null
    sqlite3 plain.db .dump | sha256sum > plain.sum
    [[ $mode == delete ]] && volume=one || volume=two
    on "vault.coffer:$volume" "PRAGMA journal_mode = $mode" '.read work.sql' > /dev/null
    on "vault.coffer:$volume" .dump | sha256sum > volume.sum
    cmp plain.sum volume.sum || fail "another dump in mode $mode"
    [[ $(on "vault.coffer:$volume" 'PRAGMA integrity_check') == ok ]] || fail "not sound: $mode"
done

# --- two at once, a snapshot, reading only
on vault.coffer:one "ATTACH 'file:vault.coffer:two?vfs=coffer' AS two;
    BEGIN; DELETE FROM main.b; DELETE FROM two.b; COMMIT; PRAGMA coffer_snapshot = 'empty';
    INSERT INTO b VALUES(1)" > out.txt
grep -q 'vault.coffer:one@empty' out.txt || fail "no snapshot: $(cat out.txt)"
[[ $(on vault.coffer:one@empty 'SELECT count(*) FROM b') == 0 ]] || fail "the snapshot changed"
[[ $(on 'vault.coffer:one' 'SELECT count(*) FROM b') == 1 ]] || fail "the insert is not there"
if on vault.coffer:one@empty 'INSERT INTO b VALUES(1)' 2> error.txt; then
    fail "a snapshot was written to"
fi
grep -q readonly error.txt || fail "a snapshot is refused in other words: $(cat error.txt)"
[[ $(COFFER_STORE=vault.coffer on one 'SELECT count(*) FROM b') == 1 ]] || fail "COFFER_STORE"
"$COFFER" snapshot restore vault.coffer:one@empty vault.coffer:clone > /dev/null
[[ $(on vault.coffer:clone 'INSERT INTO b VALUES(7); SELECT count(*) FROM b') == 1 ]] \
    || fail "a restored volume"

# --- refusals, with their reason
refused() { # WORDS DATABASE
    local said
    said=$(sqlite3 :memory: -cmd ".load $extension" -cmd ".open 'file:$2?vfs=coffer'" \
        'SELECT coffer_last_error()' 2> /dev/null) || true
    grep -q "$1" <<< "$said" || fail "$2: '$said' has no '$1'"
}
refused 'there is no volume' vault.coffer:none
refused 'No such file' nowhere.coffer:one
"$COFFER" volume create vault.coffer:foreign --size 64M > /dev/null
head -c 8192 /dev/urandom | "$COFFER" volume write vault.coffer:foreign 0 2> write.log \
    || fail "$(cat write.log)"
refused 'no SQLite database of this VFS' vault.coffer:foreign
(umask 077 && head -c 32 /dev/urandom > other.key)
COFFER_ROOT_KEY_FILE=$scratch/other.key refused 'root key' vault.coffer:one
"$COFFER" volume create vault.coffer:plain --size 64M --no-storage-encrypted > /dev/null
# Whoever made it plain may open it; who has no pin of it may not.
COFFER_PINS=$scratch/other.pins refused 'is not encrypted' vault.coffer:plain
COFFER_PINS=$scratch/other.pins sqlite3 -bail :memory: -cmd ".load $extension" \
    -cmd ".open 'file:vault.coffer:plain?vfs=coffer&allow_plain=1'" 'CREATE TABLE t(x)' \
    || fail "allow_plain=1"

# --- killed while it commits; ids that were told are there
kills=${COFFER_SQLITE_KILLS:-5}
on vault.coffer:one 'CREATE TABLE IF NOT EXISTS ids(id INTEGER PRIMARY KEY)'
for ((round = 1; round <= kills; round++)); do
    {
        echo ".load $extension"
        echo ".open 'file:vault.coffer:one?vfs=coffer'"
        ((round % 2)) && echo 'PRAGMA journal_mode = wal;' || echo 'PRAGMA journal_mode = delete;'
        for ((i = 1; i <= 2000; i++)); do
            echo "INSERT INTO ids DEFAULT VALUES; SELECT 'id', last_insert_rowid();"
        done
    } > loop.sql
    stdbuf -oL sqlite3 -bail < loop.sql > told.txt 2>&1 &
    shell=$!
    for ((wait = 0; wait < 3000; wait++)); do
        [[ $(grep -c '^id' told.txt 2> /dev/null || true) -ge $((round * 7)) ]] && break
        kill -0 "$shell" 2> /dev/null || break
        sleep 0.01
    done
    kill -9 "$shell" 2> /dev/null || true
    wait "$shell" 2> /dev/null || true
    last=$(grep '^id|[0-9]*$' told.txt | tail -2 | head -1 | cut -d'|' -f2)
    [[ -n $last ]] || fail "the shell told of nothing: $(head -3 told.txt)"
    [[ $(on vault.coffer:one 'PRAGMA integrity_check') == ok ]] || fail "not sound after a kill"
    there=$(on vault.coffer:one 'SELECT max(id) = count(*), max(id) FROM ids')
    [[ ${there%|*} == 1 && ${there#*|} -ge $last ]] \
        || fail "id $last was told of, and $there is there"
done

# --- no plaintext on any disk
if grep -l -a -q -E 'MARKER|CREATE TRIGGER' vault.coffer; then
    fail "the store holds plaintext"
fi
[[ -z $(ls -A tmp) ]] || fail "temporary files: $(ls tmp)"
grep -q -a MARKER plain.db || fail "the search for plaintext finds none where there is some"
"$COFFER" check vault.coffer > check.log || fail "check: $(cat check.log)"
echo "sqlite_extension_test: dumps of 2 modes, 6 refusals, $kills kills"
