// Texts as data: words and their vocabulary, columns of a table, files of token numbers, windows.
#include "runtime/dataset.h"
#include "runtime/feed.h"
#include "runtime/tokens.h"
#include "tests/unit/runtime/fake_model.h"

#include <gtest/gtest.h>

#include <cstring>

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
    for (size_t i = 0; i < array.count(); ++i)
      values.push_back(load_i64(array.data.data(), array.dtype, i));
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
  ASSERT_TRUE(load("t.txt", ":words:stride=1", 0.5).ok());
  EXPECT_EQ(table(), (Names{"", "[UNK]", "the", "cat", "dog"})) << "one window is trained on";
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

}  // namespace
}  // namespace gradc::rt
