// Folders of images through the command: Fashion-MNIST as PNG files trains to the bits of its IDX
// files.
#include "runtime/array.h"
#include "support/json.h"
#include "tests/support/png_file.h"
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>

#include <regex>

namespace gradc::test {
namespace {

namespace fs = std::filesystem;

constexpr const char* kModel = R"({"inputs": [{"name": "image", "shape": [28, 28]}],
  "layers": [{"type": "flatten"}, {"type": "dense", "units": 32, "activation": "relu"},
             {"type": "dense", "units": 10, "name": "y"}],
  "training": {"loss": {"type": "scce", "from_logits": true}, "optimizer": "adam", "metrics": ["accuracy"],
               "batch_size": 50, "epochs": 2, "seed": 4},
  "data": {"image": {"scale": 0.00392156862745098, "augment": {"flip_horizontal": true, "shift": 1}}}})";

/// The first rows of an IDX file of that many bytes each.
std::string idx(const std::string& name, size_t rows, size_t row_bytes, size_t head) {
  rt::Bytes bytes;
  const std::string path = std::string(fashion_mnist()) + "/" + name;
  if (!rt::read_maybe_gzip(path.c_str(), &bytes).ok()) return "";
  const auto* data = reinterpret_cast<const char*>(bytes.data());
  std::string text(data, head + rows * row_bytes);
  const std::string count = big_endian(static_cast<uint32_t>(rows));
  std::copy(count.begin(), count.end(), text.begin() + 4);
  return text;
}

class Images : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!fs::exists(fashion_mnist())) GTEST_SKIP() << "no dataset-fashion-mnist";
    write_text_file(scratch_ / "m.json", kModel);
    fs::create_directories(scratch_ / "idx");
    for (const auto& [part, file, rows] :
         {std::tuple("train", "train", size_t{2000}), std::tuple("test", "t10k", size_t{500})}) {
      const std::string images = std::string(file) + "-images-idx3-ubyte";
      const std::string labels = std::string(file) + "-labels-idx1-ubyte";
      const std::string x = idx(images + ".gz", rows, 784, 16);
      const std::string y = idx(labels + ".gz", rows, 1, 8);
      ASSERT_EQ(x.size(), 16 + rows * 784);
      write_text_file(scratch_ / ("idx/" + images), x);
      write_text_file(scratch_ / ("idx/" + labels), y);
      for (size_t i = 0; i < rows; ++i) {
        const std::string folder =
            scratch_ / (std::string("png/") + part + "/" + std::to_string(int{y[8 + i]}));
        fs::create_directories(folder);
        char name[32];
        std::snprintf(name, sizeof name, "/%05zu.png", i);
        const auto* pixels = reinterpret_cast<const uint8_t*>(x.data()) + 16 + i * 784;
        write_text_file(folder + name, png_bytes(pixels, 28, 28, 1));
      }
    }
  }

  Outcome train(const std::string& data, const std::string& out, const std::string& model) const {
    return gradc("train " + (scratch_ / model) + " --data " + (scratch_ / data) +
                 " --threads 2 --out " + (scratch_ / out));
  }
  static std::string test_line(const std::string& output) {
    std::smatch found;
    return std::regex_search(output, found, std::regex("test [^\n]*")) ? found[0].str() : output;
  }

  Scratch scratch_;
};

