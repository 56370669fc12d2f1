#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# packages_install.sh DIRECTORY SOURCES, called by packages_test.sh --install: makes a Debian root
# of nothing but the essential packages with mmdebstrap, installs DIRECTORY/debs there with apt,
# runs the commands of README.md's "From the shell" as they stand there, builds an example by
# pkg-config and by CMake, upgrades the packages below a key service that serves, installs them
# again, removes, purges. As root, with the network for Debian's packages.
set -euo pipefail
directory=$1 source_dir=$2
root=$directory/clean
if ! command -v mmdebstrap > /dev/null || ((EUID != 0)); then
    echo "needs root and mmdebstrap"
    exit 77
fi
users=() packages=() all=
mounted=()
cleanup() {
    local point
    [[ -z $all ]] || kill "$all" 2> /dev/null || true
    for point in "${mounted[@]}"; do
        umount -l "$point" || true
    done
    # What is still mounted there is not ours to delete.
    if ! grep -q " $root" /proc/self/mounts; then
        rm -rf "$root"
    fi
}
trap cleanup EXIT
fail() {
    echo "FAILED: $*"
    exit 1
}
inside=(chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LC_ALL=C.UTF-8)
within() { "${inside[@]}" "$@"; }
if (exec 3<> /dev/tcp/127.0.0.1/8080) 2> /dev/null; then
    echo "port 8080, which README names, is in use"
    exit 77
fi

suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
mmdebstrap --mode=root --variant=apt --quiet "$suite" "$root"
cp -r "$directory/debs" "$root/debs"
cp /etc/resolv.conf "$root/etc/resolv.conf"
for point in proc dev; do
    mount --rbind "/$point" "$root/$point"
    mount --make-rslave "$root/$point"
    mounted+=("$root/$point")
done
echo "== a root of $(within dpkg-query -f '.\n' -W | wc -l) packages"

install() {
    within env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@" \
        > "$directory/apt.log" 2>&1 || fail "apt-get install $*: $(tail -n 20 "$directory/apt.log")"
}

within apt-get update -qq

# --- users first: no compiler, no header
for deb in "$directory"/debs/*.deb; do
    name=$(dpkg-deb -f "$deb" Package)
    if [[ $name == libcoffer-dev ]]; then
        development=/debs/$(basename "$deb")
    else
        users+=("/debs/$(basename "$deb")")
    fi
    packages+=("$name")
done
install "${users[@]}"
echo "== installed: ${users[*]##*/}"
within ldconfig -p | grep -c libcoffer | grep -qx 3 || fail "ldconfig does not know the libraries"
within getent passwd coffer-kms > /dev/null || fail "no user coffer-kms"
account=$(within id -u coffer-kms) group=$(within id -g coffer-kms)
[[ $(stat -c '%u:%g %a' "$root/etc/coffer-kms") == "0:$group 750" ]] || fail "/etc/coffer-kms"

# --- README's commands, line by line; what is replaced, and by what, is said here
install xxd libnbd-bin sqlite3
within sh -c 'mkdir /tmp/run && head -c 8M /dev/urandom > /tmp/run/disk.img'
awk '/^## From the shell/ { on = 1 } /^## From C/ { exit } on && /^```/ { inside = !inside; next }
    on && inside' "$source_dir/README.md" > "$root/tmp/run/readme"
(($(grep -c . "$root/tmp/run/readme") >= 18)) || fail "README has no commands"
cat > "$root/tmp/run/all" << 'ALL'
set -eu
exec 3>&1
cd /tmp/run
export COFFER_KMS=file:keys COFFER_ROOT_KEY_FILE=root.key
servers=
trap 'kill $servers 2> /dev/null || true' EXIT
until_there() { # COMMAND...: within a minute
    n=0
    until "$@" > /dev/null 2>&1; do
        n=$((n + 1))
        [ $n -lt 600 ] || { echo "README: not there: $*" >&3; exit 1; }
        sleep 0.1
    done
}
ran=0
while IFS= read -r line; do
    command=${line%%  *#*}
    case $command in
        '') continue ;;
        *'head -c 32'*)
            eval "$command"
            # The aliases that are named below; README leaves making keys to the reader.
            for alias in other 2027; do
                id=$(cofferkms create-key --query KeyMetadata.KeyId --output text)
                cofferkms create-alias --alias-name alias/$alias --target-key-id "$id"
            done ;;
        *nbdfuse*) # without /dev/fuse: the same bytes by another client
            socket=${command##*--unix }
            until_there test -S "$socket"
            nbdcopy "nbd+unix:///?socket=$socket" served.img
            kill $servers; wait $servers || true; servers= ;;
        *'&') eval "$command"; servers="$servers $!" ;;
        'cofferkms serve '*) $command & servers="$servers $!"
            until_there bash -c 'exec 3<> /dev/tcp/127.0.0.1/8080' ;;
        'sqlite3 '*) # without -bail it goes on, in memory, where it cannot load or open
            eval "sqlite3 -bail ${command#sqlite3 } 'CREATE TABLE t(x)'"
            coffer volume describe vault.coffer:ledger --query MappedBytes --output text \
                | grep -vqx 0 ;;
        'aws '*) echo "$command" > aws; until_there test -e aws.done ;;
        *) eval "$command" ;;
    esac < /dev/null > out 2>&1 || { echo "README: $command: $(cat out)"; exit 1; }
    ran=$((ran + 1))
