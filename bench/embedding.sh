#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What it costs to embed Tern in a program, beside PyTorch's C++ side: time to compile a file, time
# to start, size of the library, and packages to install. Prints the table of bench/README.md; the
# README has the same without the targets. A test, too, limits the library's size (tests/consumer).
#
#     bench/embedding.sh [directory to build in]
#
# Needs Debian with Tern's build packages, libtorch-dev and GNU time. Packages are those that apt
# would install on a Debian with only essential packages; MB are 10^6 bytes.
set -euo pipefail

sources=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=${1:-$(mktemp -d)}
mkdir -p "$work"
export LC_ALL=C

cmake -S "$sources" -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON \
  -DTERN_BUILD_TESTS=OFF -DTERN_BUILD_EXAMPLES=OFF "-DCMAKE_INSTALL_PREFIX=$work/installed" \
  -DCMAKE_INSTALL_LIBDIR=lib >"$work/log" 2>&1
cmake --build "$work/build" --target install >>"$work/log" 2>&1

cat >"$work/tern.cpp" <<'END'
#include <tern/tern.h>
int main() {
  const tern::Tensor x = tern::ones({2, 2});
  return tern::sum(x + x).item<float>() == 8 ? 0 : 1;
}
END
cat >"$work/torch.cpp" <<'END'
#include <torch/torch.h>
int main() {
  const torch::Tensor x = torch::ones({2, 2});
  return (x + x).sum().item<float>() == 8 ? 0 : 1;
}
END

# The median of five runs, in seconds.
seconds() {
  for _ in 1 2 3 4 5; do
    /usr/bin/time -f %e -o "$work/seconds" "$@" >/dev/null
    cat "$work/seconds"
  done | sort -n | sed -n 3p
}
# The mean of 20 starts, in milliseconds: one is too short to be timed.
start_of() {
  local total
  # shellcheck disable=SC2016
  total=$(seconds sh -c 'for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do "$0"; done' "$1")
  awk -v t="$total" 'BEGIN { printf "%.1f", t * 50 }'
}

tern_compile=(g++ -std=c++20 "-I$work/installed/include" -c "$work/tern.cpp" -o "$work/tern.o")
torch_compile=(g++ -std=c++17 -I/usr/include/torch/csrc/api/include -c "$work/torch.cpp"
  -o "$work/torch.o")
tern_seconds=$(seconds "${tern_compile[@]}")
torch_seconds=$(seconds "${torch_compile[@]}")
g++ "$work/tern.o" -o "$work/tern" "-L$work/installed/lib" -ltern "-Wl,-rpath,$work/installed/lib"
g++ "$work/torch.o" -o "$work/torch" -ltorch -ltorch_cpu -lc10
tern_start=$(start_of "$work/tern")
torch_start=$(start_of "$work/torch")

megabytes() { awk -v b="$(cat "$@" | wc -c)" 'BEGIN { printf "%.1f", b / 1e6 }'; }
strip -o "$work/libtern.so" "$work/installed/lib/libtern.so"
tern_size=$(megabytes "$work/libtern.so")
torch_library=$(ldd "$work/torch" | awk '$1 ~ /^libtorch_cpu/ { print $3 }')
torch_size=$(megabytes "$torch_library")

# The packages that apt would install for PACKAGE..., one per line.
installs() {
  apt-get -s -o Dir::State::status=/dev/null -o Debug::NoLocking=1 --no-install-recommends \
    install "$@" | awk '$1 == "Inst" { print $2 }' | sort -u
}
mapfile -t essential < <(apt-cache dumpavail |
  awk '/^Package:/ { name = $2 } /^Essential: yes/ { print name }' | sort -u)
added() { comm -13 <(installs "${essential[@]}" apt) <(installs "${essential[@]}" apt "$@"); }
# In MB; apt counts in units of 1024 bytes.
installed_size() {
  xargs apt-cache show --no-all-versions |
    awk '/^Installed-Size:/ { kib += $2 } END { printf "%.0f", kib * 1024 / 1e6 }'
}
# The packages of the libraries that libtern.so loads.
mapfile -t needs < <(ldd "$work/libtern.so" | awk '$3 ~ /^\// { print $3 }' | xargs -n 1 realpath |
  xargs dpkg -S 2>/dev/null | cut -d: -f1 | sort -u)
# To run a program, and to build one (Tern's sources included).
added "${needs[@]}" >"$work/tern.run"
added "$(dpkg -S "$(realpath "$torch_library")" | cut -d: -f1)" >"$work/torch.run"
added libdnnl-dev libeigen3-dev libspdlog-dev zlib1g-dev nlohmann-json3-dev >"$work/tern.build"
added libtorch-dev >"$work/torch.build"

ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.0f", b / a }'; }
verdict() { awk "BEGIN { exit !($1) }" && echo met || echo '**missed**'; }
# row WHAT TERN TORCH UNIT TIMES: the target is that Tern costs TIMES times less.
row() {
  echo "| $1 | $2 $4 | $3 $4 | $(ratio "$2" "$3") | $5 times: $(verdict "$2 * $5 <= $3") |"
}
# packages PURPOSE TIMES: their number and size.
packages() {
  local tern torch tern_mb torch_mb
  tern=$(wc -l <"$work/tern.$1")
  torch=$(wc -l <"$work/torch.$1")
  tern_mb=$(installed_size <"$work/tern.$1")
  torch_mb=$(installed_size <"$work/torch.$1")
  echo "| Debian packages to $1 a program (their size) | $tern ($tern_mb MB) | $torch ($torch_mb MB)" \
    "| $(ratio "$tern" "$torch") ($(ratio "$tern_mb" "$torch_mb"))" \
    "| $2 times: $(verdict "$tern * $2 <= $torch && $tern_mb * $2 <= $torch_mb") |"
}
# shellcheck disable=SC1091
debian=$(. /etc/os-release && echo "$VERSION_ID")
torch_version=$(dpkg-query -W -f '${Version}' libtorch-dev | cut -d. -f1,2)
echo "Debian $debian, g++ $(g++ -dumpversion), $(nproc) processors:"
echo
echo "| | Tern | PyTorch $torch_version, C++ | times less | target |"
echo '|---|---|---|---|---|'
row 'compile a file with the umbrella header' "$tern_seconds" "$torch_seconds" s 10
row 'start, add two tensors, end' "$tern_start" "$torch_start" ms 20
echo "| the library, stripped (libtern.so, libtorch_cpu.so) | $tern_size MB | $torch_size MB" \
  "| $(ratio "$tern_size" "$torch_size") | at most 3 MB: $(verdict "$tern_size <= 3") |"
packages run 10
packages build 10
