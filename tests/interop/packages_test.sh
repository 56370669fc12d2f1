#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The Debian packages, made by cpack of the build under test: what each holds and needs, that no
# path of the build and no search path is in them, that programs are hardened, and that what they
# hold works: unpacked into an empty directory, the programs run, each header compiles, an example
# is built against them by pkg-config and by CMake, linked either way. packages_lint.sh asks lintian
# and systemd, where they are. Then controls: packages with a planted fault must fail the checks.
#
#   packages_test.sh --install   installs them on a clean Debian root and runs README's commands
#                                there: packages_install.sh, outside of CI
set -euo pipefail
source_dir=${COFFER_SOURCE_DIR:?} binary_dir=${COFFER_BINARY_DIR:?}
here=$(cd "$(dirname "$0")" && pwd)
CC=${CC:-cc} CXX=${CXX:-c++}
if [[ -n ${COFFER_SANITIZE:-} ]]; then
    echo "packages are made without sanitizers"
    exit 77
fi
for command in dpkg-deb dpkg-shlibdeps file cpack readelf; do
    if ! command -v "$command" > /dev/null; then
        echo "there is no $command"
        exit 77
    fi
done

scratch=$(mktemp -d "$binary_dir/packages_test.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
fail() {
    echo "FAILED: $*"
    exit 1
}

# The build is what it is: cpack need not ask make. Weak compression, as time counts here.
cpack --config "$binary_dir/CPackConfig.cmake" -B "$scratch/cpack" \
    -D CPACK_CMAKE_GENERATOR=Ninja -D CPACK_DEBIAN_COMPRESSION_TYPE=gzip \
    -D CPACK_OUTPUT_FILE_PREFIX="$scratch/debs" > "$scratch/cpack.log" 2>&1 \
    || { cat "$scratch/cpack.log"; fail "cpack"; }
if [[ ${1:-} == --install ]]; then
    bash "$here/packages_install.sh" "$scratch" "$source_dir"
    exit
fi

# --- the checks, each of which a control below makes fail
version=$(sed -n 's/^coffer (\(.*\)) .*/\1/p' "$source_dir/tools/packaging/changelog" | head -n 1)
field() { dpkg-deb -f "$1" "$2"; }
deb_of() { echo "$scratch/debs/$1_${version}_$(dpkg --print-architecture).deb"; }

bad_elf() { # FILE: prints what it has and must not, and what it lacks
    local told
    told=$(readelf -hldSW "$1" && readelf --dyn-syms -W "$1")
    if grep -qE 'R(UN)?PATH' <<< "$told"; then echo "$1: a search path"; fi
    if grep -q '\.debug_info' <<< "$told"; then echo "$1: debug information"; fi
    if [[ $1 == */bin/* ]] && ! grep -qE 'Type: +DYN' <<< "$told"; then echo "$1: no PIE"; fi
    grep -q GNU_RELRO <<< "$told" || echo "$1: no RELRO"
    grep -qE 'BIND_NOW|FLAGS.*NOW' <<< "$told" || echo "$1: lazy binding"
    grep -qE 'GNU_STACK.* RW ' <<< "$told" || echo "$1: an executable stack"
    grep -q __stack_chk_fail <<< "$told" || echo "$1: no stack protector"
    # Without optimization there is none.
    grep -q '^CMAKE_BUILD_TYPE:.*=Debug' "$binary_dir/CMakeCache.txt" \
        || grep -qE '__[a-z]+_chk@' <<< "$told" || echo "$1: not fortified"
}

bad_package() { # DEB: prints what is wrong with it, or nothing
    local deb=$1 name root=$scratch/look file
    name=$(field "$deb" Package)
    rm -rf "$root"
    dpkg-deb -x "$deb" "$root"
    [[ $(field "$deb" Version) == "$version" ]] || echo "version $(field "$deb" Version)"
    [[ -n $(field "$deb" Section) ]] || echo "no section"
    [[ $(field "$deb" Maintainer) =~ ^.+\ \<.+@.+\>$ ]] || echo "no maintainer's address"
    [[ $(field "$deb" Description | wc -l) -ge 3 ]] || echo "no description"
    field "$deb" Description | awk 'length > 80 { print "description: a long line" }'
    for file in copyright changelog.gz; do
        [[ -s $root/usr/share/doc/$name/$file ]] || echo "no $file"
    done
    grep -rlaE "$source_dir|$binary_dir|/usr/local" "$root" | sed 's/$/: a path of the build/'
    for file in "$root"/usr/bin/*; do
        [[ ! -e $file || ! -e $binary_dir/docs/man/coffer.1 ]] \
            || [[ -s $root/usr/share/man/man1/$(basename "$file").1.gz ]] || echo "$file: no manual"
    done
    (cd "$root" && find . -type f | sort) > "$scratch/files"
    dpkg-deb -I "$deb" md5sums 2> /dev/null | sed 's,^[^ ]*  ,./,' | sort \
        | cmp -s - "$scratch/files" || echo "md5sums of other files"
    dpkg-deb -c "$deb" | awk '$2 != "root/root" || $1 ~ /^-.......w/ || $1 ~ /^-..[sS]/ {
        print $6 ": owner or mode " $1, $2 }'
    while read -r file; do
        bad_elf "$file"
        # Ours come from packages of ours, of this very version.
        for library in $(readelf -d "$file" | sed -n 's/.*NEEDED.*\[\(libcoffer.*\)\]/\1/p'); do
            [[ -e $root/usr/lib/$(uname -m)-linux-gnu/$library ]] \
                || [[ $(field "$deb" Depends) == *"${library%.so.0}0 (= $version)"* ]] \
                || echo "$file needs $library, and the package does not"
        done
    done < <(find "$root" -type f -exec file {} + | sed -n 's/: *ELF .*//p')
}

holds() { # DEB GLOB...: it has a file of each
    local deb=$1 list pattern
    list=$(dpkg-deb -c "$deb" | awk '{ print $6 }')
    shift
    for pattern in "$@"; do
        # shellcheck disable=SC2254 # the pattern is one
        while read -r file; do
            case $file in ./usr/$pattern) continue 2 ;; esac
        done <<< "$list"
        fail "$(basename "$deb") has no $pattern"
    done
}

needs() { # DEB FIELD WORD...
    local deb=$1 value word
    value=", $(field "$deb" "$2"),"
    shift 2
    for word in "$@"; do
        [[ $value =~ ,\ $word( \([^\)]*\))?( \| [^,]*)?, ]] \
            || fail "$(basename "$deb") does not need $word: $value"
    done
}

root=$scratch/root
names=()
for deb in "$scratch"/debs/*.deb; do
    names+=("$(field "$deb" Package)")
    bad=$(bad_package "$deb")
    [[ -z $bad ]] || fail "$(basename "$deb"): $bad"
    dpkg-deb -x "$deb" "$root"
done
libraries=$(dirname "$(find "$root" -name libcoffer.so.0)")
in_lib=${libraries#"$root/usr/"}

exact="\(= ${version//./\\.}\)"
holds "$(deb_of libcoffer0)" "$in_lib/libcoffer.so.0"
holds "$(deb_of libcofferkms0)" "$in_lib/libcofferkms.so.0"
needs "$(deb_of libcofferkms0)" Depends "libcoffer0 $exact" libcurl4 libsqlite3-0
holds "$(deb_of libcoffer-dev)" include/coffer/{coffer,keystore,sqlite}.h "$in_lib/lib*.a" \
    "$in_lib/libcoffer.so" "$in_lib/pkgconfig/coffer.pc" "$in_lib/cmake/Coffer/CofferConfig.cmake" \
    'share/doc/libcoffer-dev/examples/embed.c'
needs "$(deb_of libcoffer-dev)" Depends "libcoffer0 $exact" "libcofferkms0 $exact" \
    "libcoffer-sqlite0 $exact"
holds "$(deb_of coffer-tools)" bin/coffer share/bash-completion/completions/coffer \
    share/zsh/site-functions/_coffer share/coffer/dr-copy
needs "$(deb_of coffer-tools)" Recommends "coffer-nbdkit-plugin $exact"
holds "$(deb_of coffer-kms)" bin/cofferkms lib/systemd/system/coffer-kms.service \
    lib/sysusers.d/coffer-kms.conf lib/tmpfiles.d/coffer-kms.conf \
    share/bash-completion/completions/cofferkms
holds "$(deb_of coffer-sqlite)" "$in_lib/sqlite3/coffervfs.so"
holds "$(deb_of libcoffer-sqlite0)" "$in_lib/libcoffer-sqlite.so.0"
needs "$(deb_of libcoffer-sqlite0)" Depends "libcoffer0 $exact" libsqlite3-0
if [[ -e $binary_dir/bin/nbdkit-coffer-plugin.so ]]; then
    holds "$(deb_of coffer-nbdkit-plugin)" "*/nbdkit/plugins/nbdkit-coffer-plugin.so"
    needs "$(deb_of coffer-nbdkit-plugin)" Depends nbdkit
fi
if [[ -e $binary_dir/docs/man/coffer.1 ]]; then
    holds "$(deb_of coffer-tools)" 'share/man/man1/coffer-volume.1.gz' \
        share/man/man5/coffer-store.5.gz
    holds "$(deb_of coffer-kms)" share/man/man1/cofferkms-serve.1.gz \
        share/man/man5/coffer-keystore.5.gz
    holds "$(deb_of coffer-sqlite)" share/man/man7/coffer-sqlite.7.gz
fi
if [[ -e $binary_dir/docs/man3/coffer_coffer.h.3 ]]; then
    holds "$(deb_of libcoffer-dev)" share/man/man3/coffer_store_open.3.gz
fi
# A file is in one package only.
twice=$(for name in "${names[@]}"; do
    dpkg-deb -c "$(deb_of "$name")" | awk '$6 !~ /\/$/ { print $6 }'
done | sort | uniq -d)
[[ -z $twice ]] || fail "in two packages: $twice"
for package in libcoffer0 libcofferkms0 libcoffer-sqlite0; do
    dpkg-deb -I "$(deb_of "$package")" shlibs | grep -qF "0 $package (>= $version)" \
        || fail "$package says nothing to dpkg-shlibdeps"
    [[ $(dpkg-deb -I "$(deb_of "$package")" triggers) == 'activate-noawait ldconfig' ]] \
        || fail "$package: no ldconfig"
    ! dpkg-deb -I "$(deb_of "$package")" postinst > /dev/null 2>&1 || fail "$package: a script"
done
grep -qx 'ExecStart=/usr/bin/cofferkms serve .*' "$root/usr/lib/systemd/system/coffer-kms.service" \
    || fail "the unit starts another program"
bash "$here/packages_lint.sh" "$scratch" || fail "packages_lint.sh"

# --- who links statically needs what the .pc files say, by the package that this machine has it of
missing_needs() { # DEB: packages of modules of the .pc files that it does not depend on
    local deb=$1 module pc package depends
    depends=$(field "$deb" Depends)
    for module in $(sed -n 's/^Requires[^:]*: *//p' "$libraries"/pkgconfig/*.pc | tr ',' '\n' \
        | awk '{ print $1 }' | grep -v '^coffer' | sort -u) libcurl; do
        pc=$(pkg-config --variable=pcfiledir "$module")/$module.pc
        package=$(dpkg -S "$pc" 2> /dev/null | cut -d: -f1) || continue
        [[ $depends == *"$package"* ]] || echo "$module ($package)"
    done
    if grep -q IPSec_MB "$libraries"/pkgconfig/*.pc && [[ $depends != *libipsec-mb-dev* ]]; then
        echo "libipsec-mb-dev"
    fi
    if ! grep -q IPSec_MB "$libraries"/pkgconfig/*.pc && [[ $depends == *libipsec-mb-dev* ]]; then
        echo "libipsec-mb-dev, which it was not built with"
    fi
}
missing=$(missing_needs "$(deb_of libcoffer-dev)")
[[ -z $missing ]] || fail "libcoffer-dev does not need $missing"

# --- what is unpacked works
cd "$scratch"
for program in coffer cofferkms; do
    [[ $("$root/usr/bin/$program" --version) == "$program $version" ]] || fail "$program --version"
done
export COFFER_ROOT_KEY_FILE=$scratch/root.key COFFER_KMS=file:$scratch/keys
export XDG_DATA_HOME=$scratch/data
(umask 077 && head -c 32 /dev/urandom > root.key)
"$root/usr/bin/coffer" store create vault.coffer --size 1G > log 2>&1 || fail "$(cat log)"
"$root/usr/bin/coffer" volume create vault.coffer:disk --size 64M >> log 2>&1 || fail "$(cat log)"
head -c 1M /dev/urandom > data.img
"$root/usr/bin/coffer" volume write vault.coffer:disk 0 < data.img 2> log || fail "$(cat log)"
"$root/usr/bin/coffer" volume read vault.coffer:disk 0 1M | cmp - data.img \
    || fail "another megabyte"
"$root/usr/bin/cofferkms" list-keys --query 'length(Keys)' > log 2>&1 || fail "$(cat log)"
if [[ -e $binary_dir/bin/nbdkit-coffer-plugin.so ]] && command -v nbdkit > /dev/null; then
    # Only the plugin can say this: so it was found from the program's place.
    if "$root/usr/bin/coffer" serve nowhere --unix socket 2> log \
        || ! grep -q 'cannot open the store nowhere' log; then
        fail "coffer serve: $(cat log)"
    fi
fi
if command -v sqlite3 > /dev/null; then
    "$root/usr/bin/coffer" volume create vault.coffer:ledger --size 1G > log 2>&1
    sqlite3 -bail :memory: -cmd ".load $libraries/sqlite3/coffervfs" \
        -cmd ".open 'file:vault.coffer:ledger?vfs=coffer'" 'CREATE TABLE t(x)' \
        || fail "the SQLite extension"
fi

# --- each header by itself, as the languages' users compile
headers=("$root"/usr/include/coffer/*.h)
((${#headers[@]} >= 12)) || fail "only ${#headers[@]} headers"
compiles() { # HEADER: in every standard that is promised, with no other header before it
    local standard compiler
    for standard in c11 gnu17 c++11 c++17; do
        compiler=("$CC" -x c) && [[ $standard != c++* ]] || compiler=("$CXX" -x c++)
        "${compiler[@]}" "-std=$standard" -Wall -Wextra -Wpedantic -Werror -fsyntax-only \
            -I"$root/usr/include" - <<< "#include <coffer/$(basename "$1")>" || return 1
    done
}
for header in "${headers[@]}"; do
    compiles "$header" > log 2>&1 || fail "$header: $(cat log)"
done

# --- an example of the packages is built against them, as on a machine that has them
example=$root/usr/share/doc/libcoffer-dev/examples/embed.c
export PKG_CONFIG_PATH=$libraries/pkgconfig
[[ $(pkg-config --variable=prefix coffer) -ef $root/usr ]] || fail "pkg-config finds another one"
read -r -a flags <<< "$(pkg-config --cflags --libs coffer-kms coffer)"
read -r -a static_flags <<< "$(pkg-config --static --cflags --libs coffer-kms coffer \
    | sed 's/-l\(coffer[a-z]*\)/-l:lib\1.a/g')"
"$CC" -std=c11 -D_GNU_SOURCE -Wall -Werror "$example" -o by_pkg_config "${flags[@]}"
"$CC" -std=c11 -D_GNU_SOURCE -Wall -Werror "$example" -o by_pkg_config_static "${static_flags[@]}"
mkdir consumer
cp "$example" consumer
cat > consumer/CMakeLists.txt << 'CONSUMER'
cmake_minimum_required(VERSION 3.20)
project(consumer LANGUAGES C)
find_package(Coffer 0.1 REQUIRED COMPONENTS static)
add_executable(by_cmake embed.c)
target_link_libraries(by_cmake Coffer::kms Coffer::coffer)
add_executable(by_cmake_static embed.c)
target_link_libraries(by_cmake_static Coffer::kms_static Coffer::coffer_static)
CONSUMER
cmake -S consumer -B consumer/build -DCMAKE_PREFIX_PATH="$root/usr" -DCMAKE_C_COMPILER="$CC" \
    -DCMAKE_C_FLAGS=-D_GNU_SOURCE > log 2>&1 || fail "find_package: $(cat log)"
cmake --build consumer/build > log 2>&1 || fail "a build by CMake: $(cat log)"
for program in by_pkg_config{,_static} consumer/build/by_cmake{,_static}; do
    directory=$(mktemp -d "$scratch/run.XXXXXX")
    LD_LIBRARY_PATH=$libraries "./$program" "$directory" > log 2>&1 || fail "$program: $(cat log)"
    grep -q 'read back' log || fail "$program: $(cat log)"
    linked=$(readelf -d "$program" | grep -c 'NEEDED.*libcoffer' || true)
    [[ $program == *_static ]] && wanted=0 || wanted=2
    ((linked == wanted)) || fail "$program is linked with $linked of our shared libraries"
done

# --- controls: a fault in a package is found
controls=0
planted() { # WORDS: the package in $scratch/plant, made again, is bad, and for this reason
    dpkg-deb --root-owner-group -Znone -b "$scratch/plant" "$scratch/planted.deb" > /dev/null
    local bad
    bad=$(bad_package "$scratch/planted.deb"; missing_needs "$scratch/planted.deb")
    grep -q "$1" <<< "$bad" || fail "the control '$1' was not noticed: $bad"
    controls=$((controls + 1))
    rm -rf "$scratch/plant"
}
plant() { # NAME
    dpkg-deb -R "$(deb_of "$1")" "$scratch/plant"
}
plant libcofferkms0
echo "in $binary_dir/engine" > "$scratch/plant/usr/share/doc/libcofferkms0/copyright"
planted 'a path of the build'
plant coffer-tools
echo 'int main(void) { return 0; }' > planted.c
"$CC" planted.c -o "$scratch/plant/usr/bin/coffer" -Wl,-rpath,/somewhere
planted 'a search path'
plant coffer-tools
"$CC" -g planted.c -o "$scratch/plant/usr/bin/coffer"
planted 'debug information'
cat > guarded.c << 'GUARDED'
#include <stdio.h>
int main(int count, char **words)
{
    char text[64];
    int bytes = snprintf(text, (unsigned)count * 8u, "%s", words[0]);
    return printf("%s", text) != bytes;
}
GUARDED
# shellcheck disable=SC2054 # commas are ld's
guarded=(-O2 -fPIE -pie -fstack-protector-strong -D_FORTIFY_SOURCE=2 -Wl,-z,relro -Wl,-z,now -s)
"$CC" guarded.c -o guarded "${guarded[@]}"
[[ -z $(bad_elf guarded) ]] || fail "a guarded program: $(bad_elf guarded)"
for lack in PIE=-no-pie RELRO=-Wl,-z,norelro 'lazy binding=-Wl,-z,lazy' 'stack=-Wl,-z,execstack' \
    'fortified=-U_FORTIFY_SOURCE' 'protector=-fno-stack-protector'; do
    plant coffer-tools
    "$CC" guarded.c -o "$scratch/plant/usr/bin/coffer" "${guarded[@]}" "${lack#*=}"
    planted "coffer: .*${lack%%=*}"
done
plant libcofferkms0
sed -i 's/libcoffer0 ([^)]*), //' "$scratch/plant/DEBIAN/control"
planted 'needs libcoffer.so.0'
plant libcoffer-dev
sed -i 's/libxxhash-dev[^,]*, //' "$scratch/plant/DEBIAN/control"
planted 'libxxhash'
plant coffer-tools
chmod 777 "$scratch/plant/usr/bin/coffer"
planted 'owner or mode'
plant coffer-sqlite
rm "$scratch/plant/usr/share/doc/coffer-sqlite/copyright"
planted 'no copyright'
plant coffer-tools
sed -i 's/^Maintainer: .*/Maintainer: nobody/' "$scratch/plant/DEBIAN/control"
planted 'address'
plant coffer-tools
sed -i 's/^ Coffer keeps/& whatever it is given, and more,/' "$scratch/plant/DEBIAN/control"
planted 'long line'
plant coffer-tools
rm "$scratch/plant/usr/share/man/man1/coffer.1.gz"
planted 'no manual'
plant coffer-tools
echo more > "$scratch/plant/usr/share/doc/coffer-tools/more"
planted 'md5sums'
echo 'struct coffer_planted { int class; };' > "$root/usr/include/coffer/planted.h"
! compiles "$root/usr/include/coffer/planted.h" 2> log || fail "the control of headers"
echo "packages_test: ${#names[@]} packages, 4 builds of an example, $controls controls"
