/* gradc's C API, for every other language: the functions of session.h with handles and status
 * codes. No C++ exception or type crosses it, and nothing ends the process: running out of memory
 * or of threads is a GRADC_ERROR. Numbers in files do not follow the process's locale. In a child
 * of fork() a session with threads of its own says that it cannot be used. Strings are UTF-8 and
 * zero-terminated. A handle is used by one caller at a time. */
#ifndef GRADC_GRADC_H_
#define GRADC_GRADC_H_

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define GRADC_API __attribute__((visibility("default")))
#else
#define GRADC_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gradc_session gradc_session;

typedef enum gradc_status {
  GRADC_OK = 0,
  GRADC_ERROR = 1, /* a diagnosed error in what was given: gradc_last_error has the text */
  GRADC_INVALID_ARGUMENT = 2, /* a null pointer, an unknown name, another size */
  GRADC_OUT_OF_MEMORY = 3,    /* nothing has changed; the call can be made again */
  GRADC_INTERNAL = 4,         /* a defect of gradc's own, to be reported */
  GRADC_AFTER_FORK = 5        /* the session belongs to the process that forked this one */
} gradc_status;

typedef struct gradc_options {
  int64_t batch_size; /* 0: the model's own */
  int32_t threads;    /* 0: one per core */
  int32_t has_seed;   /* 0: the model's own seed */
  uint64_t seed;
  int32_t checked; /* 1: see gradc_session_set_checked */
  int32_t cache;   /* 1: keep compiled code between processes, where the command does */
  const char*
      cpu; /* use no instructions beyond this CPU's, as LLVM names it; NULL: all there are */
  int64_t
      memory_budget; /* bytes that the arena of each entry may have; 0: as many as are fastest */
  /* The host's own threads in place of the session's: calls work(argument, i) for each i from 0 to
   * threads - 1, on threads that run at the same time, since they wait for each other within a
   * step, and returns when all have returned. NULL: the session's own. */
  void (*run)(void* user, void (*work)(void* argument, int32_t thread), void* argument,
              int32_t threads);
  void* run_user;
  /* Code for this triple ("riscv64-linux-gnu"), of cpu on it; NULL: this machine. Another's can be
   * looked at (gradc_session_dump) and not run: what would run it is a GRADC_ERROR. */
  const char* target;
} gradc_options;

/* A buffer of the host: dense, row-major. Types and shapes are compared with the model's before
 * anything is done; what does not fit is a GRADC_ERROR that names the tensor, what it needs and
 * what it was given. The views of a call are all named, or all in the model's order. */
typedef struct gradc_view {
  const char* name;     /* "image" or "input/image"; NULL: by position */
  const char* dtype;    /* "f32", ... as gradc_tensor_info has it */
  const int64_t* shape; /* rank extents, rows first */
  int32_t rank;
  void* data; /* of inputs and targets it is only read */
} gradc_view;

typedef struct gradc_tensor_info {
  const char* name;  /* lives as long as the session */
  const char* kind;  /* parameter, state, optimizer_state, input, target, output, loss, metric,
                        gradient, carried, input_gradient, output_gradient */
  const char* dtype; /* f32, i32, ... */
  int32_t rank;
  const int64_t* shape; /* rank extents; inputs, targets and outputs: with the batch first */
  int64_t bytes;
} gradc_tensor_info;

/* Version of the library, e.g. "0.1.0". */
GRADC_API const char* gradc_version(void);

/* Reads and checks a model file. On failure returns NULL and writes the rendered diagnostics into
 * error (up to error_size bytes, always zero-terminated). options may be NULL. */
GRADC_API gradc_session* gradc_session_load(const char* path, const gradc_options* options,
                                            char* error, size_t error_size);
GRADC_API gradc_session* gradc_session_parse(const char* json, const gradc_options* options,
                                             char* error, size_t error_size);
GRADC_API void gradc_session_destroy(gradc_session* session);

/* Text of the last failed call on this session; "" if none. */
GRADC_API const char* gradc_last_error(const gradc_session* session);

/* Compiles train_step, evaluate and predict now; else each is compiled at its first use. */
GRADC_API gradc_status gradc_session_warm_up(gradc_session* session);
GRADC_API int64_t gradc_session_batch_size(const gradc_session* session);
GRADC_API size_t gradc_session_num_tensors(const gradc_session* session);
GRADC_API gradc_status gradc_session_tensor(const gradc_session* session, size_t index,
                                            gradc_tensor_info* info);

/* One training step, of 1 to batch size rows; a whole batch is read in place. loss may be NULL.
 * Buffers hold what the network is given: the model's "data" section (scale, one_hot, ...) is for
 * files and not applied here.
 * A label or index outside its range, or a NaN, is the caller's mistake: unless the session is
 * checked, an index takes the nearest row that exists, and the loss of such a label
 * is infinite. */
GRADC_API gradc_status gradc_session_step(gradc_session* session, const gradc_view* inputs,
                                          size_t num_inputs, const gradc_view* targets,
                                          size_t num_targets, float* loss);
