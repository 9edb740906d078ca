// Builds the syntax tree. A construct that is wrong or not supported is Fault::file with its line and column.
#pragma once

#include <string_view>
#include <vector>

#include "files/jinja/lexer.h"
#include "files/jinja/syntax.h"

namespace bitkerf::jinja {

class Parser {
 public:
  explicit Parser(std::string_view source) : tokens_(cut_into_tokens(source)) {}
  Block parse();

 private:
  // Bounds the parser's recursion.
  class Nested {
   public:
    explicit Nested(Parser& parser) : parser_(parser) {
      if (++parser.nesting_ > kMaximumNesting)
        fail_at(parser.token().at, fmt::format("brackets or blocks nest more than {} deep", kMaximumNesting));
    }
    ~Nested() { parser_.nesting_--; }

   private:
    Parser& parser_;
  };

  const Token& token(std::size_t ahead = 0) const { return tokens_[std::min(place_ + ahead, tokens_.size() - 1)]; }
  bool is_sign(std::string_view sign, std::size_t ahead = 0) const {
    return token(ahead).kind == TokenKind::sign && token(ahead).text == sign;
  }
  bool is_name(std::string_view name, std::size_t ahead = 0) const {
    return token(ahead).kind == TokenKind::name && token(ahead).text == name;
  }
  bool skip_sign(std::string_view sign);
  bool skip_name(std::string_view name);
  void expect_sign(std::string_view sign);
  void expect_name(std::string_view name);
  void expect(TokenKind kind, std::string_view what);
  std::string name();  // takes the name that has to be here
  [[noreturn]] void unexpected(std::string_view wanted) const;

  // parser_statements.cc
  Block block_until(const std::vector<std::string_view>& ends);  // up to one of these tags, which is left there
  Block body(const std::vector<std::string_view>& ends);         // the same, after the end of the opening tag
  std::unique_ptr<const Statement> statement();
  std::unique_ptr<const Statement> set_statement();
  std::unique_ptr<const Statement> if_statement();
  std::unique_ptr<const Statement> for_statement();
  std::unique_ptr<const Statement> macro_statement();
  std::unique_ptr<const Statement> call_statement();
  std::unique_ptr<const Statement> filter_statement();
  std::unique_ptr<const Statement> with_statement();
  std::unique_ptr<const Statement> generation_statement();
  std::unique_ptr<const Statement> jump(Flow flow);
  std::unique_ptr<const Statement> break_statement() { return jump(Flow::stop); }
  std::unique_ptr<const Statement> continue_statement() { return jump(Flow::next); }
  struct StatementRow {
    std::string_view name;
    std::unique_ptr<const Statement> (Parser::*parse)();
  };
  static const StatementRow kStatements[];
  Target target(bool with_namespace);
  Target one_target(bool with_namespace);
  std::vector<Parameter> parameters();
  void finish_macro(MacroStatement& macro);  // which of caller, varargs and kwargs its body uses
  std::vector<std::unique_ptr<const FilterCall>> filters(bool first_without_pipe);

  // parser_expressions.cc
  ExpressionPointer expression() { return conditional(); }
  ExpressionPointer tuple(bool with_conditional, bool in_parentheses = false);
  ExpressionPointer conditional();
  ExpressionPointer either();
  ExpressionPointer both();
  ExpressionPointer negation();
  ExpressionPointer comparison();
  ExpressionPointer sum();
  ExpressionPointer concatenation();
  ExpressionPointer product();
  ExpressionPointer power();
  ExpressionPointer unary(bool with_filters = true);
  ExpressionPointer primary();
  ExpressionPointer postfix(ExpressionPointer node);
  ExpressionPointer filtered(ExpressionPointer node);
  ExpressionPointer subscript(ExpressionPointer object);
  ExpressionPointer call(ExpressionPointer callee);
  ExpressionPointer test(ExpressionPointer input);
  ExpressionPointer literal(Value value);
  ExpressionPointer dict_literal();
  std::unique_ptr<FilterCall> filter();  // a name and its arguments
  std::string dotted_name();
  CallArguments arguments();
  template <class Level>
  ExpressionPointer left_to_right(std::initializer_list<std::string_view> signs, Level level);
  // Notes the height of the tree and bounds it.
  template <class Node>
  ExpressionPointer finished(std::unique_ptr<Node> node, std::initializer_list<const Expression*> children);

  std::vector<Token> tokens_;
  std::size_t place_ = 0;
  int nesting_ = 0;
  int loops_ = 0;                             // around the current place: break and continue need one
  std::vector<MacroStatement*> open_macros_;  // whose bodies are being read
};

}  // namespace bitkerf::jinja
