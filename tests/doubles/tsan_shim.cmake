# varve_tsan_shim: link it into every executable that contains the Kafka sink. Empty unless ThreadSanitizer is on.
include_guard(GLOBAL)
add_library(varve_tsan_shim INTERFACE)
if(VARVE_SANITIZE MATCHES "thread")
  target_sources(varve_tsan_shim INTERFACE ${CMAKE_CURRENT_LIST_DIR}/c11_threads_shim.c)
  # The library must find them in the executable, before glibc's.
  target_link_options(varve_tsan_shim INTERFACE -rdynamic)
endif()