/* Loss and metrics of rows, in inference mode: of any number, in batches; metrics are those of all
 * rows together, not means of batches. metrics may be NULL with num_metrics 0. */
GRADC_API gradc_status gradc_session_evaluate(gradc_session* session, const gradc_view* inputs,
                                              size_t num_inputs, const gradc_view* targets,
                                              size_t num_targets, float* loss, float* metrics,
                                              size_t num_metrics);
/* Outputs of any number of rows, in batches. */
GRADC_API gradc_status gradc_session_predict(gradc_session* session, const gradc_view* inputs,
                                             size_t num_inputs, const gradc_view* outputs,
                                             size_t num_outputs);

/* Training by hand. gradients and apply_gradients after it are a step, to the last bit; between
 * them the host may read and change the gradients, which are in the session's memory
 * (gradc_session_memory of "gradient/<parameter>"). What these calls run is compiled when they are
 * first made.
 *
 * Loss (may be NULL) and its gradients, in training mode, for rows as step takes them. parameters
 * != 0: of all parameters; moving averages and carried states then change as in a step.
 * input_gradients gets those of the inputs of floating point, by name or in their order; NULL with
 * num_input_gradients 0: not asked for. */
GRADC_API gradc_status gradc_session_gradients(gradc_session* session, const gradc_view* inputs,
                                               size_t num_inputs, const gradc_view* targets,
                                               size_t num_targets, float* loss, int32_t parameters,
                                               const gradc_view* input_gradients,
                                               size_t num_input_gradients);
/* The optimizer's step from the gradients in the session's memory, whoever put them there. */
GRADC_API gradc_status gradc_session_apply_gradients(gradc_session* session);
/* Outputs in training mode of at most a batch, for a loss of the host's own; changes nothing, and
 * backward on the same rows draws the same. */
GRADC_API gradc_status gradc_session_forward(gradc_session* session, const gradc_view* inputs,
                                             size_t num_inputs, const gradc_view* outputs,
                                             size_t num_outputs);
/* The gradients of what a host makes of the outputs, from its gradients of the outputs of floating
 * point, in order; else as gradc_session_gradients. */
GRADC_API gradc_status gradc_session_backward(gradc_session* session, const gradc_view* inputs,
                                              size_t num_inputs, const gradc_view* output_gradients,
                                              size_t num_output_gradients, int32_t parameters,
                                              const gradc_view* input_gradients,
                                              size_t num_input_gradients);

/* The optimizer's numbers that may change while training goes on: "learning_rate", then others as
 * its options are named. NULL beyond the last; the text lives as long as the session. */
GRADC_API const char* gradc_session_hyperparameter_name(const gradc_session* session, size_t index);
/* What the next step takes. */
GRADC_API gradc_status gradc_session_hyperparameter(gradc_session* session, const char* name,
                                                    double* value);
/* From the next step on. A learning rate takes the place of its schedule; NaN gives it back. */
GRADC_API gradc_status gradc_session_set_hyperparameter(gradc_session* session, const char* name,
                                                        double value);

/* Another session of the same model and code, for another thread, or of another batch size; with
 * share_weights its parameters, states and optimizer state are those of `session`, which then only
 * one of them may change at a time, and while none reads. They may be destroyed in any order.
 * options may be NULL. On failure NULL, with the text in error. */
GRADC_API gradc_session* gradc_session_another(gradc_session* session, const gradc_options* options,
                                               int32_t share_weights, char* error,
                                               size_t error_size);

/* Training up to the end of a step, or of an epoch; numbers are means over the epoch. */
typedef struct gradc_train_report {
  int64_t epoch;  /* from 1 */
  int64_t epochs; /* planned */
  int64_t step;   /* of a step: in its epoch, from 1; of an epoch: over all of them */
  double loss;
  const double* metrics; /* until the callback returns */
  size_t num_metrics;
  int32_t has_validation; /* epochs only */
  double validation_loss;
  const double* validation_metrics; /* as many */
  double seconds;                   /* of this epoch */
  double examples_per_second;
} gradc_train_report;

/* A stage of an entry on its way to machine code, as `gradc inspect` prints it: graph, gradient,
 * optimized, fused, scheduled, planned, kernels, llvm or asm; entry NULL: train_step. NULL on
 * failure, with the reason as the last error. The text lives until the next dump or profile. */
GRADC_API const char* gradc_session_dump(gradc_session* session, const char* stage,
                                         const char* entry);
/* What each kernel of the training step takes, measured for about so many seconds on weights and
 * data of its own, as a table. Otherwise as dump. */
GRADC_API const char* gradc_session_profile(gradc_session* session, double seconds);

