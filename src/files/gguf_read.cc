#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <numeric>
#include <set>
#include <type_traits>

#include "core/checked.h"
#include "core/error.h"
#include "core/printable.h"
#include "files/gguf.h"

namespace bitkerf {
namespace {

// More than any real file by far. They bound the memory that a small element of the file turns into: a map node for 13
// bytes, a Tensor for 32.
constexpr std::uint64_t kMostPairs = 1 << 16;
constexpr std::uint64_t kMostTensors = 1 << 17;
// What the strings of all arrays may take beyond their bytes in the file. The largest vocabulary that we know of
// (Gemma 4, 262,144 tokens and 514,906 merges) takes 14 MB.
constexpr std::int64_t kMostStringOverhead = 40 << 20;
constexpr std::uint32_t kMostDimensions = 4;
constexpr i64 kMostAlignment = 1 << 16;

// The bytes from a position on; every step is checked against what is left.
class Cursor {
 public:
  Cursor(const std::string& where, std::span<const std::byte> bytes) : where_(where), bytes_(bytes) {}

  std::uint64_t position() const { return at_; }
  std::uint64_t left() const { return bytes_.size() - at_; }

  // The next `count` bytes; `what` names them in the message.
  const std::byte* take(std::uint64_t count, std::string_view what) {
    if (count > left())
      fail(Fault::file, "{}: {} at byte {} takes {} bytes, but only {} are left: the file is damaged or cut", where_,
           what, at_, count, left());
    const std::byte* p = bytes_.data() + at_;
    at_ += count;
    return p;
  }

  template <class T>
  T number(std::string_view what) {
    T value;
    std::memcpy(&value, take(sizeof(T), what), sizeof(T));
    return value;
  }

  std::string_view text(std::string_view what) {
    std::uint64_t length = number<std::uint64_t>(what);
    const std::byte* p = take(length, what);
    return {reinterpret_cast<const char*>(p), length};
  }

 private:
  const std::string& where_;
  std::span<const std::byte> bytes_;
  std::uint64_t at_ = 0;
};

class Parser {
 public:
  Parser(const std::string& where, std::span<const std::byte> bytes)
      : where_(where), bytes_(bytes), cursor_(where, bytes) {}

  Gguf parse() {
    gguf_.metadata = Metadata(where_);
    read_header();
    for (std::uint64_t i = 0; i < pairs_; i++) read_pair();
    read_alignment();
    for (std::uint64_t i = 0; i < tensors_; i++) read_tensor_info();
    place_tensors();
    return std::move(gguf_);
  }

