// Hosts whose locale writes numbers differently: the same models load, the same files are read and
// written, and training gives the same bits, through the C++ API, the C ABI and a compiled library.
#include "gradc/gradc.h"
#include "gradc/session.h"
#include "tests/support/locales.h"
#include "tests/unit/driver/c_view.h"
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>

#include <locale>
#include <map>
#include <vector>

namespace gradc::test {
namespace {

constexpr const char* kModel = R"({"name": "loc", "inputs": [{"name": "x", "shape": [2]}],
  "layers": [
    {"type": "dense", "units": 3, "activation": {"type": "elu", "alpha": 0.7},
     "kernel_initializer": {"type": "random_normal", "stddev": 0.125}},
    {"type": "dropout", "rate": 0.25},
    {"type": "dense", "units": 1}],
  "training": {"loss": {"type": "huber", "delta": 0.75}, "batch_size": 4, "epochs": 2, "seed": 1234567,
    "validation_split": 0.25, "metrics": ["mae"],
    "optimizer": {"type": "adam", "learning_rate": 0.0125}},
  "data": {"x": {"scale": 0.125, "offset": -0.5}}})";

std::string csv() {
  std::string text = "y,a,b\n";
  for (int r = 0; r < 24; ++r) {
    text += std::to_string(r % 5) + ".25," + std::to_string(r) + ".5,1" + std::to_string(r * 37) +
            "e-2\n";
  }
  return text;
}

const std::vector<std::string> kLocales = {"de_DE.UTF-8", "en_IN.UTF-8", "de_CH.UTF-8",
                                           "ps_AF.UTF-8"};

/// The process's C and C++ locale while it lives.
class Locale {
 public:
  explicit Locale(const std::string& name) : c_(name.c_str()) {
    std::locale::global(std::locale(name));
  }
  ~Locale() { std::locale::global(std::locale::classic()); }
  Locale(const Locale&) = delete;
  Locale& operator=(const Locale&) = delete;

 private:
  ScopedLocale c_;
};

class LocaleHosts : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!locales_.reason().empty()) GTEST_SKIP() << locales_.reason();
    write_text_file(folder / "m.json", kModel);
    write_text_file(folder / "d.csv", csv());
  }
  Scratch folder;

 private:
  LocaleFolder locales_;
};

/// Everything a host does with numbers in text: results and the files' bytes.
std::string session_in(const Scratch& folder, const std::string& locale) {
  const Locale scope(locale);
  std::string seen;
  SessionStatus status;
  const auto session = Session::load(folder / "m.json", {}, &status);
  if (session == nullptr) return "load: " + status.message;
  std::vector<double> history;
  status = session->train({.data = folder / "d.csv:target=y", .epochs = 2}, &history);
  if (!status.ok()) return "train: " + status.message;
  seen.append(reinterpret_cast<const char*>(history.data()), history.size() * sizeof(double));
  for (const bool optimizer : {false, true}) {
    status = session->save(folder / "w.safetensors", optimizer);
    if (!status.ok()) return "save: " + status.message;
    seen += read_file(folder / "w.safetensors");
  }
  const auto again = Session::parse(kModel, "m.json", {}, &status);
  if (again == nullptr) return "parse: " + status.message;
  status = again->load_weights(folder / "w.safetensors");
  if (!status.ok()) return "resume: " + status.message;
  const float x[8] = {0.5F, 1.5F, -2.25F, 3.0F, 0.1F, 0.2F, 0.3F, 0.4F}, y[4] = {1, 2, 3, 4};
  const void *inputs[] = {x}, *targets[] = {y};
  float loss = 0;
  status = again->step(inputs, targets, &loss);
  if (!status.ok()) return "step: " + status.message;
  return seen + std::to_string(static_cast<int64_t>(1e9F * loss));
}

