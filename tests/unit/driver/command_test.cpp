// The command's exit codes, and the diagnostics that need a machine that is not as it should be.
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace gradc::test {
namespace {

const std::string kModel = source("examples/regression_100.json");

TEST(Command, ExitCodes) {
  EXPECT_EQ(gradc("--help").code, 0);
  EXPECT_EQ(gradc("--version").code, 0);
  EXPECT_EQ(gradc("").code, 2);
  EXPECT_EQ(gradc("train").code, 2);
  EXPECT_EQ(gradc("inspect " + kModel + " --stage nonsense").code, 2);
  EXPECT_EQ(gradc("inspect /no/such/model.json").code, 1);
  for (const char* page : {"ops", "layers", "schema"})
    EXPECT_EQ(gradc(page).code, 0) << page;
}

TEST(Command, WrongUsageSaysWhatWasExpected) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"trian", "there is no command \"trian\"; did you mean \"train\"?"},
      {"nothing", "there is no command \"nothing\"; \"gradc --help\" lists them"},
      {"train " + kModel, "--data SPEC (or --input NAME=FILE and --target NAME=FILE) is required"},
      {"train " + kModel + " --data x --epochs many",
       "--epochs many: expected a whole number from 0 to 1000000000"},
      {"train " + kModel + " --data x --seed -1",
       "--seed -1: expected a whole number from 0 to 2^64 - 1"},
      {"bench " + kModel + " --seconds 0", "\"0\" is no number above 0"},
      {"inspect " + kModel + " --entry nonsense",
       "--entry: there is no \"nonsense\"; it is one of predict, evaluate"},
      {"inspect " + kModel + " --stage fuzed",
       "--stage: there is no \"fuzed\"; did you mean \"fused\"?"},
      {"compile " + kModel + " -o x --emit static_lib", "--emit: there is no \"static_lib\""},
      {"train " + kModel + " --epoch 3 --optimizr=x",
       "there is no option \"--epoch\"; did you mean \"--epochs\"?\n  there is no option "
       "\"--optimizr\"\n"},
      {"plan " + kModel + " more", "\"more\" is one argument too many"},
      {"--hlp", "there is no option \"--hlp\"; did you mean \"--help\"?"},
      {"new tabel x.csv", "gradc new: there is no command \"tabel\"; did you mean \"table\"?"},
      {"help trian", "COMMAND: there is no \"trian\"; did you mean \"train\"?"},
      {"layers Dens", "NAME: there is no \"Dens\"; did you mean \"dense\"?"},
      {"inspect x.gir --format html", "--format html is for models"},
      {"plan " + kModel + " --memory-budget x", "\"x\" is no size"},
      {"predict " + kModel + " --weights x --in x --out x.txt",
       "expected a .npy, .safetensors or .csv file"},
  };
  for (const auto& [arguments, text] : cases) {
    const Outcome outcome = gradc(arguments);
    EXPECT_EQ(outcome.code, 2) << arguments << "\n" << outcome.output;
    EXPECT_NE(outcome.output.find(text), std::string::npos) << arguments << "\n" << outcome.output;
  }
}

TEST(Command, AnUnknownPassIsWrongUsageWhereverItStands) {
  const Scratch scratch;
  const std::string file = scratch / "step.gir";
  ASSERT_EQ(gradc("inspect " + kModel + " --stage gradient -o " + file).code, 0);
  EXPECT_EQ(gradc("opt " + file + " --passes=cse,dce --stop-after cse").code, 0);
  for (const char* options :
       {"--passes=none", "--passes=cse --stop-after none", "--passes=cse --print-after none",
        "--passes=cse --debug-counter none:1"})
    EXPECT_EQ(gradc("opt " + file + " " + options).code, 2) << options;
}

