// What a failed check throws: the command reports it and exits with status 70, the host APIs give
// it as a status. Nobody else catches it.
#pragma once

#include <stdexcept>

namespace gradc {

class InternalError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace gradc
