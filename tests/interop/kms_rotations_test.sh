#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Data under each of a thousand rotated materials opens (tests/interop/kms/rotations.py); then the
# negative control, which loses one of them.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
server=${COFFER_BINARY_DIR:?names the build}/tests/interop/kms_conform_server

# Debian's own, whose package botocore is; another python3 may come first in PATH.
python=/usr/bin/python3
"$python" -c 'import boto3' 2> /dev/null || {
    echo "skipped: python3-boto3 is not installed"
    exit 77
}

export PYTHONDONTWRITEBYTECODE=1
"$python" "$here/kms/rotations.py" --server "$server"
"$python" "$here/kms/rotations.py" --server "$server" --rotations 60 --control