TEST(Command, SummaryCountsSharedLayersOnceAndSaysWhereInputsComeFrom) {
  const Outcome chain = gradc("summary " + source("examples/lenet.json"));
  EXPECT_EQ(chain.code, 0) << chain.output;
  EXPECT_NE(chain.output.find("conv2d_1 (conv2d)                (None, 11, 11, 64)   18,496\n"),
            std::string::npos)
      << chain.output;
  EXPECT_NE(chain.output.find("Total params: 225,034 (879.04 KiB)\n"), std::string::npos);
  EXPECT_EQ(chain.output.find("Connected to"), std::string::npos);
  const Scratch scratch;
  write_text_file(scratch / "m.json", R"({"name": "twins",
    "inputs": [{"name": "a", "shape": [4]}, {"name": "b", "shape": [4]}],
    "layers": [{"type": "dense", "name": "tower", "units": 3, "inputs": "a"},
               {"type": "shared", "layer": "tower", "name": "again", "inputs": "b"},
               {"type": "batch_norm", "name": "norm", "inputs": "again"},
               {"type": "add", "name": "sum", "inputs": ["tower", "norm"]}]})");
  const Outcome twins = gradc("summary " + (scratch / "m.json"));
  EXPECT_EQ(twins.code, 0) << twins.output;
  for (const char* line : {"(shared)  b\n", "tower, norm\n", "Total params: 27 (108 B)\n",
                           "Trainable params: 21\n", "Non-trainable params: 6\n"})
    EXPECT_NE(twins.output.find(line), std::string::npos) << line << twins.output;
  const Outcome json = gradc("summary --json " + (scratch / "m.json"));
  const auto read = nlohmann::json::parse(json.output, nullptr, false);
  ASSERT_FALSE(read.is_discarded()) << json.output;
  EXPECT_EQ(read["parameters"], 27);
  EXPECT_EQ(read["layers"].size(), 6U);
  EXPECT_EQ(read["layers"][5]["inputs"], nlohmann::json({"tower", "norm"}));
}

/// The names of all commands, as --help lists them.
std::vector<std::string> commands() {
  std::string help = gradc("help").output;
  help.erase(0, help.find("\nCommands:\n") + 11);
  std::istringstream lines(help.substr(0, help.find("\n\n")));
  std::vector<std::string> names;
  for (std::string line; std::getline(lines, line);) {
    if (line.size() > 2 && line[2] != ' ') names.push_back(line.substr(2, line.find(' ', 2) - 2));
  }
  return names;
}

TEST(Command, EveryCommandHasHelpAManPageAndCompletions) {
  const std::vector<std::string> names = commands();
  ASSERT_GE(names.size(), 19U);
  const std::string bash = gradc("completion bash").output;
  const std::string zsh = gradc("completion zsh").output;
  const std::string fish = gradc("completion fish").output;
  for (const std::string& name : names) {
    const Outcome help = gradc("help " + name);
    EXPECT_EQ(help.code, 0) << name;
    EXPECT_NE(help.output.find("Usage: gradc " + name), std::string::npos) << help.output;
    EXPECT_EQ(help.output, gradc(name + " --help").output) << name;
    const Outcome man = gradc("man " + name);
    EXPECT_EQ(man.code, 0) << name;
    EXPECT_EQ(man.output.find(".TH gradc\\-" + name + " 1"), 0U) << man.output;
    const bool is_group = bash.find("command='" + name + " '") != std::string::npos;
    EXPECT_NE(bash.find("'" + name + (is_group ? " table" : "") + ":'-*) words="),
              std::string::npos)
        << name;
    EXPECT_NE(zsh.find("    " + name + ")\n"), std::string::npos) << name;
    EXPECT_NE(fish.find(" -a " + name + " -d "), std::string::npos) << name;
  }
}

TEST(Command, CompletionCompletesInBash) {
  const auto completes = [](const std::string& words, int at) {
    return shell("bash -c 'source <(" + tool() + " completion bash); COMP_WORDS=(" + words +
                 "); COMP_CWORD=" + std::to_string(at) + "; _gradc; echo \"${COMPREPLY[@]}\"'")
        .output;
  };
  EXPECT_EQ(completes("gradc tra", 1), "train\n");
  EXPECT_EQ(completes("gradc inspect m.json --stage fus", 4), "fused\n");
  EXPECT_EQ(completes("gradc train --checkp", 2), "--checkpoint\n");
  EXPECT_EQ(completes("gradc completion z", 2), "zsh\n");
}

TEST(Command, AFullDiskIsNoticed) {
  for (const char* arguments : {"schema", "ops", "--version"}) {
    const Outcome outcome = shell("sh -c '" + tool() + " " + arguments + " > /dev/full'");
    EXPECT_EQ(outcome.code, 1) << arguments;
    EXPECT_NE(outcome.output.find("cannot write to standard output"), std::string::npos)
        << outcome.output;
  }
}

