// SPDX-License-Identifier: Apache-2.0
// Runs the examples as a user does, with valid and with invalid input.
#include <gtest/gtest.h>
#include <tern/tern.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include "stripes.h"
#include "support.h"

using namespace tern;
namespace fs = std::filesystem;

using tern::test::read_file;

namespace {

struct Outcome {
  int status = -1;
  std::string out;
  std::string err;
};

class Examples : public ::testing::Test {
 protected:
  Outcome run(const std::string& program, const std::string& arguments = "",
              const std::string& before = "") const {
    const std::string out = dir_ / "stdout", err = dir_ / "stderr";
    const std::string command = before + " '" + TERN_EXAMPLES_DIR + "/" + program + "' " +
                                arguments + " >'" + out + "' 2>'" + err + "'";
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128, read_file(out), read_file(err)};
  }

  // A data directory in Fashion-MNIST's format: stripes whose place is the class.
  fs::path make_data(int64_t train, int64_t test) const {
    const fs::path data = dir_ / "data";
    fs::create_directories(data);
    tern::test::write_stripes(data, "train", train);
    tern::test::write_stripes(data, "t10k", test);
    return data;
  }

  // Bad input ends with one line that says what is wrong, and leaves no results behind.
  void expect_refused(const std::string& arguments, const std::string& pattern) const {
    const fs::path out = dir_ / "out";
    fs::remove_all(out);
    const Outcome result = run("train_cnn", arguments + " --out '" + out.string() + "'");
    EXPECT_NE(result.status, 0) << arguments;
    EXPECT_LT(result.status, 128) << arguments << " crashed";
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_TRUE(std::regex_search(result.err, std::regex(pattern))) << result.err;
    for (const char* file : {"metrics.csv", "model.safetensors", "report.html"}) {
      EXPECT_FALSE(fs::exists(out / file)) << file;
    }
  }

  tern::test::TemporaryDirectory temporary_;
  const fs::path dir_ = temporary_.path();
};

TEST_F(Examples, TrainCnnLearnsAndWritesItsResults) {
  const std::string data = "--data '" + make_data(640, 200).string() + "'";
  const std::string flags = data + " --epochs 2 --batch-size 32 --out '";
  const Outcome first = run("train_cnn", flags + (dir_ / "a").string() + "'");
  ASSERT_EQ(first.status, 0) << first.err;
  std::smatch accuracy;
  ASSERT_TRUE(std::regex_search(first.out, accuracy,
                                std::regex("\ntest accuracy (0\\.\\d{4}|1\\.0000)\n$")))
      << first.out;
  EXPECT_GT(std::stod(accuracy[1]), 0.9);
  EXPECT_EQ(first.out.find_first_of("\r\033"), std::string::npos);

  const StateDict dict = io::load_safetensors(dir_ / "a" / "model.safetensors");
  EXPECT_EQ(dict.at("bn2.running_var").shape(), (Shape{64}));
  EXPECT_EQ(dict.at("bn1.num_batches_tracked").item<int64_t>(), 40);
  EXPECT_EQ(read_file(dir_ / "a" / "metrics.csv").substr(0, 11), "epoch,train");
  EXPECT_NE(read_file(dir_ / "a" / "report.html").find("</html>"), std::string::npos);

  // The same seed and number of threads: the same numbers, the same bytes.
  const Outcome second = run("train_cnn", flags + (dir_ / "b").string() + "' --workers 0");
  EXPECT_EQ(second.out.substr(0, second.out.find("wrote")),
            first.out.substr(0, first.out.find("wrote")));
  for (const char* file : {"metrics.csv", "model.safetensors", "report.html"}) {
    EXPECT_EQ(read_file(dir_ / "a" / file), read_file(dir_ / "b" / file)) << file;
  }
  const Outcome other = run("train_cnn", flags + (dir_ / "c").string() + "' --seed 1 --profile");
  EXPECT_NE(read_file(dir_ / "a" / "model.safetensors"),
            read_file(dir_ / "c" / "model.safetensors"));
  EXPECT_NE(other.out.find("conv2d_backward_weights"), std::string::npos) << other.out;
  EXPECT_NE(other.out.find("steps 11 to 20:"), std::string::npos) << other.out;
  EXPECT_NE(read_file(dir_ / "c" / "trace.json").find("optim::SGD"), std::string::npos);

  const std::string onnx = (dir_ / "model.onnx").string();
  const Outcome exported =
      run("train_cnn", flags + (dir_ / "d").string() + "' --onnx '" + onnx + "'");
  EXPECT_NE(exported.out.find("and the ONNX model " + onnx), std::string::npos) << exported.out;
  EXPECT_NE(read_file(dir_ / "d" / "report.html").find(onnx), std::string::npos);
  const io::OnnxNet net = io::load_onnx(onnx);
  EXPECT_EQ(net.output_names(), std::vector<std::string>{"logits"});
  EXPECT_EQ(net(rand({3, 1, 28, 28})).shape(), (Shape{3, 10}));
}

