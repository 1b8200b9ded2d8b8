// Checks of places and of room. Room is asked of file systems that say how much they have.
#include "runtime/train_files.h"

#include "runtime/file.h"
#include "runtime/output_file.h"

#include <algorithm>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace gradc::rt {
namespace {

constexpr uint64_t kHeaderBytes = 4096;  // of a safetensors file, beside names
constexpr uint64_t kNameBytes = 128;     // of a tensor in it
constexpr uint64_t kLogBytes = 64 << 10;

Str bytes_text(uint64_t bytes) {
  if (bytes < 1U << 20U) return format("%llu bytes", static_cast<unsigned long long>(bytes));
  return format("%llu MiB", static_cast<unsigned long long>(bytes >> 20U));
}

struct Sizes {
  uint64_t weights = 0;
  uint64_t checkpoint = 0;
};

Sizes sizes_of(const Instance& instance, bool keeps_best_weights) {
  Sizes sizes{kHeaderBytes, kHeaderBytes};
  for (size_t i = 0; i < instance.num_tensors(); ++i) {
    const gradc_rt_tensor& tensor = instance.tensor(i);
    const uint64_t bytes = static_cast<uint64_t>(tensor.bytes) + kNameBytes;
    if (tensor.kind == GRADC_RT_PARAMETER || tensor.kind == GRADC_RT_STATE) {
      sizes.weights += bytes;
      sizes.checkpoint += keeps_best_weights ? 2 * bytes : bytes;
    }
    if (tensor.kind == GRADC_RT_OPTIMIZER_STATE) sizes.checkpoint += bytes;
  }
  return sizes;
}

// The most bytes that one file adds to its file system: a new one stands beside the old one before
// it takes its place.
uint64_t peak_of(uint64_t bytes, const OutputPlace& place, bool repeatedly) {
  const uint64_t old = place.exists ? static_cast<uint64_t>(place.info.st_size) : 0;
  const uint64_t twice = repeatedly && 2 * bytes > old ? 2 * bytes - old : 0;
  return std::max(bytes, twice);
}

struct Part {
  const char* path;
  const char* what;
  uint64_t bytes;
  bool repeatedly;
  OutputPlace place;
  uint64_t count = 1;  // of such files
};

Status check_limit(const Part& part) {
  rlimit limit{};
  if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
      part.bytes <= limit.rlim_cur) {
    return {};
  }
  return error("%s: the %s needs %s, this process may write files of %s (ulimit -f)", part.path,
               part.what, bytes_text(part.bytes).c_str(), bytes_text(limit.rlim_cur).c_str());
}

// All parts on one file system together.
Status check_room_beside(Span<const Part> parts, size_t first) {
  const Str folder = folder_of(parts[first].place.path.c_str());
  struct stat here{};
  struct statvfs room{};
  if (stat(folder.c_str(), &here) != 0 || statvfs(folder.c_str(), &room) != 0 || room.f_blocks == 0)
    return {};  // does not say
  uint64_t need = 0;
  Str list;
  for (size_t i = 0; i < parts.size(); ++i) {
    struct stat there{};
    if (stat(folder_of(parts[i].place.path.c_str()).c_str(), &there) != 0 ||
        there.st_dev != here.st_dev) {
      continue;
    }
    if (i < first) return {};  // counted already
    need += parts[i].count * peak_of(parts[i].bytes, parts[i].place, parts[i].repeatedly);
    list.appendf("%s%s %s", list.empty() ? "" : ", ", parts[i].what,
                 bytes_text(parts[i].count * parts[i].bytes).c_str());
  }
  const uint64_t blocks = geteuid() == 0 ? room.f_bfree : room.f_bavail;
  const uint64_t free_bytes = blocks * room.f_frsize;
  if (need <= free_bytes) return {};
  return error(
      "%s: results need %s there (%s; a new file stands beside the old one until it is whole), %s "
      "are free",
      parts[first].path, bytes_text(need).c_str(), list.c_str(), bytes_text(free_bytes).c_str());
}

