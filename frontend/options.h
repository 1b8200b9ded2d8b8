// Options of layers, activations, losses, optimizers and so on: the tables that describe them, and
// the values read from a file. Reader, JSON Schema and reference documentation are all made from
// these tables.
#pragma once

#include "support/diagnostic.h"
#include "support/no_value.h"

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace gradc {

class SourceFile;

using Ints = std::vector<int64_t>;

/// The kinds of typed objects that options may hold: "relu", or {"type": "relu", "max_value": 6}.
enum class Family : uint8_t {
  kActivation,
  kInitializer,
  kRegularizer,
  kConstraint,
  kLoss,
  kMetric,
  kOptimizer,
  kSchedule,
};
inline constexpr int kNumFamilies = 8;
/// "activation", "initializer", ...
std::string_view family_name(Family family);

enum class OptionType : uint8_t {
  kBool,
  kInt,
  kFloat,
  kString,
  kEnum,           ///< one of `choices`
  kInts,           ///< a list of integers
  kFloats,         ///< a list of numbers
  kFloatOrFloats,  ///< a number or a list of numbers
  kSizes,          ///< an integer, or `count` of them, one for each spatial axis
  kIntOrInts,      ///< an integer or a list of integers
  kPaddings,   ///< an integer, one for each of `count` spatial axes, or a pair [before, behind] for
               ///< each; for one axis the pair itself. Stored as those pairs
  kLayer,      ///< a layer of its own, without inputs
  kLayers,     ///< one or a list of them
  kComponent,  ///< a name or typed object of `family`; a plain number where the family allows it
  kFile,       ///< path of a text file, relative to the one that names it; stored as what it holds
  kNamedInts,  ///< an object of integers
};

inline constexpr double kNoMin = -std::numeric_limits<double>::infinity();
inline constexpr double kNoMax = std::numeric_limits<double>::infinity();

/// One option: its JSON type, default and limits. Limits hold for every element of a list.
struct OptionDef {
  std::string_view name;
  OptionType type{};
  std::string_view default_json = {};  ///< JSON text; empty: the option must be given
  std::string_view doc = {};
  double min = kNoMin;
  double max = kNoMax;
  bool above_min = false;         ///< min itself is not allowed
  bool below_max = false;         ///< max itself is not allowed
  bool or_null = false;           ///< null is allowed though it is not the default
  Family family{};                ///< kComponent only
  std::string_view choices = {};  ///< kEnum only: names separated by spaces
  int count = 2;                  ///< kSizes and kPaddings only

  bool required() const { return default_json.empty(); }
  bool nullable() const { return or_null || default_json == "null"; }
};

/// A named, documented set of options.
struct ComponentDef {
  std::string_view type;
  std::string_view summary;
  std::span<const OptionDef> options = {};
  std::string_view aliases = {};  ///< other names, separated by spaces
};

struct Component;
struct Layer;
using NamedInts = std::map<std::string, int64_t, std::less<>>;
using OptionValue =
    std::variant<NoValue, bool, int64_t, double, std::string, Ints, std::vector<double>,
                 std::shared_ptr<const Component>, std::shared_ptr<const Layer>,
                 std::vector<std::shared_ptr<const Layer>>, std::shared_ptr<const SourceFile>,
                 NamedInts>;

/// The values of all options of one component, defaults filled in. Asking for an option that the
/// table does not have, or as another type, is a broken invariant.
class Options {
 public:
  /// `name` is a literal of a table.
  void set(std::string_view name, OptionValue value);
  bool has(std::string_view name) const;  ///< present and not null
  bool defines(std::string_view name) const { return find(name) != nullptr; }
  bool flag(std::string_view name) const;
  int64_t integer(std::string_view name) const;
  double number(std::string_view name) const;
  double number_or(std::string_view name, double otherwise) const;
  const std::string& text(std::string_view name) const;
  const Ints& ints(std::string_view name) const;
  const std::vector<double>& numbers(std::string_view name) const;
  /// The component of that name, or null.
  const Component* component(std::string_view name) const;
  /// The layer of that name, or null.
  const Layer* layer(std::string_view name) const;
  const std::vector<std::shared_ptr<const Layer>>& layers(std::string_view name) const;
  const SourceFile& file(std::string_view name) const;
  const NamedInts& named_ints(std::string_view name) const;

 private:
  const OptionValue* find(std::string_view name) const;
  const OptionValue& get(std::string_view name) const;

  std::vector<std::pair<std::string_view, OptionValue>> values_;
};

/// One layer, activation, loss, ... as it stands in a file.
struct Component {
  const ComponentDef* def = nullptr;
  std::string written_type;  ///< the name used in the file, which may be an alias
  Options options;
  Place place;
};

/// All members of a family; the tables live in activations.cpp, initializers.cpp, ...
std::span<const ComponentDef* const> family_members(Family family);
/// The member of that name or alias, or null.
const ComponentDef* find_member(Family family, std::string_view name);
std::vector<std::string> split_words(std::string_view words);
bool has_name(const ComponentDef& def, std::string_view name);
/// Types and aliases of all members, for suggestions.
std::vector<std::string> member_names(Family family);

/// A component with only defaults, e.g. the initializer "zeros".
Component default_component(Family family, std::string_view type);

}  // namespace gradc
