// Every option that writes a file, on every kind of thing that its name can stand for: right, or
// refused with nothing lost.
#include "support/json.h"
#include "tests/unit/driver/process.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <thread>

namespace gradc::test {
namespace {

/// A command that writes the file PLACE.
struct Writer {
  const char* name;
  const char* arguments;  ///< after the tool; MODEL, DATA, WEIGHTS, STEP, BUFFERS, PLACE are filled
  bool text = false;      ///< can be written to what is no regular file
  bool in_parts = false;  ///< a line at a time: what exists is written in place
};

const Writer kWriters[] = {
    {"train --out", "train MODEL --data DATA --epochs 1 --out PLACE", true},
    {"train --checkpoint", "train MODEL --data DATA --epochs 1 --overwrite --checkpoint PLACE",
     true},
    {"train --log", "train MODEL --data DATA --epochs 1 --log PLACE", true, true},
    {"eval --report", "eval MODEL --data DATA --weights WEIGHTS --report PLACE.json"},
    {"predict --out", "predict MODEL --weights WEIGHTS --in INPUT --out PLACE.npy"},
    {"new table -o", "new table DATA -o PLACE", true},
    {"bench --trace", "bench MODEL --steps 1 --trace PLACE", true},
    {"run --out", "run MODEL --entry predict --in STEP --out PLACE", true},
    {"inspect -o", "inspect MODEL -o PLACE", true},
    {"inspect --format html", "inspect MODEL --format html -o PLACE", true},
    {"opt -o", "opt GRAPH --passes=cse -o PLACE", true},
    {"plan --out", "plan --buffers BUFFERS --out PLACE", true},
    {"compile --emit asm", "compile MODEL --emit asm -o PLACE", true},
    {"compile --emit llvm", "compile MODEL --emit llvm -o PLACE", true},
    {"compile --emit obj", "compile MODEL --emit obj -o PLACE"},
    {"compile --emit exe", "compile MODEL -o PLACE"},
    {"compile --emit static", "compile MODEL --emit static -o PLACE"},
    {"program --out", "@ train --data DATA --epochs 1 --out PLACE", true},
    {"program --checkpoint", "@ train --data DATA --epochs 1 --overwrite --checkpoint PLACE", true},
    {"program --log", "@ train --data DATA --epochs 1 --log PLACE", true, true},
    {"program predict", "@ predict --weights WEIGHTS --in INPUT --out PLACE.npy"},
};

class Outputs : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    small_ = std::make_unique<SmallTraining>();
    ASSERT_EQ(small_->compile().code, 0);
    const Outcome trained =
        shell(line_of(small_->by_jit()) + "--epochs 1 --out " + (*small_ / "weights.safetensors"));
    ASSERT_EQ(trained.code, 0) << trained.output;
    write_text_file(*small_ / "buffers.csv", "id,lower,upper,size\na,0,2,64\nb,1,3,32\n");
    write_text_file(*small_ / "input.csv", "a,b,c,d\n1,2,3,4\n");
    ASSERT_EQ(gradc("inspect " + small_->model() + " --stage graph -o " + (*small_ / "g.gir")).code,
              0);
    // One row as the exact door wants it.
    std::string header = R"({"input/x":{"dtype":"F32","shape":[1,4],"data_offsets":[0,16]}})";
    header.resize((header.size() + 7) / 8 * 8, ' ');
    std::string bytes(8, '\0');
    bytes[0] = static_cast<char>(header.size());
    write_text_file(*small_ / "step.safetensors", bytes + header + std::string(16, '\0'));
  }
  static void TearDownTestSuite() { small_.reset(); }