/* What the command's train takes; all zero but data, or but inputs and targets, is the plainest. */
typedef struct gradc_train_options {
  const char* data; /* as --data of the command; NULL: the views below */
  int64_t epochs;   /* 0: the model's own */
  double validation_split;
  int32_t has_validation_split; /* 0: the model's own */
  int32_t resume;               /* 1: go on from the checkpoint if it exists */
  int32_t overwrite;            /* 1: start anew and replace an existing checkpoint */
  const char* weights;          /* these four may be NULL */
  const char* out;
  const char* checkpoint;
  const char* log;
  /* After every step and every epoch; 0 ends training there, in order: files are written, and that
   * is no error. The session must not be used in them. These may be NULL. */
  int32_t (*on_step)(void* user, const gradc_train_report* report);
  int32_t (*on_epoch)(void* user, const gradc_train_report* report);
  void* user;
  /* The host's arrays, of any number of rows, read where they lie. */
  const gradc_view* inputs;
  size_t num_inputs;
  const gradc_view* targets;
  size_t num_targets;
  const gradc_view* validation_inputs; /* none: validation_split of the rows */
  size_t num_validation_inputs;
  const gradc_view* validation_targets;
  size_t num_validation_targets;
  /* 1: the arrays are as a file would hold them: the model's "data" section is applied to them, and
   * types and shapes may be what files may have; else they are what the network is given. */
  int32_t as_in_files;
  int32_t go_on;       /* 1: from the weights and the optimizer's state that the session has */
  int64_t batch_size;  /* 0: the session's; another has code of its own, kept for the next call */
  int32_t has_shuffle; /* 0: the model's own */
  int32_t shuffle;
  int32_t has_seed; /* 0: the session's */
  uint64_t seed;    /* of what is drawn; the session's from then on */
} gradc_train_options;

/* Trains as the command does, from files or from the host's arrays: the same bits for the same
 * numbers. losses may be NULL; else it gets the training losses of
 * the first num_losses epochs. *epochs (may be NULL) gets how many epochs were trained. */
GRADC_API gradc_status gradc_session_train(gradc_session* session,
                                           const gradc_train_options* options, double* losses,
                                           size_t num_losses, size_t* epochs);

/* checked != 0: step, evaluate and predict first look at every value they are given; a label or
 * index outside its range, a NaN or an infinity is a GRADC_ERROR that names tensor and row, and
 * nothing changes. For finding mistakes: it reads all buffers once more. */
GRADC_API gradc_status gradc_session_set_checked(gradc_session* session, int32_t checked);

/* Copies a parameter or state out of, or into, the session; bytes must be the tensor's size. */
GRADC_API gradc_status gradc_session_get(gradc_session* session, const char* name, void* data,
                                         size_t bytes);
GRADC_API gradc_status gradc_session_set(gradc_session* session, const char* name, const void* data,
                                         size_t bytes);
/* The memory of a parameter, of a state, or of a parameter's gradient, to read or write in place
 * between calls, as long as the session lives; NULL for an unknown name. *bytes may be NULL. Types
 * and shapes are those of gradc_session_tensor. */
GRADC_API void* gradc_session_memory(gradc_session* session, const char* name, size_t* bytes);
GRADC_API gradc_status gradc_session_initialize(gradc_session* session, uint64_t seed);
/* Stateful layers begin anew: what they carry from batch to batch becomes zeros. */
GRADC_API gradc_status gradc_session_reset_states(gradc_session* session);
/* safetensors files: parameters and states, with the optimizer's state and iteration too if
 * with_optimizer is not 0. */
GRADC_API gradc_status gradc_session_save(gradc_session* session, const char* path,
                                          int32_t with_optimizer);
/* All that the file has: with the optimizer's state in it, training goes on where it was saved. */
GRADC_API gradc_status gradc_session_load_weights(gradc_session* session, const char* path);
/* The optimizer's state and iteration stay as they are, whatever the file has. */
GRADC_API gradc_status gradc_session_load_weights_only(gradc_session* session, const char* path);

/* What numbers stand for, as the training data or the weights file told it: the class of an output,
 * the column of an input from a table, the bytes of a text's character (*length, which may be NULL,
 * gets how many). Outputs and inputs count in the model's order. NULL beyond the last name, and
 * where nothing is known. The text lives as long as the session. */
GRADC_API const char* gradc_session_class_name(const gradc_session* session, size_t output,
                                               size_t number);
GRADC_API const char* gradc_session_column_name(const gradc_session* session, size_t input,
                                                size_t column);
GRADC_API const char* gradc_session_character(const gradc_session* session, size_t input,
                                              size_t number, size_t* length);
/* Loss and metrics over a data set, and outputs for one into a .npy, .safetensors or .csv file, as
 * the commands eval and predict: columns, classes and characters are matched by name with what the
 * session knows, or refused. metrics may be NULL with num_metrics 0. */
GRADC_API gradc_status gradc_session_evaluate_data(gradc_session* session, const char* data,
                                                   double* loss, double* metrics,
                                                   size_t num_metrics);
GRADC_API gradc_status gradc_session_predict_data(gradc_session* session, const char* data,
                                                  const char* out);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* GRADC_GRADC_H_ */
