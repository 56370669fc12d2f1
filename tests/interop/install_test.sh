#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The package as others get it: installs into a scratch prefix, builds each of docs/examples as C
# and as C++ by pkg-config, by pkg-config --static and by find_package(Coffer), and runs each.
# Then the controls: an internal function must not link, a header of the inside must not be there.
set -euo pipefail
source_dir=${COFFER_SOURCE_DIR:?} binary_dir=${COFFER_BINARY_DIR:?}
CC=${CC:-cc} CXX=${CXX:-c++}
if [[ -n ${COFFER_SANITIZE:-} ]]; then
    echo "the package is tested without sanitizers"
    exit 77
fi

# Beside the build and not in /tmp: the examples use O_DIRECT, which an older tmpfs refuses.
scratch=$(mktemp -d "$binary_dir/install_test.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
prefix=$scratch/prefix
fail() {
    echo "FAILED: $*"
    exit 1
}

cmake --install "$binary_dir" --prefix "$prefix" > "$scratch/install.log"
pkgconfig=$(dirname "$(find "$prefix" -name coffer.pc)")
library_dir=$(dirname "$pkgconfig")
export PKG_CONFIG_PATH=$pkgconfig LD_LIBRARY_PATH=$library_dir

# --- what is there, and what must not be
for file in bin/coffer bin/cofferkms include/coffer/coffer.h include/coffer/keystore.h \
    include/coffer/sqlite.h; do
    [[ -s $prefix/$file ]] || fail "$file is not installed"
done
for library in libcoffer libcofferkms libcoffer-sqlite; do
    for ending in so so.0 a; do
        [[ -s $library_dir/$library.$ending ]] || fail "$library.$ending is not installed"
    done
    soname=$(objdump -p "$library_dir/$library.so" | awk '/SONAME/ { print $2 }')
    [[ $soname == "$library.so.0" ]] || fail "$library has the soname $soname"
done
for program in coffer cofferkms; do
    "$prefix/bin/$program" --version > /dev/null || fail "$program --version"
    bash -n "$prefix/share/bash-completion/completions/$program" || fail "bash completion: $program"
    [[ -s $prefix/share/zsh/site-functions/_$program ]] || fail "zsh completion of $program"
    if command -v scdoc > /dev/null; then
        [[ -s $prefix/share/man/man1/$program.1 ]] || fail "no man page of $program"
    fi
done
[[ -s $library_dir/sqlite3/coffervfs.so ]] || fail "the SQLite extension is not installed"
plugin=$(find "$prefix" -name nbdkit-coffer-plugin.so)
if [[ -e $binary_dir/bin/nbdkit-coffer-plugin.so ]]; then
    [[ $plugin == */nbdkit/plugins/* ]] || fail "the nbdkit plugin is not installed"
    nbdkit "$plugin" --dump-plugin > "$scratch/plugin" || fail "nbdkit does not take the plugin"
    # Only the plugin can say this: so the installed program found it from its own place.
    if (cd "$scratch" && "$prefix/bin/coffer" serve nowhere --unix socket) 2> "$scratch/plugin" ||
        ! grep -q 'cannot open the store nowhere' "$scratch/plugin"; then
        fail "the installed coffer does not find the plugin: $(cat "$scratch/plugin")"
    fi
fi
strangers=$(find "$prefix/include" -type f ! -path "$prefix/include/coffer/*")
[[ -z $strangers ]] || fail "headers outside coffer/: $strangers"
if grep -rlE "$source_dir|$binary_dir" "$pkgconfig" "$library_dir/cmake"; then
    fail "the files above name the build's own directories"
fi

# --- the examples, each way that a program may find the package
ran=0
run_example() { # PROGRAM; inject needs no directory, and ignores the one it gets
    local directory
    directory=$(mktemp -d "$scratch/run.XXXXXX")
    if ! "$1" "$directory" > "$directory/output" 2>&1; then
        cat "$directory/output"
        fail "$1 does not run"
    fi
    rm -rf "$directory"
    ran=$((ran + 1))
}

strict=(-D_GNU_SOURCE -Wall -Wextra -Werror)
read -r -a flags <<< "$(pkg-config --cflags --libs coffer-sqlite coffer-kms coffer libcrypto)"
static_flags=()
for flag in $(pkg-config --static --cflags --libs coffer-sqlite coffer-kms coffer libcrypto); do
    case $flag in
        -lcoffer | -lcofferkms | -lcoffer-sqlite) static_flags+=("-l:lib${flag#-l}.a") ;;
        *) static_flags+=("$flag") ;;
    esac
done
for example in "$source_dir"/docs/examples/*.c; do
    program=$scratch/$(basename "$example" .c)
    "$CC" -std=c11 "${strict[@]}" "$example" -o "$program.c11" "${flags[@]}"
    "$CXX" -std=c++11 "${strict[@]}" -x c++ "$example" -x none -o "$program.cxx11" "${flags[@]}"
    "$CC" -std=c11 "${strict[@]}" "$example" -o "$program.static" "${static_flags[@]}"
    if objdump -p "$program.static" | grep -q 'NEEDED.*libcoffer'; then
        fail "$program.static leans on a shared library of ours"
    fi
    for way in c11 cxx11 static; do
        run_example "$program.$way"
    done
done

mkdir "$scratch/consumer"
cp "$source_dir"/docs/examples/*.c "$scratch/consumer"
cat > "$scratch/consumer/CMakeLists.txt" << 'CONSUMER'
cmake_minimum_required(VERSION 3.20)
project(consumer LANGUAGES C CXX)
find_package(Coffer 0.1 REQUIRED COMPONENTS static)
find_package(OpenSSL REQUIRED)
file(GLOB examples *.c)
foreach(example ${examples})
    get_filename_component(name ${example} NAME_WE)
    configure_file(${example} ${name}.cpp COPYONLY)
    add_executable(${name}_c ${example})
    target_link_libraries(${name}_c Coffer::sqlite Coffer::kms Coffer::coffer
        PkgConfig::SQLITE OpenSSL::Crypto)
    add_executable(${name}_cxx ${CMAKE_CURRENT_BINARY_DIR}/${name}.cpp)
    target_link_libraries(${name}_cxx Coffer::sqlite Coffer::kms Coffer::coffer
        PkgConfig::SQLITE OpenSSL::Crypto)
    add_executable(${name}_static ${example})
    target_link_libraries(${name}_static Coffer::sqlite_static Coffer::kms_static
        Coffer::coffer_static PkgConfig::SQLITE OpenSSL::Crypto)
endforeach()
# Another minor version may have another interface; a newer patch is not there.
set(found ${Coffer_DIR})
foreach(version 0.0 0.1.999 0.2 1.0)
    find_package(Coffer ${version} QUIET)
    if(Coffer_FOUND)
        message(FATAL_ERROR "find_package(Coffer ${version}) takes ${Coffer_VERSION}")
    endif()
    set(Coffer_DIR ${found} CACHE PATH "" FORCE)
endforeach()
find_package(Coffer 0.1 QUIET COMPONENTS nonsense)
if(Coffer_FOUND)
    message(FATAL_ERROR "find_package(Coffer) takes a component that is not there")
endif()
set(Coffer_DIR ${found} CACHE PATH "" FORCE)
CONSUMER
cmake -S "$scratch/consumer" -B "$scratch/consumer/build" -DCMAKE_PREFIX_PATH="$prefix" \
    -DCMAKE_C_COMPILER="$CC" -DCMAKE_CXX_COMPILER="$CXX" > "$scratch/consumer.log" \
    || { cat "$scratch/consumer.log"; fail "find_package(Coffer)"; }
cmake --build "$scratch/consumer/build" >> "$scratch/consumer.log" 2>&1 \
    || { cat "$scratch/consumer.log"; fail "a build by find_package(Coffer)"; }
for program in "$scratch"/consumer/build/*_{c,cxx,static}; do
    run_example "$program"
done
examples=("$source_dir"/docs/examples/*.c)
((ran == ${#examples[@]} * 6)) || fail "$ran runs of ${#examples[@]} examples"

# --- controls: what is inside stays inside
echo 'void *cof_alloc(void *, unsigned long); int main(void) { return cof_alloc(0, 0) != 0; }' \
    > "$scratch/inside.c"
if "$CC" "$scratch/inside.c" -o "$scratch/inside" "${flags[@]}" 2> /dev/null; then
    fail "an internal function links against the installed library"
fi
echo '#include <base/env.h>' > "$scratch/header.c"
if "$CC" -c "$scratch/header.c" -o "$scratch/header.o" "${flags[@]}" 2> /dev/null; then
    fail "an internal header is installed"
fi
echo "install_test: $ran runs of ${#examples[@]} examples, 2 controls"
