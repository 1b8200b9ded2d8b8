// The times that a report shows: of `gradc bench --profile`, measured now or read from its JSON.
#pragma once

#include "driver/bench.h"
#include "support/result.h"

#include <string>
#include <vector>

namespace gradc {

struct ReportProfile {
  double step_ms = 0.0;  ///< the median, without clocks
  double waiting_ms = 0.0;
  int64_t batch_size = 0;
  int threads = 1;
  double peak_gflops = 0.0;
  std::vector<BandwidthPoint> bandwidth;
  std::vector<ProfileRow> rows;
};

/// Of a result that has a profile.
ReportProfile report_profile(const BenchResult& result);

/// What `gradc bench --profile --json` wrote; errors name the file and what was expected there.
Result<ReportProfile> read_report_profile(const std::string& path);

}  // namespace gradc
