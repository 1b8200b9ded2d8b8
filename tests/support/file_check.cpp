#include "tests/support/file_check.h"

#include <llvm/ADT/SmallString.h>
#include <llvm/FileCheck/FileCheck.h>
#include <llvm/Support/MemoryBuffer.h>
#include <llvm/Support/SourceMgr.h>
#include <llvm/Support/raw_ostream.h>

#include <utility>

namespace gradc::testing {

namespace {

void collect(const llvm::SMDiagnostic& diagnostic, void* report) {
  llvm::raw_string_ostream stream(*static_cast<std::string*>(report));
  diagnostic.print(nullptr, stream, /*ShowColors=*/false);
}

/// Gives a canonical copy of the text to the source manager, which owns it; returns its buffer.
llvm::StringRef add_text(llvm::FileCheck& check, llvm::SourceMgr& sources, std::string_view text,
                         const std::string& name) {
  const auto raw = llvm::MemoryBuffer::getMemBufferCopy({text.data(), text.size()}, name);
  llvm::SmallString<4096> storage;
  const llvm::StringRef canonical = check.CanonicalizeFile(*raw, storage);
  auto buffer = llvm::MemoryBuffer::getMemBufferCopy(canonical, name);
  const llvm::StringRef result = buffer->getBuffer();
  sources.AddNewSourceBuffer(std::move(buffer), llvm::SMLoc());
  return result;
}

}  // namespace

std::string file_check(std::string_view checks, const std::string& checks_name,
                       std::string_view output) {
  llvm::FileCheckRequest request;
  request.CheckPrefixes = {"CHECK"};
  request.CommentPrefixes = {"COM"};
  llvm::FileCheck check(request);
  if (!check.ValidateCheckPrefixes()) return "invalid prefixes";
  std::string report;
  llvm::SourceMgr sources;
  sources.setDiagHandler(collect, &report);
  const llvm::StringRef check_text = add_text(check, sources, checks, checks_name);
  const llvm::StringRef output_text = add_text(check, sources, output, "output");
  const bool unreadable = check.readCheckFile(sources, check_text);
  const bool matched = !unreadable && check.checkInput(sources, output_text);
  if (matched) return {};
  return report.empty() ? "the output does not match" : report;
}

}  // namespace gradc::testing