  static std::string replaced(std::string text, const std::string& what, const std::string& by) {
    for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size())
      text.replace(at, what.size(), by);
    return text;
  }
  static Outcome run(const Writer& writer, const std::string& place,
                     const std::string& before = "") {
    std::string line = writer.arguments;
    line = line[0] == '@' ? (*small_ / "program") + line.substr(1) : tool() + " " + line;
    line = replaced(line, "MODEL", small_->model());
    line = replaced(line, "DATA", "'" + (*small_ / "data.csv") + ":target=y'");
    line = replaced(line, "WEIGHTS", *small_ / "weights.safetensors");
    line = replaced(line, "INPUT", *small_ / "input.csv");
    line = replaced(line, "STEP", *small_ / "step.safetensors");
    line = replaced(line, "GRAPH", *small_ / "g.gir");
    line = replaced(line, "BUFFERS", *small_ / "buffers.csv");
    return shell(before + replaced(line, "PLACE", place));
  }
  /// PLACE, PLACE.npy or PLACE.json.
  static std::string file_of(const Writer& writer, const std::string& place) {
    const std::string_view rest = std::strstr(writer.arguments, "PLACE") + std::strlen("PLACE");
    return place + std::string(rest.substr(0, rest.find(' ')));
  }
  static struct stat look(const std::string& path) {
    struct stat info{};
    EXPECT_EQ(lstat(path.c_str(), &info), 0) << path;
    return info;
  }

  static std::unique_ptr<SmallTraining> small_;
};

std::unique_ptr<SmallTraining> Outputs::small_;

TEST_F(Outputs, ADeviceStaysADevice) {
  const Scratch scratch;
  for (const Writer& writer : kWriters) {
    const std::string device = file_of(writer, scratch / "null");
    std::filesystem::remove(device);
    if (mknod(device.c_str(), S_IFCHR | 0666, makedev(1, 3)) != 0)
      GTEST_SKIP() << "device nodes are for root";
    const Outcome outcome = run(writer, scratch / "null");
    const bool takes = writer.text || device != scratch / "null";
    EXPECT_EQ(outcome.code, takes ? 0 : 1) << writer.name << "\n" << outcome.output;
    EXPECT_TRUE(S_ISCHR(look(device).st_mode)) << writer.name;
  }
  for (const auto& entry : std::filesystem::directory_iterator(scratch / "."))
    EXPECT_TRUE(entry.is_character_file()) << entry.path();  // no header beside, nothing else
}

TEST_F(Outputs, AFullDeviceIsAnError) {
  for (const Writer& writer : kWriters) {
    if (!writer.text) continue;
    const Outcome outcome = run(writer, "/dev/full");
    EXPECT_EQ(outcome.code, 1) << writer.name << "\n" << outcome.output;
    EXPECT_NE(outcome.output.find("No space left"), std::string::npos) << outcome.output;
  }
}

TEST_F(Outputs, APipeIsWrittenAsItIs) {
  const Scratch scratch;
  for (const Writer& writer : kWriters) {
    if (!writer.text) continue;
    std::filesystem::remove(scratch / "fifo");
    ASSERT_EQ(mkfifo((scratch / "fifo").c_str(), 0600), 0);
    std::string seen;
    std::thread reader([&] { seen = read_file(scratch / "fifo"); });
    const Outcome outcome = run(writer, scratch / "fifo", "timeout 60 ");
    // Lets the reader go if nobody came to write.
    const int release = open((scratch / "fifo").c_str(), O_WRONLY | O_NONBLOCK);
    if (release >= 0) close(release);
    reader.join();
    EXPECT_EQ(outcome.code, 0) << writer.name << "\n" << outcome.output;
    EXPECT_GT(seen.size(), 20U) << writer.name;
    EXPECT_TRUE(S_ISFIFO(look(scratch / "fifo").st_mode)) << writer.name;
  }
}

