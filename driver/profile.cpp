#include "driver/profile.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <map>
#include <tuple>

namespace gradc {

namespace {

using Clock = std::chrono::steady_clock;

/// The calls of an entry by number of the runtime's step; null for loops.
void number_steps(const std::vector<kernel::Step>& steps, std::vector<const kernel::Call*>& out) {
  for (const kernel::Step& step : steps) {
    out.push_back(step.call());
    if (step.loop() != nullptr) number_steps(step.loop()->body, out);
  }
}

/// Clocks for every thread and step of an entry.
class Times {
 public:
  Times(const rt::Instance& instance, size_t num_steps, int64_t max_events)
      : steps_(static_cast<size_t>(instance.threads()) * num_steps) {
    for (size_t t = 0; t < static_cast<size_t>(instance.threads()); ++t) {
      events_.emplace_back(static_cast<size_t>(max_events));
      threads_.push_back({steps_.data() + t * num_steps, 0,
                          max_events > 0 ? events_.back().data() : nullptr, 0, max_events});
    }
  }
  rt::ThreadTimes* data() { return threads_.data(); }
  const std::vector<rt::ThreadTimes>& threads() const { return threads_; }

 private:
  std::vector<rt::StepTime> steps_;
  std::vector<std::vector<rt::StepEvent>> events_;
  std::vector<rt::ThreadTimes> threads_;
};

void add_rates(ProfileRow& row, double peak_gflops, const std::vector<BandwidthPoint>& bandwidth,
               int threads) {
  if (row.milliseconds <= 0.0) return;
  const double seconds = row.milliseconds * 1e-3;
  row.gflops = static_cast<double>(row.flops) / seconds * 1e-9;
  row.gigabytes_per_second = static_cast<double>(row.bytes) / seconds * 1e-9;
  const int64_t working_set = row.calls > 0 ? row.bytes / row.calls / threads : 0;
  const double rate = bandwidth_for(bandwidth, working_set);
  const double by_flops =
      peak_gflops > 0.0 ? static_cast<double>(row.flops) / (peak_gflops * 1e9) : 0.0;
  const double by_bytes = rate > 0.0 ? static_cast<double>(row.bytes) / (rate * 1e9) : 0.0;
  row.roof_share = std::max(by_flops, by_bytes) / seconds;
}

}  // namespace

int64_t argument_bytes(const kernel::Kernel& kernel) {
  int64_t bytes = 0;
  for (size_t i = 0; i < kernel.num_arguments(); ++i) {
    const kernel::Buffer& b = kernel.buffers[i];
    const int64_t size = b.shape.num_elements() * dtype_bytes(b.dtype);
    bytes += b.role == kernel::BufferRole::kInOut ? 2 * size : size;
  }
  return bytes;
}

Profile profile_entry(rt::Instance& instance, gradc_rt_entry_kind kind,
                      const kernel::Program& program, const kernel::Entry& entry, double seconds,
                      const FmaPeaks& peaks, const std::vector<BandwidthPoint>& bandwidth) {
  std::vector<const kernel::Call*> calls;
  number_steps(entry.steps, calls);
  Times times(instance, calls.size(), 0);
  Profile profile;
  profile.bandwidth = bandwidth;
  const auto begin = Clock::now();
  std::chrono::duration<double> passed{0};
  do {
    instance.run_timed(kind, times.data());
    ++profile.steps;
    passed = Clock::now() - begin;
  } while (profile.steps < 5 || passed.count() < seconds);
  const double per_step = 1.0 / static_cast<double>(profile.steps);
  profile.step_ms = passed.count() * 1e3 * per_step;
  std::map<std::pair<uint32_t, std::string>, ProfileRow> rows;
  double total = 0.0;
  for (size_t s = 0; s < calls.size(); ++s) {
    if (calls[s] == nullptr) continue;
    const kernel::Kernel& kernel = program.kernels[calls[s]->kernel];
    ProfileRow& row = rows[{calls[s]->kernel, calls[s]->location}];
    row.kernel = kernel.name;
    row.layer = calls[s]->location;
    int64_t longest = 0, count = 0;
    for (const rt::ThreadTimes& thread : times.threads()) {
      longest = std::max(longest, thread.steps[s].nanoseconds);
      count = std::max(count, thread.steps[s].calls);
    }
    count /= profile.steps;
    row.calls += count;
    row.milliseconds += static_cast<double>(longest) * 1e-6 * per_step;
    row.flops += kernel.flops * count;
    row.bytes += argument_bytes(kernel) * count;
    total += static_cast<double>(longest) * 1e-6 * per_step;
  }
  for (const rt::ThreadTimes& thread : times.threads()) {
    profile.waiting_ms =
        std::max(profile.waiting_ms, static_cast<double>(thread.waiting) * 1e-6 * per_step);
  }
  for (auto& [key, row] : rows) {
    row.share = total > 0.0 ? row.milliseconds / total : 0.0;
    add_rates(row, peaks.of(program.kernels[key.first]), bandwidth, instance.threads());
    profile.rows.push_back(std::move(row));
  }
  // (std::stable_sort calls what libstdc++ 12 itself marks as deprecated.)
  std::sort(profile.rows.begin(), profile.rows.end(), [](const ProfileRow& a, const ProfileRow& b) {
    return std::tie(b.milliseconds, a.kernel, a.layer) <
           std::tie(a.milliseconds, b.kernel, b.layer);
  });
  return profile;
}

std::string profile_text(const Profile& profile) {
  std::string out = fmt::format(
      "profile       {} steps with clocks, {:.4f} ms each; {:.4f} ms of it waiting at barriers\n",
      profile.steps, profile.step_ms, profile.waiting_ms);
  out += "roofs         ";
  for (const BandwidthPoint& point : profile.bandwidth) {
    out += fmt::format("{}{} KiB {:.0f} GB/s", &point == profile.bandwidth.data() ? "" : ", ",
                       point.bytes / 1024, point.gigabytes_per_second);
  }
  out += "\n\n        ms   share  calls   GFLOP/s     GB/s    roof  kernel, layer\n";
  for (const ProfileRow& row : profile.rows) {
    fmt::format_to(
        std::back_inserter(out), "  {:8.4f}  {:5.1f}%  {:5}  {:>8}  {:7.1f}  {:5.0f}%  {}{}{}\n",
        row.milliseconds, 100.0 * row.share, row.calls,
        row.flops > 0 ? fmt::format("{:.1f}", row.gflops) : "-", row.gigabytes_per_second,
        100.0 * row.roof_share, row.kernel, row.layer.empty() ? "" : ", ", row.layer);
  }
  return out;
}

std::string trace_entry(rt::Instance& instance, gradc_rt_entry_kind kind,
                        const kernel::Program& program, const kernel::Entry& entry, int runs) {
  constexpr int64_t kMostEvents = 1 << 20;  // of a thread
  std::vector<const kernel::Call*> calls;
  number_steps(entry.steps, calls);
  Times times(instance, calls.size(), kMostEvents);
  for (int run = 0; run < runs; ++run)
    instance.run_timed(kind, times.data());
  int64_t origin = INT64_MAX;
  for (const rt::ThreadTimes& thread : times.threads()) {
    if (thread.num_events > 0) origin = std::min(origin, thread.events[0].begin);
  }
  nlohmann::ordered_json events = nlohmann::ordered_json::array();
  for (size_t t = 0; t < times.threads().size(); ++t) {
    const rt::ThreadTimes& thread = times.threads()[t];
    events.push_back({{"name", "thread_name"},
                      {"ph", "M"},
                      {"pid", 1},
                      {"tid", t},
                      {"args", {{"name", fmt::format("thread {}", t)}}}});
    for (int64_t e = 0; e < thread.num_events; ++e) {
      const rt::StepEvent& event = thread.events[e];
      const kernel::Call& call = *calls[static_cast<size_t>(event.step)];
      events.push_back({{"name", program.kernels[call.kernel].name},
                        {"cat", "kernel"},
                        {"ph", "X"},
                        {"ts", static_cast<double>(event.begin - origin) * 1e-3},
                        {"dur", static_cast<double>(event.end - event.begin) * 1e-3},
                        {"pid", 1},
                        {"tid", t},
                        {"args", {{"layer", call.location}}}});
    }
  }
  const nlohmann::ordered_json trace = {{"traceEvents", std::move(events)},
                                        {"displayTimeUnit", "ns"}};
  return trace.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace gradc
