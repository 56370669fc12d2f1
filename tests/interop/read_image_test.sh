#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The snapshots of a frozen store as a reader sees them that was written from docs/format.md alone;
# and again with the store's extents moved into cleaner segments. Then the controls: with one byte
# of a page changed, or of a group's header, it must refuse.
set -euo pipefail
source_dir=${COFFER_SOURCE_DIR:?} binary_dir=${COFFER_BINARY_DIR:?}
image=format-1.0-copies
python3 -B "$source_dir/tests/interop/read_image.py" "$source_dir" "$image"

scratch=$(mktemp -d "$binary_dir/read_image_test.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch/tests/images" "$scratch/tests/vectors"
cp "$source_dir/tests/images/$image".* "$scratch/tests/images"
cp -r "$source_dir/tests/vectors/format" "$scratch/tests/vectors"

for pieces in 1 2 4; do
    moved=$scratch/tests/images/moved-$pieces
    "$binary_dir/tests/images/move_image" "$source_dir/tests/images/$image" "$moved" $pieces
    cp "$source_dir/tests/images/$image.json" "$moved.json"
    python3 -B "$source_dir/tests/interop/read_image.py" "$scratch" "moved-$pieces" \
        | tee "$scratch/log"
    grep -q " [1-9][0-9][0-9]* pages from where they were moved" "$scratch/log" ||
        { echo "FAILED: nothing was moved"; exit 1; }
done
python3 -B - "$scratch/tests/images/moved-4.blocks" << 'GROUPS'
import sys
with open(sys.argv[1], "r+b") as packed:
    data = bytearray(packed.read())
    for at in range(0, len(data), 516):  # the fields of every header
        if data[at + 4:at + 8] == b"COFG":
            data[at + 4 + 32] ^= 1
    packed.seek(0)
    packed.write(data)
GROUPS
if python3 -B "$source_dir/tests/interop/read_image.py" "$scratch" moved-4 \
    > "$scratch/log" 2>&1; then
    echo "FAILED: pages of damaged groups were read"
    exit 1
fi
grep -q "a group's checksum" "$scratch/log" || { cat "$scratch/log"; exit 1; }

python3 -B - "$scratch/tests/images/$image.blocks" << 'DAMAGE'
import sys
with open(sys.argv[1], "r+b") as packed:
    data = bytearray(packed.read())
    for at in range(0, len(data), 516):  # a byte of every unit of the first log segment
        if int.from_bytes(data[at:at + 4], "little") // 2048 == 1:
            data[at + 4 + 300] ^= 1
    packed.seek(0)
    packed.write(data)
DAMAGE
if python3 -B "$source_dir/tests/interop/read_image.py" "$scratch" "$image" \
    > "$scratch/log" 2>&1; then
    echo "FAILED: damaged pages were read"
    exit 1
fi
grep -q "checksum" "$scratch/log" || { cat "$scratch/log"; exit 1; }
echo "read_image_test: 2 controls"
