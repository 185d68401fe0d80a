#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# check.sh SOURCES BUILD WORK: uses Tern in all the ways that other projects do, in the directory WORK.
# BUILD is a Release build of the static library. Fails if one of the ways does not work.
set -euo pipefail

sources=$1
build=$2
work=$3
here=$sources/tests/consumer
libdir=$(sed -n 's/^CMAKE_INSTALL_LIBDIR:[A-Z]*=//p' "$build/CMakeCache.txt")
jobs=${JOBS:-$(nproc)}

rm -rf "$work"
mkdir -p "$work"

# try NAME PROGRAM static|shared: runs the program and checks which libraries it loads.
try() {
  local name=$1 program=$2 shared=$3
  echo "== $name"
  "$program" "$work"
  local loaded
  loaded=$(ldd "$program")
  if [[ $shared == shared ]]; then
    grep -q 'libtern\.so' <<<"$loaded" || { echo "$name does not load libtern.so" && return 1; }
  elif grep -q 'libtern\.so' <<<"$loaded"; then
    echo "$name loads a libtern.so" && return 1
  fi
}

# absent MESSAGE GREP_ARGUMENTS...: fails if grep finds something, or cannot read its input.
absent() {
  local message=$1 result=0
  shift
  grep "$@" || result=$?
  ((result == 1)) || { echo "$message" && exit 1; }
}

# build_consumer DIR [cmake arguments]: configures, builds, and checks that the consumer's compiler
# flags are its own choice (Release, C++23) and Tern's include path.
build_consumer() {
  local dir=$1
  shift
  cmake -G Ninja -S "$here" -B "$dir" -DCMAKE_BUILD_TYPE=Release "$@"
  cmake --build "$dir" --parallel "$jobs"
  local line
  line=$(grep '"command".* -c [^ ]*consumer/main\.cpp' "$dir/compile_commands.json")
  line=${line/ -DNDEBUG/}
  absent 'Tern changes how the consumer is compiled' -E ' -[DfmW]|-std=gnu\+\+20' <<<"$line"
}

flags() { PKG_CONFIG_PATH="$1/$libdir/pkgconfig" pkg-config "${@:2}" tern; }

# by_hand NAME PREFIX: builds the program with pkg-config and g++ alone; the only flag is a -I.
by_hand() {
  local name=$1 prefix=$2 cflags all
  read -ra cflags < <(flags "$prefix" --cflags)
  read -ra all < <(flags "$prefix" --cflags --libs)
  if [[ ${#cflags[@]} != 1 || ${cflags[0]} != -I* ]]; then
    echo "pkg-config prints the flags ${cflags[*]}, want one -I" && exit 1
  fi
  g++ -std=c++20 "$here/main.cpp" -o "$work/by_hand_$name" "${all[@]}" "-Wl,-rpath,$prefix/$libdir"
  try "pkg-config, $name" "$work/by_hand_$name" "$name"
}

# 1. The installed static library.
cmake --install "$build" --prefix "$work/static" >/dev/null
build_consumer "$work/find_static" "-DCMAKE_PREFIX_PATH=$work/static" \
  "-DTERN_HEADERS=$work/static/include"
try 'find_package, static' "$work/find_static/consumer" static
try 'every promised name, static' "$work/find_static/names" static
[[ ! -e $work/find_static/ranks ]] || try 'tern::mpi, static' "$work/find_static/ranks" static
by_hand static "$work/static"

# 2. The sources as a part of the project, which turns Tern's tests, examples and installation off. The
# shared library is then linked from the static one's objects: the same paths, the same flags.
build_consumer "$work/embedded" "-DTERN_SOURCE=$sources" -DTERN_FETCH=ON
try 'FetchContent, static' "$work/embedded/consumer" static
absent 'Tern builds more than the library inside another project' \
  -E '^TERN_(BUILD_[A-Z]*|INSTALL):BOOL=ON' "$work/embedded/CMakeCache.txt"
build_consumer "$work/embedded" -DTERN_FETCH=OFF -DBUILD_SHARED_LIBS=ON -DTERN_INSTALL=ON
try 'add_subdirectory, shared' "$work/embedded/consumer" shared

# 3. The installed shared library.
cmake --install "$work/embedded" --prefix "$work/shared" >/dev/null
build_consumer "$work/find_shared" "-DCMAKE_PREFIX_PATH=$work/shared"
try 'find_package, shared' "$work/find_shared/consumer" shared
try 'every promised name, shared' "$work/find_shared/names" shared
by_hand shared "$work/shared"
g++ -std=c++20 "$here/main.cpp" -o "$work/plain" "-I$work/shared/include" -ltern \
  "-L$work/shared/$libdir" "-Wl,-rpath,$work/shared/$libdir"
try 'g++ and -ltern' "$work/plain" shared

# 4. A plugin that uses Tern, loaded, run and closed twice by a program that does not.
g++ -std=c++20 -shared -fPIC "$here/plugin.cpp" -o "$work/plugin.so" "-I$work/shared/include" -ltern \
  "-L$work/shared/$libdir" "-Wl,-rpath,$work/shared/$libdir"
g++ -std=c++20 "$here/host.cpp" -o "$work/host" -ldl -pthread
echo '== dlopen'
"$work/host" "$work/plugin.so" "$work"

# 5. The default shared library exports only its own names, does nothing before main (none of its
# objects has an initializer), and is small.
library=$work/shared/$libdir/libtern.so
foreign=$(nm -D --defined-only "$library" |
  awk '$3 !~ /^_Z(N[KRO]*|TI?N?|T[SVTHWhvc].*N|GVZ?N|ZN)K?4tern/ && $2 != "A" { print $3 }')
if [[ -n $foreign ]]; then
  printf 'libtern.so exports names that are not its own:\n%s\n' "$foreign"
  exit 1
fi

sections=$(readelf -SW "$build/libtern.a")
grep -q '\.text' <<<"$sections"
absent 'libtern.so runs code when it is loaded' -E '\.(preinit_array|init_array|ctors)' \
  <<<"$sections"
absent 'libtern.so links MPI' -i mpi <<<"$(ldd "$library")"
strip -o "$work/stripped.so" "$library"
if (($(stat -c %s "$work/stripped.so") > 4900000)); then
  echo "libtern.so is $(stat -c %s "$work/stripped.so") bytes, want at most 4900000" && exit 1
fi

# 6. The Debian package can be built, and depends on the oneDNN that it was built with. (.ci/newcomer
# installs and uses it.)
if command -v dpkg-deb >/dev/null; then
  (cd "$work" && cpack -G DEB --config "$build/CPackConfig.cmake" -B "$work/packages" >/dev/null)
  dpkg-deb -f "$work"/packages/libtern-dev_*.deb Package Depends | tee "$work/depends"
  grep -Eq 'libdnnl-dev \(>= [0-9]+\), libdnnl-dev \(<< [0-9]+~\)' "$work/depends"
fi

# 7. The installation is relocatable: no installed file names the place where it was built.
absent 'installed files name the machine that they were built on' -rlF -e "$sources" -e "$work" \
  "$work"/{static,shared}/{include,"$libdir"/cmake,"$libdir"/pkgconfig}
echo 'checked: find_package, FetchContent, add_subdirectory, pkg-config, -ltern, dlopen, .deb, headers'