// Fine-tuning begins where the training has ended, whatever the file's format.
TEST_F(Examples, TrainCnnContinuesFromWeights) {
  const std::string data = "--data '" + make_data(320, 100).string() + "' --batch-size 32";
  const std::string flags = data + " --epochs 1 --out '";
  const Outcome trained = run("train_cnn", flags + (dir_ / "a").string() + "'");
  ASSERT_EQ(trained.status, 0) << trained.err;
  const StateDict dict = io::load_safetensors(dir_ / "a" / "model.safetensors");
  io::save_pytorch(dict, dir_ / "model.pt");
  io::save_npz(dict, dir_ / "model.npz");
  for (const std::string& from : {(dir_ / "a" / "model.safetensors").string(),
                                  (dir_ / "model.pt").string(), (dir_ / "model.npz").string()}) {
    const Outcome tuned =
        run("train_cnn", flags + (dir_ / "b").string() + "' --lr 1e-12 --from '" + from + "'");
    ASSERT_EQ(tuned.status, 0) << tuned.err;
    const StateDict after = io::load_safetensors(dir_ / "b" / "model.safetensors");
    EXPECT_LT(tern::test::max_distance(after.at("fc1.weight"), dict.at("fc1.weight")), 1e-6);
    EXPECT_EQ(after.at("bn1.num_batches_tracked").item<int64_t>(), 20);
    EXPECT_NE(read_file(dir_ / "b" / "report.html").find("weights from"), std::string::npos);
  }
  io::save_pytorch(io::rename(dict, {{"^", "module."}}), dir_ / "model.pt");
  expect_refused(data + " --from '" + (dir_ / "model.pt").string() + "'",
                 "all names of the dict begin with module.");
  expect_refused(data + " --from '" + (dir_ / "none.pt").string() + "'", "none.pt: No such file");
}

// A run that is interrupted, by Ctrl-C or by what nothing survives, and resumed until it is over,
// leaves the very files of an undisturbed one.
TEST_F(Examples, TrainCnnGoesOnWhereItWasInterrupted) {
  const std::string flags = "--data '" + make_data(320, 100).string() +
                            "' --epochs 2 --batch-size 32 --threads 1 --out '";
  const fs::path whole = dir_ / "whole", broken = dir_ / "broken";
  const auto start = std::chrono::steady_clock::now();
  ASSERT_EQ(run("train_cnn", flags + whole.string() + "'").status, 0);
  std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  Generator random(5);
  int interrupted = 0;
  for (int attempt = 0;; ++attempt) {
    ASSERT_GT(took.count(), 1e-3) << "no signal arrives before the end";
    const bool has_checkpoint = fs::exists(broken / "checkpoint.safetensors");
    const std::string resume = has_checkpoint ? "' --resume" : "'";
    // The last attempts are left alone, so that a busy machine gets to the end as well.
    const double seconds = (0.1 + 0.8 * random.uniform()) * took.count();
    const std::string signal = attempt % 2 == 0 ? "INT" : "KILL";
    const std::string limit = "timeout --foreground -s " + signal + " " + std::to_string(seconds);
    const Outcome part =
        run("train_cnn", flags + broken.string() + resume, attempt < 8 ? limit : "");
    if (part.status == 0 && interrupted > 0) break;
    if (part.status == 0) {  // it was faster than the signal
      fs::remove_all(broken);
      took /= 2;
      attempt = -1;
      continue;
    }
    if (part.out.find("interrupted after step") == std::string::npos) continue;
    ++interrupted;
    for (const char* file : {"checkpoint.safetensors", "metrics.csv", "report.html"}) {
      EXPECT_TRUE(fs::exists(broken / file)) << file;
    }
    EXPECT_NE(read_file(broken / "report.html").find("Not finished"), std::string::npos);
  }
  std::vector<std::string> left;
  for (const auto& file : fs::directory_iterator(broken)) left.push_back(file.path().filename());
  std::sort(left.begin(), left.end());
  EXPECT_EQ(left, (std::vector<std::string>{"checkpoint.safetensors", "metrics.csv",
                                            "model.safetensors", "report.html"}));
  for (const std::string& file : left)
    EXPECT_EQ(read_file(whole / file), read_file(broken / file)) << file;

  // A run that is over writes its results again; other flags are refused.
  EXPECT_EQ(run("train_cnn", flags + broken.string() + "' --resume").status, 0);
  EXPECT_EQ(read_file(whole / "report.html"), read_file(broken / "report.html"));
  const Outcome other = run("train_cnn", flags + broken.string() + "' --resume --lr 0.05");
  EXPECT_EQ(other.status, 1);
  EXPECT_NE(other.err.find("--lr is 0.05, the interrupted run had 0.1"), std::string::npos)
      << other.err;
}

