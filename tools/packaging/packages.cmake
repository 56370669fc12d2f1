# SPDX-License-Identifier: Apache-2.0
#
# Debian packages, by CPack: `cmake --build BUILD --target package` leaves them in BUILD/packages.
# Each is an install component; what depends on what of ours does so by the exact version. Programs
# and plugins are linked with our static libraries, so they need no library package.
set(CPACK_GENERATOR DEB)
set(CPACK_VERBATIM_VARIABLES ON)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_OUTPUT_FILE_PREFIX ${PROJECT_BINARY_DIR}/packages)
# By DESTDIR, so that what is made at install time names the prefix that it will be in.
set(CPACK_SET_DESTDIR ON)
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
    OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_CURRENT_LIST_DIR}/finish.cmake)
set(CPACK_COFFER_PACKAGING ${CMAKE_CURRENT_LIST_DIR})
set(CPACK_COFFER_STRIP ${CMAKE_STRIP})

set(COFFER_MAINTAINER "The Coffer project" CACHE STRING "of the packages: NAME <ADDRESS>")
set(maintainer ${COFFER_MAINTAINER})
if(NOT maintainer MATCHES "<.+@.+>$")
    # A maintainer has an address by Debian's rules; one below .invalid is nobody's.
    string(APPEND maintainer " <packages@coffer.invalid>")
endif()
set(CPACK_PACKAGE_NAME coffer)
set(CPACK_PACKAGE_VENDOR "The Coffer project")
# Else it stands before every package's own.
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "")
set(CPACK_PACKAGE_CONTACT ${maintainer})
set(CPACK_DEBIAN_PACKAGE_MAINTAINER ${maintainer})
set(CPACK_DEBIAN_PACKAGE_SOURCE coffer)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_ENABLE_COMPONENT_DEPENDS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY ">=")
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${PROJECT_BINARY_DIR}/engine)
set(CPACK_COMPONENTS_ALL "")

# debian_package(COMPONENT NAME SECTION "one line" "more" [DEPENDS component...] [EXTERNAL "..."]
# [RECOMMENDS "..."] [SUGGESTS "..."] [CONTROL file...]): lines of at most 79 columns.
function(debian_package component name section summary description)
    cmake_parse_arguments(arg "" "EXTERNAL;RECOMMENDS;SUGGESTS" "DEPENDS;CONTROL" ${ARGN})
    string(TOUPPER ${component} upper)
    set(prefix CPACK_DEBIAN_${upper})
    list(APPEND CPACK_COMPONENTS_ALL ${component})
    set(CPACK_COMPONENTS_ALL ${CPACK_COMPONENTS_ALL} PARENT_SCOPE)
    set(CPACK_COMPONENT_${upper}_DEPENDS ${arg_DEPENDS} PARENT_SCOPE)
    set(${prefix}_DESCRIPTION "${summary}\n${description}" PARENT_SCOPE)
    set(${prefix}_PACKAGE_NAME ${name} PARENT_SCOPE)
    set(${prefix}_PACKAGE_SECTION ${section} PARENT_SCOPE)
    set(${prefix}_PACKAGE_DEPENDS "${arg_EXTERNAL}" PARENT_SCOPE)
    set(${prefix}_PACKAGE_RECOMMENDS "${arg_RECOMMENDS}" PARENT_SCOPE)
    set(${prefix}_PACKAGE_SUGGESTS "${arg_SUGGESTS}" PARENT_SCOPE)
    set(${prefix}_PACKAGE_CONTROL_EXTRA "${arg_CONTROL}" PARENT_SCOPE)
endfunction()

# ldconfig is run by its trigger, once for all packages of an installation. CPack writes scripts
# that call it, but where it is given some; those that are named here are not there, and so in no
# package.
set(library_control ${CMAKE_CURRENT_LIST_DIR}/library/triggers
    ${CMAKE_CURRENT_LIST_DIR}/library/no/postinst ${CMAKE_CURRENT_LIST_DIR}/library/no/postrm)

