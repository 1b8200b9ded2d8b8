// Decisions of the contraction engine, without LLVM: dimensions merged where every access allows
// it, how each operand reaches the register tile (directly or through a packed copy), tile sizes
// and cache blocks, and which dimension the threads share.
#pragma once

#include "codegen/kernel/kernel.h"
#include "codegen/target_info.h"

#include <vector>

namespace gradc::cg {

using Dims = std::vector<kernel::ContractDim>;

int64_t extent_of(const Dims& dims);

/// How an operand is laid out where the tile reads it.
enum class Layout : uint8_t {
  kDirect,           ///< in its own buffer, affine in rows (columns) and in every k dimension
  kStaged,           ///< A: a copy of the run of its buffer that a block reads, in words (Stage)
  kRowsOfK,          ///< A packed: [row][k]
  kKOfRows,          ///< A packed: [k][row]
  kTilesOfK,         ///< A packed: tiles of mr rows, each [k][mr]
  kPanels,           ///< B packed: panels of nr columns, each [k][nr]
  kPanelsTransposed  ///< the same, from a source that is contiguous in k
};

/// What the register tile multiplies. Packed operands are words: one number, or two bf16 of
/// successive k, which one instruction multiplies and adds.
enum class TileType : uint8_t { kF32, kF64, kBf16Pairs };

enum class Split : uint8_t { kNone, kOuter, kRows, kColumns };

/// One level of the tile's loop over k; strides in elements.
struct KLevel {
  int64_t extent = 1;
  int64_t a_stride = 0;
  int64_t b_stride = 0;
};

/// The words of a run of A's buffer, once each, for tiles whose windows overlap. Along k, two
/// neighbours are a word; across, an element and the next step's: as many words as elements.
struct Stage {
  bool across = false;
  int64_t step = 1;         ///< elements between neighbours of the innermost k
  int64_t row_words = 0;    ///< between rows
  int64_t first_words = 0;  ///< that one row reads
  int64_t words(int64_t rows) const { return first_words + (rows - 1) * row_words; }
};

struct ContractPlan {
  std::vector<kernel::Expr> exprs;  ///< the kernel's, rewritten for the merged dimensions
  kernel::ExprId a, b;
  kernel::ExprId m_below, k_below;  ///< where rows and steps of k end early; empty: nowhere
  kernel::LocalId acc;
  std::vector<kernel::Stmt> epilogue;  ///< Let and Store only

  Dims outer;    ///< batch dimensions, and n dimensions but the innermost
  Dims m_outer;  ///< m dimensions looped over outside the tiles (direct A with several m)
  Dims m;        ///< flattened into rows; of a direct A two at most
  kernel::ContractDim n;
  Dims k;               ///< extents in words
  int64_t inner_k = 1;  ///< extent of the innermost k in numbers; the last word may be half empty

  TileType type = TileType::kF32;
  int64_t rows = 1, columns = 1, depth = 1;  ///< of one outer iteration: m, n, words of k flattened
  Layout a_layout = Layout::kRowsOfK;
  Layout b_layout = Layout::kPanels;
  int64_t a_row_stride = 0;      ///< elements between rows as the tile reads A
  int64_t row_run = 0;           ///< direct A: so many rows are evenly spaced; 0: all
  int64_t row_jump = 0;          ///< elements from where a run would go on to the next one
  Stage stage;                   ///< of A, where its layout is kStaged
  std::vector<KLevel> k_levels;  ///< of a block of k, outermost first
  int64_t lanes = 1;             ///< of a vector
  int64_t mr = 1, nv = 1;        ///< rows and vectors of the register tile
  int64_t mc = 0, nc = 0, kc = 0;
  int64_t panel_k = 0;   ///< steps of k that A's rows hold at a time while panels of B go by
  bool parallel = true;  ///< threads share it
  Split split = Split::kNone;
  /// Blocks of k are runs of whole dimensions, all alike: an operand can be read where it lies.
  bool aligned = false;
  bool panelwise = false;   ///< B is packed one panel at a time, for each block of A's rows
  bool prefetch_b = false;  ///< tiles ask for the lines of B that are packed next

  bool pairs() const { return type == TileType::kBf16Pairs; }
  int64_t word_bytes() const { return type == TileType::kF64 ? 8 : 4; }
  int64_t line_words() const { return 64 / word_bytes(); }
  int64_t nr() const { return nv * lanes; }
  int64_t row_tiles() const { return (rows + mr - 1) / mr; }
  int64_t panels() const { return (columns + nr() - 1) / nr(); }
  int64_t k_blocks() const { return (depth + kc - 1) / kc; }
  /// Threads share the tiles of all m_outer together: too few of these to share.
  bool shares_tiles() const;
  /// How many products of equal tiles there are, if these rows are looped over outside.
  int64_t products(const Dims& rows_outside) const;
  /// Pieces of rows that threads can share.
  int64_t row_pieces() const;
  /// Steps of k that packed A holds at a time.
  int64_t a_depth() const { return panelwise ? panel_k : kc; }
  /// Panels of B that are packed at a time.
  int64_t packed_panels() const { return panelwise ? 1 : nc / nr(); }
  /// Columns of sums that are kept between blocks of k: of one panel where B goes by panel by panel
  /// and A's rows hold all of k.
  int64_t partial_columns() const { return panelwise && panel_k == depth ? nr() : nc; }
  /// Words between their rows: panels lie one after the other.
  int64_t partial_stride() const { return panelwise ? nr() : nc; }
  /// Words from one tile's packed rows to the next tile's.
  int64_t a_tile_words() const;
  /// Lanes that packing copies at a time into a tile: those behind its rows are overwritten.
  int64_t a_lanes() const;
  int64_t odd_lines(int64_t words) const;
  bool a_packed() const { return a_layout != Layout::kDirect; }
  bool b_packed() const { return b_layout != Layout::kDirect; }
};

/// The load that an operand is, but for casts; null where it is anything else.
const kernel::Expr* cast_load(const std::vector<kernel::Expr>& exprs, kernel::ExprId id);

/// Plans one contraction of a kernel.
ContractPlan plan_contract(const kernel::Contract& contract, const kernel::Kernel& kernel,
                           const TargetInfo& target);

}  // namespace gradc::cg
