// Texts as data: words and their vocabulary, columns of a table, files of token numbers, windows.
#include "runtime/dataset.h"
#include "runtime/feed.h"
#include "runtime/tokens.h"
#include "tests/unit/runtime/fake_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>

namespace gradc::rt {
namespace {

using testing::FakeModel;
using testing::FakeModelOptions;
using testing::TempDir;
using testing::write_bytes;

/// Reads i32 [batch, 4] texts; the target is a class, or with `windows` the next tokens.
class Texts : public ::testing::Test {
 protected:
  explicit Texts(bool windows = false) : model_(options()) {
    gradc_rt_tensor& x = model_.tensor("input/x");
    x.dtype = GRADC_RT_I32;
    x.dims[1] = 4;
    if (!windows) return;
    gradc_rt_tensor& y = model_.tensor("target/y");
    y.rank = 2;
    y.dims[1] = 4;
    y.bytes *= 4;
  }
  static FakeModelOptions options() {
    FakeModelOptions options;
    options.classes = true;
    options.features = 4;
    return options;
  }
  Status load(const std::string& name, const std::string& how, double held_out = 0) {
    DataSource source;
    source.spec = Str((dir_.file(name) + how).c_str());
    const Vec<TensorMeaning> known = static_cast<Vec<TensorMeaning>&&>(known_);
    set_ = DataSet();
    return load_dataset(model_.get(), source, TargetNeed::kRequired, &set_,
                        known.empty() ? nullptr : &known, held_out);
  }
  std::vector<int64_t> numbers(size_t tensor) const {
    const Array& array = set_.train.arrays[tensor];
    std::vector<int64_t> values;
    for (size_t r = 0; r < static_cast<size_t>(array.rows()); ++r) {
      for (size_t i = 0; i < array.row_elements(); ++i)
        values.push_back(load_i64(array.data.data(), array.dtype, r * array.step() + i));
    }
    return values;
  }
  std::vector<std::string> table() const {
    std::vector<std::string> names;
    for (const Str& name : set_.meanings[0].tokens)
      names.emplace_back(name.c_str(), name.size());
    return names;
  }
  using Row = std::vector<int64_t>;
  using Names = std::vector<std::string>;

