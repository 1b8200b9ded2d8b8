#include "driver/output.h"

#include <filesystem>

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

Status check_apart(const std::string& output, const SourceSet& sources) {
  const SourceFile* source = sources.find(output);
  if (source == nullptr)
    source = sources.find(std::filesystem::path(output).lexically_normal().string());
  return source == nullptr ? Status(Ok{}) : check_apart(output, source->path());
}

Status write_output(const std::string& path, std::string_view bytes) {
  rt::OutputFile file;
  GRADC_TRY_STATUS(from_output(file.open(path.c_str())));
  GRADC_TRY_STATUS(from_output(file.write(bytes.data(), bytes.size())));
  return from_output(file.commit());
}

}  // namespace gradc
