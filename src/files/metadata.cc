#include "files/metadata.h"

#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/printable.h"

namespace bitkerf {
namespace {

template <class T>
constexpr bool is_integer = std::is_integral_v<T> && !std::is_same_v<T, bool>;

// "12", "nan", "true", "text", "an array of 3"
std::string describe(const MetadataValue& value) {
  return std::visit(
      []<class T>(const T& v) -> std::string {
        if constexpr (std::is_same_v<T, std::string>) return fmt::format("the text '{}'", printable(v, 40));
        else if constexpr (std::is_same_v<T, MetadataArray>)
          return fmt::format("an array of {}", std::visit([](const auto& array) { return array.size(); }, v));
        else return fmt::format("{}", v);
      },
      value);
}

[[noreturn]] void missing(const Metadata& metadata, std::string_view key, std::string_view expected) {
  fail(Fault::file, "{}: key {} is missing, expected {}", metadata.where(), printable(key), expected);
}

[[noreturn]] void wrong(const Metadata& metadata, std::string_view key, const MetadataValue& value,
                        std::string_view expected) {
  fail(Fault::file, "{}: key {} is {}, expected {}", metadata.where(), printable(key), describe(value), expected);
}

// The integer or number of a value or element; nothing when its type is another or it does not fit.
template <class T>
std::optional<i64> as_integer(const T& v) {
  if constexpr (is_integer<T>) {
    if (std::in_range<i64>(v)) return static_cast<i64>(v);
  }
  return std::nullopt;
}

template <class T>
std::optional<double> as_number(const T& v) {
  if constexpr (is_integer<T> || std::is_floating_point_v<T>) return static_cast<double>(v);
  return std::nullopt;
}

i64 integer_in(const Metadata& metadata, std::string_view key, const MetadataValue& value, i64 low, i64 high) {
  std::optional<i64> v = std::visit([](const auto& x) { return as_integer(x); }, value);
  if (!v || *v < low || *v > high) wrong(metadata, key, value, fmt::format("an integer from {} to {}", low, high));
  return *v;
}

double number_in(const Metadata& metadata, std::string_view key, const MetadataValue& value, double low, double high) {
  std::optional<double> v = std::visit([](const auto& x) { return as_number(x); }, value);
  // written so that NaN fails
  if (!v || !std::isfinite(*v) || !(*v >= low && *v <= high))
    wrong(metadata, key, value, fmt::format("a number from {} to {}", low, high));
  return *v;
}

}  // namespace

const MetadataValue* Metadata::find(std::string_view key) const {
  auto found = values_.find(key);
  return found == values_.end() ? nullptr : &found->second;
}

i64 Metadata::integer(std::string_view key, i64 low, i64 high) const {
  const MetadataValue* value = find(key);
  if (!value) missing(*this, key, fmt::format("an integer from {} to {}", low, high));
  return integer_in(*this, key, *value, low, high);
}

i64 Metadata::integer(std::string_view key, i64 low, i64 high, i64 otherwise) const {
  const MetadataValue* value = find(key);
  return value ? integer_in(*this, key, *value, low, high) : otherwise;
}

double Metadata::number(std::string_view key, double low, double high) const {
  const MetadataValue* value = find(key);
  if (!value) missing(*this, key, fmt::format("a number from {} to {}", low, high));
  return number_in(*this, key, *value, low, high);
}

double Metadata::number(std::string_view key, double low, double high, double otherwise) const {
  const MetadataValue* value = find(key);
  return value ? number_in(*this, key, *value, low, high) : otherwise;
}

bool Metadata::boolean(std::string_view key, bool otherwise) const {
  const MetadataValue* value = find(key);
  if (!value) return otherwise;
  const bool* v = std::get_if<bool>(value);
  if (!v) wrong(*this, key, *value, "true or false");
  return *v;
}

const std::string& Metadata::text(std::string_view key) const {
  const MetadataValue* value = find(key);
  if (!value) missing(*this, key, "a text");
  const std::string* v = std::get_if<std::string>(value);
  if (!v) wrong(*this, key, *value, "a text");
  return *v;
}

std::string Metadata::text(std::string_view key, std::string_view otherwise) const {
  return has(key) ? text(key) : std::string(otherwise);
}

const std::vector<std::string>* Metadata::texts(std::string_view key) const {
  const MetadataValue* value = find(key);
  if (!value) return nullptr;
  const MetadataArray* array = std::get_if<MetadataArray>(value);
  const std::vector<std::string>* v = array ? std::get_if<std::vector<std::string>>(array) : nullptr;
  if (!v) wrong(*this, key, *value, "an array of texts");
  return v;
}

std::optional<std::vector<i64>> Metadata::integers(std::string_view key) const {
  const MetadataValue* value = find(key);
  if (!value) return std::nullopt;
  const MetadataArray* array = std::get_if<MetadataArray>(value);
  if (!array) {
    constexpr i64 kMost = std::numeric_limits<i64>::max();
    return std::vector<i64>{integer_in(*this, key, *value, -kMost - 1, kMost)};
  }
  return std::visit(
      [&]<class T>(const std::vector<T>& elements) -> std::vector<i64> {
        std::vector<i64> out;
        if constexpr (std::is_integral_v<T>) {  // with bool
          out.reserve(elements.size());
          for (T element : elements) {
            if (!std::in_range<i64>(static_cast<std::conditional_t<std::is_same_v<T, bool>, int, T>>(element)))
              fail(Fault::file, "{}: an element of key {} is {}, expected at most 2^63 - 1", where_, printable(key),
                   element);
            out.push_back(static_cast<i64>(element));
          }
        } else {
          wrong(*this, key, *value, "an array of integers");
        }
        return out;
      },
      *array);
}

std::optional<std::vector<double>> Metadata::numbers(std::string_view key) const {
  const MetadataValue* value = find(key);
  if (!value) return std::nullopt;
  const MetadataArray* array = std::get_if<MetadataArray>(value);
  if (!array) {
    constexpr double kMost = std::numeric_limits<double>::max();
    return std::vector<double>{number_in(*this, key, *value, -kMost, kMost)};
  }
  return std::visit(
      [&]<class T>(const std::vector<T>& elements) -> std::vector<double> {
        std::vector<double> out;
        if constexpr (is_integer<T> || std::is_floating_point_v<T>) {
          out.reserve(elements.size());
          for (T element : elements) {
            out.push_back(static_cast<double>(element));
            if (!std::isfinite(out.back()))
              fail(Fault::file, "{}: element {} of key {} is {}, expected a finite number", where_, out.size() - 1,
                   printable(key), element);
          }
        } else {
          wrong(*this, key, *value, "an array of numbers");
        }
        return out;
      },
      *array);
}

}  // namespace bitkerf
