#include <algorithm>
#include <charconv>

#include "files/jinja/parser.h"

namespace bitkerf::jinja {

template <class Node>
ExpressionPointer Parser::finished(std::unique_ptr<Node> node, std::initializer_list<const Expression*> children) {
  for (const Expression* child : children)
    if (child) node->height = std::max(node->height, child->height + 1);
  if (node->height > kMaximumTree)
    fail_at(node->at, fmt::format("an expression nests more than {} deep", kMaximumTree));
  return node;
}

ExpressionPointer Parser::conditional() {
  Nested nested(*this);
  ExpressionPointer value = either();
  while (is_name("if")) {
    auto node = std::make_unique<Conditional>(token().at);
    place_++;
    node->then = std::move(value);
    node->condition = either();
    if (skip_name("else")) node->otherwise = conditional();
    const Conditional& n = *node;
    value = finished(std::move(node), {n.condition.get(), n.then.get(), n.otherwise.get()});
  }
  return value;
}

ExpressionPointer Parser::either() {
  ExpressionPointer value = both();
  while (is_name("or")) {
    auto node = std::make_unique<AndOr>(token().at);
    place_++;
    node->left = std::move(value);
    node->right = both();
    const AndOr& n = *node;
    value = finished(std::move(node), {n.left.get(), n.right.get()});
  }
  return value;
}

ExpressionPointer Parser::both() {
  ExpressionPointer value = negation();
  while (is_name("and")) {
    auto node = std::make_unique<AndOr>(token().at);
    place_++;
    node->is_and = true;
    node->left = std::move(value);
    node->right = negation();
    const AndOr& n = *node;
    value = finished(std::move(node), {n.left.get(), n.right.get()});
  }
  return value;
}

ExpressionPointer Parser::negation() {
  if (!is_name("not")) return comparison();
  Nested nested(*this);
  auto node = std::make_unique<Not>(token().at);
  place_++;
  node->operand = negation();
  const Expression* operand = node->operand.get();
  return finished(std::move(node), {operand});
}

ExpressionPointer Parser::comparison() {
  ExpressionPointer first = sum();
  std::unique_ptr<Comparison> node;
  for (;;) {
    std::string sign;
    for (std::string_view known : {"==", "!=", "<", "<=", ">", ">="})
      if (is_sign(known)) sign = known;
    if (is_name("in")) sign = "in";
    if (is_name("not") && is_name("in", 1)) sign = "not in";
    if (sign.empty()) break;
    if (!node) node = std::make_unique<Comparison>(token().at);
    place_ += sign == "not in" ? 2 : 1;
    node->rest.emplace_back(sign, sum());
    node->height = std::max(node->height, node->rest.back().second->height + 1);
  }
  if (!node) return first;
  node->first = std::move(first);
  const Expression* child = node->first.get();
  return finished(std::move(node), {child});
}

template <class Level>
ExpressionPointer Parser::left_to_right(std::initializer_list<std::string_view> signs, Level level) {
  ExpressionPointer value = level();
  for (;;) {
    const Operator* op = nullptr;
    for (std::string_view sign : signs)
      if (is_sign(sign)) op = find_operator(sign);
    if (!op) return value;
    auto node = std::make_unique<Binary>(token().at);
    place_++;
    node->op = op;
    node->left = std::move(value);
    node->right = level();
    const Binary& n = *node;
    value = finished(std::move(node), {n.left.get(), n.right.get()});
  }
}

ExpressionPointer Parser::sum() {
  return left_to_right({"+", "-"}, [this] { return concatenation(); });
}

ExpressionPointer Parser::concatenation() {
  ExpressionPointer first = product();
  if (!is_sign("~")) return first;
  auto node = std::make_unique<Concatenation>(token().at);
  node->parts.push_back(std::move(first));
  while (skip_sign("~")) node->parts.push_back(product());
  for (const ExpressionPointer& part : node->parts) node->height = std::max(node->height, part->height + 1);
  return finished(std::move(node), {});
}

ExpressionPointer Parser::product() {
  return left_to_right({"*", "/", "//", "%"}, [this] { return power(); });
}

ExpressionPointer Parser::power() {
  return left_to_right({"**"}, [this] { return unary(); });
}

ExpressionPointer Parser::unary(bool with_filters) {
  Nested nested(*this);
  ExpressionPointer value;
  if (is_sign("-") || is_sign("+")) {
    auto node = std::make_unique<Negative>(token().at);
    node->plus = is_sign("+");
    place_++;
    node->operand = unary(false);
    const Expression* operand = node->operand.get();
    value = finished(std::move(node), {operand});
  } else {
    value = primary();
  }
  value = postfix(std::move(value));
  return with_filters ? filtered(std::move(value)) : std::move(value);
}

ExpressionPointer Parser::literal(Value value) { return std::make_unique<Literal>(token().at, std::move(value)); }

namespace {

Value text_literal(Text text) { return std::shared_ptr<const TextObject>(new TextObject{std::move(text), false, Charge()}); }

i64 integer_literal(const Token& token) {
  std::string_view digits = token.text;
  int base = 10;
  if (digits.size() > 2 && digits[0] == '0' && digits[1] >= 'b') {
    base = digits[1] == 'x' ? 16 : digits[1] == 'o' ? 8 : 2;
    digits.remove_prefix(2);
  }
  i64 value = 0;
  const std::from_chars_result end = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (end.ec == std::errc::result_out_of_range) fail_at(token.at, "integers of more than 64 bits are not supported");
  if (end.ec != std::errc() || end.ptr != digits.data() + digits.size())
    fail_at(token.at, fmt::format("'{}' is not an integer", token.text));
  return value;
}

}  // namespace

ExpressionPointer Parser::primary() {
  const Token& here = token();
  if (here.kind == TokenKind::name) {
    struct Constant { std::string_view name; Value value; };
    static const Constant kConstants[] = {{"true", true},   {"True", true},   {"false", false},
                                          {"False", false}, {"none", None{}}, {"None", None{}}};
    for (const Constant& row : kConstants) {
      if (here.text != row.name) continue;
      ExpressionPointer node = literal(row.value);
      place_++;
      return node;
    }
    for (MacroStatement* macro : open_macros_) {
      macro->uses_caller |= here.text == "caller";
      macro->uses_varargs |= here.text == "varargs";
      macro->uses_kwargs |= here.text == "kwargs";
    }
    place_++;
    return std::make_unique<Name>(here.at, here.text);
  }
  if (here.kind == TokenKind::string) {
    Text text;
    for (; token().kind == TokenKind::string; place_++) text += token().literal;
    return std::make_unique<Literal>(here.at, text_literal(std::move(text)));
  }
  if (here.kind == TokenKind::integer) {
    place_++;
    return std::make_unique<Literal>(here.at, integer_literal(here));
  }
  if (here.kind == TokenKind::number) {
    double value = 0;
    const std::from_chars_result end = std::from_chars(here.text.data(), here.text.data() + here.text.size(), value);
    if (end.ec != std::errc()) fail_at(here.at, fmt::format("the number {} does not fit a float", here.text));
    place_++;
    return std::make_unique<Literal>(here.at, value);
  }
  if (skip_sign("(")) {
    ExpressionPointer value = tuple(true, true);
    expect_sign(")");
    return value;
  }
  if (skip_sign("[")) {
    auto node = std::make_unique<Elements>(here.at, kList);
    while (!is_sign("]")) {
      if (!node->items.empty()) expect_sign(",");
      if (is_sign("]")) break;
      node->items.push_back(expression());
      node->height = std::max(node->height, node->items.back()->height + 1);
    }
    expect_sign("]");
    return finished(std::move(node), {});
  }
  if (is_sign("{")) return dict_literal();
  unexpected("an expression");
}

ExpressionPointer Parser::dict_literal() {
  auto node = std::make_unique<DictLiteral>(token().at);
  expect_sign("{");
  while (!is_sign("}")) {
    if (!node->entries.empty()) expect_sign(",");
    if (is_sign("}")) break;
    ExpressionPointer key = expression();
    expect_sign(":");
    ExpressionPointer value = expression();
    node->height = std::max({node->height, key->height + 1, value->height + 1});
    node->entries.emplace_back(std::move(key), std::move(value));
  }
  expect_sign("}");
  return finished(std::move(node), {});
}

ExpressionPointer Parser::tuple(bool with_conditional, bool in_parentheses) {
  const Position at = token().at;
  auto node = std::make_unique<Elements>(at, kTuple);
  bool is_tuple = false;
  for (;;) {
    const TokenKind kind = token().kind;
    if (kind == TokenKind::variable_end || kind == TokenKind::block_end || is_sign(")")) break;
    if (is_tuple && is_name("recursive")) break;  // a word of the tag {% for %}
    node->items.push_back(with_conditional ? conditional() : either());
    node->height = std::max(node->height, node->items.back()->height + 1);
    if (!skip_sign(",")) break;
    is_tuple = true;
  }
  if (!is_tuple && !node->items.empty()) return std::move(node->items.front());
  if (node->items.empty() && !in_parentheses) unexpected("an expression");
  return finished(std::move(node), {});
}

ExpressionPointer Parser::postfix(ExpressionPointer node) {
  for (;;) {
    if (is_sign(".") || is_sign("[")) node = subscript(std::move(node));
    else if (is_sign("(")) node = call(std::move(node));
    else return node;
  }
}

ExpressionPointer Parser::filtered(ExpressionPointer node) {
  for (;;) {
    if (skip_sign("|")) {
      std::unique_ptr<FilterCall> next = filter();
      next->input = std::move(node);
      const Expression* input = next->input.get();
      node = finished(std::move(next), {input});
    } else if (is_name("is")) {
      node = test(std::move(node));
    } else if (is_sign("(")) {
      node = call(std::move(node));
    } else {
      return node;
    }
  }
}

ExpressionPointer Parser::subscript(ExpressionPointer object) {
  const Position at = token().at;
  const Expression* inner = object.get();
  if (skip_sign(".")) {
    if (token().kind == TokenKind::name) {
      auto node = std::make_unique<Attribute>(at);
      node->object = std::move(object);
      node->name = name();
      return finished(std::move(node), {inner});
    }
    if (token().kind != TokenKind::integer) unexpected("a name or number after '.'");
    auto node = std::make_unique<Subscript>(at);
    node->object = std::move(object);
    node->key = literal(integer_literal(token()));
    place_++;
    return finished(std::move(node), {inner});
  }
  expect_sign("[");
  ExpressionPointer first;
  if (!is_sign(":")) first = expression();
  if (!is_sign(":")) {
    if (is_sign(",")) fail_at(token().at, "several subscripts at once are not supported");
    expect_sign("]");
    auto node = std::make_unique<Subscript>(at);
    node->object = std::move(object);
    node->key = std::move(first);
    const Expression* key = node->key.get();
    return finished(std::move(node), {inner, key});
  }
  auto node = std::make_unique<Slice>(at);
  node->object = std::move(object);
  node->first = std::move(first);
  expect_sign(":");
  if (!is_sign(":") && !is_sign("]")) node->last = expression();
  if (skip_sign(":") && !is_sign("]")) node->step = expression();
  if (is_sign(",")) fail_at(token().at, "several subscripts at once are not supported");
  expect_sign("]");
  const Slice& n = *node;
  return finished(std::move(node), {inner, n.first.get(), n.last.get(), n.step.get()});
}

ExpressionPointer Parser::call(ExpressionPointer callee) {
  auto node = std::make_unique<Call>(token().at);
  node->callee = std::move(callee);
  node->arguments = arguments();
  const Expression* inner = node->callee.get();
  return finished(std::move(node), {inner});
}

CallArguments Parser::arguments() {
  Nested nested(*this);
  CallArguments result;
  expect_sign("(");
  bool first = true;
  while (!is_sign(")")) {
    if (!first) expect_sign(",");
    first = false;
    if (is_sign(")")) break;
    const bool after_named = !result.named.empty() || result.star_star;
    if (skip_sign("*")) {
      if (result.star || result.star_star) unexpected("one *list of arguments");
      result.star = expression();
    } else if (skip_sign("**")) {
      if (result.star_star) unexpected("one **dict of arguments");
      result.star_star = expression();
    } else if (token().kind == TokenKind::name && is_sign("=", 1) && !result.star_star) {
      std::string key = name();
      expect_sign("=");
      result.named.emplace_back(std::move(key), expression());
    } else {
      if (after_named || result.star) unexpected("a named argument: those without a name come first");
      result.positional.push_back(expression());
    }
  }
  expect_sign(")");
  return result;
}

std::string Parser::dotted_name() {
  std::string text = name();
  while (skip_sign(".")) text += "." + name();
  return text;
}

std::unique_ptr<FilterCall> Parser::filter() {
  auto node = std::make_unique<FilterCall>(token().at);
  node->name = dotted_name();
  node->row = find_filter(node->name);
  if (is_sign("(")) node->arguments = arguments();
  return node;
}

ExpressionPointer Parser::test(ExpressionPointer input) {
  auto node = std::make_unique<TestCall>(token().at);
  expect_name("is");
  node->negated = skip_name("not");
  node->name = dotted_name();
  node->row = find_test(node->name);
  node->input = std::move(input);
  if (is_sign("(")) {
    node->arguments = arguments();
  } else {
    const TokenKind kind = token().kind;
    const bool starts_value = kind == TokenKind::name || kind == TokenKind::string || kind == TokenKind::integer ||
                              kind == TokenKind::number || is_sign("(") || is_sign("[") || is_sign("{");
    if (is_name("is")) fail_at(token().at, "tests cannot be chained with 'is'");
    if (starts_value && !is_name("else") && !is_name("or") && !is_name("and"))
      node->arguments.positional.push_back(postfix(primary()));
  }
  const Expression* inner = node->input.get();
  return finished(std::move(node), {inner});
}

}  // namespace bitkerf::jinja
