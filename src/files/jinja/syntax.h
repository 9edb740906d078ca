// The syntax tree of a template. Nodes evaluate themselves (expressions.cc, statements.cc).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "files/jinja/python.h"

namespace bitkerf::jinja {

struct Expression {
  explicit Expression(Position at) : at(at) {}
  virtual ~Expression() = default;
  Value evaluate(Run& run) const {
    Deeper deeper(run, at);
    return compute(run);
  }

  Position at;
  int height = 1;  // of the tree below; the parser bounds it

 protected:
  virtual Value compute(Run& run) const = 0;
};
using ExpressionPointer = std::unique_ptr<const Expression>;

struct Literal final : Expression {
  Literal(Position at, Value value) : Expression(at), value(std::move(value)) {}
  Value compute(Run&) const override { return value; }
  Value value;  // charged to no run
};
struct Name final : Expression {
  Name(Position at, std::string name) : Expression(at), name(std::move(name)) {}
  Value compute(Run& run) const override;
  std::string name;
};
struct Attribute final : Expression {
  using Expression::Expression;
  Value compute(Run& run) const override;
  ExpressionPointer object;
  std::string name;
};
struct Subscript final : Expression {
  using Expression::Expression;
  Value compute(Run& run) const override;
  ExpressionPointer object, key;
};
struct Slice final : Expression {
  using Expression::Expression;
  Value compute(Run& run) const override;
  ExpressionPointer object, first, last, step;  // bounds may be null
};
// Elements of a list or tuple.
struct Elements final : Expression {
  Elements(Position at, const SequenceKind& kind) : Expression(at), kind(kind) {}
  Value compute(Run& run) const override;
  const SequenceKind& kind;
  std::vector<ExpressionPointer> items;
};
struct DictLiteral final : Expression {
  using Expression::Expression;
  Value compute(Run& run) const override;
  std::vector<std::pair<ExpressionPointer, ExpressionPointer>> entries;
};

struct CallArguments {
  std::vector<ExpressionPointer> positional;
  std::vector<std::pair<std::string, ExpressionPointer>> named;
  ExpressionPointer star, star_star;  // *list and **dict, may be null
  Arguments evaluate(Run& run) const;
};
struct Call final : Expression {
  using Expression::Expression;
  Value compute(Run& run) const override;
  ExpressionPointer callee;
  CallArguments arguments;
};
struct FilterCall final : Expression {
  using Expression::Expression;
  Value compute(Run& run) const override;
  ExpressionPointer input;  // null in {% filter %} and {% set x | f %}: the text of the block
  // A filter that is not there is an error where it is reached, as in Jinja: templates ask for extensions of some
  // server in branches that others never take.
  std::string name;
  const Row* row = nullptr;
  CallArguments arguments;
  Value filter(Run& run, const Value& value) const;
};
struct TestCall final : Expression {
  using Expression::Expression;
  Value compute(Run& run) const override;
  ExpressionPointer input;
  std::string name;
  const Row* row = nullptr;
  bool negated = false;
  CallArguments arguments;
};

struct Binary final : Expression {
  using Expression::Expression;
  Value compute(Run& run) const override;
  const Operator* op = nullptr;
  ExpressionPointer left, right;
};
struct Negative final : Expression {
  using Expression::Expression;
  Value compute(Run& run) const override;
  ExpressionPointer operand;
  bool plus = false;
};
struct Not final : Expression {
  using Expression::Expression;
  Value compute(Run& run) const override;
  ExpressionPointer operand;
};
struct AndOr final : Expression {
  using Expression::Expression;
  Value compute(Run& run) const override;
  bool is_and = false;
  ExpressionPointer left, right;
};
struct Comparison final : Expression {  // a < b <= c
  using Expression::Expression;
  Value compute(Run& run) const override;
  ExpressionPointer first;
  std::vector<std::pair<std::string, ExpressionPointer>> rest;
};
struct Concatenation final : Expression {  // a ~ b ~ c
  using Expression::Expression;
  Value compute(Run& run) const override;
  std::vector<ExpressionPointer> parts;
};
struct Conditional final : Expression {  // a if c else b
  using Expression::Expression;
  Value compute(Run& run) const override;
  ExpressionPointer condition, then, otherwise;  // otherwise may be null
};

enum class Flow { on, stop, next };  // after a statement: go on, {% break %}, {% continue %}

struct Statement {
  explicit Statement(Position at) : at(at) {}
  virtual ~Statement() = default;
  Flow execute(Run& run) const {
    Deeper deeper(run, at);
    return perform(run);
  }
  Position at;

 protected:
  virtual Flow perform(Run& run) const = 0;
};
using Block = std::vector<std::unique_ptr<const Statement>>;
Flow execute(Run& run, const Block& block);

// What a value is assigned to: a name, ns.name, or several of these.
struct Target {
  Position at;
  std::string name, attribute;
  std::vector<Target> parts;
  void assign(Run& run, const Value& value) const;
};

struct DataStatement final : Statement {
  DataStatement(Position at, Text text) : Statement(at), text(std::move(text)) {}
  Flow perform(Run& run) const override;
  Text text;
};
struct OutputStatement final : Statement {
  using Statement::Statement;
  Flow perform(Run& run) const override;
  ExpressionPointer value;
};
struct SetStatement final : Statement {
  using Statement::Statement;
  Flow perform(Run& run) const override;
  Target target;
  ExpressionPointer value;  // null: the text of the body
  Block body;
  std::vector<std::unique_ptr<const FilterCall>> filters;
};
struct IfStatement final : Statement {
  using Statement::Statement;
  Flow perform(Run& run) const override;
  std::vector<std::pair<ExpressionPointer, Block>> branches;
  Block otherwise;
};
struct ForStatement final : Statement {
  using Statement::Statement;
  Flow perform(Run& run) const override;
  Flow loop_over(Run& run, const Value& items, i64 depth0) const;
  Target target;
  ExpressionPointer items, condition;  // condition may be null
  Block body, otherwise;
  bool recursive = false;
};
struct Parameter {
  std::string name;
  ExpressionPointer otherwise;  // may be null
};
struct MacroStatement final : Statement {
  using Statement::Statement;
  Flow perform(Run& run) const override;
  Value call(Run& run, const Macro& macro, Arguments& arguments) const;
  std::string name;
  std::vector<Parameter> parameters;
  Block body;
  bool uses_caller = false, uses_varargs = false, uses_kwargs = false;
};
struct CallStatement final : Statement {  // {% call(x) f() %}: f gets the block as its macro `caller`
  using Statement::Statement;
  Flow perform(Run& run) const override;
  std::unique_ptr<const Call> call;
  MacroStatement caller{Position{}};
};
struct FilterStatement final : Statement {
  using Statement::Statement;
  Flow perform(Run& run) const override;
  std::vector<std::unique_ptr<const FilterCall>> filters;
  Block body;
};
struct WithStatement final : Statement {
  using Statement::Statement;
  Flow perform(Run& run) const override;
  std::vector<std::pair<Target, ExpressionPointer>> assignments;
  Block body;
};
struct GenerationStatement final : Statement {  // marks what the assistant wrote; of interest to training only
  using Statement::Statement;
  Flow perform(Run& run) const override;
  Block body;
};
struct JumpStatement final : Statement {
  JumpStatement(Position at, Flow flow) : Statement(at), flow(flow) {}
  Flow perform(Run&) const override { return flow; }
  Flow flow;
};

}  // namespace bitkerf::jinja
