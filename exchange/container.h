// Which file a path is, by what is in it: the description of a network, weights, or both.
#pragma once

#include "runtime/file.h"
#include "support/result.h"
#include "support/source_file.h"

#include <string>

namespace gradc::exchange {

enum class ContainerKind {
  kOther,  ///< a JSON file, or anything else
  kTfjs,   ///< model.json with a manifest of weights, or the folder that it is in
  kH5,
  kKeras,  ///< a zip archive
};

/// What is looked at is the file's beginning, never its name.
ContainerKind container_kind(const std::string& path);

/// model.json of a folder; any other path as it is.
std::string file_in_folder(const std::string& path);

/// A member of a .keras archive; `archive` is its bytes.
Result<rt::Bytes> read_keras_member(const std::string& path, const rt::Bytes& archive,
                                    const std::string& member);
/// The bytes of an archive.
Result<rt::Bytes> read_archive(const std::string& path);

}  // namespace gradc::exchange
