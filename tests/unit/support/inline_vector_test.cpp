#include "support/inline_vector.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <utility>
#include <vector>

namespace gradc {
namespace {

using Short = InlineVector<uint32_t, 3>;

Short counted(uint32_t count) {
  Short list;
  for (uint32_t i = 0; i < count; ++i)
    list.push_back(i);
  return list;
}

TEST(InlineVector, IsWhatAVectorIsWhateverIsDone) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    Short list;
    std::vector<uint32_t> model;
    for (int step = 0; step < 40; ++step) {
      const auto value = static_cast<uint32_t>(random() % 5);
      const auto place = static_cast<std::ptrdiff_t>(model.empty() ? 0 : random() % model.size());
      switch (random() % 8) {
        case 0:
          if (!model.empty()) {
            list.erase(list.begin() + place);
            model.erase(model.begin() + place);
          }
          break;
        case 1:
          list.insert(list.begin() + place, value);
          model.insert(model.begin() + place, value);
          break;
        case 2:
          if (!model.empty()) {
            list.pop_back();
            model.pop_back();
          }
          break;
        case 3:
          list.resize(model.size() + 2, value);
          model.resize(model.size() + 2, value);
          break;
        case 4: {
          const auto last = list.erase(std::remove(list.begin(), list.end(), value), list.end());
          EXPECT_EQ(last, list.end());
          std::erase(model, value);
          break;
        }
        default:
          list.push_back(value);
          model.push_back(value);
      }
      ASSERT_EQ(list, model);
      ASSERT_EQ(list.to_vector(), model);
    }
  }
}

TEST(InlineVector, CopiesAreIndependentAndMovesLeaveNothing) {
  for (uint32_t count = 0; count < 9; ++count) {
    const Short original = counted(count);
    Short copy = original;
    copy.push_back(77);
    EXPECT_EQ(original, counted(count));
    Short moved = std::move(copy);
    EXPECT_EQ(moved.size(), count + 1);
    EXPECT_TRUE(copy.empty());  // NOLINT: what a move leaves is stated
    copy = moved;
    EXPECT_EQ(copy, moved);
    copy = counted(1);
    EXPECT_EQ(copy, counted(1));
    Short& self = copy;
    copy = self;
    EXPECT_EQ(copy, counted(1));
  }
}

TEST(InlineVector, AnElementOfItsOwnMayBePushed) {
  Short list = {1, 2, 3};
  list.push_back(list[0]);  // the place it is read from moves
  list.push_back(list[3]);
  EXPECT_EQ(list, (Short{1, 2, 3, 1, 1}));
}

}  // namespace
}  // namespace gradc
