#include "exchange/media/folder.h"

#include "runtime/csv_classes.h"
#include "runtime/text.h"

#include "exchange/media/images/image.h"

#include <algorithm>
#include <numeric>
#include <strings.h>
#include <vector>

namespace gradc::exchange {
namespace {

using rt::Status;
using rt::Str;
using rt::Vec;

constexpr const char* kParts[][3] = {
    {"train", "training", ""}, {"validation", "val", "valid"}, {"test", "testing", ""}};
constexpr const char* kSuffixes[] = {"", "_val", "_test"};

struct MediaKind {
  const char* many;
  std::vector<const char*> endings;
};

const MediaKind& kind_of(Media) {
  static const MediaKind kImages = {"images", {".png", ".jpg", ".jpeg"}};
  return kImages;
}

bool is_any_name(const char* name) {
  return is_media_name(Media::kImage, name);
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
  for (const char* name : kParts[part]) {
    Str full = rt::join_path(path, name);
    if (*name != '\0' && !class_folders(full.c_str()).empty()) return full;
  }
  return {};
}

bool reads(const char* path) {
  if (!rt::is_directory(path)) return is_any_name(rt::base_name(path).c_str());
  if (has_files(path) || !class_folders(path).empty()) return true;
  for (size_t p = 0; p < std::size(kParts); ++p)
    if (!part_folder(path, p).empty()) return true;
  return false;
}

// The files of a part and the folders that they are in.
struct Part {
  Vec<Str> classes;  // in byte order; empty: files without a class
  Vec<Str> paths;
  std::vector<size_t> kinds;  // the class of each
};

Media media_of(const gradc_rt_tensor&) {
  return Media::kImage;
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
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return names[a] < names[b]; });
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
  return read_images(input, paths, out);
}

Status load_part(const rt::Loading& loading, const gradc_rt_tensor& input, const Str& folder,
                 const char* suffix) {
  const Media media = media_of(input);
  const Part part = list_part(folder.c_str(), media);
  if (part.paths.empty())
    return rt::error("%s: has no %s for %s", folder.c_str(), kind_of(media).many, input.name);
  rt::Array examples;
  examples.name = rt::format("%s%s", input.name, suffix);
  examples.source = folder.clone();
  GRADC_RT_TRY(read(input, {part.paths.data(), part.paths.size()}, &examples));
  loading.arrays->push(static_cast<rt::Array&&>(examples));
  return part.classes.empty() ? Status() : add_classes(loading, folder, part, suffix);
}

Status load(const rt::Loading& loading, const char* path) {
  const gradc_rt_tensor* input = only(loading.model, GRADC_RT_INPUT);
  if (input == nullptr)
    return rt::error("%s: files of one example each need a model with one input", path);
  Str folders[std::size(kParts)];
  for (size_t p = 0; p < std::size(kParts); ++p)
    folders[p] = part_folder(path, p);
  if (std::all_of(std::begin(folders), std::end(folders),
                  [](const Str& folder) { return folder.empty(); }))
    folders[0] = Str(path);
  for (size_t p = 0; p < std::size(kParts); ++p)
    if (!folders[p].empty()) GRADC_RT_TRY(load_part(loading, *input, folders[p], kSuffixes[p]));
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
