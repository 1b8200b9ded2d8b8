// .npz: a zip archive of .npy members.
#include "runtime/array.h"
#include "runtime/text.h"
#include "runtime/zip.h"

namespace gradc::rt {

Status parse_npz(const Bytes& bytes, const char* path, Vec<Array>* out, ArrayChoice* choice) {
  Vec<ZipMember> members;
  GRADC_RT_TRY(read_zip_directory(bytes, path, "an .npz", &members));
  Status problems;
  for (const ZipMember& member : members) {
    if (!member.name.ends_with(".npy")) continue;
    Array array;
    array.name = member.name.part(0, member.name.size() - 4);
    if (choice != nullptr && !choice->takes(array.name)) {
      choice->skipped.push(static_cast<Str&&>(array.name));
      continue;
    }
    const Str where = format("%s: %s", path, shown(array.name).c_str());
    Bytes data;
    Status one = unpack_zip_member(bytes, where.c_str(), member, &data);
    if (one.ok()) one = parse_npy(data.data(), data.size(), where.c_str(), &array);
    if (!one.ok()) add_problem(problems, "%s", one.text.c_str());
    out->push(static_cast<Array&&>(array));
  }
  if (out->empty() && (choice == nullptr || choice->skipped.empty())) {
    return error("%s: .npz file has no arrays", path);
  }
  return problems;
}

}  // namespace gradc::rt
