// Feed: one part of a data set made ready for batches of one instance. Preparation converts arrays
// once to the model's dtypes with scale, offset and standardisation applied in double (bytes stay
// bytes and go through a 256-entry table); gathering a batch then only copies, looks up, or expands
// rows, on all threads of the pool.
#pragma once

#include "runtime/dataset.h"
#include "runtime/instance.h"
#include "runtime/mix.h"

namespace gradc::rt {

/// How the rows of one tensor are stored.
enum class RowForm {
  kReady,   // the model's dtype: copied
  kLookup,  // u8: each byte through `table` to the model's dtype
  kLinear,  // u8 to f32: the same values as the table's, by arithmetic (faster)
  kOneHot,  // i32 class ids: expanded to rows of 0 and 1
};

/// The f32 value of byte b: (b * high + offset_high) + (b * low + offset_low). The first sum is
/// exact, so the result has one rounding that matters; it is used only where all 256 values equal
/// the table's.
struct ByteLine {
  float high = 0, low = 0, offset_high = 0, offset_low = 0;
};

struct FeedColumn {
  size_t tensor = 0;
  RowForm form = RowForm::kReady;
  Dtype dtype = Dtype::kF32;  // of the model's tensor
  Bytes rows;
  Span<const uint8_t> lent;  // a host's memory as it is, in place of rows
  size_t row_elements = 0;   // of an example as stored
  size_t row_step = 0;       // stored elements from one example to the next
  size_t out_elements = 0;   // per example in the model
  Vec<uint8_t> table;        // kLookup: 256 elements of dtype
  ByteLine line;             // kLinear
  Vec<uint8_t> fill;  // one source example's worth of transformed zeros (shift), dtype elements
  Vec<uint8_t> hole;  // likewise of what cutout leaves; empty: none
  const gradc_rt_data* data = nullptr;
  HiddenTokens hidden;                          // none where tokens are as they are
  int64_t ignored = 0;                          // targets: stands where no token is hidden
  bool asks = false;                            // a target of hidden tokens
  bool augments = false;                        // flips, shift or random crop in training
  bool crops = false;                           // source larger than the model's rows
  int64_t height = 0, width = 0, channels = 0;  // of the model's example, if image-like
  int64_t source_height = 0, source_width = 0;

  const uint8_t* bytes() const { return lent.data() != nullptr ? lent.data() : rows.data(); }
};

/// The rows and randomness of one batch.
struct BatchRequest {
  const int64_t* order;  // indices of examples
  int64_t valid;         // how many; the batch's other rows repeat them in turn
  bool training;         // augmentation on
  uint64_t seed;
  int64_t epoch;
};

class Feed {
 public:
  /// Takes the arrays of `part`, rows [first, first + count) or every part.apart-th of them. With
  /// `fit_statistics` the inputs' statistics are computed from these rows; otherwise they must be
  /// known already if the model needs them.
  Status prepare(Instance& instance, const DataPart& part, int64_t first, int64_t count,
                 bool fit_statistics, TargetNeed need);
  /// The same for training: of the rows an epoch is part.draws drawn anew, or each once.
  Status prepare_training(Instance& instance, const DataPart& part, int64_t count,
                          bool fit_statistics);
  /// Examples of an epoch.
  int64_t rows() const { return draws_ > 0 ? draws_ : rows_; }
  /// Which they are, by (seed, epoch); in turn or shuffled if none are drawn. Allocates nothing.
  void order(uint64_t seed, int64_t epoch, bool shuffle, Span<int64_t> order) const;
  /// Tells apart data that training would tell apart; reads all of it.
  uint64_t digest() const;

  /// Fills the batch buffers of the instance: this thread's share of the rows.
  void gather(const Instance& instance, const BatchRequest& request,
              const gradc_rt_thread& thread) const;

 private:
  struct Taken {
    int64_t first;
    int64_t every;  // row
    bool fit_statistics;
    bool given;  // no "data" section is applied
  };
  Status prepare_columns(Instance& instance, const DataPart& part, const Taken& taken,
                         TargetNeed need);
  Status prepare_column(Instance& instance, size_t tensor, const Array& array, const Taken& taken,
                        FeedColumn* column);
  void find_mixing(const Instance& instance);
  void mix_example(const FeedColumn& column, const Mix& mix, const BatchRequest& request,
                   uint8_t* partner, uint8_t* out) const;

  Vec<FeedColumn> columns_;
  MixRule mixing_;
  mutable Bytes partners_;  // an example for each thread
  size_t partner_bytes_ = 0;
  int64_t rows_ = 0;   // stored
  int64_t draws_ = 0;  // 0: an epoch has each once
};

/// Writes tail/weight for n valid rows: 1/n each, then zeros.
void set_tail_weight(Instance& instance, int64_t valid);

/// out[i] = the line at in[i].
void apply_line(const ByteLine& line, const uint8_t* in, size_t count, float* out);

/// Copies one example of a column to `out` as the model sees it (implementation of Feed::gather).
void copy_example(const FeedColumn& column, int64_t example, const BatchRequest& request,
                  uint8_t* out);

}  // namespace gradc::rt