done < readme
cmp disk.img copy.img
cmp disk.img served.img
echo "== README: $ran commands"
ALL
"${inside[@]}" bash /tmp/run/all & # no subshell between, so that it can be ended
all=$!
# The AWS command line is this machine's: it sees the same loopback address.
while kill -0 "$all" 2> /dev/null; do
    if [[ -s $root/tmp/run/aws && ! -e $root/tmp/run/aws.done ]]; then
        if command -v aws > /dev/null; then
            printf '[default]\ncredential_process = cat %s\n' "$root/tmp/run/credentials" \
                > "$directory/aws.config"
            AWS_CONFIG_FILE=$directory/aws.config AWS_SHARED_CREDENTIALS_FILE=/dev/null \
                bash "$root/tmp/run/aws" > "$directory/aws.log" 2>&1 || true
            grep -q KeyMetadata "$directory/aws.log" || fail "aws: $(cat "$directory/aws.log")"
        else
            echo "== no aws here: README's command of it was left out"
        fi
        touch "$root/tmp/run/aws.done"
    fi
    sleep 0.2
done
wait "$all" || fail "README's commands"
all=

# --- who builds a program needs the -dev package, a compiler, and nothing else by name
install "$development" gcc pkg-config cmake make
mkdir "$root/tmp/build"
cat > "$root/tmp/build/CMakeLists.txt" << 'CONSUMER'
cmake_minimum_required(VERSION 3.20)
project(consumer LANGUAGES C)
find_package(Coffer 0.1 REQUIRED COMPONENTS static)
add_executable(by_cmake embed.c)
target_compile_definitions(by_cmake PRIVATE _GNU_SOURCE)
target_link_libraries(by_cmake Coffer::kms_static Coffer::coffer_static)
CONSUMER
cat > "$root/tmp/build/all" << 'BUILD'
set -eu
cd /tmp/build
cp /usr/share/doc/libcoffer-dev/examples/embed.c .
# shellcheck disable=SC2046 # several words
gcc -std=c11 -D_GNU_SOURCE embed.c -o by_pkg_config $(pkg-config --cflags --libs coffer-kms)
cmake -S . -B .
cmake --build .
mkdir a b
./by_pkg_config a
./by_cmake b
BUILD
within sh /tmp/build/all > "$directory/build.log" 2>&1 \
    || fail "a build: $(tail -n 20 "$directory/build.log")"
grep -c 'read back' "$directory/build.log" | grep -qx 2 || fail "an example says something else"
echo "== an example, by pkg-config and by CMake (static)"

# --- the control: a package that another version of ours belongs to is not installed
dpkg-deb -R "$directory"/debs/libcofferkms0_*.deb "$directory/planted"
sed -i 's/libcoffer0 ([^)]*)/libcoffer0 (= 9.9.9)/' "$directory/planted/DEBIAN/control"
dpkg-deb --root-owner-group -Znone -b "$directory/planted" "$root/debs/planted.deb" > /dev/null
if within apt-get install -q -y --dry-run /debs/planted.deb > "$directory/apt.log" 2>&1; then
    fail "apt installs what needs another libcoffer0"
fi
grep -q 'libcoffer0 (= 9.9.9)' "$directory/apt.log" || fail "control: $(cat "$directory/apt.log")"

# --- upgraded, installed again, removed and installed: what is not the package's stays as it is
apt_get() {
    within env DEBIAN_FRONTEND=noninteractive apt-get -q -y "$@" > "$directory/apt.log" 2>&1 \
        || fail "apt-get $*: $(tail -n 20 "$directory/apt.log")"
}
older=() newer=()
for deb in "$root"/debs/*_0*.deb; do
    plant=$directory/older
    rm -rf "$plant"
    dpkg-deb -R "$deb" "$plant"
    version=$(dpkg-deb -f "$deb" Version)
    sed -i "s/^Version: .*/Version: $version~1/; s/(= $version)/(= $version~1)/g" \
        "$plant/DEBIAN/control"
    dpkg-deb --root-owner-group -Znone -b "$plant" "$root/debs/older_$(basename "$deb")" > /dev/null
    older+=("/debs/older_$(basename "$deb")") newer+=("/debs/$(basename "$deb")")
done
apt_get install --allow-downgrades "${older[@]}"
rm -rf "$plant" "$root"/debs/older_*

