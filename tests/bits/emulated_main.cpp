// The program that an emulator runs: a model's object is linked to it.
#include "tests/bits/twenty_steps.h"

extern "C" const gradc_rt_model model_under_test;

int main() {
  return gradc::bits::twenty_steps(model_under_test, 2, stdout);
}
