// Lines are written whole: after a failure the part that was written is taken back.
#include "runtime/epoch_log.h"

#include "runtime/file.h"
#include "runtime/interrupted.h"
#include "runtime/json.h"
#include "runtime/output_file.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

namespace gradc::rt {
namespace {

// The epoch of a line that a training wrote; 0 for any other line.
int64_t epoch_of(const char* line, size_t length) {
  JsonReader json(line, length);
  Str key;
  int64_t epoch = 0;
  const bool ours =
      json.eat('{') && json.string(&key) && key == "epoch" && json.eat(':') && json.integer(&epoch);
  return ours ? epoch : 0;
}

// What stays of a log of which `epochs_done` epochs count: each of them once; not a line without
// an end, which a killed run left.
Bytes kept_lines(const Bytes& old, int64_t epochs_done) {
  Bytes kept;
  const char* at = reinterpret_cast<const char*>(old.data());
  const char* end = at + old.size();
  int64_t last = 0;
  while (at < end) {
    const void* newline = memchr(at, '\n', static_cast<size_t>(end - at));
    if (newline == nullptr) break;
    const size_t length = static_cast<size_t>(static_cast<const char*>(newline) - at) + 1;
    const int64_t epoch = epoch_of(at, length);
    if (epoch == 0 || (epoch > last && epoch <= epochs_done)) {
      kept.append(reinterpret_cast<const uint8_t*>(at), length);
      last = std::max(last, epoch);
    }
    at += length;
  }
  return kept;
}

}  // namespace

EpochLog::~EpochLog() {
  abandon(this);
}

void EpochLog::abandon(void* self) {
  EpochLog* log = static_cast<EpochLog*>(self);
  if (log->descriptor_ >= 0) close(log->descriptor_);
  log->descriptor_ = -1;
}

Status EpochLog::trim(const char* path, int64_t epochs_done) {
  Bytes old;
  GRADC_RT_TRY(read_file(path, &old));
  const Bytes kept = kept_lines(old, epochs_done);
  if (kept.size() == old.size()) return {};
  OutputFile file;
  GRADC_RT_TRY(file.open(path));
  GRADC_RT_TRY(file.write(kept.data(), kept.size()));
  return file.commit();
}

Status EpochLog::open(const char* path, int64_t epochs_done, bool durable) {
  path_ = Str(path);
  OutputPlace place;
  GRADC_RT_TRY(find_output(path, &place));
  const bool exists = S_ISREG(place.info.st_mode) && !place.standard_output;
  regular_ = exists || !place.in_place;
  durable_ = durable && regular_;
  if (exists && epochs_done >= 0) GRADC_RT_TRY(trim(path, epochs_done));
  if (place.standard_output) {
    fflush(stdout);
    descriptor_ = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
  } else {
    const int create = regular_ ? O_CREAT | O_APPEND | (epochs_done < 0 ? O_TRUNC : 0) : O_NOCTTY;
    const char* target = place.in_place ? path : place.path.c_str();
    target_ = Str(target);
    descriptor_ = open_descriptor(target, O_WRONLY | create, 0666);
  }
  return descriptor_ >= 0 ? Status{} : error("%s: cannot write: %s", path, strerror(errno));
}

void EpochLog::write(const Str& line) {
  if (descriptor_ < 0 || !status_.ok()) return;
  Str whole = line.clone();
  whole.push('\n');
  const off_t before = regular_ ? lseek(descriptor_, 0, SEEK_END) : -1;
  bool written = write_whole(descriptor_, whole.c_str(), whole.size());
  if (written && durable_)
    written = again_if_interrupted([&] { return fdatasync(descriptor_); }) == 0;
  wrote_ = wrote_ || written;
  if (written) return;
  status_ = error("%s: cannot write: %s; the log ends here", path_.c_str(), strerror(errno));
  if (before >= 0) (void)again_if_interrupted([&] { return ftruncate(descriptor_, before); });
}

// Written over the line's end in one piece: a run that is killed here leaves one line or the other.
void EpochLog::amend(const Str& members) {
  constexpr char kEnd[] = "}\n";
  if (descriptor_ < 0 || !status_.ok() || !regular_ || !wrote_ || members.empty()) return;
  const int file = open_descriptor(target_.c_str(), O_RDWR, 0);
  if (file < 0) return;
  const off_t end = lseek(file, 0, SEEK_END) - 2;
  char last[2] = {};
  if (end > 0 && pread(file, last, 2, end) == 2 && memcmp(last, kEnd, 2) == 0) {
    Str more(",");
    more.append(members.c_str());
    more.append(kEnd);
    if (pwrite(file, more.c_str(), more.size(), end) != static_cast<ssize_t>(more.size())) {
      status_ = error("%s: cannot write: %s", path_.c_str(), strerror(errno));
      if (pwrite(file, kEnd, 2, end) == 2) (void)ftruncate(file, end + 2);
    }
  }
  close(file);
}

}  // namespace gradc::rt
