// A topological order of groups that are merged two by two, and the question whether a merge would
// make a cycle. Both cost what lies between the two groups, not what there is in the graph: the
// search goes from both ends at once, only through groups ordered between them, and stops when one
// side has nothing left to reach; only that side then changes its place.
//
// Places are labels in a list with gaps. Where a gap is full, the labels around it are spread out
// again (Bender, Cole, Demaine, Farach-Colton, Zito 2002): log n steps for each change of place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace gradc {

/// What the order asks about the groups.
class GroupEdges {
 public:
  virtual ~GroupEdges() = default;
  /// Appends the groups that read what this one makes, or that make what it reads; a group may
  /// come several times, never the group itself. False, and anything in `result`, when there are
  /// more than `limit`.
  virtual bool consumers(uint32_t group, size_t limit, std::vector<uint32_t>& result) const = 0;
  virtual bool producers(uint32_t group, size_t limit, std::vector<uint32_t>& result) const = 0;
};

class GroupOrder {
 public:
  /// Edges looked at before a merge is given up because neither side ends.
  static constexpr size_t kMaxEdges = 512;

  /// `count` groups, in order.
  GroupOrder(size_t count, const GroupEdges& edges);

  bool before(uint32_t a, uint32_t b) const { return label_[a] < label_[b]; }
  /// Whether no way leads from `first` through other groups to `second`, which comes later. False
  /// also where that is too far to see.
  bool may_merge(uint32_t first, uint32_t second);
  /// Gives `first` the place of the union of the two last asked about, and removes `second`.
  void merge(uint32_t first, uint32_t second);
  /// The groups that are left, in order.
  std::vector<uint32_t> groups() const;

  size_t edges_seen() const { return edges_seen_; }
  size_t searches_given_up() const { return given_up_; }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  /// What is reached from one end.
  struct Side {
    std::vector<uint32_t> reached;  ///< the end itself first
    size_t next = 0;                ///< the first one not yet expanded
    size_t edges = 0;
    bool blocked = false;  ///< something has too many edges
    uint8_t mark = 0;
    bool ended() const { return !blocked && next == reached.size(); }
  };
  enum class Found : uint8_t { kNothing, kWay, kTooMuch };

  Found expand(Side& side, const Side& other, bool forwards);
  uint8_t mark_of(uint32_t group) const {
    return stamp_of_[group] == stamp_ ? mark_[group] : uint8_t{0};
  }
  void reach(Side& side, uint32_t group);
  void take_out(uint32_t group);
  void put_behind(uint32_t place, uint32_t group, uint64_t still_to_come);
  void make_room(uint32_t place);

  const GroupEdges* edges_;
  std::vector<uint64_t> label_;
  std::vector<uint32_t> prev_, next_;  ///< the list; index `count` is its head
  std::vector<uint32_t> stamp_of_;
  std::vector<uint8_t> mark_;
  uint32_t stamp_ = 0;
  Side from_first_, from_second_;
  std::vector<uint32_t> neighbours_;
  size_t edges_seen_ = 0;
  size_t given_up_ = 0;
};

}  // namespace gradc
