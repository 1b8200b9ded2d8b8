// The page of `gradc inspect --format html`: what report_data.h tells, drawn by a script that the
// page carries. One file that needs nothing beside it.
#pragma once

#include "driver/report/report_data.h"

#include <string>

namespace gradc {

/// The page that shows a report.
std::string html_page(const Json& report);

/// The page of one entry of a model.
Result<std::string> html_report(const Model& model, const ReportOptions& options);

}  // namespace gradc
