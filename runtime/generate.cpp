#include "runtime/generate.h"

#include "runtime/philox.h"
#include "runtime/text.h"
#include "runtime/token_steps.h"
#include "runtime/tokens.h"
#include "runtime/weights.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <unistd.h>

namespace gradc::rt {
namespace {

// A model that says for a window of tokens what comes next, in its first row of a batch.
struct LanguageModel {
  size_t input = 0;
  size_t output = 0;
  size_t window = 0;         // tokens that it reads
  size_t tokens = 0;         // that it knows: rows of its table
  size_t width = 0;          // values that it gives for each place
  bool one_hot = false;      // it reads rows of 0 and 1
  bool every_place = false;  // it gives what follows each token, not the last alone
  bool logits = false;
  const Vec<Str>* table = nullptr;
  bool words = false;  // the table is of words, the first two reserved
};

Status no_language_model(const Instance& instance, const Str& what) {
  return error("model \"%s\" generates no text: %s", shown(instance.model().name).c_str(),
               what.c_str());
}

Status single_tensor(const Instance& instance, gradc_rt_tensor_kind kind, const char* what,
                     size_t* index) {
  const int64_t count = instance.count_of(kind);
  if (count != 1) {
    return no_language_model(
        instance, format("it has %lld %ss, one was expected", static_cast<long long>(count), what));
  }
  *index = static_cast<size_t>(instance.nth(kind, 0));
  return {};
}

Status read_shapes(const Instance& instance, LanguageModel* model) {
  GRADC_RT_TRY(single_tensor(instance, GRADC_RT_INPUT, "input", &model->input));
  GRADC_RT_TRY(single_tensor(instance, GRADC_RT_OUTPUT, "output", &model->output));
  const gradc_rt_tensor& input = instance.tensor(model->input);
  const gradc_rt_tensor& output = instance.tensor(model->output);
  model->one_hot = input.rank == 3 && input.data != nullptr && input.data->one_hot_depth > 0;
  const bool numbers = input.rank == 2 && !is_float(static_cast<Dtype>(input.dtype));
  if (!model->one_hot && !numbers) {
    return no_language_model(
        instance, format("it reads %s %s, numbers of tokens were expected: integers of shape "
                         "[batch, length]",
                         shown(input.name).c_str(), tensor_type_text(input).c_str()));
  }
  model->window = static_cast<size_t>(input.dims[1]);
  model->every_place = output.rank == 3;
  const bool places = !model->every_place || output.dims[1] == input.dims[1];
  if ((output.rank != 2 && output.rank != 3) || !places ||
      !is_float(static_cast<Dtype>(output.dtype))) {
    return no_language_model(
        instance,
        format("it gives %s %s, the next token's logits or probabilities were expected: "
               "[batch, %zu, tokens] or [batch, tokens]",
               shown(output.name).c_str(), tensor_type_text(output).c_str(), model->window));
  }
  model->width = static_cast<size_t>(output.dims[output.rank - 1]);
  return {};
}

// What the numbers stand for, which training on a text has left in the weights.
Status read_tokens(const Instance& instance, LanguageModel* model) {
  const int64_t target = target_of_output(instance.model(), model->output);
  if (target < 0) {
    return no_language_model(instance,
                             Str("it has no \"training\" section, whose loss says whether its "
                                 "output is logits or probabilities"));
  }
  const gradc_rt_tensor& trained = instance.tensor(static_cast<size_t>(target));
  const bool classes = trained.data != nullptr && trained.data->classes > 1;
  if (!classes) {
    return no_language_model(
        instance, format("the loss of %s tells no tokens apart, a crossentropy of the next token "
                         "was expected",
                         shown(instance.tensor(model->output).name).c_str()));
  }
  model->logits = (trained.data->flags & GRADC_RT_TARGET_OF_LOGITS) != 0;
  const Vec<TensorMeaning>* meanings = instance.meanings();
  const auto names = [&](size_t tensor) -> const Vec<Str>& {
    const TensorMeaning& meaning = (*meanings)[tensor];
    return meaning.tokens.empty() ? meaning.characters : meaning.tokens;
  };
  if (meanings == nullptr || names(model->input).empty()) {
    return no_language_model(instance,
                             Str("its weights hold no vocabulary: training on a text leaves it "
                                 "there (--data FILE:chars, FILE:bytes or FILE:words)"));
  }
  model->table = &names(model->input);
  model->words = !(*meanings)[model->input].tokens.empty();
  if (names(static_cast<size_t>(target)).size() != model->table->size()) {
    return no_language_model(instance, Str("it was not trained to tell the text's next token"));
  }
  model->tokens = model->table->size();
  if (model->tokens > model->width) {
    return no_language_model(
        instance, format("its output tells %zu tokens apart, its vocabulary has %zu", model->width,
                         model->tokens));
  }
  return {};
}

class Generator {
 public:
  Generator(Instance& instance, const GenerateCommand& command, const LanguageModel& model)
      : instance_(instance),
        command_(command),
        model_(model),
        random_(random_key(command.has_seed ? command.seed : instance.model().training.seed,
                           RandomUse::kGenerate),
                0) {}

