// SPDX-License-Identifier: Apache-2.0
// The models that ONNX's authors test runtimes with, with their outputs (Debian's
// libonnx-testdata).
#include <tern/io/internal/onnx_model.h>
#include <tern/tern.h>

#include <filesystem>
#include <fstream>
#include <iostream>

#include "support.h"

namespace {

using namespace tern;
namespace fs = std::filesystem;

const fs::path kData = TERN_ONNX_DATA;
// Models of Debian 12 and Debian 13, and how many of them run.
constexpr std::pair<int, int> kPassed[] = {{1072, 909}, {1428, 1067}};

std::vector<fs::path> models() {
  std::vector<fs::path> list;
  for (const auto& entry : fs::recursive_directory_iterator(kData)) {
    if (entry.path().filename() == "model.onnx") list.push_back(entry.path().parent_path());
  }
  std::sort(list.begin(), list.end());
  return list;
}

// Empty if the outputs are those of the files, else why not.
std::string run(const fs::path& folder) {
  try {
    const io::OnnxNet net = io::load_onnx((folder / "model.onnx").string());
    const NoGrad no_grad;
    int sets = 0;
    for (; fs::exists(folder / ("test_data_set_" + std::to_string(sets))); ++sets) {
      const fs::path data = folder / ("test_data_set_" + std::to_string(sets));
      const auto tensors = [&](const std::string& prefix, size_t count) {
        std::vector<Tensor> list;
        for (size_t i = 0; i < count; ++i) {
          list.push_back(
              io::read_onnx_tensor((data / (prefix + std::to_string(i) + ".pb")).string()));
        }
        return list;
      };
      const std::vector<Tensor> wanted = tensors("output_", net.output_names().size());
      const std::vector<Tensor> found = net.run(tensors("input_", net.input_names().size()));
      for (size_t i = 0; i < wanted.size(); ++i) {
        const Tensor &a = found[i], &b = wanted[i];
        if (a.dtype() != b.dtype() || a.shape() != b.shape()) {
          return "output " + std::to_string(i) + " is " + error_text(a) + ", want " + error_text(b);
        }
        const auto x = a.to(DType::f64).to_vector<double>(),
                   y = b.to(DType::f64).to_vector<double>();
        for (size_t k = 0; k < x.size(); ++k) {
          if (x[k] == y[k] || (std::isnan(x[k]) && std::isnan(y[k]))) continue;
          if (!(std::abs(x[k] - y[k]) <= 1e-7 + 1e-3 * std::abs(y[k]))) {
            return "element " + std::to_string(k) + " of output " + std::to_string(i) + " is " +
                   std::to_string(x[k]) + ", want " + std::to_string(y[k]);
          }
        }
      }
    }
    return sets > 0 ? "" : "no data";
  } catch (const Error& error) {
    return error.what();
  }
}

/// Names of models in onnx_left_out.txt, or beginnings of names and a star.
std::vector<std::string> left_out() {
  std::vector<std::string> list;
  std::ifstream file(std::string(TERN_SOURCE_DIR) + "/tests/io/onnx_left_out.txt");
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    const size_t space = line.find(' ');
    EXPECT_NE(space, std::string::npos) << "no reason: " << line;
    list.push_back(line.substr(0, space));
  }
  return list;
}

bool covers(const std::string& pattern, const std::string& name) {
  if (!pattern.ends_with('*')) return name == pattern;
  return name.starts_with(pattern.substr(0, pattern.size() - 1));
}

TEST(OnnxConformance, AllModelsButThoseThatAreLeftOut) {
  const std::vector<std::string> list = left_out();
  int passed = 0, all = 0;
  for (const fs::path& folder : models()) {
    ++all;
    const std::string name = fs::relative(folder, kData).string(), why = run(folder);
    const bool covered = std::any_of(list.begin(), list.end(), [&](const std::string& pattern) {
      return covers(pattern, name);
    });
    if (covered) {
      EXPECT_NE(why, "") << name << " runs: take it off the list";
    } else {
      EXPECT_EQ(why, "") << name;
    }
    passed += why.empty();
  }
  std::cout << passed << " of " << all << " models give the outputs that they come with\n";
  for (const auto& [models_there, wanted] : kPassed) {
    if (all != models_there) continue;
    EXPECT_EQ(passed, wanted) << "also in README.md and docs/onnx.md";
  }
}

}  // namespace
