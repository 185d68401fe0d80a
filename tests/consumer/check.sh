#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# check.sh SOURCES BUILD WORK: uses Tern the ways that other projects do, in the directory WORK.
# BUILD is a Release build of the static library. Ends with an error if one of them does not work.
set -euo pipefail

sources=$1
build=$2
work=$3
here=$sources/tests/consumer
libdir=$(sed -n 's/^CMAKE_INSTALL_LIBDIR:[A-Z]*=//p' "$build/CMakeCache.txt")
jobs=${JOBS:-$(nproc)}

rm -rf "$work"
mkdir -p "$work"

# The program says whether it works, and which libraries it loads.
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

configure() {
  local dir=$1
  shift
  cmake -G Ninja -S "$here" -B "$dir" -DCMAKE_BUILD_TYPE=Release "$@"
}

# 1. The installed static library: by find_package, and by pkg-config and g++ alone.
cmake --install "$build" --prefix "$work/static" >/dev/null
configure "$work/find_static" "-DCMAKE_PREFIX_PATH=$work/static" \
  "-DTERN_HEADERS=$work/static/include"
cmake --build "$work/find_static" --parallel "$jobs"
try 'find_package, static' "$work/find_static/consumer" static
try 'every promised name' "$work/find_static/names" static

flags() { PKG_CONFIG_PATH="$1/$libdir/pkgconfig" pkg-config --cflags --libs tern; }
# shellcheck disable=SC2046
g++ -std=c++20 "$here/main.cpp" -o "$work/plain_static" $(flags "$work/static")
try 'pkg-config, static' "$work/plain_static" static

# 2. The sources as a part of the project, as a shared library, which is then installed too. The
# options that are off when Tern is a guest have to be off.
# Built in a hurry: this is about linking.
configure "$work/embedded" "-DTERN_SOURCE=$sources" -DBUILD_SHARED_LIBS=ON -DTERN_INSTALL=ON \
  -DCMAKE_CXX_FLAGS_RELEASE=-O1
cmake --build "$work/embedded" --parallel "$jobs"
try 'FetchContent and add_subdirectory, shared' "$work/embedded/consumer" shared
if grep -E '^TERN_BUILD_[A-Z]*:BOOL=ON' "$work/embedded/CMakeCache.txt"; then
  echo 'Tern builds more than the library inside another project' && exit 1
fi

cmake --install "$work/embedded" --prefix "$work/shared" >/dev/null
configure "$work/find_shared" "-DCMAKE_PREFIX_PATH=$work/shared"
cmake --build "$work/find_shared" --parallel "$jobs"
try 'find_package, shared' "$work/find_shared/consumer" shared

# shellcheck disable=SC2046
g++ -std=c++20 "$here/main.cpp" -o "$work/plain_shared" $(flags "$work/shared") \
  "-Wl,-rpath,$work/shared/$libdir"
try 'pkg-config, shared' "$work/plain_shared" shared

# 3. A plugin of a program that knows nothing of Tern: loaded, run and unloaded, twice.
# shellcheck disable=SC2046
g++ -std=c++20 -shared -fPIC "$here/plugin.cpp" -o "$work/plugin.so" $(flags "$work/shared") \
  "-Wl,-rpath,$work/shared/$libdir"
g++ -std=c++20 "$here/host.cpp" -o "$work/host" -ldl -pthread
echo '== dlopen'
"$work/host" "$work/plugin.so" "$work"

# 4. The shared library shows its own names only, does nothing before main, and is small.
library=$work/shared/$libdir/libtern.so
foreign=$(nm -D --defined-only "$library" |
  awk '$3 !~ /^_Z(N[KRO]*|TI?N?|T[SVTHWhvc].*N|GVZ?N|ZN)K?4tern/ && $2 != "A" { print $3 }')
if [[ -n $foreign ]]; then
  printf 'libtern.so shows names that are not its own:\n%s\n' "$foreign"
  exit 1
fi

before_main=$(nm -C "$library" | grep -E '_GLOBAL__sub_I|__static_init' || true)
if [[ -n $before_main ]]; then
  printf 'libtern.so runs code when it is loaded:\n%s\n' "$before_main"
  exit 1
fi
strip -o "$work/stripped.so" "$library"
if (($(stat -c %s "$work/stripped.so") > 3000000)); then
  echo "libtern.so is $(stat -c %s "$work/stripped.so") bytes, at most 3000000 wanted" && exit 1
fi

# 5. The Debian package: what it needs, and that what it holds can be used.
if command -v dpkg-deb >/dev/null; then
  (cd "$work" && cpack -G DEB --config "$build/CPackConfig.cmake" -B "$work/packages" >/dev/null)
  package=$(echo "$work"/packages/*.deb)
  dpkg-deb -f "$package" Package Depends
  dpkg-deb -f "$package" Depends | grep -q libdnnl-dev
  dpkg-deb -x "$package" "$work/package"
  configure "$work/find_package" "-DCMAKE_PREFIX_PATH=$work/package/usr"
  cmake --build "$work/find_package" --parallel "$jobs" --target consumer
  try 'the Debian package' "$work/find_package/consumer" static
fi

# 6. A package that another place can be given: nothing installed names where it was built.
if grep -rlF -e "$sources" -e "$work" "$work"/{static,shared}/{include,"$libdir"/cmake,"$libdir"/pkgconfig}; then
  echo 'installed files name the machine that they were built on' && exit 1
fi
echo 'checked: find_package, FetchContent, pkg-config, dlopen, .deb, static and shared, every header by itself'
