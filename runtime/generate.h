// generate: a text goes on as a language model says, token by token, each drawn from what the model
// makes of the window of tokens before it.
#pragma once

#include "runtime/instance.h"

namespace gradc::rt {

struct GenerateCommand {
  const char* weights = nullptr;  // null: the instance's own
  const char* prompt = "";
  int64_t length = 200;    // tokens behind the prompt
  double temperature = 1;  // 0: always the likeliest token
  int64_t top_k = 0;       // draws among that many likeliest tokens; 0: all
  bool has_seed = false;   // else the model's
  uint64_t seed = 0;
  bool remarks = false;  // says on stderr why tokens take longer than they could
};

/// The prompt and what the model makes of it. `each`, if not null, sees the text piece by piece.
Status generate(Instance& instance, const GenerateCommand& command,
                void (*each)(const char* text, size_t length), Str* out);

/// The same on stdout: at once as it is made on a terminal, else whole.
Status run_generate(Instance& instance, const GenerateCommand& command);

}  // namespace gradc::rt