// One batch cut into two shards is the same training for one process and for two, which divide the
// test as well: an interrupted run of one goes on with two.
TEST_F(Examples, TrainCnnGivesTheSameBitsOnAnyNumberOfRanks) {
  const std::string flags =
      "--data '" + make_data(320, 103).string() + "' --epochs 2 --batch-size 31 --shards 2 --out '";
  const auto results = [&](const std::string& name, const Outcome& outcome) {
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return std::pair(read_file(dir_ / name / "model.safetensors"),
                     outcome.out.substr(outcome.out.rfind("test accuracy")));
  };
  const std::string two = " --threads 2", one = " --threads 1";
  const auto alone =
      results("alone", run("train_cnn", flags + (dir_ / "alone").string() + "'" + two));
  EXPECT_FALSE(alone.first.empty());
  const auto slim = results("slim", run("train_cnn", flags + (dir_ / "slim").string() + "'" + one));
  EXPECT_TRUE(slim == alone);
#ifdef TERN_MPIRUN
  const std::string mpirun =
      "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 PRTE_ALLOW_RUN_AS_ROOT=1 "
      "PRTE_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 "
      "PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe timeout 120 " TERN_MPIRUN " -n 2";
  const std::string both = flags + (dir_ / "both").string() + "'" + one;
  EXPECT_TRUE(results("both", run("train_cnn", both, mpirun)) == alone);
  // Interrupted in one process, gone on with in two.
  const std::string parts = flags + (dir_ / "parts").string() + "'" + one;
  for (double seconds = 2;; seconds /= 2) {
    ASSERT_GT(seconds, 1e-3) << "no signal arrives before the end";
    fs::remove_all(dir_ / "parts");
    const std::string limit = "timeout --foreground -s INT " + std::to_string(seconds);
    const Outcome part = run("train_cnn", parts, limit);
    if (part.status != 0 && part.out.find("interrupted after step") != std::string::npos) break;
  }
  EXPECT_TRUE(results("parts", run("train_cnn", parts + " --resume", mpirun)) == alone);
#endif
}

// What cannot be written is said before the training, and takes nothing else with it.
TEST_F(Examples, TrainCnnTriesEachFile) {
  const std::string data = " --data '" + make_data(64, 64).string() + "'";
  const fs::path out = dir_ / "results";
  fs::create_directories(out / "model.safetensors");
  const std::string flags = "--epochs 1 --batch-size 32 --out '" + out.string() + "'" + data;
  const Outcome directory = run("train_cnn", flags);
  EXPECT_EQ(directory.status, 1);
  EXPECT_NE(directory.err.find("model.safetensors: it exists and is a directory"),
            std::string::npos);
  EXPECT_EQ(directory.out.find("epoch"), std::string::npos);

  fs::remove(out / "model.safetensors");
  // As on a full disk: 400 KB hold the metrics and the page, but neither weights nor checkpoint.
  const Outcome full = run("train_cnn", flags, "trap '' XFSZ; ulimit -f 800;");
  EXPECT_EQ(full.status, 1);
  EXPECT_NE(full.err.find("not everything could be written"), std::string::npos) << full.err;
  EXPECT_NE(full.err.find("model.safetensors: File too large"), std::string::npos) << full.err;
  EXPECT_TRUE(fs::exists(out / "metrics.csv"));
  EXPECT_TRUE(fs::exists(out / "report.html"));
  EXPECT_FALSE(fs::exists(out / "model.safetensors"));
}

