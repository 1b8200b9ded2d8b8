#include "exchange/media/folder.h"

#include "runtime/csv_classes.h"
#include "runtime/csv_options.h"
#include "runtime/text.h"

#include "exchange/media/images/image.h"
#include "exchange/media/sound/sound.h"

#include <algorithm>
#include <numeric>
#include <strings.h>
#include <vector>

namespace gradc::exchange {
namespace {

using rt::Status;
using rt::Str;
using rt::Vec;

constexpr const char* kSuffixes[] = {"", "_val", "_test"};

struct MediaKind {
  const char* many;
  std::vector<const char*> endings;
  const char* advice;  // where an input needs the other kind
};

const MediaKind& kind_of(Media media) {
  static const MediaKind kImages = {
      "images",
      {".png", ".jpg", ".jpeg"},
      " (\"sound\": {\"rate\": ...} in its rule in the model's \"data\" takes recordings)"};
  static const MediaKind kSounds = {
      "recordings",
      {".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".au"},
      " (\"sound\" in its rule in the model's \"data\" takes recordings alone)"};
  return media == Media::kImage ? kImages : kSounds;
}

bool is_any_name(const char* name) {
  return is_media_name(Media::kImage, name) || is_media_name(Media::kSound, name);
}

Vec<Str> names_in(const char* path) {
  Vec<Str> names;
  if (!rt::is_directory(path) || !rt::list_directory(path, &names).ok()) return {};
  return names;
}

bool has_files(const char* path) {
  const Vec<Str> names = names_in(path);
  return std::any_of(names.begin(), names.end(),
                     [](const Str& name) { return is_any_name(name.c_str()); });
}

// The folders of classes, in byte order.
Vec<Str> class_folders(const char* path) {
  Vec<Str> folders;
  for (const Str& name : names_in(path))
    if (name[0] != '.' && has_files(rt::join_path(path, name.c_str()).c_str()))
      folders.push(name.clone());
  return folders;
}

// The folder of a part, by any of its names.
Str part_folder(const char* path, size_t part) {
  for (const char* name : rt::kPartNames[part]) {
    Str full = rt::join_path(path, name);
    if (*name != '\0' && !class_folders(full.c_str()).empty()) return full;
  }
  return {};
}

// Where the first option begins behind a path that it does not belong to.
size_t path_length(const char* spec) {
  size_t length = strlen(spec);
  for (const char* option : {":validation=", ":test=", ":fold=", ":seed="}) {
    const char* found = strstr(spec, option);
    if (found != nullptr) length = std::min(length, static_cast<size_t>(found - spec));
  }
  return length;
}

bool reads(const char* spec) {
  const Str whole(spec, path_length(spec));
  const char* path = whole.c_str();
  if (!rt::is_directory(path)) return is_any_name(rt::base_name(path).c_str());
  if (has_files(path) || !class_folders(path).empty()) return true;
  for (size_t p = 0; p < std::size(rt::kPartNames); ++p)
    if (!part_folder(path, p).empty()) return true;
  return false;
}

// The files of a part and the folders that they are in.
struct Part {
  Vec<Str> classes;  // in byte order; empty: files without a class
  Vec<Str> paths;
  std::vector<size_t> kinds;  // the class of each
};

Media media_of(const gradc_rt_tensor& input) {
  const bool sound = input.data != nullptr && input.data->sound_rate > 0;
  return sound ? Media::kSound : Media::kImage;
}

void add_files(const char* folder, Media media, size_t kind, Part* part) {
  for (const Str& name : names_in(folder)) {
    if (!is_media_name(media, name.c_str())) continue;
    part->paths.push(rt::join_path(folder, name.c_str()));
    part->kinds.push_back(kind);
  }
}

// By their names, so that classes are mixed where files are numbered throughout.
void sort_by_name(Part* part) {
  std::vector<Str> names;
  for (const Str& path : part->paths)
    names.push_back(rt::base_name(path.c_str()));
  std::vector<size_t> order(names.size());
  std::iota(order.begin(), order.end(), size_t{0});
  // (std::stable_sort calls what libstdc++ 12 itself marks as deprecated.)
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return names[a] < names[b] || (!(names[b] < names[a]) && a < b);
  });
  Vec<Str> paths;
  std::vector<size_t> kinds;
  for (const size_t i : order) {
    paths.push(static_cast<Str&&>(part->paths[i]));
    kinds.push_back(part->kinds[i]);
  }
  part->paths = static_cast<Vec<Str>&&>(paths);
  part->kinds = std::move(kinds);
}

Part list_part(const char* path, Media media) {
  Part part;
  part.classes = class_folders(path);
  for (size_t c = 0; c < part.classes.size(); ++c)
    add_files(rt::join_path(path, part.classes[c].c_str()).c_str(), media, c, &part);
  if (!rt::is_directory(path)) {
    part.paths.push(Str(path));
    part.kinds.push_back(0);
  } else if (part.classes.empty()) {
    add_files(path, media, 0, &part);
  }
  sort_by_name(&part);
  return part;
}

const gradc_rt_tensor* only(const gradc_rt_model& model, int64_t kind) {
  const gradc_rt_tensor* found = nullptr;
  for (int64_t i = 0; i < model.num_tensors; ++i) {
    const gradc_rt_tensor& tensor = model.tensors[i];
    if (tensor.kind != kind || rt::is_sample_weight(tensor)) continue;
    if (found != nullptr) return nullptr;
    found = &tensor;
  }
  return found;
}

// The number of each folder: in byte order, or as the model was trained with, or as the part that
// is trained on has them.
Status add_classes(const rt::Loading& loading, const Str& folder, const Part& part,
                   const char* suffix) {
  const gradc_rt_tensor* target = only(loading.model, GRADC_RT_TARGET);
  if (target == nullptr || !rt::takes_classes(*target)) {
    if (loading.whole) return {};
    return rt::error("%s: has a folder for each class, the model has no single target of classes",
                     folder.c_str());
  }
  const auto index = static_cast<size_t>(target - loading.model.tensors);
  Vec<Str>& names = (*loading.meanings)[index].classes;
  if (names.empty()) {
    const bool known = loading.known != nullptr && !(*loading.known)[index].classes.empty();
    names = known ? (*loading.known)[index].classes.clone() : part.classes.clone();
  }
  Vec<size_t> places;
  GRADC_RT_TRY(rt::match_some(folder.c_str(), "classes", part.classes, names, &places));
  const int64_t classes = target->data != nullptr ? target->data->classes : 0;
  if (classes > 0 && static_cast<int64_t>(names.size()) > classes) {
    return rt::error("%s: has %zu folders, %s tells %lld classes apart: %s", folder.c_str(),
                     names.size(), target->name, static_cast<long long>(classes),
                     rt::shown_list(names).c_str());
  }
  rt::Array numbers;
  numbers.name = rt::format("%s%s", target->name, suffix);
  numbers.source = rt::format("%s: folders", folder.c_str());
  numbers.dtype = rt::Dtype::kI32;
  numbers.dims.push(static_cast<int64_t>(part.kinds.size()));
  numbers.data.resize(part.kinds.size() * sizeof(int32_t));
  for (size_t i = 0; i < part.kinds.size(); ++i) {
    rt::store_i64(numbers.data.data(), rt::Dtype::kI32, i,
                  static_cast<int64_t>(places[part.kinds[i]]));
  }
  loading.arrays->push(static_cast<rt::Array&&>(numbers));
  return {};
}

Status read(const gradc_rt_tensor& input, rt::Span<const Str> paths, rt::Array* out) {
  out->files.clear();
  for (const Str& path : paths)
    out->files.push(path.clone());
  return media_of(input) == Media::kSound ? read_sounds(input, paths, out)
                                          : read_images(input, paths, out);
}

// Those of the last arrays that a part is drawn of.
Status draw(const rt::Loading& loading, const char* path, const rt::CsvSplit& split,
            const Part& part, size_t first) {
  Vec<int32_t> classes;
  for (const size_t kind : part.kinds)
    classes.push(static_cast<int32_t>(kind));
  Vec<rt::RowPart> parts;
  GRADC_RT_TRY(rt::draw_parts(path, split, part.paths.size(), classes, &parts));
  const size_t end = loading.arrays->size();
  for (size_t i = first; i < end; ++i) {
    rt::Array held[2];
    rt::move_parts(parts, &(*loading.arrays)[i], &held[0], &held[1]);
    for (rt::Array& one : held)
      if (one.rows() > 0) loading.arrays->push(static_cast<rt::Array&&>(one));
  }
  return {};
}

Status load_part(const rt::Loading& loading, const gradc_rt_tensor& input, const Str& folder,
                 const char* suffix, const rt::CsvSplit& split) {
  const Media media = media_of(input);
  const Part part = list_part(folder.c_str(), media);
  if (part.paths.empty())
    return rt::error("%s: has no %s for %s%s", folder.c_str(), kind_of(media).many, input.name,
                     kind_of(media).advice);
  const size_t first = loading.arrays->size();
  rt::Array examples;
  examples.name = rt::format("%s%s", input.name, suffix);
  examples.source = folder.clone();
  GRADC_RT_TRY(read(input, {part.paths.data(), part.paths.size()}, &examples));
  loading.arrays->push(static_cast<rt::Array&&>(examples));
  if (!part.classes.empty()) GRADC_RT_TRY(add_classes(loading, folder, part, suffix));
  return split.any() && !loading.whole ? draw(loading, folder.c_str(), split, part, first)
                                       : Status();
}

Status load(const rt::Loading& loading, const char* spec) {
  const size_t length = path_length(spec);
  const Str whole(spec, length);
  const char* path = whole.c_str();
  rt::CsvOptions options;
  if (spec[length] == ':') GRADC_RT_TRY(rt::parse_csv_options(path, spec + length + 1, &options));
  const bool more = !options.targets.empty() || !options.dropped.empty() ||
                    !options.weights.empty() || !options.files.empty() || !options.parts.empty() ||
                    !options.validation_file.empty() || !options.test_file.empty() ||
                    options.has_separator || options.skip > 0;
  if (more)
    return rt::error(
        "%s: behind a folder stand validation=FRACTION, test=FRACTION, fold=K/N and seed=NUMBER "
        "alone",
        path);
  const gradc_rt_tensor* input = only(loading.model, GRADC_RT_INPUT);
  if (input == nullptr)
    return rt::error("%s: files of one example each need a model with one input", path);
  Str folders[std::size(rt::kPartNames)];
  for (size_t p = 0; p < std::size(rt::kPartNames); ++p)
    folders[p] = part_folder(path, p);
  if (std::all_of(std::begin(folders), std::end(folders),
                  [](const Str& folder) { return folder.empty(); }))
    folders[0] = Str(path);
  for (size_t p = 1; p < std::size(rt::kPartNames); ++p) {
    const double drawn = p == 1                    ? options.split.validation
                         : options.split.folds > 0 ? 1.0
                                                   : options.split.test;
    if (drawn > 0 && !folders[p].empty())
      return rt::error("%s: has a folder of the %s part, which is to be drawn too", path,
                       rt::kPartNames[p][0]);
  }
  for (size_t p = 0; p < std::size(rt::kPartNames); ++p) {
    if (folders[p].empty()) continue;
    const rt::CsvSplit split = p == 0 ? options.split : rt::CsvSplit();
    GRADC_RT_TRY(load_part(loading, *input, folders[p], kSuffixes[p], split));
  }
  return {};
}

constexpr rt::ExampleReader kReader{reads, load, read};

}  // namespace

bool is_media_name(Media media, const char* name) {
  if (*name == '.') return false;
  const size_t size = strlen(name);
  return std::ranges::any_of(kind_of(media).endings, [&](const char* ending) {
    const size_t length = strlen(ending);
    return size > length && strcasecmp(name + size - length, ending) == 0;
  });
}

const rt::ExampleReader* media_reader() {
  return &kReader;
}

}  // namespace gradc::exchange
