#include "files/gguf.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/error.h"
#include "files/mapped_file.h"

namespace bitkerf {
namespace {

namespace fs = std::filesystem;

// A folder of one test, gone when the test ends.
class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "bitkerf_gguf_XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  ~Folder() { fs::remove_all(path_); }
  std::string operator/(std::string_view name) const { return (path_ / name).string(); }
  std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const auto& entry : fs::directory_iterator(path_)) out.push_back(entry.path().filename().string());
    return out;
  }

 private:
  fs::path path_;
};

void write_file(const std::string& path, std::string_view bytes) { std::ofstream(path, std::ios::binary) << bytes; }

std::span<const std::byte> as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

// Bytes of a GGUF file, written by hand so that they can be wrong.
struct Raw {
  std::string bytes;

  template <class T>
  Raw& put(T value) {
    bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Raw& u32(std::uint32_t v) { return put(v); }
  Raw& u64(std::uint64_t v) { return put(v); }
  Raw& text(std::string_view v) { u64(v.size()).bytes += v; return *this; }
  Raw& zeros(std::size_t count) { bytes.append(count, '\0'); return *this; }
  Raw& pad() { bytes.resize(round_up<std::size_t>(bytes.size(), 32), '\0'); return *this; }
  Raw& tensor(std::string_view name, std::vector<std::uint64_t> shape, std::uint32_t type, std::uint64_t offset) {
    text(name).u32(static_cast<std::uint32_t>(shape.size()));
    for (std::uint64_t size : shape) u64(size);
    return u32(type).u64(offset);
  }
};
Raw header(std::uint64_t tensors, std::uint64_t pairs, std::uint32_t version = 3) {
  Raw raw{"GGUF"};
  return raw.u32(version).u64(tensors).u64(pairs);
}

std::string refusal(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::file);
    EXPECT_EQ(std::string_view(error.what()).find('\n'), std::string_view::npos);
    return error.what();
  }
  return "(accepted)";
}

struct Sample {
  Metadata metadata;
  std::vector<std::byte> data;
  std::vector<Tensor> tensors;
};

// One value of every type, one tensor of every stored type.
Sample sample() {
  Sample s;
  std::apply(
      [&](auto... value) {
        int i = 0;
        (s.metadata.set(fmt::format("one.{}", i++), value), ...);
        (s.metadata.set(fmt::format("some.{}", i++),
                        MetadataArray(std::vector<decltype(value)>{value, decltype(value){}, value})), ...);
        (s.metadata.set(fmt::format("none.{}", i++), MetadataArray(std::vector<decltype(value)>{})), ...);
      },
      std::tuple<std::uint8_t, std::int8_t, std::uint16_t, std::int16_t, std::uint32_t, std::int32_t, float, bool,
                 std::string, std::uint64_t, std::int64_t, double>(
          200, -100, 60000, -30000, 4000000000u, -2000000000, 1.5f, true, std::string("any \0 \xff bytes", 12),
          ~0ull, INT64_MIN, -0.1));
  s.metadata.set(std::string("key \0 \xff", 7), 0.0f);
  s.data.resize(1 << 16);
  for (std::size_t i = 0; i < s.data.size(); i++) s.data[i] = static_cast<std::byte>(i * 7 + i / 256);
  const std::byte* at = s.data.data();
  for (const StoredType& type : stored_types()) {
    Tensor tensor{.name = fmt::format("tensor {}", type.name), .type = &type, .shape = {type.block * 2, 3}, .data = at,
                  .bytes = type.bytes(type.block * 6)};
    at += tensor.bytes;
    s.tensors.push_back(std::move(tensor));
  }
  EXPECT_LE(at - s.data.data(), static_cast<std::ptrdiff_t>(s.data.size()));
  return s;
}

void expect_equal(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); i++) {
    EXPECT_EQ(a[i].name, b[i].name);
    EXPECT_EQ(a[i].type, b[i].type);
    EXPECT_EQ(a[i].shape, b[i].shape);
    ASSERT_EQ(a[i].bytes, b[i].bytes);
    EXPECT_EQ(std::memcmp(a[i].data, b[i].data, static_cast<std::size_t>(a[i].bytes)), 0) << a[i].name;
  }
}

