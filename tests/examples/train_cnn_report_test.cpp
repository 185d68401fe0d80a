// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <clocale>
#include <cmath>
#include <limits>
#include <locale>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "../../examples/train_cnn/picture.h"
#include "../../examples/train_cnn/progress.h"
#include "../../examples/train_cnn/report.h"
#include "../../examples/train_cnn/text.h"

namespace train_cnn {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

Report full_report() {
  Report r{.title = "Fashion", .subtitle = "a test", .settings = {{"epochs", "3"}, {"seed", "0"}}};
  r.test_accuracy = 0.75;
  r.test_loss = 0.5;
  for (int e = 1; e <= 3; ++e) {
    r.epochs.push_back({.epoch = e,
                        .train_loss = 1.5 / e,
                        .train_accuracy = 0.6 + 0.08 * e,
                        .test_loss = 1.2 / e,
                        .test_accuracy = e == 2 ? 0.8125 : 0.75,
                        .learning_rate = 0.1 / e});
  }
  for (int i = 0; i < 1000; ++i) r.step_losses.push_back(2.3 / (1 + 0.01 * i));
  r.class_names = {"Shirt", "Coat"};
  r.confusion = {{3, 1}, {0, 4}};
  r.filters = {{3, 3, {-1, 0, 1, -2, 0, 2, -1, 0, 1}}, {1, 2, {0.5f, -4}}};
  r.batch_norms = {{"bn1", {0, 1, 2}, {1, 2, 40}, {0, 1.1f, 2}, {1, 2.5f, 41}}};
  r.mistakes = {{2, 1, {0, 255}, 0, 1, 0.875, 42}};
  return r;
}

/// Every way in which numbers and sizes can be wrong.
Report broken_report() {
  Report r = full_report();
  r.test_accuracy = kNan;
  r.test_loss = -kInf;
  r.epochs[0].train_loss = kNan;
  r.epochs[1].test_loss = kInf;
  r.epochs[2].test_accuracy = -1e300;
  r.epochs[2].learning_rate = kNan;
  r.step_losses[0] = kNan;
  r.step_losses[500] = kInf;
  r.step_losses[600] = -1;
  r.class_names = {"only one"};
  r.confusion = {{}, {1, -5, 7}, {std::numeric_limits<int64_t>::max()}};
  r.filters.push_back({3, 3, {1}});
  r.filters.push_back({-1, -1, {1}});
  r.filters.push_back({1, 3, {static_cast<float>(kNan), static_cast<float>(kInf), 1}});
  r.batch_norms.push_back({"ragged", {1, 2, 3}, {1}, {}, {0, 0}});
  r.batch_norms.push_back({"odd", {static_cast<float>(kNan), 1}, {0, -1}, {0, 1}, {0, 0}});
  r.mistakes.push_back({28, 28, {1, 2, 3}, 0, 1, 0.5, 0});
  r.mistakes.push_back({-1, -1, {1}, 0, 1, 0.5, 0});
  r.mistakes.push_back({1, 1, {7}, -3, 99, kNan, -1});
  return r;
}

/// Why `xml` is not well-formed, or nothing. Strict about what the page may use: every element
/// closed, attributes in double quotes and once each, five entities, nothing after the root.
std::string why_malformed(std::string_view xml) {
  constexpr std::string_view kDoctype = "<!DOCTYPE html>\n";
  if (!xml.starts_with(kDoctype)) return "no doctype";
  xml.remove_prefix(kDoctype.size());
  std::vector<std::string> open;
  const auto bad_text = [](std::string_view text) {
    for (size_t i = 0; i < text.size(); ++i) {
      const auto c = static_cast<unsigned char>(text[i]);
      if (c == '<' || c == '>' || (c < 0x20 && c != '\n')) return true;
      if (c != '&') continue;
      const std::string_view entity = text.substr(i, text.find(';', i) - i);
      if (entity != "&amp" && entity != "&lt" && entity != "&gt" && entity != "&quot" &&
          entity != "&#39") {
        return true;
      }
    }
    return false;
  };
  while (!xml.empty()) {
    const size_t tag = std::min(xml.find('<'), xml.size());
    const std::string_view text = xml.substr(0, tag);
    const bool style = !open.empty() && open.back() == "style";
    if (!style && bad_text(text)) return "text: " + std::string(text.substr(0, 80));
    if (open.empty() && text.find_first_not_of('\n') != text.npos) return "text outside the root";
    xml.remove_prefix(tag);
    if (xml.empty()) break;
    const size_t end = xml.find('>');
    if (end == xml.npos) return "tag without end";
    std::string_view inside = xml.substr(1, end - 1);
    const std::string shown(inside.substr(0, 80));
    xml.remove_prefix(end + 1);
    if (inside.starts_with('/')) {
      if (open.empty() || open.back() != inside.substr(1)) return "closes nothing: " + shown;
      open.pop_back();
      continue;
    }
    const bool empty = inside.ends_with('/');
    if (empty) inside.remove_suffix(1);
    const size_t name_end = std::min(inside.find(' '), inside.size());
    const std::string name(inside.substr(0, name_end));
    if (name.empty()) return "no name: " + shown;
    std::vector<std::string> seen;
    for (inside.remove_prefix(name_end); !inside.empty();) {
      const size_t quote = inside.find("=\"");
      if (inside[0] != ' ' || quote == inside.npos) return "attribute: " + shown;
      const std::string key(inside.substr(1, quote - 1));
      if (key.find_first_not_of(
              "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-0123456789") != key.npos ||
          std::find(seen.begin(), seen.end(), key) != seen.end()) {
        return "attribute: " + shown;
      }
      seen.push_back(key);
      inside.remove_prefix(quote + 2);
      const size_t close = inside.find('"');
      if (close == inside.npos || bad_text(inside.substr(0, close))) return "value: " + shown;
      const std::string_view value = inside.substr(0, close);
      const bool number = key == "d" || key == "x" || key == "y" || key == "cx" || key == "cy" ||
                          key == "r" || key == "x1" || key == "x2" || key == "y1" || key == "y2" ||
                          key == "width" || key == "height" || key == "viewBox" ||
                          key == "fill-opacity" || key == "style";
      if (number && (value.find("nan") != value.npos || value.find("inf") != value.npos)) {
        return "not a number: " + shown;
      }
      inside.remove_prefix(close + 1);
    }
    if (empty) continue;
    if (open.empty() && name != "html") return "second root: " + shown;
    open.push_back(name);
  }
  return open.empty() ? "" : "left open: " + open.back();
}

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != text.npos;
}