TEST_F(Examples, TrainCnnRefusesBadData) {
  expect_refused("--data '" + (dir_ / "nowhere").string() + "'", "nowhere");

  const fs::path data = make_data(64, 64);
  const std::string flags = "--epochs 1 --batch-size 32 --data '" + data.string() + "'";
  const fs::path images = data / "train-images-idx3-ubyte",
                 labels = data / "train-labels-idx1-ubyte";
  const std::string good_images = read_file(images), good_labels = read_file(labels);
  const auto spoil = [&](const fs::path& file, const std::string& bytes) {
    std::ofstream(file, std::ios::binary) << bytes;
  };

  spoil(images, good_images.substr(0, good_images.size() - 5));
  expect_refused(flags, "train-images-idx3-ubyte.*(truncated|ends|short|bytes)");
  std::string magic = good_images;
  magic[0] = 5;
  spoil(images, magic);
  expect_refused(flags, "train-images-idx3-ubyte does not begin with the magic number");
  spoil(images, "\x1f\x8b\x08\x00 this is no gzip data");
  expect_refused(flags, "train-images-idx3-ubyte");
  spoil(images, good_images);

  std::string wrong = good_labels;
  wrong[20] = 77;
  spoil(labels, wrong);
  expect_refused(flags, "label.*77");
  wrong = good_labels.substr(0, good_labels.size() - 1);
  wrong[7] = 63;
  spoil(labels, wrong);
  expect_refused(flags, "6[34].*6[34]");
}

TEST_F(Examples, TrainCnnRefusesBadFlags) {
  const std::string data = " --data '" + make_data(64, 64).string() + "'";
  expect_refused("--batch-size 65" + data, "65");
  const Outcome unknown = run("train_cnn", "--lrr 3");
  EXPECT_NE(unknown.status, 0);
  EXPECT_NE((unknown.out + unknown.err).find("--lrr"), std::string::npos);
  EXPECT_NE(run("train_cnn", "--epochs x").status, 0);

  const fs::path file = dir_ / "file";
  std::ofstream(file) << "in the way";
  const Outcome unwritable = run("train_cnn", "--out '" + (file / "out").string() + "'" + data);
  EXPECT_NE(unwritable.status, 0);
  EXPECT_NE(unwritable.err.find("--out"), std::string::npos) << unwritable.err;
  expect_refused("--profile no/trace.json" + data, "no/trace.json: No such file");
  const Outcome help = run("train_cnn", "--help");
  EXPECT_EQ(help.status, 0);
  for (const char* flag :
       {"--epochs", "--batch-size", "--lr", "--seed", "--threads", "--data", "--out"}) {
    EXPECT_NE(help.out.find(flag), std::string::npos) << flag;
  }
}

TEST_F(Examples, TrainCnnStopsAtALossThatIsNoNumber) {
  expect_refused(
      "--epochs 1 --batch-size 32 --lr 1e30 --data '" + make_data(320, 64).string() + "'",
      "loss is .*(nan|inf).* in epoch 1, batch \\d+ .the first module whose output is not "
      "finite is \\w+, in operation \\w+., want a finite one: ");
}

TEST_F(Examples, SmallOnesRun) {
  for (const char* program : {"spiral", "custom_op", "test_a_layer", "batch_norm_conventions"}) {
    const Outcome result = run(program);
    EXPECT_EQ(result.status, 0) << program << "\n" << result.out << result.err;
    EXPECT_FALSE(result.out.empty()) << program;
  }
}

TEST(Readme, ShowsTheHelloExample) {
  const std::string source = TERN_SOURCE_DIR;
  const std::string hello = read_file(fs::path(source) / "examples" / "hello.cpp");
  const std::string code = hello.substr(hello.find("#include"));
  EXPECT_NE(read_file(fs::path(source) / "README.md").find("```cpp\n" + code + "```"),
            std::string::npos)
      << "README.md and examples/hello.cpp differ";
}

}  // namespace
