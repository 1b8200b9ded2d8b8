// Output files: the one way in which gradc, compiled programs and libraries write. A regular file
// appears whole or not at all: a temporary file beside it, fsync, rename, fsync of the folder.
// Symbolic links are followed, permission bits and owner kept. What is no regular file (a device, a
// pipe, "-" for standard output) is never replaced: it is written in place.
#pragma once

#include "runtime/memory.h"
#include "runtime/status.h"

#include <sys/stat.h>

namespace gradc::rt {

/// What stands behind the name of an output file.
struct OutputPlace {
  Str path;                      // of the file itself, behind all links
  bool in_place = false;         // no regular file: written as it is
  bool standard_output = false;  // "-", or a name of what standard output is
  bool exists = false;           // a regular file is there and will be replaced
  struct stat info{};            // of the regular file that exists
};

/// Looks `path` up; refuses what cannot be written: a folder, a socket, what the permissions
/// forbid, a file in a folder that does not exist.
Status find_output(const char* path, OutputPlace* place);
/// The same, and that a file can be made in the folder: what a long computation asks before it
/// begins. Opens no pipe and no device.
Status check_writable(const char* path);

/// Removes the temporary files of a target that no living run holds.
void remove_abandoned(const char* target);
/// Whether `path` is standard output, so that nothing else may be written there.
bool is_standard_output(const char* path);
/// Whether two names stand for one file; false if one of them does not exist.
bool is_same_file(const char* one, const char* other);
/// Whether `path` is a file that a data set's text names: "file.csv" of "file.csv:target=x", or
/// "v.csv" of "file.csv:validation=v.csv". Colons and equals signs may be parts of names.
bool names_file(const char* data, const char* path);

/// Writes one file; without commit() nothing has happened (where nothing is written in place).
class OutputFile {
 public:
  OutputFile() = default;
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  ~OutputFile();

  /// Temporary files that killed runs left for the same target are removed.
  Status open(const char* path, bool executable = false);
  Status write(const void* data, size_t bytes);
  /// Makes what was written durable, still under its temporary name.
  Status finish();
  /// The file appears under its own name.
  Status commit();

 private:
  static void abandon(void* self);
  Status create_temporary();
  void keep_owner_and_mode();

  Str path_;  // as given, for messages
  OutputPlace place_;
  Str temporary_;
  int descriptor_ = -1;
  bool executable_ = false;
  bool finished_ = false;
  Held held_{&OutputFile::abandon, this};
};

/// write() until all is written; signals for closed pipes and for the size limit do not arrive.
/// False with errno set when it fails.
bool write_whole(int descriptor, const void* data, size_t bytes);

}  // namespace gradc::rt
