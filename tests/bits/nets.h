// The nets of the tests of bits, and how they come to run: by JIT in this process for a target, or
// as an object for one.
#pragma once

#include "codegen/target_info.h"

#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

namespace gradc::bits {

struct Net {
  std::string name;
  std::string text;  ///< a model's JSON, or a graph with an output "loss"
  bool is_graph = false;
  int64_t batch = 0;        ///< 0: the model's own; of a graph its own in any case
  int64_t small_batch = 0;  ///< for emulators
};
void PrintTo(const Net& net, std::ostream* out);  ///< the name, in lists of tests

/// A multilayer perceptron and LeNet of examples/, a residual net with batch normalisation, a
/// recurrence.
std::vector<Net> four_nets();
/// Every model of examples/.
std::vector<Net> example_nets();
/// LeNet and the residual net of products of bf16.
std::vector<Net> bf16_nets();
/// The examples, what the four have beyond them, those of bf16 and the residual net of f64.
std::vector<Net> all_nets();
/// Whether evaluating is what the training step does before it updates: nothing in the net has one
/// way for training and one for use.
bool evaluates_as_it_trains(const Net& net);

/// AVX2 where this machine is an x86-64 with more; else the reason why not.
struct Narrower {
  TargetInfo target;
  std::string missing;
};
Narrower narrower_than_host();

/// What twenty_steps prints of the net compiled by JIT.
std::string trained(const Net& net, const TargetInfo& target, int threads);
/// Object code with the symbol model_under_test, for a batch of net.small_batch.
std::string object_of(const Net& net, const TargetInfo& target);

/// The lines of a print-out, and the first that two print-outs do not share; empty for equals.
std::vector<std::string> lines_of(const std::string& text);
std::string first_difference(const std::string& actual, const std::string& expected);
/// The number that a line "WHEN: NAME digest = number" ends with.
double number_in(const std::string& text, const std::string& when, const std::string& name);
/// What a line is of: the name in "WHEN: NAME digest".
std::string name_in(const std::string& line);
/// The digest in such a line.
std::string digest_in(const std::string& text, const std::string& when, const std::string& name);

}  // namespace gradc::bits