  TempDir dir_;
  FakeModel model_;
  DataSet set_;
  Vec<TensorMeaning> known_;
};

class Windows : public Texts {
 protected:
  Windows() : Texts(true) {}
};

TEST_F(Texts, ColumnsAreWordsByFrequency) {
  model_.input_data().text_split = GRADC_RT_TEXT_WORDS;
  model_.input_data().text_flags = GRADC_RT_TEXT_LOWER | GRADC_RT_TEXT_STRIP;
  write_bytes(dir_.file("a.tsv"),
              "ham\tGo, go to \"it\n"
              "spam\tWIN! win it: don't go now 4 ever\n"
              "ham\t...\n");
  const std::string how = ":header=none:quote=none:target=1";
  const Status status = load("a.tsv", how);
  ASSERT_TRUE(status.ok()) << status.text.c_str();
  EXPECT_EQ(table(), (Names{"", "[UNK]", "go", "it", "win", "4", "dont", "ever", "now", "to"}));
  EXPECT_EQ(numbers(0), (Row{2, 2, 9, 3, 4, 4, 3, 6, 0, 0, 0, 0}));
  EXPECT_EQ(numbers(1), (Row{0, 1, 0}));

  // The last third is held out: no word of it has a number. A limit takes the rarest.
  ASSERT_TRUE(load("a.tsv", how, 0.4).ok());
  EXPECT_EQ(table(), (Names{"", "[UNK]", "go", "it", "to"}));
  EXPECT_EQ(numbers(0), (Row{2, 2, 4, 3, 1, 1, 3, 1, 0, 0, 0, 0}));
  model_.input_data().max_tokens = 3;
  ASSERT_TRUE(load("a.tsv", how).ok());
  EXPECT_EQ(table(), (Names{"", "[UNK]", "go"}));

  // What the model was trained with counts, in its order.
  known_ = static_cast<Vec<TensorMeaning>&&>(set_.meanings);
  known_[0].tokens.push(Str("now"));
  model_.input_data().text_flags |= GRADC_RT_TEXT_PAD_FRONT | GRADC_RT_TEXT_CUT_FRONT;
  ASSERT_TRUE(load("a.tsv", how).ok());
  EXPECT_EQ(numbers(0), (Row{2, 2, 1, 1, 2, 3, 1, 1, 0, 0, 0, 0}));
}

TEST_F(Texts, ColumnsAreCharacters) {
  model_.input_data().text_split = GRADC_RT_TEXT_BYTES;
  model_.input_data().text_flags = GRADC_RT_TEXT_PAD_FRONT;
  write_bytes(dir_.file("a.csv"), "word,kind\nbob,0\n\"A, b\",1\n");
  ASSERT_TRUE(load("a.csv", ":target=kind").ok());
  EXPECT_EQ(table(), (Names{"", "[UNK]", "b", " ", ",", "A", "o"}));
  EXPECT_EQ(numbers(0), (Row{0, 2, 6, 2, 5, 4, 3, 2}));
  write_bytes(dir_.file("b.csv"), "word,other,kind\nbob,x,0\n");
  const Status two = load("b.csv", ":target=kind");
  EXPECT_NE(strstr(two.text.c_str(),
                   "input/x takes the texts of one column, here are \"word\", "
                   "\"other\""),
            nullptr)
      << two.text.c_str();
}

TEST_F(Windows, OfWords) {
  write_bytes(dir_.file("t.txt"), "The cat. The dog? The cat ran");
  const Status status = load("t.txt", ":words:stride=1");
  ASSERT_TRUE(status.ok()) << status.text.c_str();
  EXPECT_EQ(table(), (Names{"", "[UNK]", "the", "cat", "dog", "ran"}));
  EXPECT_EQ(numbers(0), (Row{2, 3, 2, 4, 3, 2, 4, 2, 2, 4, 2, 3}));
  EXPECT_EQ(numbers(1), (Row{3, 2, 4, 2, 2, 4, 2, 3, 4, 2, 3, 5}));
  EXPECT_EQ(set_.train.arrays[0].data.size(), 6 * sizeof(int32_t)) << "no token is stored twice";
  write_bytes(dir_.file("l.txt"), "The cat. The dog? The cat ran. Far, far away");
  ASSERT_TRUE(load("l.txt", ":words:stride=1", 0.2).ok());
  EXPECT_EQ(table(), (Names{"", "[UNK]", "the", "cat", "dog"}))
      << "of six windows four are trained on, of those the first reaches into none that are not";
  EXPECT_EQ(numbers(1).back(), 1);
  // As the model's rule says, also without a unit.
  model_.input_data().text_split = GRADC_RT_TEXT_WORDS;
  ASSERT_TRUE(load("t.txt", "").ok());
  EXPECT_EQ(table()[2], "The");
  EXPECT_EQ(load("t.txt", ":words:step=2").code, Code::kUserError);
  write_bytes(dir_.file("s.txt"), "too short");
  EXPECT_NE(strstr(load("s.txt", ":words").text.c_str(),
                   "has 2 tokens, one window of the model "
                   "needs 5"),
            nullptr);
}

TEST_F(Windows, OfTokenFiles) {
  std::string bytes;
  for (const int token : {7, 300, 2, 65535, 5, 6})
    bytes += {static_cast<char>(token & 255), static_cast<char>(token >> 8)};
  write_bytes(dir_.file("t.bin"), bytes);
  ASSERT_TRUE(load("t.bin", ":u16").ok());
  EXPECT_EQ(numbers(0), (Row{7, 300, 2, 65535}));
  EXPECT_EQ(numbers(1), (Row{300, 2, 65535, 5}));
  EXPECT_TRUE(set_.meanings[0].empty());
  EXPECT_EQ(load("t.bin", ":u32").text.size() > 0, true) << "three numbers are no window";
  write_bytes(dir_.file("odd.bin"), bytes + "x");
  EXPECT_NE(strstr(load("odd.bin", ":u16").text.c_str(), "has 13 bytes, a multiple of 2"), nullptr);
  const Array tokens = testing::make_array("t", Dtype::kI64, {5}, {1, 2, 3, 4, 5});
  ASSERT_TRUE(write_npy(dir_.file("t.npy").c_str(), tokens).ok());
  ASSERT_TRUE(load("t.npy", ":tokens").ok());
  EXPECT_EQ(numbers(1), (Row{2, 3, 4, 5}));
}

// Some 3,000 tokens for windows of four.
class Drawn : public Windows {
 protected:
  static constexpr int64_t kTokens = 3003;

  Drawn() {
    std::string bytes;
    for (int64_t token = 0; token < kTokens; ++token)
      bytes += {static_cast<char>(token & 255), static_cast<char>(token >> 8)};
    write_bytes(dir_.file("t.bin"), bytes);
  }
  void take(const std::string& how, double held_out = 0) {
    const Status status = load("t.bin", how, held_out);
    ASSERT_TRUE(status.ok()) << status.text.c_str();
    instance_ = std::make_unique<testing::OwnedInstance>(model_.get());
  }
  /// What the model gets: rows of tokens and of targets.
  std::vector<Row> batch(const Feed& feed, const BatchRequest& request) {
    const Instance& instance = **instance_;
    feed.gather(instance, request, {0, 1, nullptr, nullptr, nullptr});
    std::vector<Row> rows;
    for (const char* name : {"input/x", "target/y"}) {
      const size_t tensor = static_cast<size_t>(instance.find(name));
      for (int64_t r = 0; r < request.valid; ++r) {
        Row& row = rows.emplace_back();
        for (size_t i = 0; i < 4; ++i)
          row.push_back(
              load_i64(instance.data(tensor), Dtype::kI32, static_cast<size_t>(r) * 4 + i));
      }
    }
    return rows;
  }