TEST(Command, CrossEntropyOfWhatTheOutputIsNotIsWarnedOf) {
  const Scratch scratch;
  const auto warning = [&](const char* activation, const char* loss) {
    write_text_file(scratch / "m.json", std::string(R"({"inputs": [{"name": "x", "shape": [4]}],
      "layers": [{"type": "dense", "units": 3)") +
                                            activation + R"(}], "training": {"loss": )" + loss +
                                            R"(, "optimizer": "sgd"}})");
    const Outcome outcome = gradc("plan " + (scratch / "m.json"));
    EXPECT_EQ(outcome.code, 0) << outcome.output;
    return outcome.output.find("warning: ") == std::string::npos
               ? std::string()
               : outcome.output.substr(outcome.output.find("warning: "), 60);
  };
  const char* plain = R"("categorical_crossentropy")";
  const char* logits = R"({"type": "categorical_crossentropy", "from_logits": true})";
  const char* softmax = R"(, "activation": "softmax")";
  EXPECT_EQ(warning(softmax, plain), "");
  EXPECT_EQ(warning("", logits), "");
  EXPECT_NE(warning("", plain).find("wants probabilities"), std::string::npos);
  EXPECT_NE(warning(softmax, logits).find("\"from_logits\" is true"), std::string::npos);
}

TEST(Command, WarningsAreSilencedByName) {
  const Scratch scratch;
  write_text_file(scratch / "m.json", R"({"inputs": [{"name": "x", "shape": [4]}],
    "layers": [{"type": "dense", "units": 3}, {"type": "dense", "units": 3, "inputs": "x"}],
    "training": {"loss": "categorical_crossentropy",
                 "optimizer": {"type": "adam", "learning_rate": 3}}})");
  const auto kinds = [&](const std::string& options) {
    const Outcome outcome = gradc("plan " + (scratch / "m.json") + " --json " + options);
    EXPECT_EQ(outcome.code, 0) << outcome.output;
    std::string found;
    for (size_t at = 0; (at = outcome.output.find("warning: ", at)) != std::string::npos; ++at) {
      const size_t begin = outcome.output.find(" [", at) + 2;
      found += outcome.output.substr(begin, outcome.output.find(']', begin) - begin) + " ";
    }
    return found;
  };
  EXPECT_EQ(kinds(""), "unused-layer missing-softmax learning-rate ");
  EXPECT_EQ(kinds("--no-warn learning-rate"), "unused-layer missing-softmax ");
  EXPECT_EQ(kinds("--no-warn unused-layer --no-warn=missing-softmax"), "learning-rate ");
  const Outcome unknown = gradc("plan " + (scratch / "m.json") + " --no-warn softmax");
  EXPECT_EQ(unknown.code, 2) << unknown.output;
  EXPECT_NE(unknown.output.find("missing-class, missing-softmax"), std::string::npos)
      << unknown.output;
}

TEST(Command, AModelLargerThanTheMemoryIsRefused) {
  const Scratch scratch;
  write_text_file(scratch / "m.json", R"({"inputs": [{"name": "x", "shape": [1000000]}],
    "layers": [{"type": "dense", "units": 10000000}],
    "training": {"loss": "mse", "optimizer": "sgd", "batch_size": 1}})");
  write_text_file(scratch / "d.csv", "a,y\n1,2\n");
  const Outcome bench = gradc("bench " + (scratch / "m.json"));
  EXPECT_EQ(bench.code, 1) << bench.output;
  EXPECT_NE(bench.output.find("[plan-memory]"), std::string::npos) << bench.output;
  const Outcome train = gradc("train " + (scratch / "m.json") + " --data " + (scratch / "d.csv"));
  EXPECT_EQ(train.code, 1) << train.output;
  EXPECT_NE(train.output.find("--force trains all the same"), std::string::npos) << train.output;
}

TEST(Command, NamesFromElsewhereReachNoTerminal) {
  const Scratch scratch;
  const std::string escape = "red\x1b[31m\xC2\x9B\xE2\x80\xAE";
  write_text_file(scratch / "g.gir", "graph @g {\n  input %x : f32[2] {name=\"" + escape +
                                         "\"}\n  output %x {name=\"" + escape + "\"}\n}\n");
  write_text_file(scratch / "b.csv", "id,lower,upper,size\n" + escape + "\xFF,0,1,8\n");
  const auto clean = [](const Outcome& outcome) {
    for (const char* raw : {"\x1b", "\xC2\x9B", "\xE2\x80\xAE", "\xFF"})
      EXPECT_EQ(outcome.output.find(raw), std::string::npos) << outcome.output;
    EXPECT_NE(outcome.code, 70) << outcome.output;
  };
  for (const char* format : {"text", "dot", "json"})
    clean(gradc("inspect " + (scratch / "g.gir") + " --format " + format));
  clean(gradc("plan --json --buffers " + (scratch / "b.csv")));
  clean(gradc("inspect '" + (scratch / escape) + "'"));
  clean(gradc("inspekt" + std::string("\x1b")));
}

