# Installs the configuration once: an operator's file is never overwritten. The new one then lies beside it.
set(target "$ENV{DESTDIR}${CONFIG_DIR}/varve.yaml")
if(EXISTS "${target}")
  message(STATUS "Kept: ${target} (the new default is varve.yaml.default)")
  file(INSTALL "${SOURCE}" DESTINATION "${CONFIG_DIR}" RENAME varve.yaml.default PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
else()
  file(INSTALL "${SOURCE}" DESTINATION "${CONFIG_DIR}" PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
endif()
