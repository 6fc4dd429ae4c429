# Kiln on the simulated GPU: NVRTC's look-alike, and the tests that run with both libraries in place of CUDA's. The real
# NVRTC, where there is one, compiles what is not in the record; the last test then fails.
add_library(simnvrtc SHARED simnvrtc.c simnvrtc_record.c)
target_include_directories(simnvrtc PRIVATE ${CMAKE_SOURCE_DIR}/runtime)
target_compile_definitions(simnvrtc PRIVATE _GNU_SOURCE)
target_link_libraries(simnvrtc PRIVATE kiln_options kiln_libraries ${CMAKE_DL_LIBS} Threads::Threads)
set_target_properties(simnvrtc PROPERTIES C_VISIBILITY_PRESET hidden)
target_sources(simcuda_test_simnvrtc PRIVATE simnvrtc_record.c)

set(sim_missing ${CMAKE_CURRENT_BINARY_DIR}/missing_ptx)
set(sim_environment KILN_CUDA_LIBRARY=$<TARGET_FILE:simcuda> KILN_NVRTC_LIBRARY=$<TARGET_FILE:simnvrtc>
  SIMNVRTC_PTX=${CMAKE_CURRENT_SOURCE_DIR}/ptx.zst SIMNVRTC_MISSING=${sim_missing} KILN_DEVICE=cuda:0)
set_property(TEST simcuda.simnvrtc APPEND PROPERTY ENVIRONMENT ${sim_environment})

# Nothing is stored: every program comes from the record, or is noted as missing.
set(sim_suite "")
function(sim_add_test name)
  add_test(NAME simcuda.${name} COMMAND ${ARGN})
  kiln_add_test(simcuda.${name})
  set_property(TEST simcuda.${name} APPEND PROPERTY ENVIRONMENT ${sim_environment} KILN_CACHE_DIR=)
  set_tests_properties(simcuda.${name} PROPERTIES LABELS "simcuda;simcuda_suite" FIXTURES_REQUIRED simcuda_missing)
  set(sim_suite ${sim_suite} simcuda.${name} PARENT_SCOPE)
endfunction()

set_property(TEST simcuda.planted APPEND PROPERTY ENVIRONMENT ${sim_environment})
set_tests_properties(simcuda.planted PROPERTIES LABELS "simcuda;simcuda_suite" FIXTURES_REQUIRED simcuda_missing)
list(APPEND sim_suite simcuda.planted)

add_test(NAME simcuda.begin COMMAND ${CMAKE_COMMAND} -E rm -f ${sim_missing})
set_tests_properties(simcuda.begin PROPERTIES LABELS simcuda FIXTURES_SETUP simcuda_missing)

foreach(family affine block gemm global_pool se_block)
  sim_add_test(check.${family} check --family ${family})
endforeach()
foreach(variant ref tile winograd_nonfused mma)
  sim_add_test(check.conv_${variant} check --family conv --variant ${variant})
endforeach()
sim_add_test(digits test_digits once)
sim_add_test(katago ${CMAKE_CURRENT_SOURCE_DIR}/katago $<TARGET_FILE:kiln_cli>)
sim_add_test(demo simcuda_demo)

# Programs that were asked for and not in the record: a source or a guess changed since.
add_test(NAME simcuda.record COMMAND sh -c
  "[ ! -s $0 ] || { sort -u $0; echo 'not in ptx.zst: make it again with tests/simcuda/record_ptx'; exit 1; }" ${sim_missing})
set_tests_properties(simcuda.record PROPERTIES LABELS simcuda DEPENDS "${sim_suite}")