TEST(Command, WhatAVerifierFindsEndsWith70) {
  const Scratch scratch;
  write_text_file(scratch / "g.gir",
                  "graph @g {\n  input %x : f32[2]\nforward:\n  %0 = exp %x : f32[2]\n"
                  "  %1 = neg %0 : f32[2]\n  return %1\n}\n");
  const std::string opt =
      "opt " + (scratch / "g.gir") + " --passes=cse,dce --verify-each -o " + (scratch / "out.gir");
  EXPECT_EQ(gradc(opt).code, 0);
  std::filesystem::remove(scratch / "out.gir");
  const Outcome broken = gradc(opt + " --break-after cse");
  EXPECT_EQ(broken.code, 70) << broken.output;
  for (const char* part : {"gradc: internal error: pass cse broke the graph", "please report it",
                           "before the pass:\ngraph @g {"})
    EXPECT_NE(broken.output.find(part), std::string::npos) << broken.output;
  EXPECT_FALSE(std::filesystem::exists(scratch / "out.gir"));
  EXPECT_EQ(gradc(opt + " --break-after css").code, 2);
}

TEST(Command, PassesAndPipelinesAreExplained) {
  const Outcome help = gradc("opt --passes=help");
  EXPECT_EQ(help.code, 0);
  EXPECT_NE(help.output.find("cse                computes equal things once"), std::string::npos)
      << help.output;
  const Outcome steps = gradc("opt --passes='dce,(cse,dce)*' --print-pipeline");
  EXPECT_EQ(steps.code, 0);
  EXPECT_NE(steps.output.find("until nothing changes:\n  cse "), std::string::npos) << steps.output;
  const Outcome standard = gradc("opt --print-pipeline");
  EXPECT_EQ(standard.code, 0);
  for (const char* entry :
       {"predict, evaluate: ", "gradients: ", "train_step: ", "the update is part of the step"})
    EXPECT_NE(standard.output.find(entry), std::string::npos) << standard.output;
  for (const char* wrong : {"opt", "opt --passes=cse", "opt --print-pipeline --passes=css"})
    EXPECT_EQ(gradc(wrong).code, 2) << wrong;
}

TEST(Command, EveryStageOfAModelIsShown) {
  for (const char* stage : {"graph", "gradient", "optimized", "fused", "scheduled", "planned",
                            "kernels", "llvm", "asm"}) {
    const Outcome outcome = gradc("inspect " + kModel + " --stage " + stage);
    EXPECT_EQ(outcome.code, 0) << outcome.output;
    EXPECT_GT(outcome.output.size(), 500U) << stage;
  }
}

TEST(Command, RemarksSayWhyNeighboursAreTwoKernels) {
  const Scratch scratch;
  const std::string lenet = source("examples/lenet.json");
  const Outcome text = gradc("inspect " + lenet + " --remarks");
  EXPECT_EQ(text.code, 0) << text.output;
  EXPECT_NE(text.output.find("conv_relu %conv2d | max_pool %max_pooling2d reads it: two "
                             "contractions or the like\n"),
            std::string::npos)
      << text.output;
  const Outcome json = gradc("inspect " + lenet + " --remarks --format json");
  const nlohmann::json pairs = nlohmann::json::parse(json.output, nullptr, false)["pairs"];
  const auto lines = std::count(text.output.begin(), text.output.end(), '\n');
  EXPECT_EQ(static_cast<std::ptrdiff_t>(pairs.size()) + 1, lines);  // and one that counts them
  const bool found = std::any_of(pairs.begin(), pairs.end(), [](const nlohmann::json& pair) {
    return pair["first_result"] == "conv2d" && pair["second_result"] == "max_pooling2d" &&
           pair["reason"] == "form" && pair["linked"] == true && pair["location"] == "/layers/1";
  });
  EXPECT_TRUE(found) << pairs;
  // The same of the graph in a file.
  const std::string file = scratch / "optimized.gir";
  ASSERT_EQ(gradc("inspect " + lenet + " --stage optimized -o " + file).code, 0);
  EXPECT_EQ(gradc("inspect " + file + " --remarks").output, text.output);
  EXPECT_EQ(gradc("inspect " + lenet + " --remarks --format dot").code, 2);
  EXPECT_EQ(gradc("inspect " + lenet + " --remarks --stage fused").code, 2);
}

