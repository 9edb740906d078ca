#include "files/mapped_file.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <fstream>

namespace bitkerf {
namespace {

std::byte value(i64 at) { return static_cast<std::byte>(at * 2654435761u >> 13); }

struct Written {
  std::string path = testing::TempDir() + "bitkerf_mapped_" + std::to_string(getpid());
  i64 size;
  explicit Written(i64 size) : size(size) {
    std::ofstream out(path, std::ios::binary);
    for (i64 i = 0; i < size; i++) out.put(static_cast<char>(value(i)));
  }
  ~Written() { unlink(path.c_str()); }
};

void expect_unchanged(const MappedFile& file, i64 size) {
  ASSERT_EQ(static_cast<i64>(file.bytes().size()), size);
  i64 wrong = 0;
  for (i64 i = 0; i < size; i++) wrong += file.bytes()[static_cast<std::size_t>(i)] != value(i);
  EXPECT_EQ(wrong, 0);
}

TEST(MappedFile, SettledBytesStayWhatTheyAreWhereTheyAre) {
  const Written written((9 << 20) + 12345);
  MappedFile file(written.path);
  const std::byte* data = file.bytes().data();
  Threads threads(2);
  file.settle(data + 100, (7 << 20) + 5, threads);  // to the middle of a huge page
  EXPECT_EQ(file.bytes().data(), data);
  expect_unchanged(file, written.size);
  // What has no file behind it must not be dropped.
  for (i64 at : {i64{0}, i64{3} << 20, i64{8} << 20}) file.release(data + at, 1 << 20);
  expect_unchanged(file, written.size);
  MappedFile moved(std::move(file));
  moved.release(data + (3 << 20), 1 << 20);
  expect_unchanged(moved, written.size);
  // Written to the file later: seen in what is still mapped only.
  std::fstream change(written.path, std::ios::binary | std::ios::in | std::ios::out);
  for (i64 at : {i64{4} << 20, i64{9} << 20}) change.seekp(at).put(static_cast<char>(~value(at)));
  change.close();
  EXPECT_EQ(data[4 << 20], value(4 << 20));
  EXPECT_EQ(data[9 << 20], ~value(9 << 20));
}

TEST(MappedFile, SmallFilesAndEdgesSettleToNothing) {
  Threads threads(1);
  for (i64 size : {i64{0}, i64{1}, i64{2} << 20, (i64{2} << 20) + 1}) {
    const Written written(size);
    const MappedFile file(written.path);
    file.settle(file.bytes().data(), size, threads);
    expect_unchanged(file, size);
  }
}

}  // namespace
}  // namespace bitkerf
