# SPDX-License-Identifier: Apache-2.0
# Which folder may include which (docs/design.md), and who may include third-party headers:
#   cmake -D ROOT=<source root> -P check_includes.cmake
# A CMake script, so that it runs wherever Tern can be built.
cmake_minimum_required(VERSION 3.25)

# A folder may include itself and these.
set(core_sees)
set(ops_sees core)
set(nn_sees core ops)
set(optim_sees core)
set(data_sees core)
set(io_sees core ops nn)
set(dist_sees core ops nn data io)
set(mpi_sees core dist)
set(folders core ops nn optim data io dist mpi)

# Third-party headers, and the files that may include each.
set(third_party
    "dnnl[.]h|dnnl[.]hpp|dnnl_.*|oneapi/.*" "core/(internal/)?onednn[a-z_]*[.](h|cpp)|.*_fast[.](h|cpp)"
    "Eigen/.*|unsupported/Eigen/.*" ".*_(reference|fast)[.](h|cpp)"
    "spdlog/.*|fmt/.*" "core/log[.]cpp"
    "nlohmann/.*" "io/.*[.]cpp"
    "zlib[.]h" "data/.*[.]cpp|io/.*[.]cpp"
    "omp[.]h" "core/threads[.]cpp"
    "mpi[.]h" "mpi/.*[.]cpp")
# Headers of the compiler and the system, for the files that need the machine itself.
set(system_headers "(immintrin|cxxabi|pthread|unistd|fcntl|regex|sys/[a-z]+|sanitizer/asan_interface)[.]h")

set(mistakes 0)
macro(complain)
  message("${file}:${line_number}: " ${ARGN})
  math(EXPR mistakes "${mistakes} + 1")
endmacro()

# Core's headers by level, the lowest first; all others are above them, the tape among them. A header
# includes its own level and those below. So do the sources of the two lowest levels, which may
# throw; tensor.cpp implements a tensor, which has an edge of the tape, so it sees the tape.
set(core_levels
    "version|dtype|shape|hooks|module_scope|counters|log|random|threads|internal/(counters|cpu|memory|onednn_compat|peaks|poison)"
    "error|internal/(convert|parallel|resources|storage)"
    "tensor|clone|state_dict|internal/(fill|onednn)")

# The level of a file in core/, in `result`.
macro(find_core_level path result)
  set(${result} 3)
  foreach(level RANGE 2)
    list(GET core_levels ${level} names)
    if("${path}" MATCHES "^core/(${names})[.](h|cpp)$")
      set(${result} ${level})
    endif()
  endforeach()
endmacro()

macro(check_core_levels)
  find_core_level("${file}" own_level)
  find_core_level("${target}" target_level)
  if(file MATCHES "[.]cpp$")
    if(own_level EQUAL 0)
      set(own_level 1) # everything may throw
    elseif(own_level EQUAL 2)
      set(own_level 3)
    endif()
  endif()
  if(target_level GREATER own_level)
    complain("${target} is above ${file} in core's levels")
  endif()
endmacro()

macro(check_include_of_ours)
  cmake_path(GET file PARENT_PATH directory)
  cmake_path(APPEND directory "${included}" OUTPUT_VARIABLE target)
  cmake_path(NORMAL_PATH target)
  string(REGEX MATCH "^[^/]*" target_folder "${target}")
  if(NOT EXISTS "${ROOT}/${target}")
    complain("\"${included}\" does not exist: includes inside Tern are relative to the file")
  elseif(NOT target_folder STREQUAL folder AND NOT target_folder IN_LIST ${folder}_sees)
    complain("${folder}/ must not include ${target_folder}/ (\"${included}\")")
  elseif(public AND NOT target IN_LIST public_headers)
    complain("a public header must not include the private ${target}")
  elseif(folder STREQUAL core AND target_folder STREQUAL core)
    check_core_levels()
  endif()
endmacro()

