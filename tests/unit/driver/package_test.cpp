// The installed package, as a user's project finds it.
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>

namespace gradc::test {
namespace {

/// A project that asks for a version of gradc and builds a C and a C++ host.
void write_project(const Scratch& folder, const std::string& version) {
  write_text_file(
      folder / "CMakeLists.txt",
      "cmake_minimum_required(VERSION 3.25)\nproject(user C CXX)\n"
      "set(CMAKE_CXX_STANDARD 20)\nfind_package(gradc " +
          version +
          " REQUIRED)\n"
          "add_executable(one main.c)\ntarget_link_libraries(one PRIVATE gradc::libgradc)\n"
          "add_executable(two main.cpp)\ntarget_link_libraries(two PRIVATE gradc::libgradc)\n");
  write_text_file(folder / "main.c",
                  "#include <gradc/gradc.h>\n#include <stdio.h>\n"
                  "int main(void) { puts(gradc_version()); return 0; }\n");
  write_text_file(folder / "main.cpp",
                  "#include <gradc/session.h>\n#include <cstdio>\n"
                  "int main() { gradc::SessionStatus s; auto m = gradc::Session::parse(\"{}\", "
                  "\"m\", {}, &s);\n"
                  "  std::puts(m == nullptr && !s.ok() ? \"refused\" : \"?\"); }\n");
}

TEST(Package, IsFoundByItsVersionAndNoOther) {
  const Scratch prefix, project;
  const Outcome installed =
      shell("cmake --install " + std::string(GRADC_BINARY_DIR) + " --prefix " + (prefix / ""));
  ASSERT_EQ(installed.code, 0) << installed.output;
  const std::string configure = "cmake -G Ninja -S " + (project / "") + " -B " +
                                (project / "build") + " -DCMAKE_PREFIX_PATH=" + (prefix / "");
  write_project(project, "0.1");
  const Outcome found = shell(configure);
  ASSERT_EQ(found.code, 0) << found.output;
  const Outcome built = shell("cmake --build " + (project / "build"));
  ASSERT_EQ(built.code, 0) << built.output;
  EXPECT_EQ(shell(project / "build/one").output.substr(0, 4), "0.1.");
  EXPECT_EQ(shell(project / "build/two").output, "refused\n");
  for (const char* version : {"9", "0.2", "1.0", "0.1.99", "0.0"}) {
    write_project(project, version);
    std::filesystem::remove_all(project / "build");
    const Outcome refused = shell(configure);
    EXPECT_NE(refused.code, 0) << version;
    EXPECT_NE(refused.output.find("version"), std::string::npos) << refused.output;
  }
  write_project(project, "");
  std::filesystem::remove_all(project / "build");
  EXPECT_EQ(shell(configure).code, 0);
}

TEST(Package, IsFoundByPkgConfigWhereverItIs) {
  if (shell("pkg-config --version").code != 0) GTEST_SKIP() << "no pkg-config";
  const Scratch prefix;
  const std::string root = prefix / "opt/here";
  ASSERT_EQ(shell("cmake --install " + std::string(GRADC_BINARY_DIR) + " --prefix " + root).code,
            0);
  const Outcome flags = shell("PKG_CONFIG_PATH=$(dirname $(find " + root +
                              " -name gradc.pc)) pkg-config --cflags --libs gradc");
  ASSERT_EQ(flags.code, 0) << flags.output;
  write_text_file(prefix / "main.c",
                  "#include <gradc/gradc.h>\n#include <stdio.h>\n"
                  "int main(void) { puts(gradc_version()); return 0; }\n");
  const std::string words = flags.output.substr(0, flags.output.find('\n'));
  const Outcome built =
      shell("cc " + (prefix / "main.c") + " -o " + (prefix / "main") + " " + words);
  ASSERT_EQ(built.code, 0) << built.output;
  EXPECT_EQ(shell("LD_LIBRARY_PATH=" + root + "/lib:" + root + "/lib/x86_64-linux-gnu " +
                  (prefix / "main"))
                .output.substr(0, 4),
            "0.1.");
}

TEST(Package, DebianPackagesHaveWhatPeopleLookFor) {
  if (shell("dpkg-deb --version").code != 0) GTEST_SKIP() << "no dpkg";
  const Scratch folder;
  const Outcome made =
      shell("cd " + (folder / "") + " && cpack --config " + std::string(GRADC_BINARY_DIR) +
            "/CPackConfig.cmake -B " + (folder / "") +
            " -D CPACK_STRIP_FILES=OFF -D CPACK_DEBIAN_PACKAGE_SHLIBDEPS=OFF -D "
            "CPACK_DEBIAN_COMPRESSION_TYPE=none");
  ASSERT_EQ(made.code, 0) << made.output;
  const auto holds = [&](const std::string& package, const std::vector<std::string>& files) {
    const Outcome list = shell("dpkg -c " + (folder / (package + "_0.1.0_*.deb")));
    EXPECT_EQ(list.code, 0) << list.output;
    for (const std::string& file : files)
      EXPECT_NE(list.output.find(file), std::string::npos) << package << file << list.output;
  };
  std::vector<std::string> of_gradc = {"/bin/gradc\n", "/doc/gradc/examples/lenet.json\n",
                                       "/doc/gradc/copyright\n", "/doc/gradc/data.md\n"};
  if (shell("test -d " + std::string(GRADC_BINARY_DIR) + "/manual").code == 0) {
    of_gradc.insert(of_gradc.end(),
                    {"/man/man1/gradc-train.1\n", "/completions/gradc\n",
                     "/site-functions/_gradc\n", "/gradc.fish\n", "/gradc/model.schema.json\n"});
  }
  holds("gradc", of_gradc);
  holds("libgradc", {"/libgradc.so."});
  holds("python3-gradc", {"/lib/python3/dist-packages/gradc/__init__.py\n"});
  holds("libgradc-dev",
        {"/include/gradc/gradc.h\n", "/libgradc.so ->", "/gradc.pc\n", "/gradc-config.cmake\n"});
}

// CC is a command, not only a name.
TEST(Compiler, CcHasWordsAsInAShell) {
  const Scratch folder;
  write_text_file(folder / "m.json", R"({"inputs": [{"name": "x", "shape": [3]}],
    "layers": [{"type": "dense", "units": 2}], "training": {"loss": "mse", "optimizer": "sgd", "batch_size": 4}})");
  const auto compile = [&](const std::string& cc, const std::string& emit) {
    return shell("CC=" + cc + " " + tool() + " compile " + (folder / "m.json") + " --emit " + emit +
                 " -o " + (folder / "out"));
  };
  for (const char* emit : {"exe", "static", "shared", "obj"})
    EXPECT_EQ(compile("'env gcc'", emit).code, 0) << emit;
  EXPECT_EQ(compile("'  gcc   -O1 '", "exe").code, 0);
  EXPECT_EQ(compile("'env \"A=two words\" gcc'", "exe").code, 0);
  EXPECT_EQ(compile("\"env 'A=it is' gcc\"", "exe").code, 0);
  EXPECT_EQ(compile("''", "exe").code, 0);
  EXPECT_EQ(compile("'  '", "exe").code, 0);
  std::filesystem::create_symlink("/usr/bin/gcc", folder / "my gcc");
  EXPECT_EQ(compile("'" + (folder / "my gcc") + "'", "exe").code, 0);
  for (const char* bad :
       {"no-such-compiler", "'ccache-of-nobody gcc'", "\"gcc 'open\"", "'gcc \\'", "/", "\"''\""}) {
    std::filesystem::remove(folder / "out");
    const Outcome refused = compile(bad, "exe");
    EXPECT_EQ(refused.code, 1) << bad << refused.output;
    EXPECT_NE(refused.output.find("error: "), std::string::npos) << refused.output;
    EXPECT_FALSE(std::filesystem::exists(folder / "out"));
  }
  // A name is a word, never a command of a shell.
  EXPECT_EQ(compile("'gcc; touch " + (folder / "evil") + "'", "exe").code, 1);
  EXPECT_FALSE(std::filesystem::exists(folder / "evil"));
}

}  // namespace
}  // namespace gradc::test
