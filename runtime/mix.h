// Two examples made one, in training: mixup (Zhang, Cisse, Dauphin, Lopez-Paz 2018) and cutmix
// (Yun, Han, Oh, Chun, Choe, Yoo 2019); and the boxes that cutmix and cutout draw. All is a
// function of (seed, epoch, example): of no batch, no order and no thread.
#pragma once

#include "runtime/dtype.h"
#include "runtime/philox.h"

namespace gradc::rt {

struct Extent {
  int64_t height = 0, width = 0;
};

/// Rows [top, bottom) and columns [left, right) of an image.
struct Box {
  int64_t top = 0, left = 0, bottom = 0, right = 0;

  int64_t pixels() const { return (bottom - top) * (right - left); }
};

/// A box of `size` around a pixel drawn evenly, cut off at the edges of the image.
Box draw_box(RandomStream& random, Extent size, Extent image);

/// From Beta(alpha, alpha), in [0, 1] (Devroye: "Random variate generation in one line of code",
/// WSC 1996), rounded to 24 bits, which swallow what one C library's logarithm has and another's
/// not.
double draw_beta(RandomStream& random, double alpha);

/// Alphas of Beta(alpha, alpha), 0: not.
struct MixRule {
  double mixup = 0;
  double cutmix = 0;
  Extent image{};  // of the input, for cutmix

  bool on() const { return mixup > 0 || cutmix > 0; }
};

struct Mix {
  int64_t partner = 0;  // an example
  double share = 1;     // of the example itself, the partner has the rest
  bool boxed =
      false;  // cutmix: images have the partner inside the box, and share is what is outside
  Box box{};
};

/// What becomes of an example: with whom of `rows` it is mixed (itself among them), and how.
Mix draw_mix(const MixRule& rule, int64_t rows, uint64_t seed, int64_t epoch, int64_t example);

/// Copies the pixels of a box from one image to another, both `width` pixels wide.
void copy_box(const Box& box, int64_t width, size_t pixel_bytes, const uint8_t* from, uint8_t* to);

/// values[i] = share * values[i] + (1 - share) * partner[i], of floats, in double, rounded once.
void blend(Dtype dtype, double share, const uint8_t* partner, size_t count, uint8_t* values);

}  // namespace gradc::rt
