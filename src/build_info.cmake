# cmake -DSOURCE=... -DVERSION=... -DOUTPUT=... -P build_info.cmake
# Writes version and git commit into a header, and touches it only when they changed. A tree without git (a release's
# tarball) may carry its commit in a file GIT_COMMIT; else it's "unknown".
set(VARVE_VERSION "${VERSION}")
set(VARVE_GIT_COMMIT "unknown")
if(EXISTS "${SOURCE}/.git")
  execute_process(COMMAND git -C "${SOURCE}" rev-parse --short=12 HEAD
    OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
  if(NOT failed)
    set(VARVE_GIT_COMMIT "${commit}")
    execute_process(COMMAND git -C "${SOURCE}" diff --quiet HEAD -- ERROR_QUIET RESULT_VARIABLE differs)
    if(differs)
      string(APPEND VARVE_GIT_COMMIT "-modified")
    endif()
  endif()
elseif(EXISTS "${SOURCE}/GIT_COMMIT")
  file(STRINGS "${SOURCE}/GIT_COMMIT" VARVE_GIT_COMMIT LIMIT_COUNT 1)
endif()
configure_file("${SOURCE}/src/build_info.h.in" "${OUTPUT}" @ONLY)
