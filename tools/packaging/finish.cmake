# SPDX-License-Identifier: Apache-2.0
#
# Run by CPack on what was installed, before it becomes packages: what Debian wants of every package
# (copyright, changelog, compressed manual pages, overrides of lintian with their reasons), and
# programs and libraries without what only their build needed. Debug information of static libraries
# names the build's directories.
set(staged ${CPACK_TEMPORARY_DIRECTORY})
file(GLOB_RECURSE pages ${staged}/*/usr/share/man/*)
if(pages)
    execute_process(COMMAND gzip -9nf ${pages} COMMAND_ERROR_IS_FATAL ANY)
endif()

function(strip_all)
    cmake_parse_arguments(arg "" "" "FILES;OPTIONS" ${ARGN})
    foreach(file IN LISTS arg_FILES)
        if(NOT IS_SYMLINK ${file})
            execute_process(COMMAND ${CPACK_COFFER_STRIP} ${arg_OPTIONS} --remove-section=.comment
                --remove-section=.note ${file} COMMAND_ERROR_IS_FATAL ANY)
        endif()
    endforeach()
endfunction()
file(GLOB_RECURSE programs ${staged}/*/usr/bin/*)
file(GLOB_RECURSE libraries ${staged}/*/usr/lib/*.so ${staged}/*/usr/lib/*.so.*)
file(GLOB_RECURSE archives ${staged}/*/usr/lib/*.a)
strip_all(FILES ${programs})
strip_all(FILES ${libraries} OPTIONS --strip-unneeded)
strip_all(FILES ${archives} OPTIONS --strip-debug --enable-deterministic-archives)

foreach(component IN LISTS CPACK_COMPONENTS_ALL)
    string(TOUPPER ${component} upper)
    set(package ${CPACK_DEBIAN_${upper}_PACKAGE_NAME})
    set(share ${staged}/${component}/usr/share)
    set(modes FILE_PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
    file(COPY ${CPACK_COFFER_PACKAGING}/copyright ${CPACK_COFFER_PACKAGING}/changelog
        DESTINATION ${share}/doc/${package} ${modes})
    execute_process(COMMAND gzip -9nf ${share}/doc/${package}/changelog COMMAND_ERROR_IS_FATAL ANY)
    if(EXISTS ${CPACK_COFFER_PACKAGING}/${package}/lintian-overrides)
        file(COPY ${CPACK_COFFER_PACKAGING}/${package}/lintian-overrides
            DESTINATION ${share}/lintian/overrides ${modes})
        file(RENAME ${share}/lintian/overrides/lintian-overrides
            ${share}/lintian/overrides/${package})
    endif()
endforeach()