TEST(Gguf, WhatIsWrittenIsReadBack) {
  Folder folder;
  for (std::uint32_t alignment : {0u, 1u, 64u, 4096u}) {
    Sample s = sample();
    if (alignment) s.metadata.set("general.alignment", alignment);
    write_gguf(folder / "a.gguf", s.metadata, s.tensors);
    std::unique_ptr<ModelFile> file = open_model_file(folder / "a.gguf");
    EXPECT_EQ(file->metadata().values(), s.metadata.values());
    expect_equal(file->tensors(), s.tensors);
    EXPECT_EQ(file->find("tensor Q4_K"), &file->tensors()[11 - 2]);
    EXPECT_EQ(file->find("tensor Q4_L"), nullptr);
    EXPECT_EQ(file->file_bytes(), static_cast<i64>(fs::file_size(folder / "a.gguf")));
    EXPECT_EQ(file->metadata().where(), folder / "a.gguf");
    // Still readable after its pages were given back.
    file->release(file->tensors()[3].data, file->tensors()[3].bytes);
    expect_equal(file->tensors(), s.tensors);
  }
  EXPECT_EQ(folder.names(), std::vector<std::string>{"a.gguf"});
}

TEST(Gguf, VersionTwoIsRead) {
  Raw raw = header(1, 1, 2);
  raw.text("general.architecture").u32(8).text("llama").tensor("t", {2}, 0, 0).pad().put(1.0f).put(2.0f);
  Gguf gguf = parse_gguf("f", as_bytes(raw.bytes));
  EXPECT_EQ(gguf.version, 2u);
  EXPECT_EQ(gguf.metadata.text("general.architecture"), "llama");
  float values[2];
  gguf.tensors[0].type->dequantize(gguf.tensors[0].data, 2, values);
  EXPECT_EQ(values[1], 2.0f);
}

