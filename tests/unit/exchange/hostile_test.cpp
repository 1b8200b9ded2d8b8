// Files that were damaged, on purpose or not: 200 mutations of a file of each kind. All that is
// asked for is an answer, whatever it is.
#include "tests/unit/exchange/read.h"

#include "exchange/h5_file.h"
#include "exchange/weights.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

namespace gradc::exchange {
namespace {

std::string bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

/// Some bytes changed, a part copied over another, a part taken out, or the end cut off.
std::string mutated(const std::string& seed, uint32_t number) {
  std::mt19937 random(number);
  std::string bytes = seed;
  const auto below = [&](size_t limit) { return random() % std::max<size_t>(limit, 1); };
  const size_t changes = 1 + below(8);
  for (size_t i = 0; i < changes && !bytes.empty(); ++i) {
    const size_t at = below(bytes.size());
    switch (random() % 5) {
      case 0:
        bytes[at] = static_cast<char>(random());
        break;
      case 1:
        bytes[at] = static_cast<char>(random() % 2 == 0 ? 0xFF : 0);
        break;
      case 2: {
        const size_t length = std::min(below(64) + 1, bytes.size() - at);
        bytes.replace(at, length, bytes.substr(below(bytes.size()), length));
        break;
      }
      case 3:
        bytes.erase(at, below(16) + 1);
        break;
      default:
        if (below(4) == 0) bytes.resize(at);
        break;
    }
  }
  return bytes;
}

class Hostile : public ::testing::TestWithParam<const char*> {};

TEST_P(Hostile, EveryMutationIsAnswered) {
  const std::string path = std::string(GRADC_SOURCE_DIR) + "/tests/exchange/" + GetParam();
  const std::string seed = bytes_of(path);
  ASSERT_FALSE(seed.empty());
  SourceSet sources;
  const auto whole =
      read_model(std::string(GRADC_SOURCE_DIR) + "/tests/exchange/whole.h5", sources);
  ASSERT_TRUE(whole.ok());
  const std::string target = std::string(::testing::TempDir()) + "/hostile_" +
                             std::filesystem::path(GetParam()).filename().string();
  int refused = 0;
  for (uint32_t i = 0; i < 200; ++i) {
    std::ofstream(target, std::ios::binary) << mutated(seed, i);
    SourceSet own;
    const auto model = read_model(target, own);
    if (!model.ok()) {
      EXPECT_FALSE(render_diagnostics(model.diagnostics(), own).empty());
    }
    rt::SafetensorsFile file;
    const Status status = read_foreign_weights(model.ok() ? *model : *whole, target, &file);
    refused += model.ok() && status.ok() ? 0 : 1;
  }
  EXPECT_GT(refused, 0);
  std::filesystem::remove(target);
}

INSTANTIATE_TEST_SUITE_P(
    Files, Hostile,
    ::testing::Values("whole.h5", "weights.h5", "packed.h5", "keras2.keras", "keras3.keras",
                      "tfjs/model.json", "state.h5", "state.keras"),
    [](const auto& one) {
      std::string name = one.param;
      std::replace_if(name.begin(), name.end(), [](char c) { return c == '.' || c == '/'; }, '_');
      return name;
    });

/// Looks at everything that a file has.
struct Visit {
  const H5File& file;
  int left = 2000;  ///< objects; a group may lie in itself
  int read = 0;

  void object(const std::string& path) {
    if (left-- <= 0) return;
    for (const char* name : {"text0", "text11", "list", "fixed", "of_named_type", "text"})
      read += file.has_attribute(path, name) && file.strings(path, name).ok() ? 1 : 0;
    const auto members = file.members(path);
    if (!members.ok()) {
      const auto data = file.dataset(path);
      read += data.ok() ? 1 : 0;
      EXPECT_TRUE(data.ok() || !data.message().empty());
      return;
    }
    for (const std::string& name : *members)
      object(path.empty() ? name : path + "/" + name);
  }
};

TEST(HostileForms, EveryMutationIsAnswered) {
  for (const char* name : {"old.h5", "new.h5"}) {
    const std::string seed = bytes_of(std::string(GRADC_SOURCE_DIR) + "/tests/exchange/" + name);
    ASSERT_FALSE(seed.empty());
    int refused = 0;
    int read = 0;
    for (uint32_t i = 0; i < 200; ++i) {
      const std::string changed = mutated(seed, i);
      rt::Bytes bytes;
      bytes.append(reinterpret_cast<const uint8_t*>(changed.data()), changed.size());
      const auto file = H5File::open_image(name, bytes);
      refused += file.ok() ? 0 : 1;
      if (!file.ok()) continue;
      Visit visit{**file};
      visit.object("");
      read += visit.read;
    }
    EXPECT_GT(refused, 0) << name;
    EXPECT_GT(read, 1000) << name;
  }
}

}  // namespace
}  // namespace gradc::exchange