  std::unique_ptr<testing::OwnedInstance> instance_;
};

TEST_F(Drawn, AnywhereAndAnewForEachEpoch) {
  take(":u16:random=50");
  Feed feed;
  const int64_t trained = set_.train.rows_before(2000);
  EXPECT_EQ(trained, 1997) << "the next one has token 2000, which is held out";
  ASSERT_TRUE(feed.prepare_training(**instance_, set_.train, trained, false).ok());
  ASSERT_EQ(feed.rows(), 50);
  std::vector<int64_t> order(50), again(50), next(50);
  feed.order(7, 0, true, {order.data(), order.size()});
  feed.order(7, 0, true, {again.data(), again.size()});
  feed.order(7, 1, true, {next.data(), next.size()});
  EXPECT_EQ(order, again);
  EXPECT_NE(order, next);
  EXPECT_LT(*std::max_element(order.begin(), order.end()), trained);
  EXPECT_GT(*std::max_element(order.begin(), order.end()), trained * 3 / 4);
  EXPECT_LT(*std::min_element(order.begin(), order.end()), trained / 4);
  const std::vector<Row> rows = batch(feed, {order.data(), 2, true, 7, 0});
  for (const size_t r : {size_t{0}, size_t{1}}) {
    for (size_t i = 0; i < 4; ++i) {
      EXPECT_EQ(rows[r][i], order[r] + static_cast<int64_t>(i));
      EXPECT_EQ(rows[2 + r][i], rows[r][i] + 1);
    }
  }
  // What is evaluated are windows side by side.
  ASSERT_TRUE(feed.prepare(**instance_, set_.train, 2000, 999, false, TargetNeed::kRequired).ok());
  ASSERT_EQ(feed.rows(), 250);
  const int64_t two[] = {0, 249};
  const std::vector<Row> held = batch(feed, {two, 2, false, 0, 0});
  EXPECT_EQ(held[0], (Row{2000, 2001, 2002, 2003}));
  EXPECT_EQ(held[3], (Row{2997, 2998, 2999, 3000}));
  take(":u16:random");
  EXPECT_EQ(set_.train.draws, 2999 / 4);
  for (const char* bad : {":u16:random=0", ":u16:random=x", ":u16:stride", ":u16:draw"})
    EXPECT_EQ(load("t.bin", bad).code, Code::kUserError) << bad;
}

TEST_F(Drawn, HiddenTokensAreAskedFor) {
  gradc_rt_data& rule = model_.input_data();
  rule.mask_selection_rate = 0.15;
  rule.mask_token_rate = 0.8;
  rule.random_token_rate = 0.1;
  rule.mask_token_id = 5000;
  EXPECT_NE(strstr(load("t.bin", ":u16").text.c_str(), "ignore_class"), nullptr);
  gradc_rt_data& target = model_.target_data();
  target.has_ignored = 1;
  target.ignored = -100;
  take(":u16");
  Feed feed;
  ASSERT_TRUE(feed.prepare_training(**instance_, set_.train, set_.train.rows, false).ok());
  ASSERT_EQ(feed.rows(), 750);
  int64_t asked = 0, masked = 0, other = 0, changed = 0;
  const auto count = [&](int64_t epoch) {
    asked = masked = other = 0;
    std::vector<Row> seen;
    for (int64_t example = 0; example < feed.rows(); ++example) {
      const std::vector<Row> rows = batch(feed, {&example, 1, true, 7, epoch});
      for (size_t i = 0; i < 4; ++i) {
        const int64_t token = example * 4 + static_cast<int64_t>(i);
        const bool kept = rows[0][i] == token;
        if (rows[1][i] == -100) {
          EXPECT_TRUE(kept) << "what is not asked for is seen";
          continue;
        }
        EXPECT_EQ(rows[1][i], token);
        ++asked;
        masked += rows[0][i] == 5000 ? 1 : 0;
        other += !kept && rows[0][i] != 5000 ? 1 : 0;
      }
      seen.push_back(rows[0]);
    }
    return seen;
  };
  const std::vector<Row> first = count(0);
  EXPECT_NEAR(static_cast<double>(asked) / 3000, 0.15, 4 * 0.0065);
  EXPECT_NEAR(static_cast<double>(masked) / static_cast<double>(asked), 0.8, 4 * 0.019);
  EXPECT_NEAR(static_cast<double>(other) / static_cast<double>(asked), 0.1, 4 * 0.0142);
  EXPECT_EQ(count(0), first);
  const std::vector<Row> second = count(1);
  for (size_t r = 0; r < first.size(); ++r)
    changed += first[r] != second[r] ? 1 : 0;
  EXPECT_GT(changed, 375) << "other tokens in another epoch";
  // Predictions are of the text as it is.
  ASSERT_TRUE(
      feed.prepare(**instance_, set_.train, 0, set_.train.rows, false, TargetNeed::kOptional).ok());
  for (int64_t example = 0; example < feed.rows(); ++example)
    EXPECT_EQ(batch(feed, {&example, 1, false, 0, 0})[0][0], example * 4);
  rule.mask_token_id = 17;
  EXPECT_NE(strstr(load("t.bin", ":u16").text.c_str(), "has a token of number 17"), nullptr);
  rule.mask_token_id = -1;
  EXPECT_NE(strstr(load("t.bin", ":u16").text.c_str(), "mask_token_id"), nullptr);
}

}  // namespace
}  // namespace gradc::rt