TEST_F(LocaleHosts, CxxTrainsSavesAndResumesTheSame) {
  const std::string plain = session_in(folder, "C");
  ASSERT_GT(plain.size(), 500U) << plain;
  for (const std::string& locale : kLocales)
    EXPECT_EQ(session_in(folder, locale), plain) << locale;
}

std::string c_abi_in(const Scratch& folder, const std::string& locale) {
  const Locale scope(locale);
  char error[4096] = "";
  gradc_options options = {};
  options.threads = options.has_seed = 1;
  options.seed = 7;
  gradc_session* session =
      gradc_session_load((folder / "m.json").c_str(), &options, error, sizeof error);
  if (session == nullptr) return std::string("load: ") + error;
  const float x[8] = {0.5F, 1.5F, -2.25F, 3.0F, 0.1F, 0.2F, 0.3F, 0.4F}, y[4] = {1, 2, 3, 4};
  const CView inputs(x, 4, 2), targets(y, 4, 1);
  float loss = 0;
  std::string seen;
  const std::string file = folder / "c.safetensors";
  if (gradc_session_step(session, inputs, 1, targets, 1, &loss) != GRADC_OK ||
      gradc_session_save(session, file.c_str(), 1) != GRADC_OK ||
      gradc_session_initialize(session, 9) != GRADC_OK ||
      gradc_session_load_weights(session, file.c_str()) != GRADC_OK ||
      gradc_session_step(session, inputs, 1, targets, 1, &loss) != GRADC_OK) {
    seen = gradc_last_error(session);
  } else {
    seen = read_file(file) + std::to_string(static_cast<int64_t>(1e9F * loss));
  }
  gradc_session_destroy(session);
  return seen;
}

TEST_F(LocaleHosts, CDoesTheSame) {
  const std::string plain = c_abi_in(folder, "C");
  ASSERT_GT(plain.size(), 300U) << plain;
  for (const std::string& locale : kLocales)
    EXPECT_EQ(c_abi_in(folder, locale), plain) << locale;
}

constexpr const char* kLibraryHost = R"(#include "loc.h"
#include <locale.h>
#include <stdio.h>
int main(int argc, char** argv) {
  loc* it;
  float x[8] = {0.5f, 1.5f, -2.25f, 3, 0.1f, 0.2f, 0.3f, 0.4f}, y[4] = {1, 2, 3, 4}, loss;
  const void *inputs[] = {x}, *targets[] = {y};
  if (argc != 3 || setlocale(LC_ALL, argv[1]) == NULL) return 9;
  if (loc_create(NULL, 0, 1, &it) || loc_init(it, 5) || loc_train_step(it, inputs, targets, 4, &loss)) return 1;
  if (loc_save(it, argv[2], 1) || loc_init(it, 6) || loc_load(it, argv[2])) return 2;
  if (loc_train_step(it, inputs, targets, 4, &loss)) return 3;
  printf("%a\n", loss * 1048576);
  loc_destroy(it);
  return 0;
})";

TEST_F(LocaleHosts, ALibraryDoesTheSame) {
  ASSERT_EQ(
      gradc("compile " + (folder / "m.json") + " --emit static -o " + (folder / "libloc.a")).code,
      0);
  write_text_file(folder / "main.c", kLibraryHost);
  const Outcome built = shell("cc " + (folder / "main.c") + " " + (folder / "libloc.a") + " -o " +
                              (folder / "main") + " -lm -lpthread");
  ASSERT_EQ(built.code, 0) << built.output;
  const auto run = [&](const std::string& locale) {
    const Outcome outcome =
        shell((folder / "main") + " " + locale + " " + (folder / "w.safetensors"));
    EXPECT_EQ(outcome.code, 0) << locale;
    return read_file(folder / "w.safetensors");
  };
  const std::string plain = run("C");
  for (const std::string& locale : kLocales)
    EXPECT_EQ(run(locale), plain) << locale;
}

}  // namespace
}  // namespace gradc::test
