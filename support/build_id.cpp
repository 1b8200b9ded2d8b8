#include "support/build_id.h"

#include <fmt/format.h>

#include <cstdint>
#include <cstring>
#include <elf.h>
#include <link.h>
#include <string_view>

namespace gradc {

namespace {

struct Search {
  uintptr_t code = 0;
  std::string id;
};

/// Notes are (name bytes, content bytes, type, name, content), each padded to four bytes.
std::string id_in_notes(std::string_view notes) {
  constexpr size_t kHeader = 12;
  const auto padded = [](size_t bytes) { return (bytes + 3) / 4 * 4; };
  while (notes.size() >= kHeader) {
    uint32_t words[3] = {};
    std::memcpy(words, notes.data(), sizeof words);
    const size_t content = kHeader + padded(words[0]);
    const size_t end = content + padded(words[1]);
    if (end > notes.size()) return {};
    if (words[2] == NT_GNU_BUILD_ID &&
        notes.substr(kHeader, words[0]) == std::string_view("GNU", 4)) {
      std::string id;
      for (const char byte : notes.substr(content, words[1]))
        id += fmt::format("{:02x}", static_cast<unsigned char>(byte));
      return id;
    }
    notes.remove_prefix(end);
  }
  return {};
}

int visit(dl_phdr_info* info, size_t, void* context) {
  auto& search = *static_cast<Search*>(context);
  bool holds = false;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& segment = info->dlpi_phdr[i];
    const uintptr_t begin = info->dlpi_addr + segment.p_vaddr;
    holds = holds || (segment.p_type == PT_LOAD && search.code >= begin &&
                      search.code < begin + segment.p_memsz);
  }
  for (int i = 0; holds && i < info->dlpi_phnum && search.id.empty(); ++i) {
    const auto& segment = info->dlpi_phdr[i];
    if (segment.p_type != PT_NOTE) continue;
    search.id = id_in_notes({reinterpret_cast<const char*>(info->dlpi_addr + segment.p_vaddr),
                             static_cast<size_t>(segment.p_memsz)});
  }
  return holds ? 1 : 0;
}

}  // namespace

std::string build_id_of(const void* code) {
  Search search{reinterpret_cast<uintptr_t>(code), {}};
  dl_iterate_phdr(visit, &search);
  return search.id;
}

}  // namespace gradc
