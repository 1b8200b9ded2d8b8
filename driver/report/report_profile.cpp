#include "driver/report/report_profile.h"

#include "support/check.h"
#include "support/json.h"

namespace gradc {

namespace {

/// Reads members of a fixed type; the first that is missing or of another type is the error.
class Members {
 public:
  Members(const Json& object, std::string where) : object_(object), where_(std::move(where)) {}

  double number(const char* name) {
    const Json* value = find(name);
    if (value == nullptr || !value->is_number()) return fail(name, "a number"), 0.0;
    return value->get<double>();
  }
  int64_t integer(const char* name) {
    const Json* value = find(name);
    if (value == nullptr || !value->is_number_integer()) return fail(name, "an integer"), 0;
    return value->get<int64_t>();
  }
  std::string text(const char* name) {
    const Json* value = find(name);
    if (value == nullptr || !value->is_string()) return fail(name, "a text"), "";
    return value->get<std::string>();
  }
  const Json& list(const char* name) {
    static const Json kNone = Json::array();
    const Json* value = find(name);
    if (value == nullptr || !value->is_array()) return fail(name, "a list"), kNone;
    return *value;
  }
  const std::string& problem() const { return problem_; }

 private:
  const Json* find(const char* name) const {
    if (!object_.is_object()) return nullptr;
    const auto found = object_.find(name);
    return found == object_.end() ? nullptr : &*found;
  }
  void fail(const char* name, const char* expected) {
    if (problem_.empty()) problem_ = fmt::format("{}/{}: {} was expected", where_, name, expected);
  }

  const Json& object_;
  std::string where_;
  std::string problem_;
};

}  // namespace

ReportProfile report_profile(const BenchResult& result) {
  GRADC_CHECK(result.profile.has_value(), "a benchmark without a profile");
  ReportProfile profile;
  profile.step_ms = result.step_ms_median;
  profile.waiting_ms = result.profile->waiting_ms;
  profile.batch_size = result.batch_size;
  profile.threads = result.threads;
  profile.peak_gflops = result.peak_gflops;
  profile.bandwidth = result.profile->bandwidth;
  profile.rows = result.profile->rows;
  return profile;
}

Result<ReportProfile> read_report_profile(const std::string& path) {
  GRADC_TRY(const SourceFile source, read_source_file(path));
  GRADC_TRY(const OwnJson json, parse_json(source));
  const auto wrong = [&](const std::string& problem) {
    return make_error(DiagKind::kInvalidData, {path, "", false},
                      "not what \"gradc bench --profile --json\" writes: {}", problem);
  };
  if (!(*json).is_object() || !(*json).contains("profile")) return wrong("there is no \"profile\"");
  ReportProfile profile;
  Members whole(*json, "");
  profile.step_ms = whole.number("step_ms_median");
  profile.batch_size = whole.integer("batch_size");
  profile.threads = static_cast<int>(whole.integer("threads"));
  profile.peak_gflops = whole.number("peak_gflops");
  if (!whole.problem().empty()) return wrong(whole.problem());
  Members inner((*json)["profile"], "/profile");
  profile.waiting_ms = inner.number("waiting_ms");
  for (const Json& one : inner.list("bandwidth")) {
    Members point(one, "/profile/bandwidth");
    profile.bandwidth.push_back({point.integer("bytes"), point.number("gigabytes_per_second")});
    if (!point.problem().empty()) return wrong(point.problem());
  }
  for (const Json& one : inner.list("kernels")) {
    Members kernel(one, "/profile/kernels");
    ProfileRow& row = profile.rows.emplace_back();
    row.kernel = kernel.text("kernel");
    row.layer = kernel.text("layer");
    row.calls = kernel.integer("calls");
    row.milliseconds = kernel.number("ms");
    row.flops = kernel.integer("flops");
    row.bytes = kernel.integer("bytes");
    row.roof_share = kernel.number("roof_share");
    if (!kernel.problem().empty()) return wrong(kernel.problem());
  }
  if (!inner.problem().empty()) return wrong(inner.problem());
  return profile;
}

}  // namespace gradc
