#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The snapshots of a frozen store as a reader sees them that was written from docs/format.md alone.
# Then the control: with one byte of a page changed it must refuse.
set -euo pipefail
source_dir=${COFFER_SOURCE_DIR:?} binary_dir=${COFFER_BINARY_DIR:?}
image=format-1.0-copies
python3 -B "$source_dir/tests/interop/read_image.py" "$source_dir" "$image"

scratch=$(mktemp -d "$binary_dir/read_image_test.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch/tests/images" "$scratch/tests/vectors"
cp "$source_dir/tests/images/$image".* "$scratch/tests/images"
cp -r "$source_dir/tests/vectors/format" "$scratch/tests/vectors"
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
echo "read_image_test: 1 control"
