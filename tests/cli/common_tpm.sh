# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# common_tpm.sh - a TPM of one's own, by swtpm, in the working directory.
#
# start_tpm leaves its process in $tpm, which the caller ends, and its first port in $port; the next
# one is its, too.
start_tpm() {
    local try
    mkdir -p state
    for try in $(seq 50); do
        port=$((20000 + (RANDOM + try) % 30000))
        swtpm socket --tpm2 --tpmstate "dir=$PWD/state" --flags not-need-init,startup-clear \
            --server "type=tcp,port=$port,bindaddr=127.0.0.1" \
            --ctrl "type=tcp,port=$((port + 1)),bindaddr=127.0.0.1" \
            --daemon --pid "file=$PWD/tpm.pid" >/dev/null 2>&1 && break
    done
    tpm=$(cat tpm.pid)
}
