// SPECs, names, checks of data, and what arrives in the batch.
#include "runtime/dataset.h"

#include "runtime/feed.h"
#include "runtime/weights.h"
#include "tests/unit/runtime/fake_model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

namespace gradc::rt {
namespace {

using testing::FakeModel;
using testing::FakeModelOptions;
using testing::make_array;
using testing::OwnedInstance;
using testing::TempDir;
using testing::write_bytes;

void save(const std::string& path, std::vector<Array> arrays) {
  Vec<TensorView> views;
  for (const Array& a : arrays)
    views.push({a.name.c_str(), a.dtype, a.dims.span(), a.data.data(), a.data.size()});
  ASSERT_TRUE(write_safetensors(path.c_str(), {views.data(), views.size()}, {}).ok());
}

template <class... A>
std::vector<Array> list(A&&... arrays) {
  std::vector<Array> out;
  (out.push_back(std::move(arrays)), ...);
  return out;
}

Status load(const FakeModel& model, const std::string& spec, DataSet* set,
            TargetNeed need = TargetNeed::kRequired) {
  DataSource source;
  source.spec = Str(spec.c_str());
  return load_dataset(model.get(), source, need, set);
}

void expect_text(const Status& status, const char* part) {
  EXPECT_EQ(status.code, Code::kUserError);
  EXPECT_NE(strstr(status.text.c_str(), part), nullptr) << status.text.c_str();
}

Array x_array(const char* name, int64_t rows) {
  return make_array(name, Dtype::kF32, {rows, 3},
                    std::vector<double>(static_cast<size_t>(rows * 3), 1));
}
Array y_array(const char* name, int64_t rows) {
  return make_array(name, Dtype::kF32, {rows}, std::vector<double>(static_cast<size_t>(rows), 1));
}

TEST(Dataset, NamesOfArrays) {
  TempDir dir;
  FakeModel model;
  const std::string path = dir.file("d.safetensors");
  for (const auto& [x, y] : std::vector<std::pair<const char*, const char*>>{
           {"x_train", "y_train"}, {"input/x", "target/y"}, {"x", "y"}, {"train/x", "train/y"}}) {
    DataSet set;
    save(path, list(x_array(x, 5), y_array(y, 5)));
    const Status status = load(model, path, &set);
    ASSERT_TRUE(status.ok()) << status.text.c_str();
    EXPECT_EQ(set.train.rows, 5);
    EXPECT_FALSE(set.test.present);
  }
  save(path, list(x_array("x_train", 5), y_array("y_train", 5), x_array("x_test", 2),
                  y_array("y_test", 2), x_array("x_val", 3), y_array("y_val", 3)));
  DataSet set;
  ASSERT_TRUE(load(model, path, &set).ok());
  EXPECT_EQ(set.train.rows, 5);
  EXPECT_EQ(set.test.rows, 2);
  EXPECT_EQ(set.validation.rows, 3);
}

TEST(Dataset, MissingAndUnevenArraysAreReported) {
  TempDir dir;
  FakeModel model;
  const std::string path = dir.file("d.safetensors");
  DataSet a, b, c, d;
  save(path, list(x_array("images", 5), y_array("y_train", 5)));
  expect_text(load(model, path, &a), "no array for input/x f32[4, 3]");
  save(path, list(x_array("x_train", 5), y_array("y_train", 4)));
  expect_text(load(model, path, &b), "y_train: has 4 examples");
  save(path, list(x_array("x_train", 0), y_array("y_train", 0)));
  expect_text(load(model, path, &c), "has no examples");
  expect_text(load(model, dir.file("none.npz"), &d), "No such file");
  expect_text(load(model, dir.file("data.xyz"), &d), "no such file");
  write_bytes(dir.file("data.xyz"), "x");
  expect_text(load(model, dir.file("data.xyz"), &d), "unknown kind of data");
  expect_text(load(model, dir.path(), &d), "the directory has no data");
}

std::string idx(char type, std::vector<int> dims, const std::string& data) {
  std::string out{'\0', '\0', type, static_cast<char>(dims.size())};
  for (int d : dims)
    out += std::string{'\0', '\0', static_cast<char>(d >> 8), static_cast<char>(d)};
  return out + data;
}

TEST(Dataset, DirectoryOfIdxFiles) {
  TempDir dir;
  FakeModel model;
  write_bytes(dir.file("train-images-idx3-ubyte"),
              idx(8, {2, 1, 3}, std::string("\x00\x01\x02\x03\x04\xff", 6)));
  write_bytes(dir.file("train-labels-idx1-ubyte"), idx(8, {2}, std::string("\x07\x09", 2)));
  DataSet set;
  const Status status = load(model, dir.path(), &set);
  ASSERT_TRUE(status.ok()) << status.text.c_str();
  ASSERT_TRUE(check_part(model.get(), set.train, TargetNeed::kRequired).ok());
  EXPECT_EQ(array_type_text(set.train.arrays[0]), Str("u8[2, 1, 3]"));
  model.input_data().scale = 1.0 / 255;
  OwnedInstance instance(model.get(), 2);
  Feed feed;
  ASSERT_TRUE(feed.prepare(*instance, set.train, 0, 2, false, TargetNeed::kRequired).ok());
  const int64_t order[] = {1, 0};
  for (int32_t i = 0; i < 2; ++i)
    feed.gather(*instance, {order, 2, true, 1, 0}, {i, 2, nullptr, nullptr, nullptr});
  const std::vector<float> x = instance.values("input/x");
  EXPECT_EQ(x[2], 1.0f);
  EXPECT_EQ(x[0], static_cast<float>(3.0 * (1.0 / 255)));
  EXPECT_EQ(x[3], 0.0f);
  EXPECT_EQ(x[6], x[0]);  // rows beyond the valid ones repeat them
  EXPECT_EQ(instance.values("target/y"), (std::vector<float>{9, 7, 9, 7}));
}

TEST(Dataset, NamedFiles) {
  TempDir dir;
  FakeModel model;
  ASSERT_TRUE(write_npy(dir.file("a.npy").c_str(), x_array("", 3)).ok());
  ASSERT_TRUE(write_npy(dir.file("b.npy").c_str(), y_array("", 3)).ok());
  DataSource source;
  NamedFile file;
  ASSERT_TRUE(parse_named_file(("x=" + dir.file("a.npy")).c_str(), "--input", &file).ok());
  source.inputs.push(std::move(file));
  ASSERT_TRUE(parse_named_file(("y=" + dir.file("b.npy")).c_str(), "--target", &file).ok());
  source.targets.push(std::move(file));
  DataSet set;
  ASSERT_TRUE(load_dataset(model.get(), source, TargetNeed::kRequired, &set).ok());
  EXPECT_EQ(set.train.rows, 3);
  source.inputs[0].name = Str("z");
  DataSet other;
  expect_text(load_dataset(model.get(), source, TargetNeed::kRequired, &other),
              "the model has no such input, it has \"x\"");
  EXPECT_EQ(parse_named_file("novalue", "--input", &file).code, Code::kUsage);
}

TEST(Dataset, CsvWithTarget) {
  TempDir dir;
  FakeModelOptions options;
  options.classes = true;
  FakeModel model(options);
  const std::string path = dir.file("d.csv");
  write_bytes(path, "id,a,kind,b,c\n9,1,dog,2,3\n8,4,cat,5,6\n");
  DataSet set;
  const Status status = load(model, path + ":target=kind:drop=id", &set);
  ASSERT_TRUE(status.ok()) << status.text.c_str();
  EXPECT_EQ(set.train.rows, 2);
  EXPECT_EQ(load_f64(set.train.arrays[0].data.data(), Dtype::kF64, 5), 6);
  EXPECT_EQ(load_i64(set.train.arrays[1].data.data(), Dtype::kI32, 0), 1);
  ASSERT_EQ(set.meanings[1].classes.size(), 2u);
  EXPECT_EQ(set.meanings[1].classes[0], Str("cat"));
  ASSERT_EQ(set.meanings[0].columns.size(), 3u);
  EXPECT_EQ(set.meanings[0].columns[2], Str("c"));
  DataSet bad;
  expect_text(load(model, path + ":target=sort", &bad),
              "no such column, the header has \"id\", \"a\"");
  expect_text(load(model, path + ":goal=kind", &bad), "unknown option \"goal=kind\"");
  expect_text(load(model, path + ":target=a", &bad), "column \"kind\" holds \"dog\"");
}

TEST(Dataset, KnownNamesDecideColumnsAndClasses) {
  TempDir dir;
  FakeModelOptions options;
  options.classes = true;
  FakeModel model(options);
  const auto read = [&](const char* text, const Vec<TensorMeaning>& known, DataSet* set) {
    write_bytes(dir.file("d.csv"), text);
    DataSource source;
    source.spec = Str((dir.file("d.csv") + ":target=kind").c_str());
    return load_dataset(model.get(), source, TargetNeed::kRequired, set, &known);
  };
  Vec<TensorMeaning> none(static_cast<size_t>(model.get().num_tensors));
  DataSet trained;
  ASSERT_TRUE(read("a,b,c,kind\n1,2,3,dog\n4,5,6,cat\n7,8,9,eel\n", none, &trained).ok());
  DataSet other;  // columns in another order, one class only
  const Status status = read("c,kind,b,a\n3,eel,2,1\n", trained.meanings, &other);
  ASSERT_TRUE(status.ok()) << status.text.c_str();
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(load_f64(other.train.arrays[0].data.data(), Dtype::kF64, i),
              static_cast<double>(i + 1));
  }
  EXPECT_EQ(load_i64(other.train.arrays[1].data.data(), Dtype::kI32, 0), 2);
  EXPECT_EQ(other.meanings[1].classes.size(), 3u);
  DataSet bad;
  expect_text(read("a,b,c,kind\n1,2,3,fox\n", trained.meanings, &bad),
              "classes: the file has \"fox\", which the model was not trained with; the model "
              "knows \"cat\", \"dog\", \"eel\"");
  expect_text(read("a,b,d,kind\n1,2,3,cat\n", trained.meanings, &bad),
              "feature columns: the file lacks \"c\" and has \"d\"");
}

TEST(Dataset, TextWindows) {
  TempDir dir;
  FakeModelOptions options;
  options.classes = true;
  FakeModel model(options);
  gradc_rt_tensor& x = model.tensor("input/x");
  x.dtype = GRADC_RT_I32;
  gradc_rt_tensor& y = model.tensor("target/y");
  y.rank = 2;
  y.dims[1] = 3;
  y.bytes = 4 * 3 * 4;
  write_bytes(dir.file("t.txt"), "abcabdab");
  DataSet set;
  const Status status = load(model, dir.file("t.txt") + ":chars", &set);
  ASSERT_TRUE(status.ok()) << status.text.c_str();
  ASSERT_EQ(set.train.rows, 2);
  const int32_t want_x[] = {0, 1, 2, 0, 1, 3};
  const int32_t want_y[] = {1, 2, 0, 1, 3, 0};
  EXPECT_EQ(memcmp(set.train.arrays[0].data.data(), want_x, sizeof want_x), 0);
  EXPECT_EQ(memcmp(set.train.arrays[1].data.data(), want_y, sizeof want_y), 0);
  write_bytes(dir.file("u.txt"), "dcbd");  // one letter less
  DataSource source;
  source.spec = Str((dir.file("u.txt") + ":chars").c_str());
  DataSet known;
  ASSERT_TRUE(load_dataset(model.get(), source, TargetNeed::kRequired, &known, &set.meanings).ok());
  EXPECT_EQ(load_i64(known.train.arrays[0].data.data(), Dtype::kI32, 0), 3);
  write_bytes(dir.file("u.txt"), "dcbx");
  expect_text(load_dataset(model.get(), source, TargetNeed::kRequired, &known, &set.meanings),
              ":1:4: characters: the text has \"x\"");
  DataSet raw;
  ASSERT_TRUE(load(model, dir.file("t.txt") + ":bytes", &raw).ok());
  EXPECT_EQ(load_i64(raw.train.arrays[0].data.data(), Dtype::kI32, 0), 'a');
  DataSet bad;
  expect_text(load(model, dir.file("t.txt"), &bad), ":chars");
  write_bytes(dir.file("s.txt"), "ab");
  expect_text(load(model, dir.file("s.txt") + ":chars", &bad),
              "has 2 bytes, one window of the model needs 4");
}

TEST(DataCheck, ReportsAllProblemsAtOnce) {
  FakeModelOptions options;
  options.classes = true;
  FakeModel model(options);
  model.target_data().value_count = 2;
  DataPart part;
  part.present = true;
  part.rows = 2;
  part.arrays = Vec<Array>(static_cast<size_t>(model.get().num_tensors));
  part.arrays[0] = make_array("x", Dtype::kF32, {2, 3}, {1, 2, 3, 4, std::nan(""), 6});
  part.arrays[1] = make_array("y", Dtype::kU8, {2}, {1, 2});
  const Status status = check_part(model.get(), part, TargetNeed::kRequired);
  expect_text(status, "memory: x: example 1, value 1 is nan");
  expect_text(status, "memory: y: example 1 is 2, target/y needs values from 0 to 1");
  EXPECT_TRUE(check_part(model.get(), part, TargetNeed::kOptional).text.size() > 0);
}

TEST(DataCheck, ShapesAndTypes) {
  FakeModelOptions options;
  options.classes = true;
  FakeModel model(options);
  DataPart part;
  part.arrays = Vec<Array>(static_cast<size_t>(model.get().num_tensors));
  part.arrays[0] = make_array("x", Dtype::kF32, {1, 2, 2}, {1, 2, 3, 4});
  expect_text(check_part(model.get(), part, TargetNeed::kRequired),
              "each example is [2, 2] (4 values), input/x needs [3] (3 values)");
  part.arrays[0] = make_array("x", Dtype::kF64, {1, 3}, {1, 2, 1e300});
  expect_text(check_part(model.get(), part, TargetNeed::kRequired),
              "is 1e+300, finite numbers of 32 bits");
  part.arrays[0] = make_array("x", Dtype::kF64, {1, 1, 3}, {1, 2, 3});
  EXPECT_TRUE(check_part(model.get(), part, TargetNeed::kRequired).ok());
  part.arrays[1] = make_array("y", Dtype::kF32, {1}, {0.5});
  expect_text(check_part(model.get(), part, TargetNeed::kRequired),
              "is 0.5, target/y needs whole numbers");
  part.arrays[1] = make_array("y", Dtype::kI64, {1}, {5e9});
  expect_text(check_part(model.get(), part, TargetNeed::kRequired),
              "5000000000, which does not fit i32");
}

// ---- feeds ------------------------------------------------------------------------------------

// Makes the fake model's input an image [batch, height, width] and gathers the given examples.
struct ImageFeed {
  explicit ImageFeed(int64_t height, int64_t width) : model(options_of(height * width)) {
    gradc_rt_tensor& x = model.tensor("input/x");
    x.rank = 3;
    x.dims[1] = height;
    x.dims[2] = width;
  }
  static FakeModelOptions options_of(int64_t features) {
    FakeModelOptions options;
    options.features = features;
    options.batch = 1;
    return options;
  }
  std::vector<float> gather(const Array& image, bool training, int64_t epoch, int64_t example = 0) {
    OwnedInstance instance(model.get());
    DataPart part;
    part.arrays = Vec<Array>(static_cast<size_t>(model.get().num_tensors));
    part.arrays[0] = image.clone();
    Feed feed;
    EXPECT_TRUE(feed.prepare(*instance, part, 0, image.rows(), true, TargetNeed::kOptional).ok());
    feed.gather(*instance, {&example, 1, training, 11, epoch}, {0, 1, nullptr, nullptr, nullptr});
    return instance.values("input/x");
  }
  FakeModel model;
};

TEST(Feed, FlipHappensAboutHalfTheTimeInTrainingOnly) {
  ImageFeed images(2, 3);
  images.model.input_data().flip_horizontal = 1;
  const Array image = make_array("x", Dtype::kU8, {1, 2, 3}, {1, 2, 3, 4, 5, 6});
  const std::vector<float> plain{1, 2, 3, 4, 5, 6};
  const std::vector<float> mirrored{3, 2, 1, 6, 5, 4};
  int flips = 0;
  for (int64_t epoch = 0; epoch < 200; ++epoch) {
    const std::vector<float> got = images.gather(image, true, epoch);
    EXPECT_TRUE(got == plain || got == mirrored);
    flips += got == mirrored ? 1 : 0;
    EXPECT_EQ(images.gather(image, false, epoch), plain);
  }
  EXPECT_NEAR(flips, 100, 30);
}

TEST(Feed, ShiftMovesTransformedZerosIn) {
  ImageFeed images(1, 3);
  images.model.input_data().shift_width = 1;
  images.model.input_data().offset = 10;
  const Array image = make_array("x", Dtype::kF32, {1, 1, 3}, {1, 2, 3});
  std::set<std::vector<float>> seen;
  for (int64_t epoch = 0; epoch < 60; ++epoch)
    seen.insert(images.gather(image, true, epoch));
  EXPECT_EQ(seen, (std::set<std::vector<float>>{{11, 12, 13}, {12, 13, 10}, {10, 11, 12}}));
}

TEST(Feed, CropIsCentredOutsideTraining) {
  ImageFeed images(1, 2);
  images.model.input_data().crop = 1;
  const Array image =
      make_array("x", Dtype::kU8, {1, 3, 4}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  EXPECT_EQ(images.gather(image, false, 0), (std::vector<float>{5, 6}));
  std::set<std::vector<float>> seen;
  for (int64_t epoch = 0; epoch < 200; ++epoch)
    seen.insert(images.gather(image, true, epoch));
  EXPECT_EQ(seen.size(), 9u);
}

TEST(Feed, NoiseHasItsStddevAndDependsOnExampleAndEpoch) {
  ImageFeed images(50, 100);
  images.model.input_data().noise_stddev = 0.25;
  const Array image = make_array("x", Dtype::kU8, {2, 50, 100}, std::vector<double>(10000, 3));
  const std::vector<float> a = images.gather(image, true, 0);
  EXPECT_EQ(a, images.gather(image, true, 0));
  EXPECT_NE(a, images.gather(image, true, 1));
  EXPECT_NE(a, images.gather(image, true, 0, 1));
  double squares = 0;
  for (float v : a)
    squares += (static_cast<double>(v) - 3) * (static_cast<double>(v) - 3) / 5000;
  EXPECT_NEAR(std::sqrt(squares), 0.25, 0.01);
  EXPECT_EQ(images.gather(image, false, 0)[7], 3.0f);
}

TEST(Feed, StandardizesByTrainingRowsAndKeepsTheStatisticsWithTheWeights) {
  TempDir dir;
  FakeModel model;
  model.input_data().standardize = GRADC_RT_STANDARDIZE_FROM_DATA;
  model.input_data().stat_count = 3;
  OwnedInstance instance(model.get());
  DataPart part;
  part.rows = 4;
  part.arrays = Vec<Array>(static_cast<size_t>(model.get().num_tensors));
  // Column 2 is constant; the last row is not part of training.
  part.arrays[0] =
      make_array("x", Dtype::kF32, {4, 3}, {0, 10, 5, 2, 20, 5, 4, 30, 5, 100, 100, 7});
  Feed feed;
  ASSERT_TRUE(feed.prepare(*instance, part, 0, 3, true, TargetNeed::kOptional).ok());
  const int64_t order[] = {0, 1, 2};
  feed.gather(*instance, {order, 3, true, 1, 0}, {0, 1, nullptr, nullptr, nullptr});
  const std::vector<float> x = instance.values("input/x");
  const float unit = static_cast<float>(2 / std::sqrt(8.0 / 3));
  EXPECT_FLOAT_EQ(x[0], -unit);
  EXPECT_FLOAT_EQ(x[1], -unit);
  EXPECT_EQ(x[2], 0);
  EXPECT_FLOAT_EQ(x[6], unit);
  const std::string path = dir.file("w.safetensors");
  ASSERT_TRUE(save_weights(*instance, path.c_str()).ok());
  OwnedInstance other(model.get());
  Feed held;
  expect_text(held.prepare(*other, part, 3, 1, false, TargetNeed::kOptional), "data/x/mean");
  ASSERT_TRUE(load_weights(*other, path.c_str(), LoadMode::kComplete).ok());
  ASSERT_TRUE(held.prepare(*other, part, 3, 1, false, TargetNeed::kOptional).ok());
  held.gather(*other, {order, 1, false, 1, 0}, {0, 1, nullptr, nullptr, nullptr});
  EXPECT_FLOAT_EQ(other.values("input/x")[0], static_cast<float>(98 / std::sqrt(8.0 / 3)));
}

// Bytes arrive as the correctly rounded value of (b * scale + offset - mean) / std, whichever way
// they take.
TEST(Feed, BytesAreScaledExactly) {
  struct Case {
    double scale, offset, mean, std;
  };
  for (const Case& one : std::vector<Case>{{1.0 / 255, 0, 0, 1},
                                           {1, 0, 0, 1},
                                           {1.0 / 127.5, -1, 0, 1},
                                           {1.0 / 255, 0, 0.1307, 0.3081},
                                           {1.0 / 255, 0, 0.2860, 0.3530},
                                           {-3.7, 1e6, 0, 1},
                                           {1e-30, 0, 0, 1},
                                           {0, 5, 0, 1}}) {
    ImageFeed images(16, 17);  // more than one vector, and a rest
    gradc_rt_data& data = images.model.input_data();
    data.scale = one.scale;
    data.offset = one.offset;
    data.standardize = GRADC_RT_STANDARDIZE_GIVEN;
    data.stat_count = 1;
    data.mean = &one.mean;
    data.std = &one.std;
    std::vector<double> bytes(16 * 17);
    for (size_t i = 0; i < bytes.size(); ++i)
      bytes[i] = static_cast<double>(i % 256);
    const std::vector<float> got =
        images.gather(make_array("x", Dtype::kU8, {1, 16, 17}, bytes), false, 0);
    for (size_t i = 0; i < bytes.size(); ++i) {
      EXPECT_EQ(got[i],
                static_cast<float>((bytes[i] * one.scale + one.offset - one.mean) / one.std))
          << i;
    }
  }
}

TEST(Feed, OneHotTargets) {
  FakeModel model;
  gradc_rt_tensor& y = model.tensor("target/y");
  y.rank = 2;
  y.dims[1] = 3;
  y.bytes = 4 * 3 * 4;
  model.target_data().one_hot_depth = 3;
  OwnedInstance instance(model.get());
  DataPart part;
  part.arrays = Vec<Array>(static_cast<size_t>(model.get().num_tensors));
  part.arrays[1] = make_array("y", Dtype::kU8, {2}, {2, 0});
  ASSERT_TRUE(check_part(model.get(), part, TargetNeed::kRequired).ok());
  Feed feed;
  ASSERT_TRUE(feed.prepare(*instance, part, 0, 2, false, TargetNeed::kRequired).ok());
  const int64_t order[] = {0, 1};
  feed.gather(*instance, {order, 2, false, 1, 0}, {0, 1, nullptr, nullptr, nullptr});
  EXPECT_EQ(instance.values("target/y"), (std::vector<float>{0, 0, 1, 1, 0, 0, 0, 0, 1, 1, 0, 0}));
  part.arrays[1] = make_array("y", Dtype::kU8, {2}, {3, 0});
  expect_text(check_part(model.get(), part, TargetNeed::kRequired),
              "is 3, target/y needs values from 0 to 2");
}

}  // namespace
}  // namespace gradc::rt