TEST(Gguf, RefusesWhatIsWrongAndSaysWhat) {
  auto with_key = [](Raw raw) { Raw all = header(0, 1); all.bytes += raw.bytes; return all.zeros(64).bytes; };
  auto with_tensor = [](Raw raw) { Raw all = header(1, 0); all.bytes += raw.bytes; return all.pad().zeros(64).bytes; };
  auto key = [](std::uint32_t type) { Raw raw; return raw.text("k").u32(type); };
  auto tensor = [](std::vector<std::uint64_t> shape, std::uint32_t type, std::uint64_t offset) {
    Raw raw;
    return raw.tensor("t", std::move(shape), type, offset);
  };
  const std::uint64_t huge = 1ull << 63;
  auto two = [&](Raw a, Raw b, Raw rest) { return header(2, 0).bytes + a.bytes + b.bytes + rest.bytes; };
  struct Case { const char* name; std::string bytes; const char* message; };
  Case cases[] = {
      {"empty", "", "header"},
      {"other magic", "PK\x03\x04 and more", "starts with 'PK\\x03\\x04'"},
      {"cut after magic", "GGUF", "version"},
      {"version 1", header(0, 0, 1).bytes, "version 1, expected 2 or 3"},
      {"version 4", header(0, 0, 4).bytes, "version 4"},
      {"big-endian", header(0, 0, 3u << 24).bytes, "big-endian"},
      {"many keys", header(0, 1000).zeros(100).bytes, "1000 keys, but only 100 bytes"},
      {"endless keys", header(0, ~0ull).zeros(100).bytes, "expected at most 65536"},
      {"many tensors", header(1000, 0).zeros(100).bytes, "1000 tensors, but only 100 bytes"},
      {"endless tensors", header(huge, 0).zeros(100).bytes, "expected at most"},
      {"long key", header(0, 1).u64(1000).zeros(100).bytes, "takes 1000 bytes, but only 100 are left"},
      {"endless key", header(0, 1).u64(~0ull).zeros(100).bytes, "only 100 are left"},
      {"unknown value type", with_key(key(13)), "unknown value type 13"},
      {"long text", with_key(key(8).u64(500)), "takes 500 bytes"},
      {"truth value", with_key(key(7).put<char>(2)), "truth value 2"},
      {"long array", with_key(key(9).u32(4).u64(1000)), "array of 1000, but only 64"},
      {"array that wraps", with_key(key(9).u32(10).u64(1ull << 61)), "array of 2305843009213693952"},
      {"long text array", with_key(key(9).u32(8).u64(9)), "array of 9, but only"},
      {"array of arrays", with_key(key(9).u32(9).u64(1)), "array of arrays"},
      {"unknown element type", with_key(key(9).u32(77).u64(1)), "unknown element type 77"},
      {"same key twice", header(0, 2).text("k").u32(0).put<char>(1).text("k").u32(0).put<char>(1).zeros(9).bytes,
       "key k occurs twice"},
      {"unprintable key", with_key(Raw{}.text("\x1b[2J\n").u32(99)), "key \\x1b[2J\\x0a"},
      {"alignment 0", header(0, 1).text("general.alignment").u32(4).u32(0).bytes, "general.alignment is 0"},
      {"alignment 48", header(0, 1).text("general.alignment").u32(4).u32(48).bytes, "power of two"},
      {"alignment 2^31", header(0, 1).text("general.alignment").u32(4).u32(1u << 31).bytes, "is 2147483648"},
      {"alignment text", header(0, 1).text("general.alignment").u32(8).text("32").bytes, "the text '32'"},
      {"dimensions", with_tensor(tensor({1, 1, 1, 1, 1}, 0, 0)), "5 dimensions"},
      {"no size", with_tensor(tensor({0, 4}, 0, 0)), "dimension 0 of size 0"},
      {"negative size", with_tensor(tensor({huge}, 0, 0)), "product is below 2^63"},
      {"product wraps", with_tensor(tensor({1ull << 32, 1ull << 32}, 0, 0)), "product is below 2^63"},
      {"bytes wrap", with_tensor(tensor({1ull << 62}, 0, 0)), "too many"},
      {"unknown type", with_tensor(tensor({32}, 5, 0)), "unknown type 5"},
      {"broken row", with_tensor(tensor({33}, 2, 0)), "rows of 33 weights, expected a multiple of 32 for Q4_0"},
      {"beyond the end", with_tensor(tensor({17}, 0, 0)), "68 bytes lies at offset 0, but the file has 64"},
      {"offset beyond the end", with_tensor(tensor({1}, 0, 1 << 20)), "offset 1048576"},
      {"offset that wraps", with_tensor(tensor({8}, 0, ~0ull - 31)), "offset 18446744073709551584"},
      {"crooked offset", with_tensor(tensor({1}, 0, 4)), "offset 4, expected a multiple of 32"},
      {"no data", header(1, 0).tensor("t", {1}, 0, 0).bytes, "would start at byte 64, but the file has 57"},
      {"same tensor twice", two(tensor({1}, 0, 0), tensor({1}, 0, 32), Raw{}.zeros(128)), "tensor t occurs twice"},
      {"overlap", two(Raw{}.tensor("a", {16}, 0, 0), Raw{}.tensor("b", {8}, 0, 32), Raw{}.zeros(160)),
       "tensors a and b overlap"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    std::string message = refusal([&] { parse_gguf("the file", as_bytes(c.bytes)); });
    EXPECT_NE(message.find(c.message), std::string::npos) << message;
    EXPECT_TRUE(message.starts_with("the file: ")) << message;
  }
}

TEST(Gguf, ManySmallTextsMayNotTakeMuchMoreMemoryThanTheFile) {
  std::uint64_t count = 2 << 20;
  Raw raw = header(0, 1);
  raw.text("k").u32(9).u32(8).u64(count).zeros(count * 8);
  std::string message = refusal([&] { parse_gguf("f", as_bytes(raw.bytes)); });
  EXPECT_NE(message.find("more texts than any known vocabulary (2097152)"), std::string::npos) << message;
}

TEST(Gguf, EveryTruncationIsRefusedOrCutsOnlyPadding) {
  Sample s = sample();
  s.tensors.resize(4);
  std::string all = gguf_header(s.metadata, s.tensors);
  std::size_t start = all.size();
  for (const Tensor& tensor : s.tensors) {
    all.append(reinterpret_cast<const char*>(tensor.data), static_cast<std::size_t>(tensor.bytes));
    all.resize(round_up<std::size_t>(all.size(), 32), '\0');
  }
  std::size_t needed = start + round_up<std::size_t>(24, 32) + round_up<std::size_t>(12, 32) + 128 + 120;
  for (std::size_t length = 0; length <= all.size(); length++) {
    std::string cut = all.substr(0, length);  // its own allocation, so that reading beyond it is seen by ASan
    std::string message = refusal([&] { parse_gguf("f", as_bytes(cut)); });
    EXPECT_EQ(message == "(accepted)", length >= needed) << length << ": " << message;
  }
}

TEST(Gguf, SplitFilesAreOne) {
  Folder folder;
  Sample s = sample();
  auto write_parts = [&](int parts, auto change) {
    for (int part = 0; part < parts; part++) {
      Metadata metadata = part == 0 ? s.metadata : Metadata();
      metadata.set("split.no", static_cast<std::uint16_t>(part));
      metadata.set("split.count", static_cast<std::uint16_t>(parts));
      metadata.set("split.tensors.count", static_cast<std::int32_t>(s.tensors.size()));
      std::size_t first = s.tensors.size() * part / parts, last = s.tensors.size() * (part + 1) / parts;
      std::vector<Tensor> some(s.tensors.begin() + static_cast<std::ptrdiff_t>(first),
                               s.tensors.begin() + static_cast<std::ptrdiff_t>(last));
      change(part, metadata, some);
      write_gguf(folder / fmt::format("m-{:05}-of-{:05}.gguf", part + 1, parts), metadata, some);
    }
  };
  auto unchanged = [](int, Metadata&, std::vector<Tensor>&) {};
  write_parts(3, unchanged);
  {
    std::unique_ptr<ModelFile> file = open_model_file(folder / "m-00001-of-00003.gguf");
    EXPECT_EQ(file->metadata().values(), s.metadata.values());
    expect_equal(file->tensors(), s.tensors);
  }
  auto message = [&](std::string_view name) { return refusal([&] { open_model_file(folder / name); }); };
  EXPECT_NE(message("m-00002-of-00003.gguf").find("not the first of 3 parts"), std::string::npos);
  fs::copy(folder / "m-00001-of-00003.gguf", folder / "whole.gguf");
  EXPECT_NE(message("whole.gguf").find("a name that ends in -00001-of-00003.gguf"), std::string::npos);
  fs::remove(folder / "m-00003-of-00003.gguf");
  EXPECT_NE(message("m-00001-of-00003.gguf").find("m-00003-of-00003.gguf: cannot be opened"), std::string::npos);

  struct Case { std::function<void(int, Metadata&, std::vector<Tensor>&)> change; const char* message; };
  Case cases[] = {
      {[](int part, Metadata& m, auto&) { if (part == 1) m.set("split.no", std::uint16_t{2}); }, "it is part 3 of 3"},
      {[](int part, Metadata& m, auto&) { if (part == 2) m.set("split.count", 7); }, "it is part 3 of 7"},
      {[](int part, Metadata& m, auto&) { if (part == 0) m.set("split.count", -7); }, "split.count is -7"},
      {[](int part, Metadata& m, auto&) { if (part == 0) m.set("split.tensors.count", 7); }, "expected 7"},
      {[](int, Metadata&, std::vector<Tensor>& t) { t[0].name = "same"; }, "tensor same occurs twice"},
  };
  for (const Case& c : cases) {
    write_parts(3, c.change);
    EXPECT_NE(message("m-00001-of-00003.gguf").find(c.message), std::string::npos) << message("m-00001-of-00003.gguf");
  }
}

TEST(Gguf, PathsThatAreNoModel) {
  Folder folder;
  EXPECT_NE(refusal([&] { open_model_file(folder / "nothing.gguf"); }).find("No such file"), std::string::npos);
  EXPECT_NE(refusal([&] { open_model_file("/dev/zero"); }).find("not a regular file"), std::string::npos);
  write_file(folder / "empty.gguf", "");
  EXPECT_NE(refusal([&] { open_model_file(folder / "empty.gguf"); }).find("header"), std::string::npos);
}

TEST(Gguf, FailedWritesLeaveNothing) {
  Folder folder;
  Sample s = sample();
  write_file(folder / "old.gguf", "old");
  EXPECT_THROW(write_gguf(folder / "missing/a.gguf", s.metadata, s.tensors), Error);
  fs::create_directory(folder / "folder.gguf");  // rename cannot replace it
  EXPECT_THROW(write_gguf(folder / "folder.gguf", s.metadata, s.tensors), Error);
  EXPECT_EQ(folder.names().size(), 2u);
}

TEST(Gguf, FileThatShrinksWhileMappedEndsTheProgramInOrder) {
  Folder folder;
  Sample s = sample();
  std::string path = folder / "a.gguf";
  write_gguf(path, s.metadata, s.tensors);
  int channel[2];
  ASSERT_EQ(pipe(channel), 0);
  pid_t child = fork();
  if (child == 0) {
    dup2(channel[1], STDERR_FILENO);
    guard_mapped_files();
    std::unique_ptr<ModelFile> file = open_model_file(path);
    fs::resize_file(path, 0);
    int sum = 0;
    for (i64 i = 0; i < file->tensors().back().bytes; i++) sum += static_cast<int>(file->tensors().back().data[i]);
    _exit(sum == 12345 ? 98 : 99);
  }
  close(channel[1]);
  std::string said;
  char bytes[512];
  for (ssize_t length; (length = read(channel[0], bytes, sizeof bytes)) > 0;)
    said.append(bytes, static_cast<std::size_t>(length));
  close(channel[0]);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 3);
  EXPECT_EQ(said, "error: " + path +
                      ": a part of the file can no longer be read; was it cut or replaced while in use?\n");
}

}  // namespace
}  // namespace bitkerf