TEST_F(Outputs, LinksAreFollowedAndModesKept) {
  for (const Writer& writer : kWriters) {
    const Scratch scratch;
    std::filesystem::create_directory(scratch / "real");
    const std::string link = file_of(writer, scratch / "link");
    ASSERT_EQ(symlink("real/target", link.c_str()), 0);
    Outcome outcome = run(writer, scratch / "link");
    ASSERT_EQ(outcome.code, 0) << writer.name << "\n" << outcome.output;
    EXPECT_TRUE(S_ISLNK(look(link).st_mode)) << writer.name;
    EXPECT_TRUE(S_ISREG(look(scratch / "real/target").st_mode)) << writer.name;
    const bool executable = std::strstr(writer.name, "exe") != nullptr;
    EXPECT_EQ((look(scratch / "real/target").st_mode & 0111U) != 0, executable) << writer.name;
    ASSERT_EQ(chmod((scratch / "real/target").c_str(), 0640), 0);
    outcome = run(writer, scratch / "link");
    ASSERT_EQ(outcome.code, 0) << writer.name << "\n" << outcome.output;
    EXPECT_TRUE(S_ISLNK(look(link).st_mode)) << writer.name;
    EXPECT_EQ(look(scratch / "real/target").st_mode & 0777U, executable ? 0750U : 0640U)
        << writer.name;
    EXPECT_EQ(temporaries_in(scratch / "."), 0U);
    EXPECT_EQ(temporaries_in(scratch / "real"), 0U);
  }
}

TEST_F(Outputs, WhatCannotBeWrittenIsSaidBeforeTheWork) {
  const Scratch scratch;
  std::filesystem::create_directory(scratch / "folder");
  for (const char* ending : {".npy", ".json"})
    std::filesystem::create_directory(scratch / "folder" + ending);
  const std::string long_name(300, 'n');
  for (const Writer& writer : kWriters) {
    for (const std::string& place :
         {scratch / "folder", scratch / "no/such/place", scratch / long_name}) {
      const Outcome outcome = run(writer, place);
      EXPECT_EQ(outcome.code, 1) << writer.name << "\n" << outcome.output;
      EXPECT_EQ(outcome.output.find("epoch 1/1"), std::string::npos) << writer.name;
      EXPECT_NE(outcome.output.find("error"), std::string::npos) << outcome.output;
    }
  }
  EXPECT_TRUE(std::filesystem::is_empty(scratch / "folder"));
}

// Whatever a command reads is there afterwards, also when an output is another name of it.
TEST_F(Outputs, NothingThatIsReadIsOverwritten) {
  std::vector<Writer> writers(std::begin(kWriters), std::end(kWriters));
  writers.insert(writers.end(),
                 {{"train --log beside --weights",
                   "train MODEL --data DATA --weights WEIGHTS --epochs 1 --log PLACE"},
                  {"run --out of a graph", "run GRAPH --in STEP --out PLACE"},
                  {"inspect -o of a graph", "inspect GRAPH -o PLACE"},
                  {"inspect --profile", "inspect MODEL --format html --profile BUFFERS -o PLACE"},
                  {"convert -o", "convert MODEL --weights WEIGHTS -o PLACE.safetensors"}});
  const std::pair<const char*, const char*> inputs[] = {
      {"MODEL", "model.json"},   {"DATA", "data.csv"},         {"WEIGHTS", "weights.safetensors"},
      {"INPUT", "input.csv"},    {"STEP", "step.safetensors"}, {"GRAPH", "g.gir"},
      {"BUFFERS", "buffers.csv"}};
  for (const Writer& writer : writers) {
    for (const auto& [word, name] : inputs) {
      if (std::strstr(writer.arguments, word) == nullptr) continue;
      const Scratch scratch;
      const std::string file = *small_ / name;
      ASSERT_EQ(symlink(file.c_str(), file_of(writer, scratch / "link").c_str()), 0);
      const std::string bytes = read_file(file);
      ASSERT_FALSE(bytes.empty()) << file;
      const Outcome outcome = run(writer, scratch / "link");
      EXPECT_EQ(outcome.code, 1) << writer.name << " " << word << "\n" << outcome.output;
      EXPECT_NE(outcome.output.find("it would be overwritten"), std::string::npos)
          << writer.name << " " << word << "\n"
          << outcome.output;
      ASSERT_TRUE(read_file(file) == bytes) << writer.name << " " << word;
    }
  }
}

TEST_F(Outputs, AModelInTheModelIsNotOverwritten) {
  const Scratch scratch;
  const std::string inner = scratch / "inner.json", bytes = read_file(small_->model());
  write_text_file(inner, bytes);
  write_text_file(scratch / "outer.json", R"({"model": "inner.json"})");
  for (const char* option : {"--out", "--log", "--overwrite --checkpoint"}) {
    const Outcome outcome = gradc("train " + (scratch / "outer.json") + " --epochs 1 --data '" +
                                  (*small_ / "data.csv") + ":target=y' " + option + " " + inner);
    EXPECT_EQ(outcome.code, 1) << option;
    EXPECT_NE(outcome.output.find("it would be overwritten"), std::string::npos) << outcome.output;
    EXPECT_TRUE(read_file(inner) == bytes) << option;
  }
}