size_t count(const std::string& text, std::string_view part) {
  size_t n = 0;
  for (size_t at = 0; (at = text.find(part, at)) != text.npos; at += part.size()) ++n;
  return n;
}

TEST(TrainCnnText, NumbersDoNotDependOnTheLocaleAndNeverRoundUpToPerfect) {
  EXPECT_EQ(fixed(-0.0001, 2), "0.00");
  EXPECT_EQ(fixed(-0.01, 2), "-0.01");
  EXPECT_EQ(fixed(kNan, 2), "nan");
  EXPECT_EQ(fixed(-kInf, 2), "-inf");
  EXPECT_EQ(fixed(1e300, 9).size(), 311u);
  EXPECT_EQ(general(0.1), "0.1");
  EXPECT_EQ(general(1e-5), "1e-05");
  EXPECT_EQ(percent(0.9137), "91.4 %");
  EXPECT_EQ(percent(1), "100.0 %");
  EXPECT_EQ(percent(0.9996), "99.96 %");
  EXPECT_EQ(percent(0.9999999), "> 99.99 %");
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(1000), "1,000");
  EXPECT_EQ(grouped(-1234567), "-1,234,567");
  EXPECT_EQ(escaped("<a href=\"x\">&'\x01\n"), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;  ");
}

TEST(TrainCnnPicture, PngHasTheBytesOfTheStandard) {
  // Written out by Python's zlib and struct from the same two pixels.
  const std::vector<uint8_t> pixels{0, 255};
  EXPECT_EQ(png_data_uri(2, 1, pixels),
            "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAIAAAABCAAAAA"
            "DRSSBWAAAADklEQVR4AQEDAPz/AAD/AQIBALcBLvcAAAAASUVORK5CYII=");
  EXPECT_EQ(png_data_uri(1, 1, pixels), "");
  EXPECT_EQ(png_data_uri(-1, -2, pixels), "");
  EXPECT_EQ(png_data_uri(256, 1, std::vector<uint8_t>(256)), "");
  EXPECT_NE(png_data_uri(255, 255, std::vector<uint8_t>(255 * 255)), "");
}

TEST(TrainCnnReport, ChecksOfThisFileSeeMalformedPages) {
  const std::string head = "<!DOCTYPE html>\n";
  EXPECT_EQ(why_malformed(head + "<html><br/><p a=\"b\">x &amp; y</p></html>\n"), "");
  for (const char* bad :
       {"<html><p></html>", "<html></p></html>", "<html>a & b</html>", "<html><p a=b></p></html>",
        "<html><p a=\"1\" a=\"2\"></p></html>", "<html>", "<html></html>x", "<html>></html>",
        "<html><rect x=\"nan\"/></html>", "<html><p a=\"x<y\"></p></html>"}) {
    EXPECT_NE(why_malformed(head + bad), "") << bad;
  }
}