macro(check_include_from_outside)
  set(known FALSE)
  list(LENGTH third_party count)
  math(EXPR last "${count} - 2")
  foreach(i RANGE 0 ${last} 2)
    math(EXPR next "${i} + 1")
    list(GET third_party ${i} headers)
    list(GET third_party ${next} users)
    if(included MATCHES "^(${headers})$")
      set(known TRUE)
      if(public)
        complain("a public header must not include <${included}>")
      elseif(NOT file MATCHES "^(${users})$")
        complain("<${included}> belongs in ${users}")
      endif()
    endif()
  endforeach()
  if(included MATCHES "^${system_headers}$")
    set(known TRUE)
    if(public)
      complain("a public header must not include <${included}>")
    endif()
  endif()
  # The standard library's headers are the ones without a dot or a slash.
  if(NOT known AND NOT included MATCHES "^[a-z0-9_]+$")
    complain("<${included}> is neither the standard library's nor a known third-party header")
  endif()
endmacro()

# The headers directly in a folder are public; those in the folders below are private.
set(files)
set(public_headers)
foreach(folder IN LISTS folders)
  file(GLOB_RECURSE found RELATIVE "${ROOT}" "${ROOT}/${folder}/*.h" "${ROOT}/${folder}/*.cpp")
  list(APPEND files ${found})
  file(GLOB found RELATIVE "${ROOT}" "${ROOT}/${folder}/*.h")
  list(APPEND public_headers ${found})
endforeach()
list(LENGTH files file_count)
if(file_count EQUAL 0)
  message(FATAL_ERROR "no sources under '${ROOT}'")
endif()

foreach(file IN LISTS files)
  string(REGEX MATCH "^[^/]*" folder "${file}")
  set(public FALSE)
  if(file IN_LIST public_headers)
    set(public TRUE)
  endif()
  file(READ "${ROOT}/${file}" text)
  # Semicolons and brackets are special in CMake's lists.
  string(REGEX REPLACE "[][;\\]" " " text "${text}")
  string(REPLACE "\n" ";" lines "${text}")
  set(line_number 0)
  foreach(line IN LISTS lines)
    math(EXPR line_number "${line_number} + 1")
    if(line MATCHES "^ *# *include *\"([^\"]*)\"")
      set(included "${CMAKE_MATCH_1}")
      check_include_of_ours()
    elseif(line MATCHES "^ *# *include *<([^>]*)>")
      set(included "${CMAKE_MATCH_1}")
      check_include_from_outside()
    elseif(line MATCHES "^ *# *include")
      complain("an #include that this check cannot read")
    endif()
  endforeach()
endforeach()

# The umbrella header covers every public header of the library; tern::mpi is another one.
file(READ "${ROOT}/tern.h" umbrella)
set(file tern.h)
set(line_number 1)
set(library_headers ${public_headers})
list(FILTER library_headers EXCLUDE REGEX "^mpi/")
foreach(header IN LISTS library_headers)
  string(FIND "${umbrella}" "#include \"${header}\"" position)
  if(position EQUAL -1)
    complain("${header} is public and missing here")
  endif()
endforeach()
string(REGEX MATCHALL "#include \"[^\"]*\"" umbrella_includes "${umbrella}")
foreach(include IN LISTS umbrella_includes)
  string(REGEX REPLACE "#include \"([^\"]*)\"" "\\1" header "${include}")
  if(NOT header IN_LIST library_headers)
    complain("${header} is not a public header of the library")
  endif()
endforeach()

# The examples include only what is installed: <tern/...>, public headers.
file(GLOB_RECURSE users RELATIVE "${ROOT}" "${ROOT}/examples/*.h" "${ROOT}/examples/*.cpp")
foreach(file IN LISTS users)
  file(READ "${ROOT}/${file}" text)
  string(REGEX MATCHALL "<tern/[^>\n]*>" uses "${text}")
  set(line_number 1)
  foreach(use IN LISTS uses)
    string(REGEX REPLACE "<tern/([^>]*)>" "\\1" header "${use}")
    if(NOT header STREQUAL "tern.h" AND NOT header IN_LIST public_headers)
      complain("${use} is not a public header")
    endif()
  endforeach()
endforeach()

if(mistakes)
  message(FATAL_ERROR "${mistakes} includes break the rules of docs/design.md")
endif()
list(LENGTH public_headers public_count)
message("${file_count} files, ${public_count} public headers: every include is where it may be")
