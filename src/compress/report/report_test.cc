#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "compress/report/measured.h"
#include "compress/report/page.h"
#include "compress/report/roofline.h"
#include "core/error.h"

namespace bitkerf {
namespace {

constexpr const char* kNasty = "<b>&\"'\x01\xff</script>";

std::size_t count(const std::string& text, std::string_view what) {
  std::size_t n = 0;
  for (std::size_t at = text.find(what); at != text.npos; at = text.find(what, at + 1)) n++;
  return n;
}

// Nothing when tags nest, attributes are quoted, and every & starts an entity; otherwise where it goes wrong.
std::string trouble_of_xml(std::string_view text) {
  std::vector<std::string> open;
  for (std::size_t at = 0; at < text.size();) {
    if (text[at] == '&') {
      std::size_t end = text.find(';', at);
      if (end == text.npos || end > at + 6) return "a bare & at " + std::to_string(at);
      at = end + 1;
      continue;
    }
    if (static_cast<unsigned char>(text[at]) > 126 || (text[at] < ' ' && text[at] != '\n'))
      return "a byte at " + std::to_string(at);
    if (text[at] != '<') {
      at++;
      continue;
    }
    std::size_t end = text.find('>', at);
    if (end == text.npos) return "an open tag at " + std::to_string(at);
    std::string tag(text.substr(at + 1, end - at - 1));
    if (tag.find('<') != tag.npos || count(tag, "\"") % 2 != 0 || count(tag, "=\"") * 2 != count(tag, "\""))
      return "tag <" + tag + ">";
    if (tag[0] == '/') {
      if (open.empty() || open.back() != tag.substr(1)) return "unexpected <" + tag + ">";
      open.pop_back();
    } else if (!tag.ends_with('/')) {
      open.push_back(tag.substr(0, tag.find(' ')));
    }
    at = end + 1;
  }
  return open.empty() ? "" : "no end of <" + open.back() + ">";
}

TEST(ReportPictures, PlotIsXmlAndEscapesNames) {
  std::string svg =
      plot_svg({kNasty, kNasty, kNasty, false, true, false, {{kNasty, {{1, 0.5, kNasty}, {2, 0.25, kNasty}}, true}}});
  EXPECT_EQ(trouble_of_xml(svg), "");
  EXPECT_EQ(count(svg, "&lt;b&gt;&amp;&quot;&#39;\\x01\\xff"),
            8u);  // three titles, the series, two points with text and title
  EXPECT_EQ(count(svg, "<b>"), 0u);
}

TEST(ReportPictures, PointsLieWhereTheirNumbersSay) {
  // Room of 6 % on both sides: 0 is at 6/112 of the width, 50 in the middle; on the logarithmic axis 1 is the middle of
  // 0.1 and 10.
  std::string svg = plot_svg({"t", "x", "y", false, true, false, {{"s", {{0, 0.1}, {50, 1}, {100, 10}}}}});
  EXPECT_EQ(count(svg, "<circle"), 3u);
  EXPECT_EQ(count(svg, "<circle cx=\"385.0\" cy=\"193.0\""), 1u) << svg;
  EXPECT_EQ(count(svg, "<circle cx=\"103.8\""), 1u) << svg;
  EXPECT_EQ(count(svg, "<circle cx=\"666.2\""), 1u) << svg;
}

TEST(ReportPictures, LeavesOutWhatCannotBeShown) {
  const double nan = std::nan(""), infinity = std::numeric_limits<double>::infinity();
  std::string svg =
      plot_svg({"t", "x", "y", false, true, false, {{"s", {{1, 0}, {2, nan}, {infinity, 1}, {4, -1}, {5, 2}}, true}}});
  EXPECT_EQ(trouble_of_xml(svg), "");
  EXPECT_EQ(count(svg, "<circle"), 1u);
  EXPECT_EQ(count(svg, "nan") + count(svg, "inf"), 0u);
  EXPECT_EQ(trouble_of_xml(plot_svg({"t", "x", "y", true, true, true, {{"nothing", {}, true}}})), "");
}

TEST(ReportPictures, BitMapHasACellAMatrix) {
  std::string svg = bit_map_svg(
      kNasty, {{"blk.0", "attn_q", 4.55, kNasty}, {"blk.0", "ffn_up", 3, ""}, {"blk.1", "attn_q", 2.25, "q"}});
  EXPECT_EQ(trouble_of_xml(svg), "");
  EXPECT_EQ(count(svg, ">attn_q<"), 1u);
  EXPECT_EQ(count(svg, ">blk.0<"), 1u);
  for (const char* bits : {">4.55<", ">3.00<", ">2.25<"}) EXPECT_EQ(count(svg, bits), 1u);
  EXPECT_EQ(trouble_of_xml(bit_map_svg("none", {})), "");
}

TEST(ReportRoofline, EqualProductsAreOnePointUnderTheRoof) {
  Probe probe;
  probe.figures = {{"read.memory", "B/s", 1, 10e9, 0}, {"rate.int8_dot", "op/s", 1, 1000e9, 0}};
  Work work;
  work.kernel = "int_dot/dot", work.format = "int4.g32", work.rows = 100, work.cols = 50, work.tokens = 1, work.bytes = 2500;
  Work prompt = work;
  prompt.tokens = 200;
  const RooflineStep steps[] = {{"decode", {work, work}, {1e-6, 1e-6}}, {"prefill", {prompt}, {4e-6}}};
  Plot plot = roofline_plot(probe, 1, steps);
  ASSERT_EQ(plot.series.size(), 3u);
  ASSERT_EQ(plot.series[0].points.size(), 1u);
  EXPECT_EQ(plot.series[0].points[0].x, 4);    // 10,000 operations, 2,500 bytes
  EXPECT_EQ(plot.series[0].points[0].y, 10);   // Gop/s
  EXPECT_EQ(plot.series[0].points[0].title, "2 x 100x50, int4.g32 by int_dot/dot");
  EXPECT_EQ(plot.series[1].points[0].x, 800);
  const std::vector<PlotPoint>& roof = plot.series[2].points;
  ASSERT_EQ(roof.size(), 3u);
  EXPECT_EQ(roof[0].y, 10 * roof[0].x);
  EXPECT_EQ(roof[1].x, 100);
  EXPECT_EQ(roof[2].y, 1000);
  EXPECT_EQ(trouble_of_xml(plot_svg(plot)), "");
  EXPECT_EQ(roofline_plot(Probe{}, 1, steps).series.size(), 2u);  // nothing known of the machine: no roof
}

TEST(ReportContents, NamesOfMatrices) {
  EXPECT_EQ(split_name("blk.12.attn_q").layer, "blk.12");
  EXPECT_EQ(split_name("blk.12.attn_q").kind, "attn_q");
  EXPECT_EQ(split_name("token_embd").layer, "model");
  EXPECT_EQ(split_name("token_embd").kind, "token_embd");
}

TEST(ReportContents, AFileIsPredictedFromTheCandidatesThatMadeIt) {
  PlanProblem problem;
  problem.layers = {
      {"m[0:2]", 2, {{"a", 1, 0.5}, {"b", 1, 0.25}}}, {"m[2:4]", 2, {{"b", 1, 0.125}}}, {"n", 4, {{"a", 1, 1}}}};
  std::vector<MatrixPart> parts = {{"m", 0, 4, 4, 4, 2, "b"}, {"n", 0, 4, 4, 4, 1, "a"}};
  EXPECT_EQ(predicted_divergence(problem, parts), 1.375);
  problem.layers[2].candidates.push_back({"keep", 1, 0});
  parts[1] = {"n", 0, 4, 4, 4, 1, "q4_1", false};
  EXPECT_EQ(predicted_divergence(problem, parts), 0.375);
  parts[0].recipe = "c";
  EXPECT_EQ(predicted_divergence(problem, parts), std::nullopt);
  parts.pop_back();
  EXPECT_EQ(predicted_divergence(problem, parts), std::nullopt);
}

TEST(ReportContents, ABitMapAveragesParts) {
  std::vector<MatrixPart> parts = {
      {"token_embd", 0, 1, 4, 8, 8, "a"}, {"token_embd", 1, 3, 4, 24, 6, "b"}, {"blk.0.attn_q", 0, 2, 2, 16, 8, "c"}};
  std::vector<BitCell> cells = cells_of_matrices(parts);
  ASSERT_EQ(cells.size(), 2u);
  EXPECT_EQ(cells[0].bits, 3.5);
  EXPECT_EQ(cells[1].row, "blk.0");
  EXPECT_EQ(cells[1].bits, 4);
  EXPECT_EQ(cells_of_segments(parts).size(), 2u);
}

TEST(ReportMeasured, DivergenceOrPerplexity) {
  MeasuredSeries ours = parse_measured("f", "# ours\nname,MiB,divergence,predicted\na,64,0.07,0.05\r\nb,32,1,\n");
  ASSERT_EQ(ours.files.size(), 2u);
  EXPECT_EQ(ours.files[0].divergence, 0.07);
  EXPECT_EQ(ours.files[0].predicted, 0.05);
  EXPECT_EQ(ours.files[1].predicted, std::nullopt);
  MeasuredSeries theirs = parse_measured("f", "type,MiB,perplexity\nQ,80,60\nsource,94,30\n");
  ASSERT_EQ(theirs.files.size(), 1u);
  EXPECT_TRUE(theirs.from_perplexity);
  EXPECT_DOUBLE_EQ(theirs.files[0].divergence, std::log(2.0));
}

TEST(ReportMeasured, SaysWhatIsWrong) {
  for (const char* text : {"", "a,b\n", "name,MiB\n", "name,MiB,divergence\na,1\n", "name,MiB,divergence\na,1,x\n",
                           "name,MiB,divergence\na,1,nan\n", "name,MiB,divergence\na,-1,0\n",
                           "name,MiB,perplexity\na,1,2\n", "name,MiB,perplexity\nsource,1,0\n"})
    EXPECT_THROW(parse_measured("f", text), Error) << text;
}

TEST(ReportPage, IsOnePageWithoutNetwork) {
  PlanProblem problem;
  problem.fixed_bytes = 1 << 20;
  problem.layers = {{kNasty, 16, {{"a", 4, 0.5}, {"b", 8, 0.25}}}};
  Report report{kNasty,
                {{"size", kNasty}},
                {{kNasty, 1, 16, 1 << 20}},
                {{"pareto", plot_svg({}), kNasty}},
                curve_points(problem, {{{0}, 1 << 20, 0.5}})};
  ASSERT_EQ(report.curve.size(), 1u);
  EXPECT_EQ(report.curve[0].bits.begin()->second, 2);
  std::string html = report_html(report);
  EXPECT_EQ(count(html, "<b>"), 0u);
  EXPECT_EQ(count(html, "</script>"), 1u);
  EXPECT_EQ(count(html, "src="), 0u);
  EXPECT_EQ(count(html, "<td>1.00</td><td>524288.00</td><td>100.0 %</td>"), 1u) << html;
}

}  // namespace
}  // namespace bitkerf
