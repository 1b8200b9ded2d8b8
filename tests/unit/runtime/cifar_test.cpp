// CIFAR's binary files.
#include "runtime/dataset.h"
#include "tests/unit/runtime/fake_model.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

namespace gradc::rt {
namespace {

using testing::TempDir;
using testing::write_bytes;

/// A record of a class whose pixel p has p, p + 1 and p + 2 modulo 251 as its colours.
std::string record(const std::string& classes, int first) {
  std::string bytes = classes;
  for (int c = 0; c < 3; ++c) {
    for (int p = 0; p < 1024; ++p)
      bytes += static_cast<char>((first + p + c) % 251);
  }
  return bytes;
}

struct Loaded {
  Status status;
  Vec<Array> arrays;
  const Array* find(const char* name) const {
    for (const Array& array : arrays)
      if (array.name == name) return &array;
    return nullptr;
  }
};

Loaded load(const TempDir& dir) {
  Loaded loaded;
  loaded.status = load_arrays_of(dir.path().c_str(), &loaded.arrays);
  return loaded;
}

std::string bytes_of(const Array& array) {
  return {reinterpret_cast<const char*>(array.data.data()), array.data.size()};
}

TEST(Cifar, PlanesBecomePixels) {
  const TempDir dir;
  write_bytes(dir.file("data_batch_1.bin"), record("\x03", 0) + record("\x09", 7));
  write_bytes(dir.file("data_batch_2.bin"), record(std::string(1, '\0'), 100));
  write_bytes(dir.file("test_batch.bin"), record("\x05", 1));
  write_bytes(dir.file("readme.html"), "not read");
  const Loaded loaded = load(dir);
  ASSERT_TRUE(loaded.status.ok()) << loaded.status.text.c_str();
  ASSERT_EQ(loaded.arrays.size(), 4u);
  const Array& x = *loaded.find("x_train");
  EXPECT_EQ(array_type_text(x), "u8[3, 32, 32, 3]");
  EXPECT_EQ(bytes_of(*loaded.find("y_train")), std::string("\x03\x09\0", 3));
  EXPECT_EQ(bytes_of(*loaded.find("y_test")), "\x05");
  const int firsts[] = {0, 7, 100};
  for (size_t i = 0; i < x.count(); ++i) {
    const int want = (firsts[i / 3072] + static_cast<int>(i % 3072 / 3 + i % 3)) % 251;
    ASSERT_EQ(x.data[i], want) << i;
  }
}

TEST(Cifar, FineClassesOfAHundred) {
  const TempDir dir;
  write_bytes(dir.file("train.bin"), record("\x13\x63", 0));
  const Loaded loaded = load(dir);
  ASSERT_TRUE(loaded.status.ok()) << loaded.status.text.c_str();
  EXPECT_EQ(bytes_of(*loaded.find("y_train")), "\x63");
  EXPECT_EQ(loaded.find("x_train")->data[0], 0);
  EXPECT_EQ(loaded.find("x_train")->data[3], 1);
}

TEST(Cifar, OtherFilesAreRefused) {
  for (const std::string& bytes : {std::string(), record("\x03", 0) + "xy", record("\x0a", 0),
                                   record("\x14\x01", 0), record("\x13\x64", 0)}) {
    const TempDir dir;
    write_bytes(dir.file("train.bin"), bytes);
    const Loaded loaded = load(dir);
    EXPECT_NE(strstr(loaded.status.text.c_str(), "bytes are no CIFAR file"), nullptr)
        << loaded.status.text.c_str();
  }
  const TempDir dir;
  write_bytes(dir.file("train.bin"), record("\x03", 0));
  write_bytes(dir.file("data_batch_1.bin"), record("\x03", 0));
  EXPECT_NE(strstr(load(dir).status.text.c_str(), "has another train part"), nullptr);
}

}  // namespace
}  // namespace gradc::rt