set(what "Coffer keeps encrypted, crash-safe block volumes in one file or block device:
each page is sealed with AES-256-GCM under keys that a key service guards, and
written once to a log.
")

debian_package(library libcoffer${coffer_soversion} libs
    "encrypted, crash-safe volumes: shared library" "${what}
This package has the library that a program uses such a store with."
    CONTROL ${library_control})

debian_package(kmslibrary libcofferkms${coffer_soversion} libs
    "encrypted, crash-safe volumes: shared library of the key service" "${what}
This package has the embedded key store, and the client of a key service
elsewhere."
    DEPENDS library CONTROL ${library_control})

if(TARGET coffersqlite_shared)
    debian_package(sqlitelibrary libcoffer-sqlite${coffer_soversion} libs
        "encrypted, crash-safe volumes: shared library for SQLite databases" "${what}
This package has the VFS of SQLite for programs that have a store open, and
keep databases in its volumes."
        DEPENDS library CONTROL ${library_control})
    set(sqlite_library sqlitelibrary)
endif()

# What the .pc files name, for static linking too; packages_test.sh holds one against the other.
set(development_needs libc6-dev "liburing-dev (>= 2.3)" "libssl-dev (>= 3.0)"
    "libxxhash-dev (>= 0.8)" "libsqlite3-dev (>= 3.37)" "libjansson-dev (>= 2.13)" libargon2-dev
    "libcurl4-openssl-dev (>= 7.81) | libcurl4-gnutls-dev (>= 7.81)" "libp11-kit-dev (>= 0.24)"
    "libtss2-dev (>= 3.0)")
if(with_ipsec_mb)
    list(APPEND development_needs "libipsec-mb-dev (>= 1.3)")
endif()
list(JOIN development_needs ", " development_needs)
debian_package(development libcoffer-dev libdevel
    "encrypted, crash-safe volumes: headers and static libraries" "${what}
This package has the headers, the static libraries, what pkg-config and CMake
need, the manual pages of every header and function, and examples."
    DEPENDS library kmslibrary ${sqlite_library} EXTERNAL "${development_needs}")

debian_package(programs coffer-tools admin
    "encrypted, crash-safe volumes: the coffer program" "${what}
This package has the program that makes and checks stores, moves data into
volumes and out of them, takes and copies snapshots, and changes keys; with an
embedded key store, or a key service that is elsewhere."
    RECOMMENDS "coffer-nbdkit-plugin (= ${PROJECT_VERSION})"
    SUGGESTS "coffer-kms (= ${PROJECT_VERSION}), coffer-sqlite (= ${PROJECT_VERSION})")

# Its user and directory are made by systemd's own programs, which also come without systemd.
set(users_and_files "systemd-standalone-sysusers | systemd-sysusers")
string(APPEND users_and_files ", systemd-standalone-tmpfiles | systemd-tmpfiles")
set(service ${CMAKE_CURRENT_LIST_DIR}/coffer-kms)
debian_package(service coffer-kms admin
    "key service that speaks AWS KMS's protocol"
    "Keys, grants, policies, rotation, imported material and an audit trail, on the
command line and as a server for any AWS SDK.

This package has the cofferkms program and a hardened unit of systemd, which is
not started before it is set up. Coffer's volumes use it, and so can anything
else."
    EXTERNAL "${users_and_files}"
    SUGGESTS "coffer-tools (= ${PROJECT_VERSION})"
    CONTROL ${service}/postinst ${service}/prerm ${service}/postrm)

if(TARGET nbdkit_coffer)
    debian_package(nbdkit coffer-nbdkit-plugin admin
        "encrypted, crash-safe volumes: plugin for nbdkit" "${what}
This package has the plugin by which nbdkit serves volumes and snapshots, and
with which `coffer serve` does."
        EXTERNAL "nbdkit (>= ${NBDKIT_VERSION})" RECOMMENDS "coffer-tools (= ${PROJECT_VERSION})")
endif()

if(TARGET coffersqlite_shared)
    debian_package(sqlite coffer-sqlite database
        "encrypted, crash-safe volumes: SQLite databases on them" "${what}
This package has a VFS of SQLite that keeps a database in a volume, as an
extension that any program can load into SQLite."
        RECOMMENDS "sqlite3, coffer-tools (= ${PROJECT_VERSION})")
endif()

include(CPack)
