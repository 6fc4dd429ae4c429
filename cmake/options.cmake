# Warnings, optimisation and sanitizers for every target.
add_library(kiln_options INTERFACE)
target_compile_options(kiln_options INTERFACE -Wall -Wextra -Wpedantic -Werror -Wstrict-prototypes -Wmissing-prototypes
  -Wshadow -Wvla -fno-strict-aliasing
  # GCC: texts of fixed size (failures, names) are cut on purpose; and it cannot know that kiln_fail never returns
  # KILN_OK, so it takes every out-parameter behind KILN_TRY for uninitialized. Clang, ASan and valgrind look at those.
  $<$<C_COMPILER_ID:GNU>:-Wno-format-truncation> $<$<C_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
if(KILN_SANITIZE)
  target_compile_options(kiln_options INTERFACE -fsanitize=${KILN_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(kiln_options INTERFACE -fsanitize=${KILN_SANITIZE})
endif()
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
