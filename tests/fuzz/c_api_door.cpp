// The C API: bytes as a sequence of calls, with null pointers, counts and sizes that do not fit,
// and names that are not there. Buffers that are given are as large as the API asks for.
#include "gradc/gradc.h"
#include "tests/fuzz/door.h"

#include <array>
#include <cstring>
#include <string>
#include <vector>

namespace gradc::fuzz {

namespace {

constexpr const char* kModel = R"({"inputs": [{"name": "x", "shape": [3]}],
  "layers": [{"type": "dense", "units": 4, "activation": "relu"}, {"type": "dense", "units": 3, "name": "y"}],
  "training": {"loss": {"type": "sparse_categorical_crossentropy", "from_logits": true}, "optimizer": "adam",
               "metrics": ["accuracy"], "batch_size": 4}})";

/// The calls of one input on one session, which may be null.
class Caller {
 public:
  explicit Caller(std::string_view bytes) : bytes_(bytes) {}
  ~Caller() { gradc_session_destroy(session_); }
  Caller(const Caller&) = delete;
  Caller& operator=(const Caller&) = delete;

  void run() {
    for (int calls = 0; !bytes_.empty() && calls < 32; ++calls)
      call(take_byte(bytes_));
  }

 private:
  void call(uint8_t what) {
    switch (what % 13) {
      case 0:
        return parse();
      case 1:
        return check(gradc_session_warm_up(session_));
      case 2:
        return tensor();
      case 3:
        return check(gradc_session_step(session_, inputs(), count(), targets(), count(), loss()));
      case 4:
        return check(gradc_session_evaluate(session_, inputs(), count(), targets(), count(), loss(),
                                            coin() ? nullptr : &metric_, count()));
      case 5:
        return check(gradc_session_predict(session_, inputs(), count(), outputs(), count()));
      case 6:
        return check(
            gradc_session_get(session_, name(), coin() ? nullptr : memory_.data(), bytes()));
      case 7:
        return check(
            gradc_session_set(session_, name(), coin() ? nullptr : memory_.data(), bytes()));
      case 8:
        return check(gradc_session_initialize(session_, take_byte(bytes_)));
      case 9:
        path_ = file_of("saved.safetensors", "");
        return check(gradc_session_save(session_, path(), take_byte(bytes_)));
      case 10:
        return check(gradc_session_load_weights(session_, path()));
      case 11:
        (void)gradc_session_batch_size(session_);
        (void)gradc_session_num_tensors(session_);
        return require(gradc_last_error(session_) != nullptr, "the last error is a text");
      case 12:
        gradc_session_destroy(session_);
        session_ = nullptr;
        return;
      default:
        return;
    }
  }

  void parse() {
    const uint8_t choice = take_byte(bytes_);
    gradc_options options{};
    options.batch_size = static_cast<int8_t>(take_byte(bytes_));
    options.threads = static_cast<int8_t>(take_byte(bytes_)) % 4;
    options.has_seed = choice & 1;
    std::array<char, 64> error{};
    error.fill('x');
    gradc_session_destroy(session_);
    const std::string rest(bytes_.substr(0, 32));
    const char* json = (choice & 6) == 0 ? nullptr : (choice & 6) == 2 ? rest.c_str() : kModel;
    const bool load = (choice & 24) == 24;
    char* text = (choice & 32) != 0 ? nullptr : error.data();
    const size_t size = (choice & 64) != 0 ? choice % 3 : error.size();
    const gradc_options* given = (choice & 128) != 0 ? nullptr : &options;
    session_ = load ? gradc_session_load(json, given, text, size)
                    : gradc_session_parse(json, given, text, size);
    if (text != nullptr && size > 0)
      require(std::memchr(text, '\0', size) != nullptr, "the error's text is terminated");
    batch_ = session_ == nullptr ? 0 : gradc_session_batch_size(session_);
    require(batch_ >= 0, "a batch has rows");
    const size_t room = static_cast<size_t>(batch_ > 0 ? batch_ : 1) * 4 + 16;
    floats_.assign(room, 0.5F);
    labels_.assign(room, 1);
    results_.assign(room, 0.0F);
  }