TEST(TrainCnnReport, PageIsWellFormedWhateverItHolds) {
  EXPECT_EQ(why_malformed(report_html(full_report())), "");
  EXPECT_EQ(why_malformed(report_html(broken_report())), "");
  EXPECT_EQ(why_malformed(report_html({})), "");

  Report one = full_report();
  one.epochs.resize(1);
  one.step_losses = {1.0};
  one.mistakes.clear();
  one.batch_norms.clear();
  const std::string page = report_html(one);
  EXPECT_EQ(why_malformed(page), "");
  EXPECT_TRUE(contains(page, "How it learned"));
  EXPECT_FALSE(contains(page, "Wrong, and sure of it"));
  EXPECT_FALSE(contains(page, "running statistics"));

  for (double v : {0.0, 1.0, -1.0, 1e-300, 1e300, kNan, kInf}) {
    Report r;
    r.epochs = {{.epoch = 7,
                 .train_loss = v,
                 .train_accuracy = v,
                 .test_loss = v,
                 .test_accuracy = v,
                 .learning_rate = v}};
    r.step_losses = {v, 1, v};
    const auto f = static_cast<float>(v);
    r.batch_norms = {{"bn", {f}, {f}, {f}, {f}}};
    r.filters = {{1, 1, {f}}};
    r.test_accuracy = v;
    EXPECT_EQ(why_malformed(report_html(r)), "") << v;
  }
}

TEST(TrainCnnReport, StringsAreEscapedWhereverTheyStand) {
  const std::string evil = "<script>alert(\"&'\")</script>";
  Report r = full_report();
  r.title = r.subtitle = evil;
  r.settings = {{evil, evil}};
  r.class_names = {evil, evil};
  r.batch_norms[0].name = evil;
  const std::string page = report_html(r);
  EXPECT_FALSE(contains(page, "<script"));
  EXPECT_EQ(why_malformed(page), "");
  EXPECT_GE(count(page, escaped(evil)), 12u);
}

/// A locale as in German, without needing one installed.
struct CommaForPoint : std::numpunct<char> {
  char do_decimal_point() const override { return ','; }
  char do_thousands_sep() const override { return '.'; }
  std::string do_grouping() const override { return "\3"; }
};

TEST(TrainCnnReport, SameReportGivesTheSameBytesInEveryLocale) {
  const std::string page = report_html(full_report());
  const std::locale before = std::locale::global(std::locale(std::locale(), new CommaForPoint));
  const std::string again = report_html(full_report());
  std::locale::global(before);
  EXPECT_EQ(page, again);
}

TEST(TrainCnnReport, AsksNothingOfTheNetworkAndRunsNothing) {
  const std::string page = report_html(full_report());
  for (const char* part :
       {"http", "//", "<script", "<link", "@import", "url(", "onload", "onclick"}) {
    EXPECT_FALSE(contains(page.substr(0, page.find("base64,")), part)) << part;
  }
  EXPECT_EQ(count(page, "src="), count(page, "src=\"data:image/png;base64,"));
}

TEST(TrainCnnReport, ShowsWhatItIsGiven) {
  const std::string page = report_html(full_report());
  EXPECT_TRUE(contains(page, "<p class=\"big\">75.00<small> %</small></p>"));
  EXPECT_TRUE(contains(page, "of 8 test pictures are recognised, one is not."));
  EXPECT_EQ(count(page, "class=\"r\""), 75u);
  EXPECT_EQ(count(page, "class=\"w\""), 25u);
  EXPECT_TRUE(contains(page, "<b>Shirt</b> is taken for <b>Coat</b> (1)"));
  EXPECT_TRUE(contains(page, "title=\"recall of Shirt\">75.0<"));
  EXPECT_TRUE(contains(page, "title=\"precision of Coat\">80.0<"));
  EXPECT_TRUE(contains(page,
                       "<tr class=\"best\"><td>2</td><td>0.7500</td><td>76.00</td>"
                       "<td>0.6000</td><td>81.25</td><td>0.05</td></tr>"));
  // Channel 1 is 0.1 off at a variance of 2.5; its variance is 2 instead of 2.5.
  EXPECT_TRUE(contains(page, "<b>0.063 standard deviations</b> off (channel 1)"));
  EXPECT_TRUE(contains(page, "<b>20 %</b> (channel 1)"));
  EXPECT_TRUE(contains(page, "channel 2: running 40, true 41"));
  // -4 is the strongest weight, so 0.5 is an eighth of it, and zeros draw nothing.
  EXPECT_EQ(count(page, "width=\"1\" height=\"1\" class=\"n\""), 4u);
  EXPECT_TRUE(contains(page, "class=\"p\" fill-opacity=\"0.125\""));
  EXPECT_TRUE(contains(page, "<b>Coat</b><span class=\"sure\"><i style=\"width:87.5%\">"));
  EXPECT_TRUE(contains(page, "is Shirt<small><span>87.5 % sure</span><span>#42</span>"));
  EXPECT_TRUE(contains(page, "<dt>seed</dt><dd>0</dd>"));
}

