/* The functions behind the headers that gradc generates for libraries: NAME_create and so on are
 * thin wrappers that pass their model. Plain C. No global state: handles are independent of each
 * other, each used by one caller at a time. After create only save and load allocate. */
#ifndef GRADC_RUNTIME_LIBRARY_H_
#define GRADC_RUNTIME_LIBRARY_H_

#include "runtime/model_abi.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gradc_rt_handle gradc_rt_handle;

enum gradc_rt_status {
  GRADC_RT_OK = 0,
  GRADC_RT_INVALID_ARGUMENT = 1, /* a null pointer, a count or size out of range */
  GRADC_RT_MEMORY_TOO_SMALL = 2, /* less than memory_bytes was given */
  GRADC_RT_CANNOT_CREATE = 3,    /* the system refused the threads */
  GRADC_RT_UNKNOWN_NAME = 4,     /* no tensor of that name */
  GRADC_RT_WRONG_SIZE = 5,       /* the buffer's size is not the tensor's */
  GRADC_RT_FILE_ERROR = 6, /* a file could not be read or written, or does not fit the model */
  GRADC_RT_NO_ENTRY = 7,   /* the model was compiled without this entry */
  GRADC_RT_INTERNAL = 8,
  GRADC_RT_OUT_OF_MEMORY = 9,    /* nothing has changed; the call can be made again */
  GRADC_RT_WRONG_PROCESSOR = 10, /* the processor lacks what the code needs: check_processor */
  GRADC_RT_AFTER_FORK = 11, /* the handle is the parent process's: its threads do not run here */
  GRADC_RT_BAD_VALUE = 12,  /* checked calls: a label or index is out of range */
  GRADC_RT_STATUS_COUNT = 13
};

/* A fixed text for each status. */
const char* gradc_rt_status_text(int status);
/* The text of the handle's last failed call, with names and sizes; "" if none. NULL handle: "". */
const char* gradc_rt_last_error(const gradc_rt_handle* handle);

/* OK, or WRONG_PROCESSOR with what this processor lacks in text (up to bytes, always ended by a
 * zero; may be NULL). Runs on any processor of the architecture. */
int gradc_rt_check_processor(const gradc_rt_model* model, char* text, size_t bytes);

/* Bytes that gradc_rt_create needs when memory is given. threads: 0 = one per processor. */
size_t gradc_rt_memory_bytes(const gradc_rt_model* model, int32_t threads);
/* memory may be NULL: then it is allocated. Parameters are zero until init or load. */
int gradc_rt_create(const gradc_rt_model* model, void* memory, size_t bytes, int32_t threads,
                    gradc_rt_handle** out);

/* All zero is what create() makes of no memory and 0 threads. */
typedef struct gradc_rt_options {
  void* memory; /* NULL: allocated */
  size_t bytes;
  int32_t threads; /* 0: one per processor */
  /* A handle of the same model, which must live longer: its parameters, states and optimizer state
   * are the new one's too. One of them at a time may change these, and while none reads. */
  const gradc_rt_handle* weights_of;
  /* The caller's threads, in place of threads of its own: calls work(argument, i) for each i from 0
   * to threads - 1, on threads that run at the same time, since they wait for each other, and
   * returns when all have returned. NULL: its own. */
  void (*run)(void* user, void (*work)(void* argument, int32_t thread), void* argument,
              int32_t threads);
  void* user;
} gradc_rt_options;
int gradc_rt_create_with(const gradc_rt_model* model, const gradc_rt_options* options,
                         gradc_rt_handle** out);
void gradc_rt_destroy(gradc_rt_handle* handle);

/* Sets parameters and state to their initial values. */
int gradc_rt_init(gradc_rt_handle* handle, uint64_t seed);

/* Stateful layers begin anew: what they carry from batch to batch becomes zeros. */
int gradc_rt_reset_states(gradc_rt_handle* handle);

/* checked != 0: train_step, evaluate and predict first look at every value they are given; a label
 * or index outside its range, a NaN or an infinity is BAD_VALUE with a text that names tensor and
 * row, and nothing changes. Otherwise such an index takes the nearest row that exists, and
 * the loss of such a label is infinite. */
int gradc_rt_set_checked(gradc_rt_handle* handle, int checked);

/* One training step on `rows` examples (1 to batch size). inputs[i] and targets[i] point at `rows`
 * rows in the model's order, dtype and layout; whole batches are read in place. loss (may be NULL)
 * gets the loss before the update. */
