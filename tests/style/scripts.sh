#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every shell script of the tree passes shellcheck; a planted bad one must not.
set -euo pipefail
root=${1:-$COFFER_SOURCE_DIR}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

command -v shellcheck > /dev/null || { echo "shellcheck is not installed"; exit 77; }

mapfile -t scripts < <(find "$root/.ci" "$root/tests" "$root/bench" "$root/tools" "$root/docs" \
    -type f -exec grep -lE '^#!/(usr/)?bin/(env )?(ba)?sh' {} + | sort)
if ((${#scripts[@]} < 3)); then
    echo "only ${#scripts[@]} scripts below $root: is this the tree?"
    exit 1
fi
shellcheck --external-sources --source-path=SCRIPTDIR "${scripts[@]}"

# shellcheck disable=SC2016 # the planted text is meant to be unexpanded
printf '#!/bin/bash\nrm -rf $1/*\n' > "$scratch/planted.sh"
if shellcheck "$scratch/planted.sh" > /dev/null; then
    echo "control not caught: $scratch/planted.sh"
    exit 1
fi
echo "scripts.sh: ${#scripts[@]} scripts, 1 control, 0 violations"
