# Embeds every device source below a folder: flattened, as byte arrays, one object a source.
# kernels/conv/vec.cpu.cl becomes `const kiln_embed kiln__embed_conv_vec_cpu_cl`, declared in embedded.h.
add_executable(kiln_embed_tool ${CMAKE_SOURCE_DIR}/cmake/embed_main.c ${CMAKE_SOURCE_DIR}/runtime/embed.c
  ${CMAKE_SOURCE_DIR}/runtime/strbuf.c ${CMAKE_SOURCE_DIR}/runtime/status.c)
target_include_directories(kiln_embed_tool PRIVATE ${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR}/runtime)
target_compile_definitions(kiln_embed_tool PRIVATE _GNU_SOURCE)
target_link_libraries(kiln_embed_tool PRIVATE kiln_options kiln_libraries)

function(kiln_embed_kernels target folder)
  file(GLOB sources CONFIGURE_DEPENDS RELATIVE ${folder} ${folder}/*/*.cl ${folder}/*/*.cu ${folder}/*/*.hip)
  file(GLOB headers CONFIGURE_DEPENDS ${folder}/dialect.h ${folder}/epilogue.h ${folder}/winograd_transform.h ${folder}/floats.h ${folder}/mma.h ${folder}/mma_tile.h)
  set(declarations "/* Generated: the embedded device sources. */\n#include \"embed.h\"\n")
  foreach(source IN LISTS sources)
    string(MAKE_C_IDENTIFIER ${source} symbol)
    set(out ${CMAKE_BINARY_DIR}/embedded/${symbol}.c)
    add_custom_command(OUTPUT ${out} COMMAND kiln_embed_tool ${folder} ${source} kiln__embed_${symbol} ${out}
      DEPENDS kiln_embed_tool ${folder}/${source} ${headers} VERBATIM)
    target_sources(${target} PRIVATE ${out})
    string(APPEND declarations "extern const kiln_embed kiln__embed_${symbol};\n")
    string(APPEND all "    &kiln__embed_${symbol},\n")
  endforeach()
  string(APPEND declarations "extern const kiln_embed *const kiln__embed_all[]; /* ended by NULL */\n")
  file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/embedded/all.c
    CONTENT "#include \"embedded.h\"\n\nconst kiln_embed *const kiln__embed_all[] = {\n${all}    0};\n")
  target_sources(${target} PRIVATE ${CMAKE_BINARY_DIR}/embedded/all.c)
  file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/embedded/embedded.h CONTENT "${declarations}")
  target_include_directories(${target} PRIVATE ${CMAKE_BINARY_DIR}/embedded)
endfunction()
