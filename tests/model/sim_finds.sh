#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs a simulation with a planted fault, which must end it with status 4: a check found it.
set -u
"$@" > /dev/null
status=$?
if ((status != 4)); then
    echo "status $status, and not 4: $*" >&2
    exit 1
fi
