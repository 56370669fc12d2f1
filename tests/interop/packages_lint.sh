#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# packages_lint.sh DIRECTORY, called by packages_test.sh: lintian finds no error and no warning in
# DIRECTORY/debs; systemd takes the key service's unit as it is unpacked in DIRECTORY/root, finds it
# fenced, and knows the user and the directory. With controls. Each of the two is left out, with a
# sentence, where it is not installed: what matters most is among packages_test.sh's own checks.
set -euo pipefail
directory=$1
here=$directory/lint
mkdir -p "$here"
fail() {
    echo "FAILED: $*"
    exit 1
}

# --- lintian: what stays is in an override, with its reason
if command -v lintian > /dev/null; then
    judge() {
        lintian --allow-root --fail-on error,warning --tag-display-limit 0 "$@" > "$here/said" 2>&1
    }
    judge "$directory"/debs/*.deb || fail "lintian: $(cat "$here/said")"
    while read -r overrides; do
        grep -q '^#' "$overrides" || fail "$overrides: without a reason"
    done < <(find "$directory/root/usr/share/lintian/overrides" -type f)
    dpkg-deb -R "$directory"/debs/coffer-tools_*.deb "$here/plant"
    rm "$here/plant/usr/share/doc/coffer-tools/copyright"
    dpkg-deb --root-owner-group -Znone -b "$here/plant" "$here/coffer-tools_0.1.0_amd64.deb" \
        > /dev/null
    ! judge "$here/coffer-tools_0.1.0_amd64.deb" || fail "lintian: the control was not noticed"
    grep -q no-copyright-file "$here/said" || fail "lintian: control: $(cat "$here/said")"
    echo "lintian: no error, no warning, 1 control"
else
    echo "lintian is not here"
fi

# --- systemd, without being it
if ! command -v systemd-analyze > /dev/null; then
    echo "systemd-analyze is not here"
    exit 0
fi
unit=$here/coffer-kms.service
sed "s,=/usr/bin/,=$directory/root/usr/bin/," \
    "$directory/root/usr/lib/systemd/system/coffer-kms.service" > "$unit"
sound() { # what systemd says of a unit counts, whatever its exit code
    systemd-analyze verify --man=no "$unit" > "$here/said" 2>&1 && [[ ! -s $here/said ]]
}
fenced() { # exposure at most 1.5 of 10
    systemd-analyze security --offline=yes --no-pager --threshold=15 "$unit" > "$here/said" 2>&1
}
sound || fail "the unit: $(cat "$here/said")"
if systemd-analyze security --help | grep -q -- --offline; then
    fenced || fail "the unit: $(cat "$here/said")"
    sed -i '/^ProtectSystem/d; /^PrivateUsers/d; /^NoNewPrivileges/d' "$unit"
    ! fenced || fail "the unit: the control of its fence was not noticed"
fi
echo 'ProtectSystme=strict' >> "$unit"
sed -i 's/^ExecStart=/&x/' "$unit"
! sound || fail "the unit: the control was not noticed"

# What the scripts of the package do, in a root of its own.
if command -v systemd-sysusers > /dev/null && command -v systemd-tmpfiles > /dev/null \
    && ((EUID == 0)); then
    mkdir -p "$here/root/etc" "$here/root/usr"
    cp -r "$directory/root/usr/lib" "$here/root/usr/lib"
    for again in 1 2; do
        systemd-sysusers --root="$here/root" coffer-kms.conf > "$here/said" 2>&1 \
            || fail "sysusers, time $again: $(cat "$here/said")"
        systemd-tmpfiles --root="$here/root" --create coffer-kms.conf > "$here/said" 2>&1 \
            || fail "tmpfiles, time $again: $(cat "$here/said")"
    done
    group=$(awk -F: '$1 == "coffer-kms" { print $3 }' "$here/root/etc/group")
    grep -q '^coffer-kms:.*:/var/lib/coffer-kms:/usr/sbin/nologin$' "$here/root/etc/passwd" \
        || fail "no user coffer-kms"
    [[ $(stat -c '%u:%g %a' "$here/root/etc/coffer-kms") == "0:$group 750" ]] \
        || fail "/etc/coffer-kms: $(stat -c '%u:%g %a' "$here/root/etc/coffer-kms")"
fi
echo "systemd: the unit is sound and fenced, 2 controls"
