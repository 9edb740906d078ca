// Metadata of a model file: the key-value pairs of a GGUF file, or of a Hugging Face folder's config.json
// translated to GGUF's key names. Values come from files we do not trust: every getter checks type and range and
// answers a bad value with Fault::file, naming the file and the key.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/view.h"

namespace bitkerf {

// One array, kept in the type it had in the file (GGUF arrays are homogeneous; nested arrays are refused).
// Strings may hold any bytes.
using MetadataArray =
    std::variant<std::vector<std::uint8_t>, std::vector<std::int8_t>, std::vector<std::uint16_t>,
                 std::vector<std::int16_t>, std::vector<std::uint32_t>, std::vector<std::int32_t>, std::vector<float>,
                 std::vector<bool>, std::vector<std::string>, std::vector<std::uint64_t>, std::vector<std::int64_t>,
                 std::vector<double>>;
using MetadataValue = std::variant<std::uint8_t, std::int8_t, std::uint16_t, std::int16_t, std::uint32_t, std::int32_t,
                                   float, bool, std::string, std::uint64_t, std::int64_t, double, MetadataArray>;

class Metadata {
 public:
  Metadata() = default;
  explicit Metadata(std::string where) : where_(std::move(where)) {}  // file name, for messages

  void set(std::string key, MetadataValue value) { values_.insert_or_assign(std::move(key), std::move(value)); }
  void erase(const std::string& key) { values_.erase(key); }
  bool has(std::string_view key) const { return values_.find(key) != values_.end(); }
  const MetadataValue* find(std::string_view key) const;
  const std::map<std::string, MetadataValue, std::less<>>& values() const { return values_; }
  const std::string& where() const { return where_; }

  // Any integer type is accepted where it fits; the value must lie in [low, high].
  i64 integer(std::string_view key, i64 low, i64 high) const;                     // required
  i64 integer(std::string_view key, i64 low, i64 high, i64 otherwise) const;      // optional
  // Any float or integer type; must be finite and in [low, high].
  double number(std::string_view key, double low, double high) const;
  double number(std::string_view key, double low, double high, double otherwise) const;
  bool boolean(std::string_view key, bool otherwise) const;
  const std::string& text(std::string_view key) const;                            // required
  std::string text(std::string_view key, std::string_view otherwise) const;
  // Arrays: nullptr when the key is absent; Fault::file when it is there with another type.
  const std::vector<std::string>* texts(std::string_view key) const;
  // Any integer or bool element type, or one integer.
  std::optional<std::vector<i64>> integers(std::string_view key) const;
  std::optional<std::vector<double>> numbers(std::string_view key) const; // any number element type, or one number

 private:
  std::string where_;
  std::map<std::string, MetadataValue, std::less<>> values_;
};

}  // namespace bitkerf
