#include "files/safetensors.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <set>

#include "core/checked.h"
#include "core/error.h"
#include "core/printable.h"
#include "files/json.h"

namespace bitkerf {
namespace {

// Real headers have about 120 bytes per tensor. (The format allows 100 MB.)
constexpr JsonLimits kHeaderLimits = {.bytes = 1 << 24, .depth = 3, .values = 1 << 21};
constexpr std::size_t kMostTensors = 1 << 17;
constexpr std::size_t kMostDimensions = 4;
constexpr int kMostEvents = 40;  // keys, values, starts and ends in the description of one tensor; 14 are normal

struct TypeName {
  std::string_view safetensors, stored;
};
// Integers are buffers that models compute (BERT's positions).
constexpr TypeName kTypes[] = {{"F32", "F32"}, {"F16", "F16"}, {"BF16", "BF16"}, {"I64", "I64"}, {"I32", "I32"}};

class Parser {
 public:
  Parser(const std::string& where, std::span<const std::byte> bytes) : where_(where), bytes_(bytes) {}

  std::vector<Tensor> parse() {
    std::uint64_t length = 0;
    if (bytes_.size() < sizeof length)
      refuse("{} bytes, expected at least the 8 of a safetensors file's header length", bytes_.size());
    std::memcpy(&length, bytes_.data(), sizeof length);
    if (length > bytes_.size() - sizeof length)
      refuse("a header of {} bytes, but only {} are left: not a safetensors file, or cut", length,
             bytes_.size() - sizeof length);
    std::string_view header(reinterpret_cast<const char*>(bytes_.data()) + sizeof length, length);
    data_ = bytes_.subspan(sizeof length + length);
    // One tensor at a time: its object is looked at when it is complete, and dropped.
    auto filter = [this](int depth, Event event, nlohmann::json& parsed) { return look(depth, event, parsed); };
    nlohmann::json root = parse_json(where_, header, kHeaderLimits, filter);
    if (!root.is_object()) refuse("the header is not a JSON object");
    check_overlap();
    return std::move(tensors_);
  }

 private:
  using Event = nlohmann::json::parse_event_t;

  template <class... Args>
  [[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) {
    fail(Fault::file, "{}: {}", where_, fmt::format(format, std::forward<Args>(args)...));
  }

  bool look(int depth, Event event, nlohmann::json& parsed) {
    if (depth == 0 && event == Event::array_start) refuse("the header is not a JSON object");
    if (event == Event::key && depth == 1) {
      name_ = parsed.get_ref<const std::string&>();
      if (!names_.insert(name_).second) refuse("tensor {} occurs twice", printable(name_));
      if (names_.size() > kMostTensors) refuse("more than {} tensors", kMostTensors);
      return name_ != "__metadata__";
    }
    // The name and the contents of the notes come through here even though their value is dropped.
    if (name_ == "__metadata__") return true;
    if (depth > 1 && ++events_ > kMostEvents) refuse("tensor {} has too long a description", printable(name_));
    if (depth != 1) return true;
    if (event == Event::object_start) events_ = 0;
    if (event == Event::value || event == Event::array_start)
      refuse("tensor {} is not described by a JSON object", printable(name_));
    if (event != Event::object_end) return true;
    add_tensor(parsed);
    return false;
  }

  // The array `key` of a tensor's description: integers from 0.
  std::vector<i64> sizes(const nlohmann::json& description, const char* key) {
    auto found = description.find(key);
    if (found == description.end() || !found->is_array())
      refuse("tensor {} has no array {}", printable(name_), key);
    std::vector<i64> out;
    for (const nlohmann::json& element : *found) {
      if (!element.is_number_unsigned() || !std::in_range<i64>(element.get<std::uint64_t>()))
        refuse("tensor {} has {} in {}, expected integers from 0 to 2^63 - 1", printable(name_),
               printable(element.dump(-1, ' ', true), 40), key);
      out.push_back(static_cast<i64>(element.get<std::uint64_t>()));
    }
    return out;
  }

  void add_tensor(const nlohmann::json& description) {
    Tensor tensor;
    tensor.name = name_;
    auto dtype = description.find("dtype");
    if (dtype == description.end() || !dtype->is_string()) refuse("tensor {} has no dtype", printable(name_));
    for (const TypeName& type : kTypes)
      if (dtype->get_ref<const std::string&>() == type.safetensors) tensor.type = stored_type(type.stored);
    if (!tensor.type)
      refuse("tensor {} has the dtype {}, expected F32, F16 or BF16", printable(name_),
             printable(dtype->get_ref<const std::string&>(), 20));

    tensor.shape = sizes(description, "shape");
    if (tensor.shape.size() > kMostDimensions)
      refuse("tensor {} has {} dimensions, expected at most {}", printable(name_), tensor.shape.size(),
             kMostDimensions);
    std::optional<i64> bytes = tensor.type->block_bytes;
    for (i64 size : tensor.shape) {
      if (size < 1) refuse("tensor {} has a dimension of size 0", printable(name_));
      bytes = checked_mul(*bytes, size);
      if (!bytes) refuse("tensor {} has dimensions whose product is beyond 2^63", printable(name_));
    }
    std::reverse(tensor.shape.begin(), tensor.shape.end());
    tensor.bytes = *bytes;

    std::vector<i64> offsets = sizes(description, "data_offsets");
    if (offsets.size() != 2 || offsets[0] > offsets[1] || offsets[1] - offsets[0] != tensor.bytes)
      refuse("tensor {} has wrong data_offsets, expected two that are {} bytes apart", printable(name_), tensor.bytes);
    if (static_cast<std::uint64_t>(offsets[1]) > data_.size())
      refuse("tensor {} ends at byte {} of the data, but the file has {}: it is damaged or cut", printable(name_),
             offsets[1], data_.size());
    tensor.data = data_.data() + offsets[0];
    tensors_.push_back(std::move(tensor));
  }

  void check_overlap() {
    std::vector<const Tensor*> order;
    for (const Tensor& tensor : tensors_) order.push_back(&tensor);
    std::sort(order.begin(), order.end(), [](const Tensor* a, const Tensor* b) { return a->data < b->data; });
    for (std::size_t i = 1; i < order.size(); i++)
      if (order[i - 1]->data + order[i - 1]->bytes > order[i]->data)
        refuse("tensors {} and {} overlap", printable(order[i - 1]->name), printable(order[i]->name));
  }

  const std::string& where_;
  std::span<const std::byte> bytes_, data_;
  std::vector<Tensor> tensors_;
  std::set<std::string> names_;
  std::string name_;         // of the tensor being read
  int events_ = 0;           // of the JSON parser in its description
};

}  // namespace

std::vector<Tensor> parse_safetensors(const std::string& where, std::span<const std::byte> bytes) {
  return Parser(where, bytes).parse();
}

}  // namespace bitkerf
