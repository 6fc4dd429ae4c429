# Third-party libraries. OpenCL is opened at run time; only its headers are needed here.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
add_library(kiln_libraries INTERFACE)
target_link_libraries(kiln_libraries INTERFACE Threads::Threads ${CMAKE_DL_LIBS} m)

find_path(KILN_OPENCL_INCLUDE CL/cl.h REQUIRED)
target_include_directories(kiln_libraries SYSTEM INTERFACE ${KILN_OPENCL_INCLUDE})

pkg_check_modules(KILN_THIRD REQUIRED hwloc libzstd libxxhash zlib)
pkg_check_modules(KILN_CJSON REQUIRED libcjson)
target_include_directories(kiln_libraries SYSTEM INTERFACE ${KILN_THIRD_INCLUDE_DIRS})
target_link_libraries(kiln_libraries INTERFACE ${KILN_THIRD_LINK_LIBRARIES})

add_library(kiln_cjson INTERFACE)
target_link_libraries(kiln_cjson INTERFACE ${KILN_CJSON_LINK_LIBRARIES})
target_include_directories(kiln_cjson SYSTEM INTERFACE ${KILN_CJSON_INCLUDE_DIRS})
target_link_libraries(kiln_libraries INTERFACE kiln_cjson)
