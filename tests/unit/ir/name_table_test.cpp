#include "ir/name_table.h"

#include "support/internal_error.h"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <string>
#include <vector>

namespace gradc {
namespace {

TEST(NameTable, GivesTheHintOrTheNextThatIsFree) {
  NameTable names;
  EXPECT_EQ(names.take("x"), "x");
  EXPECT_EQ(names.take("x"), "x.1");
  EXPECT_EQ(names.take("x.2"), "x.2");
  EXPECT_EQ(names.take("x"), "x.3");
  EXPECT_EQ(names.take("dense/kernel"), "dense_kernel");
  EXPECT_EQ(names.take("dense kernel"), "dense_kernel.1");
  EXPECT_EQ(names.take(""), "0");
  EXPECT_EQ(names.take("1"), "1");
  EXPECT_EQ(names.take(""), "2");
}

TEST(NameTable, WhatIsReleasedIsFreeAgain) {
  NameTable names;
  names.take("x");
  names.take("x");
  names.release("x");
  EXPECT_EQ(names.take("x"), "x");
  EXPECT_EQ(names.take("x"), "x.2");
  EXPECT_THROW(names.release("y"), InternalError);
}

// Against a set of strings: thousands of names, in tables that grow and lose names in any order.
TEST(NameTable, NamesStayUniqueInWhateverOrderTheyComeAndGo) {
  std::mt19937 random(7);
  for (int round = 0; round < 20; ++round) {
    NameTable names;
    std::set<std::string> taken;
    std::vector<std::string> order;
    for (int step = 0; step < 2000; ++step) {
      if (!order.empty() && random() % 3 == 0) {
        const size_t i = random() % order.size();
        names.release(order[i]);
        taken.erase(order[i]);
        order.erase(order.begin() + static_cast<std::ptrdiff_t>(i));
        continue;
      }
      std::string hint = random() % 4 == 0 ? "" : "v" + std::to_string(random() % 50);
      if (random() % 8 == 0) hint += "." + std::to_string(random() % 9);
      const bool is_free = !hint.empty() && !taken.contains(hint);
      const std::string name = names.take(hint);
      if (is_free) {
        ASSERT_EQ(name, hint);
      }
      ASSERT_TRUE(taken.insert(name).second) << name;
      order.push_back(name);
    }
    for (const std::string& name : order)
      names.release(name);
    ASSERT_EQ(names.take("v1"), "v1");
  }
}

}  // namespace
}  // namespace gradc
