// Where libhdf5 is not linked: files are read, and none are written.
#include "exchange/h5_file.h"

namespace gradc::exchange {

Result<std::vector<char>> make_h5(const H5Content&) {
  return make_error(DiagKind::kUnsupported, {}, "libgradc writes no HDF5 (.h5 and .keras files)")
      .with_help(
          "write native files, and make one of them: gradc convert model.json -o model.keras");
}

}  // namespace gradc::exchange