TEST_F(Outputs, AReadOnlyFileIsKeptFromOtherUsers) {
  if (geteuid() != 0) GTEST_SKIP() << "becoming another user is for root";
  if (shell("setpriv --reuid 65534 true").code != 0) GTEST_SKIP() << "setpriv cannot be used";
  // Everything below the folders must be reachable for the other user.
  if (shell("setpriv --reuid 65534 " + tool() + " --version").code != 0)
    GTEST_SKIP() << "the build folder is closed to other users";
  const Scratch scratch;
  ASSERT_EQ(chmod((scratch / ".").c_str(), 0777), 0);
  ASSERT_EQ(chmod((*small_ / ".").c_str(), 0755), 0);
  for (const Writer& writer : kWriters) {
    const std::string file = file_of(writer, scratch / "old");
    write_text_file(file, "old");
    ASSERT_EQ(chmod(file.c_str(), 0444), 0);
    ASSERT_EQ(chown(file.c_str(), 65534, 65534), 0);
    const Outcome outcome = run(writer, scratch / "old",
                                "setpriv --reuid 65534 --regid 65534 "
                                "--clear-groups ");
    EXPECT_EQ(outcome.code, 1) << writer.name << "\n" << outcome.output;
    EXPECT_NE(outcome.output.find("Permission denied"), std::string::npos) << outcome.output;
    EXPECT_EQ(read_file(file), "old") << writer.name;
    EXPECT_EQ(temporaries_in(scratch / "."), 0U);
  }
}