TEST(TrainCnnReport, WallClockFiguresAppearOnlyWhenGiven) {
  Report r = full_report();
  EXPECT_FALSE(contains(report_html(r), "images / s"));
  EXPECT_FALSE(contains(report_html(r), ">seconds<"));
  r.epochs[1].seconds = 12.5;
  r.epochs[1].images_per_second = 4800.4;
  EXPECT_TRUE(contains(report_html(r), "<td>12.5</td><td>4800</td></tr>"));
  EXPECT_TRUE(contains(report_html(r), "<td>–</td><td>–</td></tr>"));
  EXPECT_EQ(why_malformed(report_html(r)), "");
}

// --- the console --------------------------------------------------------------------------------

const Epoch kRow{.epoch = 2,
                 .train_loss = 0.31204,
                 .train_accuracy = 0.8894,
                 .test_loss = 0.295,
                 .test_accuracy = 0.8931,
                 .learning_rate = 0.1,
                 .seconds = 3.5,
                 .images_per_second = 17000};

TEST(TrainCnnProgress, PlainLinesHaveNoTimesAndNoControlCharacters) {
  std::ostringstream out;
  double now = 0;
  {
    Progress progress(12, 1000, {.out = &out, .seconds = [&now] { return now += 1.7; }});
    progress.begin(2);
    progress.update(500, 0.5, 0.8);
    progress.update(1000, 0.4, 0.9);
    progress.testing();
    progress.end(kRow);
    progress.line("report.html written");
  }
  EXPECT_EQ(out.str(),
            "epoch  2/12  train loss 0.3120 acc 0.8894  test loss 0.2950 acc 0.8931  lr 0.1\n"
            "report.html written\n");
}

TEST(TrainCnnProgress, TerminalRedrawsOneLineAndLeavesTheResult) {
  std::ostringstream out;
  double now = 0;
  {
    Progress progress(6, 60000,
                      {.out = &out,
                       .terminal = true,
                       .width = [] { return 90; },
                       .seconds = [&now] { return now; }});
    now = 100;
    progress.begin(2);
    now = 104;
    progress.update(48000, 0.3121, 0.8894);
    now = 105;
    progress.testing();
    now = 105.5;
    progress.end(kRow);
    progress.begin(3);
  }
  EXPECT_EQ(out.str(),
            "\repoch 2/6 [                        ]   0%\x1b[K"
            "\repoch 2/6 [==================>     ]  80%  loss 0.312  acc 0.889  12000 img/s  "
            "0:01 left\x1b[K"
            "\repoch 2/6 [==================>     ]  80%  loss 0.312  acc 0.889  testing\x1b[K"
            "\r\x1b[K"
            "epoch 2/6  train loss 0.3120 acc 0.8894  test loss 0.2950 acc 0.8931  lr 0.1  "
            "9600 img/s\n"
            "\repoch 3/6 [                        ]   0%\x1b[K\n");
}

TEST(TrainCnnProgress, DrawsAtMostTenTimesASecond) {
  std::ostringstream out;
  double now = 0;
  Progress progress(
      1, 10000, {.out = &out, .terminal = true, .width = {}, .seconds = [&now] { return now; }});
  progress.begin(1);
  for (int i = 1; i <= 10000; ++i) {
    now = i * 1e-4;  // one second in all
    progress.update(i, 1, 0);
  }
  const size_t drawn = count(out.str(), "\r");
  EXPECT_GE(drawn, 9u);
  EXPECT_LE(drawn, 11u);
}

TEST(TrainCnnProgress, BarStaysWithinTheTerminal) {
  for (int width = 1; width < 200; ++width) {
    std::ostringstream out;
    double now = 0;
    Progress progress(100, 60000,
                      {.out = &out,
                       .terminal = true,
                       .width = [width] { return width; },
                       .seconds = [&now] { return now; }});
    progress.begin(99);
    for (int64_t images : {0, 1, 30000, 60000, 70000}) {
      now += 1;
      progress.update(images, 0.25, 0.5);
      const std::string last = out.str().substr(out.str().rfind('\r') + 1);
      ASSERT_TRUE(last.ends_with("\x1b[K"));
      EXPECT_LT(last.size() - 3, static_cast<size_t>(width)) << last;
    }
  }
}

TEST(TrainCnnProgress, OddNumbersDoNoHarm) {
  std::ostringstream out;
  Progress progress(
      0, 0,
      {.out = &out, .terminal = true, .width = [] { return -3; }, .seconds = [] { return kNan; }});
  progress.begin(-1);
  progress.update(-5, kNan, kInf);
  progress.testing();
  progress.end({});
  EXPECT_TRUE(
      contains(out.str(), "epoch 0/0  train loss nan acc nan  test loss nan acc nan  lr nan"));
}

}  // namespace
}  // namespace train_cnn