command install -d -o "$account" -g "$group" -m 700 "$root"/var/lib/coffer-kms \
    "$root"/run/coffer-kms
(umask 077 && head -c 32 /dev/urandom > "$root/etc/coffer-kms/root.key")
command install -o "$account" -m 400 "$root/etc/coffer-kms/root.key" "$root/run/coffer-kms/root.key"
service=(chroot --userspec="$account:$group" "$root" env -i PATH=/usr/bin
    COFFER_KMS=file:/var/lib/coffer-kms/keys COFFER_ROOT_KEY_FILE=/run/coffer-kms/root.key)
serve_keys() {
    : > "$directory/serve.log" # the last one's said that it was ready
    "${service[@]}" cofferkms serve --unix /run/coffer-kms/kms > "$directory/serve.log" 2>&1 &
    all=$!
    for ((tries = 0; tries < 600; tries++)); do
        ! grep -q ': ready' "$directory/serve.log" || return 0
        sleep 0.1
    done
    fail "cofferkms serve: $(cat "$directory/serve.log")"
}
answers() { # within the root, by the socket: the server that runs
    within curl -sS --max-time 60 --unix-socket /run/coffer-kms/kms http://localhost/healthz \
        > /dev/null || fail "the key service does not answer $1: $(cat "$directory/serve.log")"
}
keys() { within cofferkms list-keys --kms file:/var/lib/coffer-kms/keys \
    --root-key-file /etc/coffer-kms/root.key --query 'Keys[].KeyId' --output text; }
owned() { # what must stay: names, owners, modes, sums
    (cd "$root" && find etc/coffer-kms var/lib/coffer-kms -printf '%p %U:%G %m\n' | sort \
        && sha256sum etc/coffer-kms/* var/lib/coffer-kms/* && grep '^coffer-kms:' etc/passwd)
}
install curl
within sh -c 'echo certificate > /etc/coffer-kms/server.crt'
serve_keys
within cofferkms create-key --kms file:/var/lib/coffer-kms/keys \
    --root-key-file /etc/coffer-kms/root.key > "$directory/log" 2>&1 \
    || fail "create-key: $(cat "$directory/log")"
before=$(keys) program=$(readlink "/proc/$all/exe" || true)
answers 'before the upgrade'
apt_get install "${newer[@]}"
answers 'after the upgrade, by its old program'
[[ $(keys) == "$before" && -n $before ]] || fail "the upgrade changed the keys"
[[ $program && $(readlink "/proc/$all/exe") == *'(deleted)' ]] || fail "nothing was upgraded"
kill "$all"
wait "$all" || fail "the key service, stopped: $(cat "$directory/serve.log")"
serve_keys
answers 'by its new program'
kill "$all"
wait "$all" || fail "the key service, stopped: $(cat "$directory/serve.log")"
all=
stays=$(owned)
for way in 'install --reinstall' 'remove' 'install' 'purge' 'install'; do
    read -r -a words <<< "$way"
    if [[ ${words[0]} == install ]]; then
        words+=("${newer[@]}")
    else
        words+=("${packages[@]}")
    fi
    apt_get "${words[@]}"
    [[ $(owned) == "$stays" ]] || fail "$way changed $(diff <(owned) - <<< "$stays")"
done
[[ $(keys) == "$before" ]] || fail "other keys after all that"
stays=$(owned) # with the audit record of that
by_dpkg() { # SCRIPT ARGUMENT
    within env DPKG_MAINTSCRIPT_PACKAGE=coffer-kms sh "/var/lib/dpkg/info/coffer-kms.$1" "$2" \
        > "$directory/log" 2>&1 || fail "$*: $(cat "$directory/log")"
}
# A script that failed half way, or is called again, does what it did.
for script in postinst postrm; do
    for argument in configure remove purge abort-upgrade; do
        by_dpkg "$script" "$argument"
        [[ $(owned) == "$stays" ]] || fail "$script $argument changed what is not the package's"
    done
done
by_dpkg postinst configure
echo "== upgraded below a key service that served, reinstalled, removed, purged: its keys are there"

# --- and away again; keys stay
within env DEBIAN_FRONTEND=noninteractive apt-get purge -qq -y "${packages[@]}" \
    > "$directory/apt.log" 2>&1 || fail "purge: $(cat "$directory/apt.log")"
grep -q 'are left where they are' "$directory/apt.log" || fail "purge says nothing of the keys"
[[ $(owned) == "$stays" ]] || fail "purge took away $(diff <(owned) - <<< "$stays")"
rm "$root/etc/coffer-kms/root.key"
[[ $(owned 2> /dev/null) != "$stays" ]] || fail "the control: a key that went was not noticed"
left=$(find "$root/usr" "$root/etc" -name '*coffer*' ! -path '*/etc/coffer-kms')
[[ -z $left ]] || fail "purged, but there: $left"
echo "packages_install: ${#packages[@]} packages installed, used, upgraded and purged, 2 controls"
