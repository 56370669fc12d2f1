#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The key service against real clients: one list of cases (tests/interop/kms) by the AWS command
# line, boto3, the JavaScript SDK, and requests of our own, all signed. Then the negative control: a
# server that lets every state of a key through has to fail.
#
# The SDK comes from npm by its lock file. Without a client the test is skipped, and says so.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
servers=${COFFER_BINARY_DIR:?names the build}/tests/interop
work=$(mktemp -d "${TMPDIR:-/tmp}/coffer-conformance.XXXXXX")
trap 'rm -rf "$work"' EXIT

missing() {
    echo "skipped: $*"
    exit 77
}

# Debian's own, whose packages the clients are; another python3 may come first in PATH.
python=/usr/bin/python3
"$python" -c 'import boto3' 2> /dev/null || missing "python3-boto3 is not installed"
[[ -x /usr/bin/aws ]] || missing "awscli is not installed"
command -v node > /dev/null || missing "node is not installed"
command -v npm > /dev/null || missing "npm is not installed"

cp "$here"/kms/js/* "$work"
(cd "$work" && npm ci --no-audit --no-fund --ignore-scripts > npm.log 2>&1) || {
    tail -n 5 "$work/npm.log"
    missing "npm ci failed: is the package registry reachable?"
}

export PYTHONDONTWRITEBYTECODE=1 NODE_NO_WARNINGS=1
"$python" "$here/kms/conform.py" --server "$servers/kms_conform_server" --js "$work" "$@"

echo
echo "== negative control: states are not enforced"
"$python" "$here/kms/conform.py" --server "$servers/kms_conform_server_broken" --clients raw \
    --only ' in state (Disabled|PendingDeletion)' --expect-failures > "$work/control.log" || {
    tail -n 20 "$work/control.log"
    echo "a server without its rules went unnoticed"
    exit 1
}
tail -n 2 "$work/control.log"