TEST_F(Images, AFolderForEachClassTrainsToTheBitsOfItsIdxFiles) {
  const Outcome idx = train("idx", "idx.safetensors", "m.json");
  const Outcome png = train("png", "png.safetensors", "m.json");
  ASSERT_EQ(idx.code, 0) << idx.output;
  ASSERT_EQ(png.code, 0) << png.output;
  EXPECT_EQ(test_line(png.output), test_line(idx.output));
  EXPECT_NE(test_line(png.output).find("accuracy 0."), std::string::npos);
  const Outcome same =
      shell("tail -c 100000 " + (scratch_ / "idx.safetensors") + " | cksum; tail -c 100000 " +
            (scratch_ / "png.safetensors") + " | cksum");
  EXPECT_EQ(same.output.substr(0, same.output.find('\n')),
            same.output.substr(same.output.find('\n') + 1, same.output.find('\n')));
  // Classes have the folders' names, also where there is one image of one class, or none of any.
  const std::string one = scratch_ / "png/test/9";
  const Outcome predicted =
      gradc("predict " + (scratch_ / "m.json") + " --weights " + (scratch_ / "png.safetensors") +
            " --in " + one + " --out " + (scratch_ / "p.csv"));
  ASSERT_EQ(predicted.code, 0) << predicted.output;
  EXPECT_EQ(read_file(scratch_ / "p.csv").substr(0, 31), "prediction,0,1,2,3,4,5,6,7,8,9\n");
  // Mistakes are told by their files, of given parts and of drawn ones.
  for (const char* data : {"png", "png/train:test=0.2"}) {
    const Outcome done =
        gradc("eval " + (scratch_ / "m.json") + " --weights " + (scratch_ / "png.safetensors") +
              " --data " + (scratch_ / data) + " --report " + (scratch_ / "r.json"));
    ASSERT_EQ(done.code, 0) << done.output;
    const Json results = Json::parse(read_file(scratch_ / "r.json"));
    const Json& output = results["outputs"][0];
    ASSERT_FALSE(output["mistakes"].empty());
    for (const Json& mistake : output["mistakes"]) {
      const fs::path file = mistake["file"].get<std::string>();
      EXPECT_TRUE(fs::exists(file)) << file;
      EXPECT_EQ(file.parent_path().filename().string(),
                output["classes"][mistake["true"].get<size_t>()].get<std::string>());
    }
  }
  fs::rename(scratch_ / "png/test/9", scratch_ / "png/test/boots");
  const Outcome boots = gradc("eval " + (scratch_ / "m.json") + " --weights " +
                              (scratch_ / "png.safetensors") + " --data " + (scratch_ / "png"));
  EXPECT_EQ(boots.code, 1);
  EXPECT_NE(boots.output.find("boots"), std::string::npos) << boots.output;
}

TEST_F(Images, OtherSizesColoursAndDamageAreToldOrMadeToFit) {
  std::string model(kModel);
  model.replace(model.find("[28, 28]"), 8, "[14, 10, 3]");
  write_text_file(scratch_ / "c.json", model);
  const Outcome refused = train("png", "c.safetensors", "c.json");
  EXPECT_EQ(refused.code, 1);
  EXPECT_NE(refused.output.find("00000.png: is 28x28, input/image needs 14x10: \"resize\": {}"),
            std::string::npos)
      << refused.output;
  model.replace(model.find("\"scale\""), 7, R"("resize": {"fit": "crop"}, "scale")");
  write_text_file(scratch_ / "c.json", model);
  const Outcome resized = train("png", "c.safetensors", "c.json");
  EXPECT_EQ(resized.code, 0) << resized.output;

  const std::string first = (*fs::directory_iterator(scratch_ / "png/train/3")).path().string();
  const std::string whole = read_file(first);
  write_text_file(first, whole.substr(0, whole.size() / 2));
  const Outcome damaged = train("png", "c.safetensors", "c.json");
  EXPECT_EQ(damaged.code, 1);
  EXPECT_NE(damaged.output.find(fs::path(first).filename().string() + ": "), std::string::npos)
      << damaged.output;
  write_text_file(first, "GIF89a");
  EXPECT_NE(train("png", "c.safetensors", "c.json").output.find("is neither PNG nor JPEG"),
            std::string::npos);
  ASSERT_EQ(gradc("compile " + (scratch_ / "m.json") + " -o " + (scratch_ / "m")).code, 0);
  const Outcome compiled = shell((scratch_ / "m") + " train --data " + (scratch_ / "png"));
  EXPECT_EQ(compiled.code, 1);
  EXPECT_NE(compiled.output.find("is read by the gradc command, not by compiled programs"),
            std::string::npos)
      << compiled.output;
}

}  // namespace
}  // namespace gradc::test
