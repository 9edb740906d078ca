#include "files/chat_template.h"

#include <algorithm>
#include <deque>

#include "files/jinja/parser.h"

namespace bitkerf {

using namespace jinja;

struct ChatTemplate::Program {
  Block block;
};

namespace {

// Roles that a template may put into control tokens ("<|" + role + "|>"). Any other is somebody's text.
constexpr std::string_view kRoles[] = {"system", "user", "assistant", "tool", "developer", "function", "ipython", "model"};

bool is_trusted(std::string_view key, const Json& value, int depth) {
  if (!value.is_string()) return false;
  if (depth == 0) return key.ends_with("_token");
  return key == "role" && std::find(std::begin(kRoles), std::end(kRoles), value.get_ref<const std::string&>()) != std::end(kRoles);
}

Value from_json(Run& run, const Json& json, bool trusted, int depth) {
  if (depth > kMaximumNesting) fail(Fault::usage, "messages or tools nest more than {} deep", kMaximumNesting);
  if (json.is_string()) return run.text(from_utf8(json.get_ref<const std::string&>(), !trusted));
  if (json.is_boolean()) return json.get<bool>();
  if (json.is_number_float()) return json.get<double>();
  if (json.is_number_unsigned() && json.get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX))
    fail(Fault::usage, "the number {} in messages or tools does not fit 64 bits", json.get<std::uint64_t>());
  if (json.is_number_integer()) return json.get<i64>();
  if (json.is_array()) {
    std::vector<Value> items;
    for (const Json& item : json) items.push_back(from_json(run, item, false, depth + 1));
    return run.list(std::move(items));
  }
  if (json.is_object()) {
    std::vector<std::pair<Value, Value>> entries;
    for (const auto& [key, value] : json.items())
      entries.emplace_back(run.text(from_utf8(key, true)), from_json(run, value, is_trusted(key, value, depth), depth + 1));
    return run.dict(std::move(entries));
  }
  return None{};
}

constexpr i64 kSteps = 4'000'000;     // about half a second
constexpr i64 kBytes = i64{12} << 20; // of values alive, next to what the messages take

Text render_text(const Block& block, const Json& variables, std::time_t now) {
  if (!variables.is_object()) fail(Fault::usage, "a chat template needs an object of variables");
  constexpr i64 kPlenty = i64{1} << 50;
  std::deque<std::string> names;  // outlives the scope that points to it
  Run run({kPlenty, kPlenty}, now);
  TextBuilder out(run);
  run.here = run.scope(nullptr);
  for (const auto& [key, value] : variables.items()) {
    names.push_back(key);
    run.here->variables.emplace_back(&names.back(), from_json(run, value, is_trusted(key, value, 0), 1));
  }
  // Long conversations are allowed more than short ones.
  const i64 input = kPlenty - run.budget.bytes_left;
  run.budget = {kSteps + input, kBytes + 8 * input};
  run.out = &out;
  const std::shared_ptr<Scope> root = run.here;
  run.keep(root);
  execute(run, block);
  return out.take();
}

}  // namespace

ChatTemplate::ChatTemplate(std::string_view source)
    : program_(std::make_unique<const Program>(Program{Parser(source).parse()})) {}
ChatTemplate::~ChatTemplate() = default;
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;

std::string ChatTemplate::render(const Json& variables, std::optional<std::time_t> now) const {
  return to_utf8(render_text(program_->block, variables, now.value_or(std::time(nullptr))));
}

std::vector<PromptPart> ChatTemplate::render_parts(const Json& variables, std::optional<std::time_t> now) const {
  std::vector<PromptPart> parts;
  for (char32_t c : render_text(program_->block, variables, now.value_or(std::time(nullptr)))) {
    const bool foreign = (c & kForeign) != 0;
    if (parts.empty() || parts.back().foreign != foreign) parts.push_back({{}, foreign});
    append_utf8(parts.back().text, c);
  }
  return parts;
}

}  // namespace bitkerf
