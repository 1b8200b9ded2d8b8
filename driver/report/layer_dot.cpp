#include "driver/report/layer_dot.h"

#include "frontend/layer_def.h"
#include "ir/dot.h"

#include <fmt/format.h>

#include <string_view>
#include <vector>

namespace gradc {

namespace {

/// "decoder_1/attention" is in the frame "decoder_1".
std::vector<std::string_view> frames_of(std::string_view name) {
  std::vector<std::string_view> frames;
  for (size_t at = name.find('/'); at != std::string_view::npos; at = name.find('/', at + 1))
    frames.push_back(name.substr(0, at));
  return frames;
}

class LayerDot {
 public:
  explicit LayerDot(const Model& model) : model_(model) {}

  std::string run() {
    out_ = fmt::format(
        "digraph \"{}\" {{\n  rankdir=TB;\n  node [shape=box, style=\"rounded,filled\", "
        "fillcolor=white, fontname=\"sans-serif\", fontsize=10];\n",
        dot_escaped(model_.name));
    for (const ModelInput& input : model_.inputs) {
      nodes_.push_back(fmt::format("i{}", nodes_.size()));
      line(fmt::format("{} [shape=ellipse, label=\"{}\\n{}\"];", nodes_.back(),
                       dot_escaped(input.name), to_string(input.spec)));
    }
    for (size_t c = 0; c < model_.calls.size(); ++c)
      add_call(model_.calls[c], fmt::format("l{}", c));
    enter({});
    for (size_t o = 0; o < model_.outputs.size(); ++o) {
      const ModelOutput& output = model_.outputs[o];
      line(fmt::format("o{} [shape=ellipse, label=\"{}\"];", o,
                       dot_escaped("output " + output.name)));
      edges_ += fmt::format("  {} -> o{};\n", nodes_[output.value], o);
    }
    return out_ + edges_ + "}\n";
  }

 private:
  void line(const std::string& text) {
    out_ += std::string(2 + 2 * open_.size(), ' ') + text + "\n";
  }

  /// Closes and opens frames until these are open.
  void enter(const std::vector<std::string_view>& frames) {
    size_t same = 0;
    while (same < open_.size() && same < frames.size() && open_[same] == frames[same])
      ++same;
    while (open_.size() > same) {
      open_.pop_back();
      line("}");
    }
    for (size_t f = same; f < frames.size(); ++f) {
      line(fmt::format("subgraph cluster_{} {{", num_frames_++));
      open_.push_back(frames[f]);
      line(fmt::format(
          "label=\"{}\"; style=\"rounded,filled\"; color=\"#b9c1cc\"; fillcolor=\"{}\";",
          dot_escaped(frames[f].substr(frames[f].rfind('/') + 1)),
          open_.size() % 2 == 1 ? "#eef3f9" : "#dfe9f5"));
    }
  }

  void add_call(const Call& call, const std::string& node) {
    const Layer& layer = model_.layers[call.layer];
    enter(frames_of(call.name));
    const std::string_view name = std::string_view(call.name).substr(call.name.rfind('/') + 1);
    const std::string& written = layer.component.written_type;
    line(
        fmt::format("{} [label=\"{}\\n{}\\n{}\", tooltip=\"{}\"{}];", node, dot_escaped(name),
                    dot_escaped(written.empty() ? layer.def->base.type : std::string_view(written)),
                    to_string(call.output()), dot_escaped(call.name),
                    layer.parameters.empty() ? "" : ", fillcolor=\"#fdf3dc\""));
    for (const ModelValue value : call.inputs)
      edges_ += fmt::format("  {} -> {};\n", nodes_[value], node);
    for (const auto& value : call.named) {
      if (value) edges_ += fmt::format("  {} -> {} [style=dashed];\n", nodes_[*value], node);
    }
    for (size_t r = 0; r < call.results.size(); ++r)
      nodes_.push_back(node);
  }

  const Model& model_;
  std::string out_, edges_;
  std::vector<std::string> nodes_;  ///< by ModelValue
  std::vector<std::string_view> open_;
  size_t num_frames_ = 0;
};

}  // namespace

std::string layers_to_dot(const Model& model) {
  return LayerDot(model).run();
}

}  // namespace gradc
