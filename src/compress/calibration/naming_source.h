// A model's matrices in float32, and which is which.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "core/error.h"
#include "forms/packed.h"
#include "models/file_source.h"

namespace bitkerf {

// The file's source, and the name of each matrix that it gave.
class NamingSource final : public LinearSource {
 public:
  NamingSource(const ModelFile& file, Threads& threads) : file_(file), plain_(file, "dense", threads, {}) {}
  bool has(std::string_view name) const override { return plain_.has(name); }
  Shape shape(std::string_view name) const override { return plain_.shape(name); }
  Buffer<float> vector(std::string_view name, i64 n) override { return plain_.vector(name, n); }
  std::unique_ptr<Linear> linear(std::string_view name, Shape shape, const Rows& rows) override {
    std::unique_ptr<Linear> made = plain_.linear(name, shape, rows);
    const auto* panels = dynamic_cast<const PackedLinear*>(made.get());
    if (!panels || &panels->input() != &float_input())
      throw Error(Fault::file, fmt::format("{}: '{}' is packed for products of {}", file_.path(), name, panels ? panels->input().name : "another kind"),
                  "calibrate the model that it was made from");
    names[made.get()] = std::string(name);
    return made;
  }
  std::map<const Linear*, std::string> names;

 private:
  const ModelFile& file_;
  FileSource plain_;
};

}  // namespace bitkerf
