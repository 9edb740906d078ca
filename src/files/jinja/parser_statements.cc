#include "files/jinja/parser.h"

namespace bitkerf::jinja {

// Tags that open a statement.
const Parser::StatementRow Parser::kStatements[] = {
    {"set", &Parser::set_statement},
    {"if", &Parser::if_statement},
    {"for", &Parser::for_statement},
    {"macro", &Parser::macro_statement},
    {"call", &Parser::call_statement},
    {"filter", &Parser::filter_statement},
    {"with", &Parser::with_statement},
    {"generation", &Parser::generation_statement},
    {"break", &Parser::break_statement},
    {"continue", &Parser::continue_statement},
};

namespace {
// Known to Jinja, of no use in a chat template.
constexpr std::string_view kUnsupported[] = {"block", "extends", "include", "import", "from",
                                             "print", "autoescape", "do", "trans", "debug"};
}  // namespace

void Parser::unexpected(std::string_view wanted) const {
  const Token& here = token();
  const std::string found = here.kind == TokenKind::end            ? "the template's end"
                            : here.kind == TokenKind::data         ? "text"
                            : here.kind == TokenKind::string       ? "a string"
                            : here.kind == TokenKind::block_end    ? "'%}'"
                            : here.kind == TokenKind::variable_end ? "'}}'"
                                                                   : fmt::format("'{}'", here.text);
  fail_at(here.at, fmt::format("{} expected, found {}", wanted, found));
}

bool Parser::skip_sign(std::string_view sign) {
  const bool found = is_sign(sign);
  place_ += found;
  return found;
}

bool Parser::skip_name(std::string_view name) {
  const bool found = is_name(name);
  place_ += found;
  return found;
}

void Parser::expect_sign(std::string_view sign) {
  if (!skip_sign(sign)) unexpected(fmt::format("'{}'", sign));
}

void Parser::expect_name(std::string_view name) {
  if (!skip_name(name)) unexpected(fmt::format("'{}'", name));
}

void Parser::expect(TokenKind kind, std::string_view what) {
  if (token().kind != kind) unexpected(what);
  place_++;
}

std::string Parser::name() {
  if (token().kind != TokenKind::name) unexpected("a name");
  return tokens_[place_++].text;
}

Block Parser::parse() { return block_until({}); }

Block Parser::body(const std::vector<std::string_view>& ends) {
  skip_sign(":");
  expect(TokenKind::block_end, "'%}'");
  return block_until(ends);
}

Block Parser::block_until(const std::vector<std::string_view>& ends) {
  Nested nested(*this);
  Block block;
  for (;;) {
    const Token& here = token();
    if (here.kind == TokenKind::end) {
      if (!ends.empty()) fail_at(here.at, fmt::format("the template ends before '{{% {} %}}'", ends.back()));
      return block;
    }
    if (here.kind == TokenKind::data) {
      block.push_back(std::make_unique<DataStatement>(here.at, here.literal));
      place_++;
    } else if (here.kind == TokenKind::variable_begin) {
      auto node = std::make_unique<OutputStatement>(here.at);
      place_++;
      node->value = tuple(true);
      expect(TokenKind::variable_end, "'}}'");
      block.push_back(std::move(node));
    } else {
      expect(TokenKind::block_begin, "a tag");
      for (std::string_view end : ends) {
        if (!is_name(end)) continue;
        return block;
      }
      block.push_back(statement());
      expect(TokenKind::block_end, "'%}'");
    }
  }
}

std::unique_ptr<const Statement> Parser::statement() {
  const Position at = token().at;
  const std::string tag = name();
  for (const StatementRow& row : kStatements)
    if (row.name == tag) return (this->*row.parse)();
  for (std::string_view known : kUnsupported)
    if (known == tag) fail_at(at, fmt::format("the tag '{}' is not supported", tag));
  std::string known;
  for (const StatementRow& row : kStatements) known += fmt::format("{}{}", known.empty() ? "" : " ", row.name);
  fail_at(at, fmt::format("the tag '{}' has no meaning here; supported are {}", tag, known));
}

Target Parser::one_target(bool with_namespace) {
  if (skip_sign("(")) {
    Nested nested(*this);
    Target result = target(with_namespace);
    expect_sign(")");
    return result;
  }
  Target result;
  result.at = token().at;
  result.name = name();
  for (std::string_view reserved : {"true", "True", "false", "False", "none", "None"})
    if (result.name == reserved) fail_at(result.at, fmt::format("'{}' cannot be assigned to", reserved));
  if (with_namespace && skip_sign(".")) result.attribute = name();
  return result;
}

Target Parser::target(bool with_namespace) {
  Target first = one_target(with_namespace);
  if (!is_sign(",")) return first;
  Target all;
  all.at = first.at;
  all.parts.push_back(std::move(first));
  while (skip_sign(",")) {
    if (token().kind != TokenKind::name && !is_sign("(")) break;
    if (is_name("in")) break;
    all.parts.push_back(one_target(with_namespace));
  }
  return all;
}

std::vector<std::unique_ptr<const FilterCall>> Parser::filters(bool first_without_pipe) {
  std::vector<std::unique_ptr<const FilterCall>> result;
  if (first_without_pipe) result.push_back(filter());
  while (skip_sign("|")) result.push_back(filter());
  return result;
}

std::unique_ptr<const Statement> Parser::set_statement() {
  auto node = std::make_unique<SetStatement>(token().at);
  node->target = target(true);
  if (loops_ > 0 && node->target.name == "loop" && node->target.attribute.empty())
    fail_at(node->at, "'loop' cannot be assigned to in a loop");
  if (skip_sign("=")) {
    node->value = tuple(true);
    return node;
  }
  node->filters = filters(false);
  node->body = body({"endset"});
  place_++;
  return node;
}

std::unique_ptr<const Statement> Parser::if_statement() {
  auto node = std::make_unique<IfStatement>(token().at);
  for (;;) {
    ExpressionPointer condition = tuple(false);
    node->branches.emplace_back(std::move(condition), body({"elif", "else", "endif"}));
    if (skip_name("elif")) continue;
    if (skip_name("else")) node->otherwise = body({"endif"});
    expect_name("endif");
    return node;
  }
}

std::unique_ptr<const Statement> Parser::for_statement() {
  auto node = std::make_unique<ForStatement>(token().at);
  node->target = target(false);
  expect_name("in");
  node->items = tuple(false);
  if (skip_name("if")) node->condition = expression();
  node->recursive = skip_name("recursive");
  loops_++;
  node->body = body({"endfor", "else"});
  loops_--;
  if (skip_name("else")) node->otherwise = body({"endfor"});
  expect_name("endfor");
  return node;
}

std::vector<Parameter> Parser::parameters() {
  std::vector<Parameter> result;
  expect_sign("(");
  while (!is_sign(")")) {
    if (!result.empty()) expect_sign(",");
    Parameter parameter;
    const Position at = token().at;
    parameter.name = one_target(false).name;
    if (skip_sign("=")) parameter.otherwise = expression();
    else if (!result.empty() && result.back().otherwise) fail_at(at, "a parameter without a value follows one that has one");
    result.push_back(std::move(parameter));
  }
  expect_sign(")");
  return result;
}

void Parser::finish_macro(MacroStatement& macro) {
  open_macros_.push_back(&macro);
  const int loops = std::exchange(loops_, 0);
  const std::string_view end = macro.name == "caller" ? "endcall" : "endmacro";
  macro.body = body({end});
  place_++;
  loops_ = loops;
  open_macros_.pop_back();
}

std::unique_ptr<const Statement> Parser::macro_statement() {
  auto node = std::make_unique<MacroStatement>(token().at);
  node->name = one_target(false).name;
  if (node->name == "caller") fail_at(node->at, "a macro cannot be named 'caller'");
  node->parameters = parameters();
  finish_macro(*node);
  return node;
}

std::unique_ptr<const Statement> Parser::call_statement() {
  auto node = std::make_unique<CallStatement>(token().at);
  node->caller.at = node->at;
  node->caller.name = "caller";
  if (is_sign("(")) node->caller.parameters = parameters();
  const Position at = token().at;
  ExpressionPointer value = expression();
  const Call* call = dynamic_cast<const Call*>(value.get());
  if (!call) fail_at(at, "a call is expected after 'call'");
  value.release();
  node->call.reset(call);
  finish_macro(node->caller);
  return node;
}

std::unique_ptr<const Statement> Parser::filter_statement() {
  auto node = std::make_unique<FilterStatement>(token().at);
  node->filters = filters(true);
  node->body = body({"endfilter"});
  place_++;
  return node;
}

std::unique_ptr<const Statement> Parser::with_statement() {
  auto node = std::make_unique<WithStatement>(token().at);
  while (token().kind != TokenKind::block_end) {
    if (!node->assignments.empty()) expect_sign(",");
    Target to = target(false);
    expect_sign("=");
    node->assignments.emplace_back(std::move(to), expression());
  }
  node->body = body({"endwith"});
  place_++;
  return node;
}

std::unique_ptr<const Statement> Parser::generation_statement() {
  auto node = std::make_unique<GenerationStatement>(token().at);
  node->body = body({"endgeneration"});
  place_++;
  return node;
}

std::unique_ptr<const Statement> Parser::jump(Flow flow) {
  if (loops_ == 0) fail_at(token().at, "break and continue need a loop around them");
  return std::make_unique<JumpStatement>(token().at, flow);
}

}  // namespace bitkerf::jinja
