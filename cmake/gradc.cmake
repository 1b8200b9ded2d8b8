# Helpers shared by every folder: one library per folder, the same warnings everywhere.

function(gradc_compile_options target)
  target_compile_options(${target} PRIVATE
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wdouble-promotion
    $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor -Woverloaded-virtual>
    -ffp-contract=off)   # numbers do not depend on the host compiler's choice of FMA
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC 12 and 13 report overlapping copies in std::string's own code (gcc.gnu.org bug 105651).
    target_compile_options(${target} PRIVATE -Wno-restrict)
  endif()
  if(GRADC_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  if(GRADC_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${GRADC_SANITIZE} -fno-omit-frame-pointer
                           -fno-sanitize-recover=all)
    target_link_options(${target} PUBLIC -fsanitize=${GRADC_SANITIZE})
  endif()
  if(GRADC_COVERAGE)
    target_compile_options(${target} PRIVATE --coverage)
    target_link_options(${target} PUBLIC --coverage)
  endif()
endfunction()

# gradc_library(NAME [PUBLIC deps...] [PRIVATE deps...]): all sources of the current folder (and its sub-folders).
function(gradc_library name)
  cmake_parse_arguments(ARG "" "" "PUBLIC;PRIVATE;EXCLUDE" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp ${CMAKE_CURRENT_SOURCE_DIR}/*.c)
  foreach(pattern IN LISTS ARG_EXCLUDE)
    list(FILTER sources EXCLUDE REGEX "${pattern}")
  endforeach()
  if(NOT sources)   # a folder that has no source yet is still a library, so that others can link it
    file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/empty.cpp "")
    set(sources ${CMAKE_CURRENT_BINARY_DIR}/empty.cpp)
  endif()
  add_library(${name} STATIC ${sources})
  target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/include)
  target_link_libraries(${name} PUBLIC ${ARG_PUBLIC} PRIVATE ${ARG_PRIVATE})
  gradc_compile_options(${name})
endfunction()

# gradc_test(NAME libs...): tests/unit/NAME/*.cpp as one gtest program.
function(gradc_test name)
  cmake_parse_arguments(ARG "" "PARTS" "" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/unit/${name}/*.cpp)
  if(NOT sources)
    return()
  endif()
  add_executable(gradc_${name}_tests ${sources})
  target_link_libraries(gradc_${name}_tests PRIVATE ${ARG_UNPARSED_ARGUMENTS} GTest::gtest GTest::gtest_main)
  target_compile_definitions(gradc_${name}_tests PRIVATE GRADC_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
                             GRADC_BINARY_DIR="${PROJECT_BINARY_DIR}")
  gradc_compile_options(gradc_${name}_tests)
  if(NOT ARG_PARTS)
    add_test(NAME ${name} COMMAND gradc_${name}_tests)
    return()
  endif()
  math(EXPR last "${ARG_PARTS} - 1")
  foreach(part RANGE ${last})
    add_test(NAME ${name}_${part} COMMAND gradc_${name}_tests)
    set_tests_properties(${name}_${part} PROPERTIES
                         ENVIRONMENT "GTEST_TOTAL_SHARDS=${ARG_PARTS};GTEST_SHARD_INDEX=${part}")
  endforeach()
endfunction()

# gradc_test_limits([QUICK patterns...]): a time limit for every test of the current folder, and the label "quick" for
# those named: together about a minute, for the edit loop (ctest -L quick).
function(gradc_test_limits)
  cmake_parse_arguments(ARG "" "" "QUICK" ${ARGN})
  set(factor 1)
  if(GRADC_SANITIZE OR GRADC_COVERAGE)
    set(factor 10)
  endif()
  get_property(tests DIRECTORY PROPERTY TESTS)
  foreach(test IN LISTS tests)
    set(seconds 600)
    foreach(pattern IN LISTS ARG_QUICK)
      if(test MATCHES "^${pattern}$")
        set(seconds 120)
        set_property(TEST ${test} APPEND PROPERTY LABELS quick)
      endif()
    endforeach()
    math(EXPR seconds "${seconds} * ${factor}")
    set_property(TEST ${test} PROPERTY TIMEOUT ${seconds})
    if(GRADC_SANITIZE)   # tests ask for more memory than there is; that is an answer, not an error
      set_property(TEST ${test} APPEND PROPERTY ENVIRONMENT ASAN_OPTIONS=allocator_may_return_null=1)
    endif()
  endforeach()
endfunction()