TEST(Command, GraphStagesReadBackEqual) {
  const Scratch scratch;
  for (const char* stage : {"graph", "gradient", "optimized", "fused", "scheduled"}) {
    const std::string file = scratch / (std::string(stage) + ".gir");
    ASSERT_EQ(gradc("inspect " + kModel + " --stage " + stage + " -o " + file).code, 0);
    const Outcome again = gradc("inspect " + file);
    ASSERT_EQ(again.code, 0) << again.output;
    EXPECT_EQ(again.output, read_file(file)) << stage;
  }
}

TEST(Command, ArenaEqualsItsLowerBound) {
  const Outcome outcome = gradc("plan " + source("examples/fashion_mnist_mlp.json"));
  EXPECT_EQ(outcome.code, 0);
  EXPECT_NE(outcome.output.find("100.0 % of the lower bound"), std::string::npos) << outcome.output;
}

TEST(Command, ThePlannedArenaIsWhatAStepUses) {
  for (const char* model : {"lenet", "branching", "residual_blocks"}) {
    const std::string file = source(std::string("examples/") + model + ".json");
    const auto arena = [](const Outcome& outcome) {
      const size_t at = outcome.output.find("\"arena_bytes\": ");
      return at == std::string::npos ? outcome.output : outcome.output.substr(at, 30);
    };
    const std::string planned = arena(gradc("plan " + file + " --batch-size 8 --json"));
    const std::string used =
        arena(gradc("bench " + file + " --batch-size 8 --json --steps 1 --seconds 0.01"));
    EXPECT_EQ(planned.substr(0, planned.find(',')), used.substr(0, used.find(',')));
  }
}

TEST(Command, PoolingOfPaddedViewsCompiles) {
  const Scratch scratch;
  const char* pads = R"({"type": "zero_padding2d", "padding": [[1, 0], [2, 1]]})";
  const auto compiles = [&](const std::string& layer, const std::string& pool) {
    write_text_file(scratch / "m.json", R"({"inputs": [{"name": "x", "shape": [6, 5, 4]}],
      "layers": [{"type": "relu"}, )" + layer +
                                            ", " + pads + R"(, {"type": ")" + pool +
                                            R"(", "padding": "same"}, {"type": "flatten"},
        {"type": "dense", "units": 1}],
      "training": {"loss": "mse", "optimizer": "sgd"}})");
    const Outcome outcome = gradc("inspect " + (scratch / "m.json") + " --stage asm");
    EXPECT_EQ(outcome.code, 0) << outcome.output.substr(0, 2000);
  };
  for (const char* pool : {"max_pooling2d", "average_pooling2d"}) {
    compiles(R"({"type": "permute", "dims": [2, 1, 3]})", pool);  // guards on two axes at once
    compiles(R"({"type": "dropout", "rate": 0.3})", pool);        // random numbers under a guard
  }
}

TEST(Command, FilesThatCannotBeWritten) {
  const Outcome outcome = gradc("inspect " + kModel + " -o /no/such/folder/out.gir");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_NE(outcome.output.find("[file-unwritable]"), std::string::npos) << outcome.output;
}

TEST(Command, DataThatCannotBeUsed) {
  const Scratch scratch;
  write_text_file(scratch / "in.safetensors", "no tensors here");
  const Outcome outcome =
      gradc("run " + kModel + " --entry predict --in " + (scratch / "in.safetensors") + " --out " +
            (scratch / "out.safetensors"));
  EXPECT_EQ(outcome.code, 1);
  EXPECT_NE(outcome.output.find("[invalid-data]"), std::string::npos) << outcome.output;
  EXPECT_FALSE(std::filesystem::exists(scratch / "out.safetensors"));
}

TEST(Command, ToolsThatAreMissingOrFail) {
  const Scratch scratch;
  const std::string compile = tool() + " compile " + kModel + " -o " + (scratch / "binary");
  const Outcome missing = shell("env -u CC PATH=/no/such/folder " + compile);
  EXPECT_EQ(missing.code, 1);
  EXPECT_NE(missing.output.find("[tool-missing]"), std::string::npos) << missing.output;
  const Outcome failed = shell("env CC=false " + compile);
  EXPECT_EQ(failed.code, 1);
  EXPECT_NE(failed.output.find("[tool-failed]"), std::string::npos) << failed.output;
  EXPECT_FALSE(std::filesystem::exists(scratch / "binary"));
}

}  // namespace
}  // namespace gradc::test