int gradc_rt_train_step(gradc_rt_handle* handle, const void* const* inputs,
                        const void* const* targets, int64_t rows, float* loss);
/* Loss and metrics (may be NULL; as many as the model has) of `rows` examples in inference mode. */
int gradc_rt_evaluate(gradc_rt_handle* handle, const void* const* inputs,
                      const void* const* targets, int64_t rows, float* loss, float* metrics);
/* Outputs of `rows` examples: outputs[i] gets `rows` rows. */
int gradc_rt_predict(gradc_rt_handle* handle, const void* const* inputs, int64_t rows,
                     void* const* outputs);

/* Training by hand. gradients and apply_gradients after it are a train_step, to the last bit;
 * between them the gradients, at tensor_memory of "gradient/<parameter>", may be read and changed.
 * All of these are NO_ENTRY where the model was compiled without what they run.
 *
 * Loss (may be NULL) and its gradients, in training mode. parameters != 0: of all parameters;
 * moving averages and carried states then change as in a step. input_gradients gets those of the
 * inputs of floating point, in their order; NULL: not asked for. */
int gradc_rt_gradients(gradc_rt_handle* handle, const void* const* inputs,
                       const void* const* targets, int64_t rows, float* loss, int parameters,
                       void* const* input_gradients);
/* The optimizer's step from the gradients in memory, whoever put them there. */
int gradc_rt_apply_gradients(gradc_rt_handle* handle);
/* Outputs in training mode, for a loss of the caller's own; changes nothing, and backward on the
 * same rows draws the same. */
int gradc_rt_forward(gradc_rt_handle* handle, const void* const* inputs, int64_t rows,
                     void* const* outputs);
/* Gradients of what the caller makes of the outputs, from its gradients of the outputs of floating
 * point, in order; else as gradients. */
int gradc_rt_backward(gradc_rt_handle* handle, const void* const* inputs,
                      const void* const* output_gradients, int64_t rows, int parameters,
                      void* const* input_gradients);

/* The optimizer's numbers that may be set: "learning_rate", then others; NULL beyond the last. */
const char* gradc_rt_hyperparameter_name(const gradc_rt_model* model, int64_t index);
/* What the next step takes. */
int gradc_rt_get_hyperparameter(gradc_rt_handle* handle, const char* name, double* value);
/* From the next step on, until it is set again. A learning rate takes the place of its schedule;
 * NaN gives it back. */
int gradc_rt_set_hyperparameter(gradc_rt_handle* handle, const char* name, double value);

/* The memory of a parameter, of a state, or of a parameter's gradient, to read or write in place
 * between calls; NULL for an unknown name, and for gradients that no entry gives. *bytes may be
 * NULL. */
void* gradc_rt_tensor_memory(gradc_rt_handle* handle, const char* name, size_t* bytes);

/* Copies a parameter, state or optimizer state by name; bytes must be exactly its size. */
int gradc_rt_get_parameter(const gradc_rt_handle* handle, const char* name, void* data,
                           size_t bytes);
int gradc_rt_set_parameter(gradc_rt_handle* handle, const char* name, const void* data,
                           size_t bytes);

/* What numbers stand for, as the training data told it; load and save keep it. Outputs and inputs
 * count in the model's order. NULL beyond the last name, and where nothing is known. The text lives
 * until the next init or load. */
const char* gradc_rt_class_name(const gradc_rt_handle* handle, int64_t output, int64_t number);
const char* gradc_rt_column_name(const gradc_rt_handle* handle, int64_t input, int64_t column);
/* The bytes of a character; *length (may be NULL) gets how many, for one may be a zero. */
const char* gradc_rt_character(const gradc_rt_handle* handle, int64_t input, int64_t number,
                               size_t* length);

/* safetensors files; with_optimizer != 0 includes the optimizer's state. */
int gradc_rt_save(gradc_rt_handle* handle, const char* path, int with_optimizer);
/* Everything the model has must be in the file; optimizer state is taken if it is there. */
int gradc_rt_load(gradc_rt_handle* handle, const char* path);
/* The same, but the optimizer's state and iteration stay as they are. */
int gradc_rt_load_weights_only(gradc_rt_handle* handle, const char* path);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* GRADC_RUNTIME_LIBRARY_H_ */
