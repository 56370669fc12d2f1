# SPDX-License-Identifier: Apache-2.0
#
# Run by CPack on what was installed, before it becomes packages: what Debian wants of every package
# (copyright, changelog, compressed manual pages), and static libraries without debug information,
# which names the build's directories.
file(GLOB_RECURSE pages ${CPACK_TEMPORARY_DIRECTORY}/*/usr/share/man/*)
if(pages)
    execute_process(COMMAND gzip -9nf ${pages} COMMAND_ERROR_IS_FATAL ANY)
endif()
file(GLOB_RECURSE archives ${CPACK_TEMPORARY_DIRECTORY}/*/usr/lib/*.a)
if(archives)
    execute_process(COMMAND ${CPACK_COFFER_STRIP} --strip-debug --enable-deterministic-archives
        ${archives} COMMAND_ERROR_IS_FATAL ANY)
endif()
foreach(component IN LISTS CPACK_COMPONENTS_ALL)
    string(TOUPPER ${component} upper)
    set(folder ${CPACK_TEMPORARY_DIRECTORY}/${component}/usr/share/doc)
    string(APPEND folder /${CPACK_DEBIAN_${upper}_PACKAGE_NAME})
    file(COPY ${CPACK_COFFER_PACKAGING}/copyright ${CPACK_COFFER_PACKAGING}/changelog
        DESTINATION ${folder} FILE_PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
    execute_process(COMMAND gzip -9nf ${folder}/changelog COMMAND_ERROR_IS_FATAL ANY)
endforeach()
