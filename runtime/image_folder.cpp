// A folder for each class, in one of train, validation and test or not.
#include "runtime/image_folder.h"

#include "runtime/csv_classes.h"
#include "runtime/dataset.h"
#include "runtime/text.h"

#include <algorithm>
#include <strings.h>

namespace gradc::rt {
namespace {

constexpr const char* kParts[][3] = {
    {"train", "training", ""}, {"validation", "val", "valid"}, {"test", "testing", ""}};
constexpr const char* kSuffixes[] = {"", "_val", "_test"};

// One file: its class and its path.
struct ImageFile {
  Str path;
  Str name;  // without folders
  size_t kind = 0;

  // By name, so that classes are mixed where files are numbered throughout.
  bool operator<(const ImageFile& other) const {
    return name == other.name ? kind < other.kind : name < other.name;
  }
};

// The files of a part and the folders that they are in.
struct ImagePart {
  Vec<Str> classes;  // in byte order; empty: files without a class
  Vec<ImageFile> files;
};

bool has_images(const char* path) {
  Vec<Str> names;
  if (!list_directory(path, &names).ok()) return false;
  for (const Str& name : names)
    if (is_image_name(name)) return true;
  return false;
}

bool has_class_folders(const char* path) {
  Vec<Str> names;
  if (!is_directory(path) || !list_directory(path, &names).ok()) return false;
  for (const Str& name : names) {
    const Str full = join_path(path, name.c_str());
    if (name[0] != '.' && is_directory(full.c_str()) && has_images(full.c_str())) return true;
  }
  return false;
}

// The folder of a part, by any of its names.
Str part_folder(const char* path, size_t part) {
  for (const char* name : kParts[part]) {
    const Str full = join_path(path, name);
    if (*name != '\0' && has_class_folders(full.c_str())) return full.clone();
  }
  return {};
}

Status add_files(const Str& folder, size_t kind, Vec<ImageFile>* files) {
  Vec<Str> names;
  GRADC_RT_TRY(list_directory(folder.c_str(), &names));
  for (const Str& name : names) {
    if (!is_image_name(name)) continue;
    files->push({join_path(folder.c_str(), name.c_str()), name.clone(), kind});
  }
  return {};
}

Status list_part(const char* path, ImagePart* part) {
  Vec<Str> names;
  GRADC_RT_TRY(list_directory(path, &names));
  for (const Str& name : names) {
    const Str full = join_path(path, name.c_str());
    if (name[0] == '.' || !is_directory(full.c_str()) || !has_images(full.c_str())) continue;
    GRADC_RT_TRY(add_files(full, part->classes.size(), &part->files));
    part->classes.push(name.clone());
  }
  if (part->classes.empty()) GRADC_RT_TRY(add_files(Str(path), 0, &part->files));
  std::sort(part->files.begin(), part->files.end());
  return {};
}

int64_t channels_of(const gradc_rt_tensor& input) {
  return input.rank == 4 ? input.dims[3] : 1;
}

const gradc_rt_tensor* only(const gradc_rt_model& model, int64_t kind) {
  const gradc_rt_tensor* found = nullptr;
  for (int64_t i = 0; i < model.num_tensors; ++i) {
    const gradc_rt_tensor& tensor = model.tensors[i];
    if (tensor.kind != kind || is_sample_weight(tensor)) continue;
    if (found != nullptr) return nullptr;
    found = &tensor;
  }
  return found;
}

class ImageLoader {
 public:
  ImageLoader(const Loading& loading, const char* path)
      : loading_(loading),
        model_(loading.model),
        path_(path),
        input_(only(loading.model, GRADC_RT_INPUT)),
        target_(only(loading.model, GRADC_RT_TARGET)) {}

  Status run() {
    GRADC_RT_TRY(check_model());
    Str folders[3];
    bool any = false;
    for (size_t p = 0; p < 3; ++p) {
      folders[p] = part_folder(path_, p);
      any = any || !folders[p].empty();
    }
    if (!any) folders[0] = Str(path_);
    for (size_t p = 0; p < 3; ++p) {
      if (folders[p].empty()) continue;
      ImagePart part;
      GRADC_RT_TRY(list_part(folders[p].c_str(), &part));
      GRADC_RT_TRY(read_part(folders[p], part, kSuffixes[p]));
    }
    return {};
  }

 private:
  size_t index(const gradc_rt_tensor* tensor) const {
    return static_cast<size_t>(tensor - model_.tensors);
  }

  Status check_model() const {
    const int64_t channels = input_ == nullptr ? 0 : channels_of(*input_);
    const bool fits = input_ != nullptr && (input_->rank == 3 || input_->rank == 4) &&
                      (channels == 1 || channels == 3 || channels == 4);
    if (!fits) {
      return error(
          "%s: images need a model with one input [height, width] or [height, width, channels], "
          "1, 3 or 4 of them",
          path_);
    }
    if (loading_.images == nullptr) {
      return error(
          "%s: is a folder of images, which this program does not read: gradc itself does, here "
          "arrays are expected (.npy, .npz, IDX files)",
          path_);
    }
    return {};
  }

