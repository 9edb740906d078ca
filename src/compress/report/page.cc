#include "compress/report/page.h"

#include <nlohmann/json.hpp>

namespace bitkerf {
namespace {

constexpr double kMiB = 1 << 20;

constexpr std::string_view kStyle = R"(
body { font: 15px/1.5 sans-serif; color: #222; max-width: 960px; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; margin: 1em 0; }
td, th { padding: 1px 12px; text-align: right; border-bottom: 1px solid #ddd; }
td:first-child, th:first-child { text-align: left; }
figure { margin: 1.5em 0; overflow-x: auto; } figcaption { color: #555; max-width: 720px; }
input[type=range] { width: 100%; }
svg { max-width: 100%; height: auto; } .bar { background: #1f6f8b; height: 10px; } td.wide { width: 320px; }
circle.chosen { stroke: #c8553d; stroke-width: 5px; }
)";

// `curve` is defined in front of it.
constexpr std::string_view kScript = R"(
const slider = document.getElementById("budget"), points = document.querySelectorAll("#pareto .line circle");
function show() {
  const plan = curve[slider.value];
  document.getElementById("chosen").textContent = plan.mib.toFixed(2) + " MiB: predicted divergence " + plan.harm.toPrecision(3) +
    " nats per token" + (plan.speed > 0 ? ", decode " + plan.speed.toFixed(0) + " tokens per second" : "");
  const body = document.getElementById("plan");
  body.replaceChildren();
  for (const [kind, bits] of Object.entries(plan.bits)) {
    const row = body.insertRow(), bar = document.createElement("div");
    row.insertCell().textContent = kind;
    row.insertCell().textContent = bits.toFixed(2);
    bar.className = "bar";
    bar.style.width = Math.min(100, bits / 8 * 100) + "%";
    const cell = row.insertCell();
    cell.className = "wide";
    cell.append(bar);
  }
  points.forEach((point, i) => point.classList.toggle("chosen", i == slider.value));
}
slider.addEventListener("input", show);
show();
)";

std::string slider_html(const std::vector<CurvePoint>& curve) {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const CurvePoint& point : curve)
    rows.push_back(
        {{"mib", point.mib}, {"harm", point.harm}, {"speed", point.tokens_per_second}, {"bits", point.bits}});
  std::string json = rows.dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace), safe;
  for (char c : json) {  // </script> may not occur
    if (c == '<')
      safe += "\\u003c";
    else
      safe += c;
  }
  return fmt::format(
      "<h2>Budgets</h2>\n<p><label for=\"budget\">The best plan of every size: bits by kind of matrix.</label></p>\n"
      "<input type=\"range\" id=\"budget\" min=\"0\" max=\"{}\" value=\"{}\">\n<p id=\"chosen\"></p>\n<table><tbody "
      "id=\"plan\"></tbody></table>\n"
      "<script>\nconst curve = {};\n{}</script>\n",
      curve.size() - 1, curve.size() / 2, safe, kScript);
}

std::string kinds_html(const std::vector<KindRow>& kinds) {
  i64 all = 0;
  for (const KindRow& row : kinds) all += row.bytes;
  auto count = [](i64 n) { return n > 0 ? std::to_string(n) : ""; };
  std::string text =
      "<table>\n<tr><th>kind</th><th>tensors</th><th>weights</th><th>MiB</th><th>bits</th><th>of the file</th></tr>\n";
  for (const KindRow& row : kinds) {
    std::string bits =
        row.weights > 0 ? fmt::format("{:.2f}", 8.0 * static_cast<double>(row.bytes) / static_cast<double>(row.weights))
                        : "";
    text +=
        fmt::format("<tr><td>{}</td><td>{}</td><td>{}</td><td>{:.2f}</td><td>{}</td><td>{:.1f} %</td></tr>\n",
                    xml_text(row.kind), count(row.matrices), count(row.weights), static_cast<double>(row.bytes) / kMiB,
                    bits, all > 0 ? 100.0 * static_cast<double>(row.bytes) / static_cast<double>(all) : 0);
  }
  return text + "</table>\n";
}

}  // namespace

std::vector<CurvePoint> curve_points(const PlanProblem& problem, const std::vector<Plan>& plans) {
  std::vector<CurvePoint> points;
  for (const Plan& plan : plans) {
    CurvePoint point{
        static_cast<double>(plan.bytes) / kMiB, plan.divergence, plan.seconds_decode > 0 ? 1 / plan.seconds_decode : 0, {}};
    std::map<std::string, KindRow> kinds;
    for (std::size_t i = 0; i < problem.layers.size(); i++) {
      const PlanLayer& layer = problem.layers[i];
      KindRow& row = kinds[split_name(layer.matrix.substr(0, layer.matrix.find('['))).kind];
      row.weights += layer.weights;
      row.bytes += layer.candidates[static_cast<std::size_t>(plan.chosen[i])].bytes;
    }
    for (const auto& [kind, row] : kinds)
      point.bits[kind] = row.weights > 0 ? 8.0 * static_cast<double>(row.bytes) / static_cast<double>(row.weights) : 0;
    points.push_back(std::move(point));
  }
  return points;
}

std::string report_html(const Report& report) {
  std::string html = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" "
      "content=\"width=device-width\">\n"
      "<title>{0}</title>\n<link rel=\"icon\" "
      "href=\"data:,\">\n<style>{1}</style>\n</head>\n<body>\n<h1>{0}</h1>\n<table>\n",
      xml_text(report.title), kStyle);
  for (const auto& [name, value] : report.facts)
    html += fmt::format("<tr><td>{}</td><td>{}</td></tr>\n", xml_text(name), xml_text(value));
  html += "</table>\n";
  for (const Picture& picture : report.pictures)
    html += fmt::format("<figure id=\"{}\">\n{}<figcaption>{}</figcaption>\n</figure>\n", xml_text(picture.name),
                        picture.svg, xml_text(picture.about));
  if (!report.curve.empty()) html += slider_html(report.curve);
  html += "<h2>Bytes by kind of tensor</h2>\n" + kinds_html(report.kinds);
  return html + "</body>\n</html>\n";
}

}  // namespace bitkerf
