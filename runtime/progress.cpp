// Progress bar, epoch lines, JSON Lines.
#include "runtime/progress.h"

#include "runtime/json.h"
#include "runtime/weights.h"

#include <cstdlib>
#include <sys/ioctl.h>
#include <unistd.h>

namespace gradc::rt {
namespace {

constexpr double kRedrawSeconds = 0.1;
constexpr int64_t kBarWidth = 24;

template <class Visit>
void for_each_score(const Instance& instance, const Scores& scores, Visit visit) {
  visit("loss", scores.loss);
  for (int64_t m = 0; m < scores.metric_count; ++m) {
    const size_t index = static_cast<size_t>(instance.nth(GRADC_RT_METRIC, m));
    visit(short_name(instance.tensor(index)), scores.metric[m]);
  }
}

Str duration_text(double seconds) {
  if (seconds < 60) return format("%.0fs", seconds);
  const long long whole = static_cast<long long>(seconds);
  if (whole < 3600) return format("%lldm%02llds", whole / 60, whole % 60);
  return format("%lldh%02lldm", whole / 3600, whole / 60 % 60);
}

// 0 if the terminal does not say.
size_t terminal_columns(FILE* out) {
  winsize size{};
  return ioctl(fileno(out), TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

Str speed_text(double examples_per_second) {
  if (examples_per_second >= 1e6) return format("%.2fM examples/s", examples_per_second / 1e6);
  if (examples_per_second >= 1e4) return format("%.1fk examples/s", examples_per_second / 1e3);
  return format("%.0f examples/s", examples_per_second);
}

}  // namespace

void append_scores(Str& out, const Instance& instance, const Scores& scores, const char* prefix) {
  for_each_score(instance, scores, [&](const char* name, double value) {
    out.appendf("  %s%s %.4g", prefix, name, value);
  });
}

void append_scores_json(Str& out, const Instance& instance, const Scores& scores,
                        const char* prefix) {
  for_each_score(instance, scores, [&](const char* name, double value) {
    const Str key = format("%s%s", prefix, name);
    if (!out.ends_with("{")) out.push(',');
    append_json_string(out, key.c_str(), key.size());
    out.push(':');
    append_json_number(out, value);
  });
}

Progress::Progress(const Instance& instance, FILE* out) : instance_(instance), out_(out) {
  const char* terminal = getenv("TERM");
  const char* no_color = getenv("NO_COLOR");
  bar_ = isatty(fileno(out)) != 0 && (terminal == nullptr || strcmp(terminal, "dumb") != 0);
  colour_ = bar_ && (no_color == nullptr || no_color[0] == '\0');
}

void Progress::step(const StepReport& report) {
  if (!bar_) return;
  const double now = now_seconds();
  if (now - last_drawn_ < kRedrawSeconds) return;
  last_drawn_ = now;
  show_bar(report);
}

void Progress::show_bar(const StepReport& report) {
  const int64_t filled = kBarWidth * report.step / report.steps;
  Str line = format("epoch %lld/%lld [", static_cast<long long>(report.epoch),
                    static_cast<long long>(report.epochs));
  for (int64_t i = 0; i < kBarWidth; ++i)
    line.push(i < filled ? '=' : i == filled ? '>' : ' ');
  line.appendf("] %lld/%lld", static_cast<long long>(report.step),
               static_cast<long long>(report.steps));
  append_scores(line, instance_, report.scores, "");
  line.appendf("  %s", speed_text(report.examples_per_second).c_str());
  // Time left of all epochs at this epoch's pace.
  const double done = static_cast<double>(report.step);
  const double left = static_cast<double>(report.steps - report.step) +
                      static_cast<double>(report.steps * (report.epochs - report.epoch));
  line.appendf("  %s left", duration_text(report.seconds / done * left).c_str());
  // A longer line would wrap, and each redraw leave a line behind.
  if (const size_t columns = terminal_columns(out_); columns > 0 && line.size() >= columns)
    line = line.part(0, columns - 1);
  const size_t length = line.size();
  for (size_t i = length; i < width_drawn_; ++i)
    line.push(' ');
  width_drawn_ = length;
  fprintf(out_, colour_ ? "\r\x1b[36m%s\x1b[0m" : "\r%s", line.c_str());
  fflush(out_);
}

void Progress::clear() {
  if (width_drawn_ == 0) return;
  fputc('\r', out_);
  for (size_t i = 0; i < width_drawn_; ++i)
    fputc(' ', out_);
  fputc('\r', out_);
  fflush(out_);
  width_drawn_ = 0;
}

void Progress::epoch(const EpochReport& report) {
  clear();
  Str line = format("epoch %lld/%lld", static_cast<long long>(report.epoch),
                    static_cast<long long>(report.epochs));
  append_scores(line, instance_, report.scores, "");
  if (report.has_validation) append_scores(line, instance_, report.validation, "val_");
  line.appendf("  %.2f s  %s", report.seconds, speed_text(report.examples_per_second).c_str());
  if (report.reduced_to > 0)
    line.appendf("  learning rate times %g from now on", report.reduced_to);
  if (report.kept) line.append("  kept");
  if (report.stopping) line.append("  stopping early");
  fprintf(out_, "%s\n", line.c_str());
  fflush(out_);
}

}  // namespace gradc::rt