  void tensor() {
    gradc_tensor_info info{};
    const size_t index = take_byte(bytes_);
    const gradc_status status = gradc_session_tensor(session_, index, coin() ? nullptr : &info);
    require(status == GRADC_OK || status == GRADC_INVALID_ARGUMENT, "a status of the list");
    if (status == GRADC_OK) require(std::strlen(info.name) > 0, "a tensor has a name");
  }

  void check(gradc_status status) {
    require(status == GRADC_OK || status == GRADC_ERROR || status == GRADC_INVALID_ARGUMENT ||
                status == GRADC_OUT_OF_MEMORY,
            "a status of the list, and none of a defect");
    require(session_ != nullptr || status == GRADC_INVALID_ARGUMENT, "no session, no success");
    if (status != GRADC_OK && session_ != nullptr)
      require(gradc_last_error(session_)[0] != '\0', "an error says what it is");
  }

  bool coin() { return take_byte(bytes_) % 4 == 0; }
  size_t count() { return take_byte(bytes_) % 4 == 0 ? 2 : 1; }
  int64_t rows() {
    const uint8_t byte = take_byte(bytes_);
    return byte < 250 ? byte % 8 : INT64_MIN + byte;
  }
  size_t bytes() {
    const uint8_t byte = take_byte(bytes_);
    return byte < 200 ? size_t{byte} * 4 : SIZE_MAX;
  }
  float* loss() { return coin() ? nullptr : &loss_; }
  const char* name() {
    constexpr std::array<const char*, 8> kNames = {
        "dense/kernel", "y/bias", "optimizer/iteration", "input/x", "", "nothing", "loss", nullptr};
    return kNames[take_byte(bytes_) % kNames.size()];
  }
  const char* path() {
    const uint8_t byte = take_byte(bytes_);
    return byte % 4 == 0 ? nullptr : byte % 4 == 1 ? "/proc/nothing/here" : path_.c_str();
  }
  const gradc_view* inputs() { return views(given_inputs_, floats_.data(), "f32", "x"); }
  const gradc_view* targets() { return views(given_targets_, labels_.data(), "i32", "y"); }
  const gradc_view* outputs() { return views(given_outputs_, results_.data(), "f32", "y"); }

  /// Two views of a buffer, mostly as the model has it, of no more rows than it holds.
  const gradc_view* views(std::array<gradc_view, 2>& given, void* data, const char* dtype,
                          const char* name) {
    constexpr std::array<const char*, 4> kTypes = {nullptr, "", "f64", "nothing"};
    for (gradc_view& view : given) {
      const uint8_t byte = take_byte(bytes_);
      shape_ = {rows(), byte % 16 == 0 ? INT64_MAX : 3, 1, 1, 1, 1, 1, 1, 1};
      view.data = byte % 8 == 1 ? nullptr : data;
      view.dtype = byte % 8 == 2 ? kTypes[byte / 8 % kTypes.size()] : dtype;
      view.name = byte % 4 == 3 ? nullptr : byte % 32 == 6 ? "nothing" : name;
      view.shape = byte % 32 == 5 ? nullptr : shape_.data();
      view.rank = byte % 32 == 7  ? static_cast<int8_t>(take_byte(bytes_)) % 10
                  : *dtype == 'i' ? 1
                                  : 2;
    }
    return coin() ? nullptr : given.data();
  }

  std::string_view bytes_;
  gradc_session* session_ = nullptr;
  int64_t batch_ = 0;
  std::vector<float> floats_ = std::vector<float>(16);
  std::vector<int32_t> labels_ = std::vector<int32_t>(16);
  std::vector<float> results_ = std::vector<float>(16);
  std::array<float, 256> memory_{};
  std::array<gradc_view, 2> given_inputs_{};
  std::array<gradc_view, 2> given_targets_{};
  std::array<gradc_view, 2> given_outputs_{};
  std::array<int64_t, 9> shape_{};
  float loss_ = 0.0F;
  float metric_ = 0.0F;
  std::string path_;
};

}  // namespace

void c_api_door(std::string_view bytes) {
  Caller(bytes).run();
}

}  // namespace gradc::fuzz
