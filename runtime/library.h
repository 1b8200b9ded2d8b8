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
