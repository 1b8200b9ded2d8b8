#include "runtime/kept_epochs.h"

#include "runtime/file.h"
#include "runtime/interrupted.h"
#include "runtime/monitor.h"
#include "runtime/number.h"
#include "runtime/output_file.h"
#include "runtime/weights.h"

#include <cerrno>
#include <cmath>
#include <cstring>
#include <sys/stat.h>
#include <unistd.h>

namespace gradc::rt {
namespace {

// "folder/run" of "folder/run.safetensors": the name without the ending that says its format.
Str stem_of(const char* path) {
  Str stem(path);
  for (const char* ending : {".safetensors", ".keras", ".h5"})
    if (stem.ends_with(ending)) return stem.part(0, stem.size() - strlen(ending));
  return stem;
}

// Four digits: a name is for people, the checkpoint has the number.
Str short_text(double value) {
  if (value == 0) return Str("0");
  const double unit = std::pow(10.0, 3 - std::floor(std::log10(std::fabs(value))));
  const double rounded = std::round(value * unit) / unit;
  return number_text(std::isfinite(rounded) ? rounded : value);
}

// The place in the list of the worst; of equal values the latest.
size_t worst_of(const Vec<KeptEpoch>& kept, int64_t mode) {
  size_t worst = 0;
  for (size_t i = 1; i < kept.size(); ++i)
    if (!improves(kept[i].value, kept[worst].value, mode, 0)) worst = i;
  return worst;
}

void take_out(Vec<KeptEpoch>* kept, size_t index) {
  Vec<KeptEpoch> rest;
  for (size_t i = 0; i < kept->size(); ++i)
    if (i != index) rest.push((*kept)[i]);
  kept->swap(rest);
}

// A regular file alone: what has taken its name since is not ours.
Status remove_file(const Str& path) {
  struct stat info{};
  if (lstat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return {};
  if (again_if_interrupted([&] { return unlink(path.c_str()); }) == 0 || errno == ENOENT) return {};
  return error("%s: an epoch that is no longer among the best cannot be removed: %s", path.c_str(),
               strerror(errno));
}

}  // namespace

Str kept_path(const KeepBest& options, const KeptEpoch& epoch) {
  Str path = stem_of(options.beside);
  path.appendf(".epoch%03lld.%s%s.safetensors", static_cast<long long>(epoch.epoch),
               monitor_or_default(options.monitor), short_text(epoch.value).c_str());
  return path;
}

Status keep_epoch(const Instance& instance, const KeepBest& options, KeptEpoch epoch,
                  Vec<KeptEpoch>* kept) {
  const size_t most = static_cast<size_t>(options.keep);
  if (kept->size() >= most &&
      !improves(epoch.value, (*kept)[worst_of(*kept, options.mode)].value, options.mode, 0))
    return {};
  GRADC_RT_TRY(save_tensors(instance, kept_path(options, epoch).c_str(), false));
  kept->push(epoch);
  while (kept->size() > most) {
    const size_t worst = worst_of(*kept, options.mode);
    const Str path = kept_path(options, (*kept)[worst]);
    take_out(kept, worst);
    GRADC_RT_TRY(remove_file(path));
  }
  return {};
}

Str kept_text(const Vec<KeptEpoch>& kept) {
  Str text;
  for (const KeptEpoch& one : kept) {
    text.appendf("%s%lld:%s", text.empty() ? "" : " ", static_cast<long long>(one.epoch),
                 number_text(one.value).c_str());
  }
  return text;
}

bool parse_kept(const char* text, Vec<KeptEpoch>* kept) {
  while (*text != '\0') {
    const size_t length = strcspn(text, " ");
    const Str one(text, length);
    const char* colon = strchr(one.c_str(), ':');
    KeptEpoch epoch;
    if (colon == nullptr) return false;
    const Str number = one.part(0, static_cast<size_t>(colon - one.c_str()));
    if (!parse_integer(number.c_str(), &epoch.epoch) || !parse_double(colon + 1, &epoch.value))
      return false;
    kept->push(epoch);
    text += length;
    text += *text == ' ' ? 1 : 0;
  }
  return true;
}

void forget_missing(const KeepBest& options, int64_t epoch, Vec<KeptEpoch>* kept) {
  Vec<KeptEpoch> there;
  for (const KeptEpoch& one : *kept)
    if (one.epoch <= epoch && file_exists(kept_path(options, one).c_str())) there.push(one);
  kept->swap(there);
}

}  // namespace gradc::rt
