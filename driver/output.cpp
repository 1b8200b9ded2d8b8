#include "driver/output.h"

namespace gradc {

Status from_output(const rt::Status& status) {
  if (status.ok()) return Ok{};
  return make_error(DiagKind::kFileUnwritable, {}, "{}", status.text.c_str());
}

Status check_output(const std::string& path) {
  return from_output(rt::check_writable(path.c_str()));
}

Status check_apart(const std::string& output, const std::string& input) {
  if (!rt::is_same_file(output.c_str(), input.c_str())) return Ok{};
  return make_error(DiagKind::kFileUnwritable, {},
                    "\"{}\" is the input itself: it would be overwritten", output);
}

Status write_output(const std::string& path, std::string_view bytes) {
  rt::OutputFile file;
  GRADC_TRY_STATUS(from_output(file.open(path.c_str())));
  GRADC_TRY_STATUS(from_output(file.write(bytes.data(), bytes.size())));
  return from_output(file.commit());
}

}  // namespace gradc
