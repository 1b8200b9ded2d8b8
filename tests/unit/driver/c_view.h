// gradc_view of a matrix of floats, with the shape beside it.
#pragma once

#include "gradc/gradc.h"

namespace gradc::test {

class CView {
 public:
  CView(const float* data, int64_t rows, int64_t columns, const char* name = nullptr)
      : shape_{rows, columns}, view_{name, "f32", shape_, 2, const_cast<float*>(data)} {}
  CView(const CView&) = delete;
  CView& operator=(const CView&) = delete;

  operator const gradc_view*() const { return &view_; }  // NOLINT(google-explicit-constructor)
  gradc_view* operator->() { return &view_; }

 private:
  int64_t shape_[2];
  gradc_view view_;
};

}  // namespace gradc::test
