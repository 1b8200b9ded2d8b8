// main() of compiled executables: the model comes from the code that gradc generated.
#include "runtime/aot_cli.h"

extern "C" const gradc_rt_model* gradc_model(void);

int main(int argc, char** argv) {
  return gradc_rt_main(gradc_model(), argc, const_cast<const char* const*>(argv));
}
