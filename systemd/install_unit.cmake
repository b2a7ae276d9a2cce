# Installs the unit with the paths of this installation: `cmake --install --prefix` may name another one than the configuration.
# Variables of varve.service.in: BINDIR, DOCDIR, CONFIG_DIR, absolute and without DESTDIR. Also: TEMPLATE, UNIT_DIR, WORK_DIR.
foreach(dir BINDIR DOCDIR UNIT_DIR)
  cmake_path(ABSOLUTE_PATH ${dir} BASE_DIRECTORY "${CMAKE_INSTALL_PREFIX}" NORMALIZE)
endforeach()
configure_file("${TEMPLATE}" "${WORK_DIR}/varve.service" @ONLY)
file(INSTALL "${WORK_DIR}/varve.service" DESTINATION "${UNIT_DIR}" PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