  Status start(Vec<int32_t> prompt);
  Status next(int32_t* token);

 private:
  Status start_windows();
  Status too_short(size_t known, const char* what) const;
  void fill(size_t known, int32_t rest);
  bool row(size_t tensor, size_t place, Vec<double>* out) const;
  Status read_step(bool* good);
  Status read_window(bool* good);
  size_t draw();
  void keep_likeliest(size_t count);

  Instance& instance_;
  const GenerateCommand& command_;
  const LanguageModel& model_;
  RandomStream random_;
  Vec<int32_t> text_;
  bool stepping_ = false;  // token by token; else a whole window for each
  TokenSteps steps_;
  size_t first_ = 0;    // of the text's tokens that the steps have seen
  Vec<double> logits_;  // of the next token
  Vec<size_t> order_;   // tokens to draw from
};

// The window's tokens: the last `known` of the text, then `rest` in every place.
void Generator::fill(size_t known, int32_t rest) {
  for (size_t place = 0; place < model_.window; ++place)
    set_token(instance_, model_.input, place,
              place < known ? text_[text_.size() - known + place] : rest);
}

// The logits in a row of a tensor; false if one is no number.
bool Generator::row(size_t tensor, size_t place, Vec<double>* out) const {
  const Dtype dtype = static_cast<Dtype>(instance_.tensor(tensor).dtype);
  bool good = true;
  for (size_t i = 0; i < model_.tokens; ++i) {
    const double value = load_f64(instance_.data(tensor), dtype, place * model_.width + i);
    (*out)[i] = model_.logits ? value : std::log(std::max(value, 0.0));
    good = good && !std::isnan(value);
  }
  return good;
}

Status Generator::start(Vec<int32_t> prompt) {
  text_ = static_cast<Vec<int32_t>&&>(prompt);
  logits_.resize(model_.tokens);
  const size_t known = text_.size();
  if (known < model_.window && !model_.every_place)
    return too_short(known, "it predicts from whole windows");
  if (!TokenSteps::possible(instance_)) return start_windows();
  first_ = known - std::min(known, model_.window);
  stepping_ = true;
  return steps_.prepare(instance_, model_.window);
}

// A text shorter than the window leaves places empty: what stands there must not matter.
Status Generator::start_windows() {
  const char* remark = instance_.model().step_remark;
  if (remark != nullptr && command_.remarks)
    fprintf(stderr, "remark: a whole window is computed for each token: %s\n",
            shown(remark, strlen(remark), 200).c_str());
  GRADC_RT_TRY(instance_.prepare(GRADC_RT_PREDICT));
  const size_t known = text_.size();
  if (known >= model_.window) return {};
  Vec<double> other(model_.tokens);
  fill(known, 0);
  instance_.run(GRADC_RT_PREDICT);
  row(model_.output, known - 1, &logits_);
  fill(known, static_cast<int32_t>(model_.tokens) - 1);
  instance_.run(GRADC_RT_PREDICT);
  row(model_.output, known - 1, &other);
  if (memcmp(other.data(), logits_.data(), other.size() * sizeof(double)) == 0) return {};
  return too_short(known, "what it says after a token depends on those behind it");
}

Status Generator::too_short(size_t known, const char* what) const {
  return error("the prompt has %zu %s, this model needs %zu: %s", known,
               model_.words ? "words" : "characters", model_.window, what);
}

// From what is kept of the tokens before, until places run out: then windows slide.
Status Generator::read_step(bool* good) {
  while (first_ + steps_.taken() < text_.size() && steps_.has_room())
    steps_.take(instance_, text_[first_ + steps_.taken()]);
  if (first_ + steps_.taken() == text_.size()) {
    *good = row(steps_.output(), 0, &logits_);
    return {};
  }
  stepping_ = false;
  GRADC_RT_TRY(instance_.prepare(GRADC_RT_PREDICT));
  return read_window(good);
}

Status Generator::read_window(bool* good) {
  const size_t known = std::min(text_.size(), model_.window);
  fill(known, 0);
  instance_.run(GRADC_RT_PREDICT);
  *good = row(model_.output, model_.every_place ? known - 1 : 0, &logits_);
  return {};
}

Status Generator::next(int32_t* token) {
  bool good = false;
  GRADC_RT_TRY(stepping_ ? read_step(&good) : read_window(&good));
  if (!good) {
    return error("the model's output is NaN: its weights are too large for this text");
  }
  *token = static_cast<int32_t>(draw());
  text_.push(*token);
  return {};
}

// The tokens to draw from: the likeliest, equal ones in the order of their numbers.
void Generator::keep_likeliest(size_t count) {
  order_.clear();
  for (size_t i = model_.words ? kUnknown + 1 : 0; i < logits_.size(); ++i)
    order_.push(i);
  if (count >= order_.size()) return;
  std::partial_sort(order_.begin(), order_.begin() + count, order_.end(), [&](size_t a, size_t b) {
    return logits_[a] == logits_[b] ? a < b : logits_[a] > logits_[b];
  });
  order_.resize(count);
}

size_t Generator::draw() {
  const bool greedy = command_.temperature == 0;
  const bool some = command_.top_k > 0 && static_cast<size_t>(command_.top_k) < model_.tokens;
  keep_likeliest(greedy ? 1 : some ? static_cast<size_t>(command_.top_k) : model_.tokens);
  double largest = logits_[order_[0]];
  for (const size_t token : order_)
    largest = std::max(largest, logits_[token]);
  const auto weight = [&](size_t token) {
    if (std::isinf(largest)) return logits_[token] == largest ? 1.0 : 0.0;
    return std::exp((logits_[token] - largest) / command_.temperature);
  };
  if (greedy) return order_[0];
  double sum = 0;
  for (const size_t token : order_)
    sum += weight(token);
  double left = random_.uniform() * sum;
  size_t chosen = order_[0];
  for (const size_t token : order_) {
    if (weight(token) > 0) chosen = token;  // the last one if rounding leaves something
    left -= weight(token);
    if (left < 0) break;
  }
  return chosen;
}

// The numbers of the prompt; what has none is refused.
Status read_prompt(const Instance& instance, const LanguageModel& model, const char* prompt,
                   Vec<int32_t>* out) {
  if (!model.words) {
    return number_characters("--prompt", {reinterpret_cast<const uint8_t*>(prompt), strlen(prompt)},
                             *model.table, out);
  }
  TokenTexts words(word_rule(instance.tensor(model.input)));
  words.add(prompt, strlen(prompt));
  *out = words.numbers(*model.table);
  Vec<Str> unknown;
  for (size_t i = 0; i < out->size(); ++i)
    if ((*out)[i] == kUnknown) unknown.push(words.token(i).clone());
  if (unknown.empty()) return {};
  return error("--prompt: the model was not trained with %s", shown_list(unknown).c_str());
}

}  // namespace

Status generate(Instance& instance, const GenerateCommand& command,
                void (*each)(const char* text, size_t length), Str* out) {
  LanguageModel model;
  GRADC_RT_TRY(read_shapes(instance, &model));
  if (command.weights != nullptr)
    GRADC_RT_TRY(load_weights(instance, command.weights, LoadMode::kComplete));
  GRADC_RT_TRY(read_tokens(instance, &model));
  Vec<int32_t> prompt;
  GRADC_RT_TRY(read_prompt(instance, model, command.prompt, &prompt));
  if (prompt.empty()) return error("the prompt is empty: one token is needed");
  Generator generator(instance, command, model);
  GRADC_RT_TRY(generator.start(static_cast<Vec<int32_t>&&>(prompt)));
  out->append(command.prompt);
  size_t told = 0;
  for (int64_t i = 0; i < command.length; ++i) {
    int32_t token = 0;
    GRADC_RT_TRY(generator.next(&token));
    if (model.words) out->push(' ');
    out->append((*model.table)[static_cast<size_t>(token)]);
    if (each != nullptr) each(out->c_str() + told, out->size() - told);
    told = out->size();
  }
  return {};
}

Status run_generate(Instance& instance, const GenerateCommand& command) {
  const auto show = [](const char* text, size_t length) {
    fwrite(text, 1, length, stdout);
    fflush(stdout);
  };
  const bool terminal = isatty(fileno(stdout)) != 0;
  GenerateCommand said = command;
  said.remarks = true;
  Str text;
  GRADC_RT_TRY(generate(instance, said, terminal ? +show : nullptr, &text));
  if (!terminal) fwrite(text.c_str(), 1, text.size(), stdout);
  fputc('\n', stdout);
  return {};
}

}  // namespace gradc::rt
