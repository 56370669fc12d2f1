#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The schemas: results and errors in JSON and text equal their golden copies in golden/, once what
# differs from run to run (ids, times, counters of blocks) is masked. `UPDATE_GOLDEN=1` writes them.
. "$(dirname "$0")/lib.sh"
golden=$COFFER_SOURCE_DIR/tests/cli/golden

mask() {
    sed -E -e 's/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/UUID/g' \
        -e 's/"CipherBackend": "(evp|ipsec-mb)"/"CipherBackend": "BACKEND"/' \
        -e 's/"GrantId": "[0-9a-f]{64}"/"GrantId": "GRANT"/' \
        -e 's/(vol|snap)-[0-9a-f]{24}/\1-ID/g' -e "s#$work#WORK#g" \
        -e 's/20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z/TIME/g' \
        -e 's/"(Epoch|LiveBytes|FreeBytes|SegmentsFree|SegmentsConditioned)": [0-9]+/"\1": N/' \
        -e 's/"(LogBytesSinceCheckpoint|RecoveredLogBytes|MappedBytes)": [0-9]+/"\1": N/' \
        -e 's/"(RecoveryNanoseconds|Uses|UsesMax|DataKeys|BytesRead)": [0-9]+/"\1": N/' \
        -e 's/"(ExclusiveBytes|SharedBytes|ReclaimableBytes)": [0-9]+/"\1": N/' \
        -e 's/"(Segments|PagesChecked|TagsChecked)": [0-9]+/"\1": N/' \
        -e 's/"(Seconds|IOPS|MiBPerSecond|CpuSeconds|CpuSecondsPerGiB)": [0-9.e+-]+/"\1": N/' \
        -e 's/"(BytesPerSecond|Operations|Bytes|Mean|P50|P99|P999|Max)": [0-9]+/"\1": N/'
}

same() { # NAME FILE
    mask <"$2" >"masked_$1"
    if [ -n "${UPDATE_GOLDEN:-}" ]; then
        cp "masked_$1" "$golden/$1"
    fi
    diff -u "$golden/$1" "masked_$1" >&2 || die "$1 differs from its golden copy"
    checks=$((checks + 1))
}

make_store 64M
ok "$COFFER" volume create "$store:v" --size 4M
ok "$COFFER" volume create "$store:plain" --size 1M --no-storage-encrypted

ok "$COFFER" store describe "$store" --output json && same store_describe.json out
ok "$COFFER" volume describe "$store:v" --output json && same volume_describe.json out
ok "$COFFER" volume describe "$store:plain" --output json && same volume_describe_plain.json out
ok "$COFFER" volume describe "$store:plain" --output text && same volume_describe_plain.text out
ok "$COFFER" volume describe "$store:plain" && same volume_describe_plain.table out
ok "$COFFER" volume list "$store" --output json && same volume_list.json out
ok "$COFFER" volume list "$store" --query '[].[Name,StorageEncrypted,KmsKeyId]' &&
    same volume_list.text out
ok "$COFFER" volume list "$store" --keyless --output json && same volume_list_keyless.json out
ok "$COFFER" check "$store" --output json && same check.json out
ok "$COFFER" volume create "$store:w" --size 4M --dry-run --output json &&
    same volume_create_dry_run.json out
ok "$COFFER" volume resize "$store:v" --size 8M --dry-run --output json &&
    same volume_resize_dry_run.json out
ok "$COFFER" store grow "$store" --size 1G --dry-run --output json &&
    same store_grow_dry_run.json out
ok "$COFFER" snapshot create "$store:v@s" --output json && same snapshot_create.json out
ok "$COFFER" snapshot create "$store:plain@s"
printf x | ok "$COFFER" volume write "$store:v" 8192
ok "$COFFER" snapshot describe "$store:v@s" --output json && same snapshot_describe.json out
ok "$COFFER" snapshot describe "$store:plain@s" && same snapshot_describe_plain.table out
ok "$COFFER" snapshot list "$store" --output json && same snapshot_list.json out
ok "$COFFER" snapshot list "$store" --query '[].[VolumeName,SnapshotName,StorageEncrypted]' &&
    same snapshot_list.text out
ok "$COFFER" snapshot diff "$store:v@s" "$store:v" --output json && same snapshot_diff.json out
ok "$COFFER" snapshot diff "$store:v@s" "$store:v" --output text && same snapshot_diff.text out
ok "$COFFER" snapshot restore "$store:v@s" "$store:r" --dry-run --output json &&
    same snapshot_restore_dry_run.json out
ok "$COFFER" snapshot copy "$store:v@s" "$store:w@s" --output json && same snapshot_copy.json out
ok "$COFFER" snapshot delete "$store:w@s" --yes
ok "$COFFER" snapshot delete "$store:v@s" --dry-run --output json &&
    same snapshot_delete_dry_run.json out
ok "$COFFER" rekey "$store:v" --dry-run --output json && same rekey_dry_run.json out
ok "$COFFER" rekey "$store:v" --depth volume --output json && same rekey.json out
fails 2 . "$COFFER" snapshot create "$store:v@s" --output json &&
    same error_snapshot_exists.json err
fails 2 . "$COFFER" snapshot create "$store:v@t" --kms-key-id x &&
    same error_snapshot_key.text err
for s in v plain; do ok "$COFFER" snapshot delete "$store:$s@s" --yes; done
head -c 100000 /dev/zero >file
ok "$COFFER" volume import "$store:v" file --output json && same volume_import.json out
ok "$COFFER" volume export "$store:v" copy --output json && same volume_export.json out
ok "$COFFER" bench "$store:v" --rw randwrite --runtime 1 --yes --output json && same bench.json out
fails 7 . "$COFFER" volume read "$store:nobody" 0 1 --output json && same error_not_found.json err
fails 2 . "$COFFER" volume modify "$store:v" --kms-key-id x --output json &&
    same error_usage.json err
fails 2 . "$COFFER" volume read "$store:v" 4M 1 && same error_range.text err
finish