Status check_room(const Instance& instance, const TrainFiles& files) {
  const Sizes sizes = sizes_of(instance, files.keeps_best_weights);
  Vec<Part> parts;
  if (files.checkpoint != nullptr)
    parts.push({files.checkpoint, "checkpoint", sizes.checkpoint, true, {}});
  if (files.out != nullptr) parts.push({files.out, "weights", sizes.weights, false, {}});
  if (files.log != nullptr) parts.push({files.log, "log", kLogBytes, false, {}});
  Str kept;
  if (files.keep_best > 0) {  // a new one stands beside the others until the worst goes
    kept = format("%s.kept", files.kept_beside());
    parts.push({kept.c_str(),
                "epochs that are kept",
                sizes.weights,
                false,
                {},
                static_cast<uint64_t>(files.keep_best) + 1});
  }
  Vec<Part> stored;
  for (Part& part : parts) {
    GRADC_RT_TRY(find_output(part.path, &part.place));
    if (part.place.in_place) continue;
    GRADC_RT_TRY(check_limit(part));
    stored.push(static_cast<Part&&>(part));
  }
  Status problems;
  for (size_t i = 0; i < stored.size(); ++i) {
    const Status one = check_room_beside(stored.span(), i);
    if (!one.ok()) add_problem(problems, "%s", one.text.c_str());
  }
  return problems;
}

Status check_checkpoint(const TrainFiles& files) {
  OutputPlace place;
  GRADC_RT_TRY(find_output(files.checkpoint, &place));
  if (place.standard_output) {
    return error("%s: a checkpoint is read again and replaced: it cannot be standard output",
                 files.checkpoint);
  }
  const bool regular = S_ISREG(place.info.st_mode);
  if (files.resume && place.in_place && !regular) {
    return error("%s: is no regular file: there is no checkpoint to go on from", files.checkpoint);
  }
  if (regular && place.info.st_size > 0 && !files.resume && !files.overwrite) {
    return error(
        "%s: exists, and this training would replace it: --resume goes on from it, --overwrite "
        "starts anew",
        files.checkpoint);
  }
  return {};
}

Status check_kept(const TrainFiles& files) {
  OutputPlace place;
  GRADC_RT_TRY(find_output(files.kept_beside(), &place));
  if (!place.in_place && !place.standard_output) return {};
  return error("%s: is no regular file, so the best epochs have no place beside it",
               files.kept_beside());
}

Status check_apart(const TrainFiles& files) {
  const char* const paths[] = {files.out, files.checkpoint, files.log};
  const char* const names[] = {"--out", "--checkpoint", "--log"};
  OutputPlace places[3];
  for (size_t i = 0; i < 3; ++i) {
    if (paths[i] != nullptr) GRADC_RT_TRY(find_output(paths[i], &places[i]));
    for (size_t k = 0; k < i; ++k) {
      const bool both = paths[i] != nullptr && paths[k] != nullptr;
      const bool streams = places[i].standard_output && places[k].standard_output;
      const bool files_too =
          !places[i].in_place && !places[k].in_place && places[i].path == places[k].path;
      if (both && (streams || files_too)) {
        return usage_error("%s %s and %s %s are the same file", names[k], paths[k], names[i],
                           paths[i]);
      }
    }
  }
  return {};
}

}  // namespace

Status check_train_files(const Instance& instance, const TrainFiles& files) {
  if (files.resume && files.checkpoint == nullptr)
    return usage_error("--resume needs --checkpoint FILE");
  if (files.overwrite && files.checkpoint == nullptr)
    return usage_error("--overwrite needs --checkpoint FILE");
  if (files.resume && files.overwrite) {
    return usage_error(
        "--resume and --overwrite: one goes on from the checkpoint, the other starts anew");
  }
  for (const char* path : {files.out, files.checkpoint}) {
    if (path != nullptr) GRADC_RT_TRY(check_writable(path));
  }
  if (files.log != nullptr) {  // one that exists is written in place: its folder may be closed
    OutputPlace place;
    GRADC_RT_TRY(find_output(files.log, &place));
    if (place.exists) {
      remove_abandoned(place.path.c_str());
    } else {
      GRADC_RT_TRY(check_writable(files.log));
    }
  }
  if (files.checkpoint != nullptr) GRADC_RT_TRY(check_checkpoint(files));
  if (files.keep_best > 0) GRADC_RT_TRY(check_kept(files));
  GRADC_RT_TRY(check_apart(files));
  return check_room(instance, files);
}

}  // namespace gradc::rt