TEST_F(Outputs, AFullDiskLeavesWhatWasThere) {
  const Scratch scratch;
  const std::string disk = scratch / "disk";
  std::filesystem::create_directory(disk);
  if (mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=64k") != 0)
    GTEST_SKIP() << "mounting is for root";
  write_text_file(disk + "/filler", std::string(56 << 10, 'x'));
  for (const Writer& writer : kWriters) {
    const std::string file = file_of(writer, disk + "/old");
    write_text_file(file, "old");
    write_text_file(disk + "/more", std::string(64 << 10, 'x'));  // as much as there is room
    const Outcome outcome = run(writer, disk + "/old");
    EXPECT_EQ(outcome.code, 1) << writer.name << "\n" << outcome.output;
    EXPECT_TRUE(outcome.output.find("No space left") != std::string::npos ||
                outcome.output.find("are free") != std::string::npos)
        << writer.name << "\n"
        << outcome.output;
    EXPECT_EQ(read_file(file), "old") << writer.name;
    EXPECT_EQ(temporaries_in(disk), 0U) << writer.name;
    std::filesystem::remove(file);
    std::filesystem::remove(disk + "/more");
  }
  EXPECT_EQ(umount(disk.c_str()), 0);
}

TEST_F(Outputs, StandardOutput) {
  const Scratch scratch;
  for (const Writer& writer : kWriters) {
    if (!writer.text || std::strstr(writer.name, "checkpoint") != nullptr) continue;
    const Outcome to_file = run(writer, scratch / "file");
    ASSERT_EQ(to_file.code, 0) << writer.name << "\n" << to_file.output;
    for (const char* name : {"-", "/dev/stdout"}) {
      const std::string out = scratch / "stdout";
      // What shell() appends becomes a comment.
      const Outcome outcome = run(writer, std::string(name) + " > " + out + " 2> /dev/null #");
      EXPECT_EQ(outcome.code, 0) << writer.name << "\n" << outcome.output;
      const std::string seen = read_file(out);
      if (writer.in_parts) {  // the speed differs
        EXPECT_EQ(seen.rfind("{\"epoch\":1", 0), 0U) << writer.name;
        EXPECT_EQ(seen.find('\n'), seen.size() - 1) << writer.name << seen;
      } else if (std::strstr(writer.name, "bench") != nullptr) {  // its times differ
        EXPECT_TRUE(Json::accept(seen)) << seen;
      } else if (std::strstr(writer.name, "plan") == nullptr) {
        EXPECT_TRUE(seen == read_file(scratch / "file")) << writer.name;
      }
    }
  }
}

TEST_F(Outputs, AnInputIsNotOverwritten) {
  const std::string model = read_file(small_->model());
  for (const char* line :
       {"compile MODEL -o MODEL", "compile MODEL --emit asm -o MODEL", "inspect MODEL -o MODEL",
        "run MODEL --entry predict --in STEP --out "
        "STEP",
        "train MODEL --data DATA --epochs 1 --out *CSV",
        "predict MODEL --weights WEIGHTS --in INPUT --out INPUT"}) {
    const std::string filled = replaced(line, "*CSV", *small_ / "data.csv");
    const Outcome outcome = run({"", filled.c_str()}, "");
    EXPECT_GE(outcome.code, 1) << line << "\n" << outcome.output;
    EXPECT_LE(outcome.code, 2) << line << "\n" << outcome.output;
    EXPECT_EQ(read_file(small_->model()), model);
    EXPECT_EQ(read_file(*small_ / "data.csv").substr(0, 9), "a,b,c,d,y");
    EXPECT_EQ(read_file(*small_ / "input.csv").substr(0, 7), "a,b,c,d");
  }
}

TEST_F(Outputs, AHeaderTakesThePlaceOfHeadersOfOursOnly) {
  const Scratch scratch;
  const Writer writer = {"", "compile MODEL --emit obj -o PLACE"};
  EXPECT_EQ(run(writer, scratch / "net.o").code, 0);
  EXPECT_EQ(run(writer, scratch / "net.o").code, 0);  // again
  const Outcome itself = run(writer, scratch / "small_net.h");
  EXPECT_EQ(itself.code, 1);
  EXPECT_NE(itself.output.find("is the name of the C header"), std::string::npos);
  write_text_file(scratch / "small_net.h", "int mine;\n");
  const std::string object = read_file(scratch / "net.o");
  const Outcome foreign = run(writer, scratch / "net.o");
  EXPECT_EQ(foreign.code, 1);
  EXPECT_NE(foreign.output.find("which gradc did not write"), std::string::npos) << foreign.output;
  EXPECT_EQ(read_file(scratch / "small_net.h"), "int mine;\n");
  EXPECT_TRUE(read_file(scratch / "net.o") == object);
}

TEST_F(Outputs, AFailingCompilationLeavesNothing) {
  const Scratch scratch;
  for (const char* emit : {"exe", "static", "shared", "obj"}) {
    for (const char* compiler :
         {"false", "true"}) {  // fails; says that all is well, writes nothing
      const Outcome outcome = shell(std::string("env CC=") + compiler + " " + tool() + " compile " +
                                    small_->model() + " --emit " + emit + " -o " + (scratch / "x"));
      EXPECT_EQ(outcome.code, 1) << compiler << " " << emit << "\n" << outcome.output;
      EXPECT_TRUE(std::filesystem::is_empty(scratch / ".")) << compiler << " " << emit;
    }
  }
}

TEST_F(Outputs, TwoRunsIntoOneTarget) {
  const Scratch scratch;
  const std::string one = line_of(small_->by_jit()) + "--epochs 20 --overwrite --checkpoint " +
                          (scratch / "c") + " --out " + (scratch / "w") + " > /dev/null 2>&1";
  write_text_file(scratch / "script",
                  one + " &\np=$!\n" + one + "\na=$?\nwait $p\necho codes $a $?\n");
  const Outcome both = shell("sh " + (scratch / "script"));
  EXPECT_NE(both.output.find("codes 0 0"), std::string::npos) << both.output;
  EXPECT_NE(read_file(scratch / "w").find("gradc-weights/1"), std::string::npos);
  EXPECT_EQ(temporaries_in(scratch / "."), 0U);
}

}  // namespace
}  // namespace gradc::test