 private:
  template <class... Args>
  [[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) {
    fail(Fault::file, "{}: {}", where_, fmt::format(format, std::forward<Args>(args)...));
  }

  void read_header() {
    const std::byte* magic = cursor_.take(4, "the header");
    if (std::memcmp(magic, "GGUF", 4) != 0)
      refuse("not a GGUF file: it starts with '{}', expected 'GGUF'",
             printable({reinterpret_cast<const char*>(magic), 4}));
    gguf_.version = cursor_.number<std::uint32_t>("the version");
    if (gguf_.version != 0 && (gguf_.version & 0xffff) == 0)
      refuse("a big-endian GGUF file, expected a little-endian one");
    if (gguf_.version != 2 && gguf_.version != 3) refuse("GGUF version {}, expected 2 or 3", gguf_.version);
    tensors_ = cursor_.number<std::uint64_t>("the number of tensors");
    pairs_ = cursor_.number<std::uint64_t>("the number of keys");
    // The smallest pair has 13 bytes, the smallest tensor 32.
    check_count("keys", pairs_, 13, kMostPairs);
    check_count("tensors", tensors_, 32, kMostTensors);
  }

  // No count may promise more than the rest of the file can hold.
  void check_count(std::string_view what, std::uint64_t count, std::uint64_t smallest, std::uint64_t most) {
    if (count > most) refuse("{} {}, expected at most {}", count, what, most);
    if (count > cursor_.left() / smallest)
      refuse("{} {}, but only {} bytes are left: the file is damaged or cut", count, what, cursor_.left());
  }

  void read_pair() {
    std::string key(cursor_.text("a key"));
    if (gguf_.metadata.has(key)) refuse("key {} occurs twice", printable(key));
    key_ = key;
    std::uint32_t type = cursor_.number<std::uint32_t>("a value's type");
    if (type >= std::size(kValueReaders)) refuse("key {} has the unknown value type {}", printable(key), type);
    gguf_.metadata.set(std::move(key), (this->*kValueReaders[type])());
  }

  template <class T>
  T read_element() {
    if constexpr (std::is_same_v<T, std::string>) {
      return std::string(cursor_.text("a text"));
    } else if constexpr (std::is_same_v<T, bool>) {
      std::uint8_t byte = cursor_.number<std::uint8_t>("a truth value");
      if (byte > 1) refuse("key {} has the truth value {}, expected 0 or 1", printable(key_), byte);
      return byte != 0;
    } else {
      return cursor_.number<T>("a value");
    }
  }

  template <class T>
  MetadataValue read_value() {
    return read_element<T>();
  }

  template <class T>
  MetadataArray read_elements() {
    std::uint64_t count = cursor_.number<std::uint64_t>("the length of an array");
    constexpr std::uint64_t kSmallest = std::is_same_v<T, std::string> ? 8 : sizeof(T);
    if (count > cursor_.left() / kSmallest)
      refuse("key {} has an array of {}, but only {} bytes are left: the file is damaged or cut", printable(key_),
             count, cursor_.left());
    std::vector<T> elements;
    if constexpr (std::is_same_v<T, std::string>) {
      elements.reserve(std::min<std::uint64_t>(count, 1 << 20));
      for (std::uint64_t i = 0; i < count; i++) {
        elements.push_back(read_element<T>());
        const std::string& last = elements.back();
        // Short strings lie in the object; for longer ones the heap adds about 16 bytes.
        bool inside = last.size() < sizeof(std::string) / 2;
        string_overhead_ += static_cast<std::int64_t>(sizeof(std::string) - 8 + (inside ? 0 : 16));
        if (inside) string_overhead_ -= static_cast<std::int64_t>(last.size());
        if (string_overhead_ > kMostStringOverhead)
          refuse("key {} has more texts than any known vocabulary ({})", printable(key_), count);
      }
    } else if constexpr (std::is_same_v<T, bool>) {
      elements.reserve(count);
      for (std::uint64_t i = 0; i < count; i++) elements.push_back(read_element<T>());
    } else {
      elements.resize(count);
      const std::byte* bytes = cursor_.take(count * sizeof(T), "an array");
      if (count > 0) std::memcpy(elements.data(), bytes, count * sizeof(T));
    }
    return elements;
  }

  MetadataValue read_array() {
    std::uint32_t type = cursor_.number<std::uint32_t>("an array's element type");
    if (type >= std::size(kArrayReaders)) refuse("key {} has the unknown element type {}", printable(key_), type);
    if (!kArrayReaders[type]) refuse("key {} is an array of arrays, which is not supported", printable(key_));
    return (this->*kArrayReaders[type])();
  }

  using ValueReader = MetadataValue (Parser::*)();
  using ArrayReader = MetadataArray (Parser::*)();
  // By the numbers of the format: u8 i8 u16 i16 u32 i32 f32 bool string array u64 i64 f64.
  static constexpr ValueReader kValueReaders[] = {
      &Parser::read_value<std::uint8_t>,  &Parser::read_value<std::int8_t>,   &Parser::read_value<std::uint16_t>,
      &Parser::read_value<std::int16_t>,  &Parser::read_value<std::uint32_t>, &Parser::read_value<std::int32_t>,
      &Parser::read_value<float>,         &Parser::read_value<bool>,          &Parser::read_value<std::string>,
      &Parser::read_array,                &Parser::read_value<std::uint64_t>, &Parser::read_value<std::int64_t>,
      &Parser::read_value<double>};
  static constexpr ArrayReader kArrayReaders[] = {
      &Parser::read_elements<std::uint8_t>, &Parser::read_elements<std::int8_t>,
      &Parser::read_elements<std::uint16_t>, &Parser::read_elements<std::int16_t>,
      &Parser::read_elements<std::uint32_t>, &Parser::read_elements<std::int32_t>,
      &Parser::read_elements<float>, &Parser::read_elements<bool>, &Parser::read_elements<std::string>, nullptr,
      &Parser::read_elements<std::uint64_t>, &Parser::read_elements<std::int64_t>, &Parser::read_elements<double>};

  void read_alignment() {
    gguf_.alignment = gguf_.metadata.integer("general.alignment", 1, kMostAlignment, 32);
    if (!std::has_single_bit(static_cast<std::uint64_t>(gguf_.alignment)))
      refuse("general.alignment is {}, expected a power of two", gguf_.alignment);
  }

  void read_tensor_info() {
    Tensor tensor;
    tensor.name = cursor_.text("a tensor's name");
    std::uint32_t dimensions = cursor_.number<std::uint32_t>("a tensor's number of dimensions");
    if (dimensions > kMostDimensions)
      refuse("tensor {} has {} dimensions, expected at most {}", printable(tensor.name), dimensions, kMostDimensions);
    i64 weights = 1;
    for (std::uint32_t i = 0; i < dimensions; i++) {
      std::uint64_t size = cursor_.number<std::uint64_t>("a tensor's dimension");
      std::optional<i64> product;
      if (std::in_range<i64>(size) && size > 0) product = checked_mul(weights, static_cast<i64>(size));
      if (!product)
        refuse("tensor {} has the dimension {} of size {}, expected sizes from 1 whose product is below 2^63",
               printable(tensor.name), i, size);
      weights = *product;
      tensor.shape.push_back(static_cast<i64>(size));
    }
    std::uint32_t type = cursor_.number<std::uint32_t>("a tensor's type");
    tensor.type = stored_type(type);
    if (!tensor.type) refuse("tensor {} has the unknown type {}", printable(tensor.name), type);
    if (tensor.cols() % tensor.type->block != 0)
      refuse("tensor {} has rows of {} weights, expected a multiple of {} for {}", printable(tensor.name),
             tensor.cols(), tensor.type->block, tensor.type->name);
    std::optional<i64> bytes =
        checked_mul(weights / tensor.type->block, static_cast<i64>(tensor.type->block_bytes));
    if (!bytes) refuse("tensor {} has {} weights of {}, too many", printable(tensor.name), weights, tensor.type->name);
    tensor.bytes = *bytes;
    std::uint64_t offset = cursor_.number<std::uint64_t>("a tensor's offset");
    if (offset % static_cast<std::uint64_t>(gguf_.alignment) != 0)
      refuse("tensor {} lies at offset {}, expected a multiple of {}", printable(tensor.name), offset,
             gguf_.alignment);
    offsets_.push_back(offset);
    gguf_.tensors.push_back(std::move(tensor));
  }

  void place_tensors() {
    if (gguf_.tensors.empty()) return;
    std::uint64_t mask = static_cast<std::uint64_t>(gguf_.alignment) - 1;
    std::uint64_t start = (cursor_.position() + mask) & ~mask;
    if (start > bytes_.size())
      refuse("the tensor data would start at byte {}, but the file has {}: it is damaged or cut", start, bytes_.size());
    std::uint64_t room = bytes_.size() - start;
    std::set<std::string_view> names;
    for (std::size_t i = 0; i < gguf_.tensors.size(); i++) {
      Tensor& tensor = gguf_.tensors[i];
      if (!names.insert(tensor.name).second) refuse("tensor {} occurs twice", printable(tensor.name));
      if (offsets_[i] > room || static_cast<std::uint64_t>(tensor.bytes) > room - offsets_[i])
        refuse("tensor {} of {} bytes lies at offset {}, but the file has {} bytes of data: it is damaged or cut",
               printable(tensor.name), tensor.bytes, offsets_[i], room);
      tensor.data = bytes_.data() + start + offsets_[i];
    }
    std::vector<std::size_t> order(gguf_.tensors.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(), [this](std::size_t a, std::size_t b) { return offsets_[a] < offsets_[b]; });
    for (std::size_t i = 1; i < order.size(); i++) {
      const Tensor &low = gguf_.tensors[order[i - 1]], &high = gguf_.tensors[order[i]];
      if (low.data + low.bytes > high.data)
        refuse("tensors {} and {} overlap", printable(low.name), printable(high.name));
    }
  }

  const std::string& where_;
  std::span<const std::byte> bytes_;
  Cursor cursor_;
  Gguf gguf_;
  std::uint64_t tensors_ = 0, pairs_ = 0;
  std::int64_t string_overhead_ = 0;
  std::vector<std::uint64_t> offsets_;
  std::string key_;  // being read, for messages
};

}  // namespace

Gguf parse_gguf(const std::string& where, std::span<const std::byte> bytes) { return Parser(where, bytes).parse(); }

}  // namespace bitkerf