  Status read_part(const Str& folder, ImagePart& part, const char* suffix) {
    Vec<Str> paths;
    for (ImageFile& file : part.files)
      paths.push(static_cast<Str&&>(file.path));
    ImageForm form;
    const gradc_rt_data* rule = input_->data;
    form.channels = channels_of(*input_);
    if (rule != nullptr && rule->resize_height > 0) {
      form.height = rule->resize_height;
      form.width = rule->resize_width;
      form.fit = rule->resize_fit;
      form.filter = rule->resize_filter;
    }
    const bool resized = form.height > 0;
    Array images;
    GRADC_RT_TRY(loading_.images->read(paths.span(), &form, &images.data));
    const bool larger = form.height >= input_->dims[1] && form.width >= input_->dims[2];
    const bool same = form.height == input_->dims[1] && form.width == input_->dims[2];
    if (!resized && !same && !(rule != nullptr && rule->crop != 0 && larger)) {
      return error(
          "%s: is %lldx%lld, %s needs %lldx%lld: \"resize\": {} in its rule in the model's "
          "\"data\" makes all images fit",
          shown(paths[0], 200).c_str(), static_cast<long long>(form.height),
          static_cast<long long>(form.width), input_->name, static_cast<long long>(input_->dims[1]),
          static_cast<long long>(input_->dims[2]));
    }
    images.name = format("%s%s", input_->name, suffix);
    images.source = folder.clone();
    images.dtype = Dtype::kU8;
    images.dims.push(static_cast<int64_t>(paths.size()));
    images.dims.push(form.height);
    images.dims.push(form.width);
    if (input_->rank == 4) images.dims.push(form.channels);
    loading_.arrays->push(static_cast<Array&&>(images));
    if (part.classes.empty()) return {};
    return add_classes(folder, part, suffix);
  }

  // The number of each folder: in byte order, or as the model was trained with, or as the part that
  // is trained on has them.
  Status add_classes(const Str& folder, const ImagePart& part, const char* suffix) {
    if (target_ == nullptr || !takes_classes(*target_)) {
      if (loading_.whole) return {};
      return error("%s: has a folder for each class, the model has no single target of classes",
                   folder.c_str());
    }
    const size_t target = index(target_);
    Vec<Str>& names = (*loading_.meanings)[target].classes;
    if (names.empty()) {
      const bool known = loading_.known != nullptr && !(*loading_.known)[target].classes.empty();
      names = known ? (*loading_.known)[target].classes.clone() : part.classes.clone();
    }
    Vec<size_t> places;
    GRADC_RT_TRY(match_some(folder.c_str(), "classes", part.classes, names, &places));
    const int64_t classes = target_->data != nullptr ? target_->data->classes : 0;
    if (classes > 0 && static_cast<int64_t>(names.size()) > classes) {
      return error("%s: has %zu folders of images, %s tells %lld classes apart: %s", folder.c_str(),
                   names.size(), target_->name, static_cast<long long>(classes),
                   shown_list(names).c_str());
    }
    Array numbers;
    numbers.name = format("%s%s", target_->name, suffix);
    numbers.source = format("%s: folders", folder.c_str());
    numbers.dtype = Dtype::kI32;
    numbers.dims.push(static_cast<int64_t>(part.files.size()));
    numbers.data.resize(part.files.size() * sizeof(int32_t));
    for (size_t i = 0; i < part.files.size(); ++i) {
      store_i64(numbers.data.data(), Dtype::kI32, i,
                static_cast<int64_t>(places[part.files[i].kind]));
    }
    loading_.arrays->push(static_cast<Array&&>(numbers));
    return {};
  }

  const Loading& loading_;
  const gradc_rt_model& model_;
  const char* path_;
  const gradc_rt_tensor* input_;
  const gradc_rt_tensor* target_;
};

}  // namespace

bool is_image_name(const Str& name) {
  if (name.empty() || name[0] == '.') return false;
  for (const char* ending : {".png", ".jpg", ".jpeg"}) {
    const size_t length = strlen(ending);
    if (name.size() > length && strcasecmp(name.c_str() + name.size() - length, ending) == 0)
      return true;
  }
  return false;
}

bool is_image_folder(const char* path) {
  if (has_images(path) || has_class_folders(path)) return true;
  for (size_t p = 0; p < 3; ++p)
    if (!part_folder(path, p).empty()) return true;
  return false;
}

Status load_images(const Loading& loading, const char* path) {
  return ImageLoader(loading, path).run();
}

}  // namespace gradc::rt
