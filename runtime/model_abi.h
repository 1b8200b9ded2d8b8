/* The binary contract between compiled models and the runtime core: a compiled model is one
 * constant gradc_rt_model. The JIT builds it in memory, AOT output holds it as data. Plain C, no
 * dependencies: the one header of the runtime that code generation knows. Every field of the tables
 * is 8 bytes wide (int64_t, double or pointer), so an emitter never meets padding. */
#ifndef GRADC_RUNTIME_MODEL_ABI_H_
#define GRADC_RUNTIME_MODEL_ABI_H_

#include "runtime/data_abi.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GRADC_RT_ABI_VERSION 12
#define GRADC_RT_MAX_RANK 8
/* Alignment of the arena and of every slot that the runtime allocates. Slots of inputs, targets and
 * outputs may point at a caller's buffer: compiled code may assume only the alignment of one
 * element there. */
#define GRADC_RT_ALIGNMENT 64

/* Loops of an entry inside one another, at most. */
#define GRADC_RT_MAX_LOOPS 8

/* One thread of the pool. All `count` threads walk the steps of the same entry; kernels split their
 * work by (index, count). Where a step says so, each thread calls barrier(pool) once. With
 * count == 1 the barrier may be skipped. */
typedef struct gradc_rt_thread {
  int32_t index;
  int32_t count;
  void (*barrier)(void* pool);
  void* pool;
  void* scratch; /* this thread's own gradc_rt_entry.scratch_bytes, GRADC_RT_ALIGNMENT aligned
                    (packed panels) */
} gradc_rt_thread;

/* Element types, in the order of the IR's. bool is one byte, 0 or 1. */
enum gradc_rt_dtype {
  GRADC_RT_F32 = 0,
  GRADC_RT_F64 = 1,
  GRADC_RT_BF16 = 2,
  GRADC_RT_F16 = 3,
  GRADC_RT_I32 = 4,
  GRADC_RT_I64 = 5,
  GRADC_RT_U8 = 6,
  GRADC_RT_BOOL = 7,
  GRADC_RT_DTYPE_COUNT = 8
};

/* What a tensor is; its name begins as shown. */
enum gradc_rt_tensor_kind {
  GRADC_RT_PARAMETER = 0, /* "<layer>/<parameter>", trained, initialised from its initializer */
  GRADC_RT_STATE = 1, /* "<layer>/<parameter>", not trained: moving averages, frozen parameters */
  GRADC_RT_OPTIMIZER_STATE = 2, /* "optimizer/<layer>/<parameter>/<slot>", "optimizer/iteration",
                                   "optimizer/class_weight/<output>" */
  GRADC_RT_INPUT = 3,           /* "input/<name>", first dimension is the batch */
  GRADC_RT_TARGET = 4,          /* "target/<name>", first dimension is the batch; the last may be
                                   "target/sample_weight" */
  GRADC_RT_OUTPUT = 5,          /* "output/<name>", written by predict */
  GRADC_RT_LOSS = 6,            /* "loss", f32 scalar, mean over what counts in the batch */
  GRADC_RT_METRIC = 7,          /* "metric/<name>", f32 scalar, likewise */
  GRADC_RT_GRADIENT = 8,        /* "gradient/<layer>/<parameter>", written by the gradients entry */
  GRADC_RT_TAIL_WEIGHT = 9, /* "tail/weight", f32[batch]: 1/n for the n valid rows, then zeros */
  GRADC_RT_SEED =
      10, /* "seed", i64 scalar holding the bits of the 64-bit seed: key of random ops */
  GRADC_RT_METRIC_PART = 11, /* "part/<metric>/<n>", f32, behind their metric in order, means as it
                                is one: over many batches the metric follows from their means */
  GRADC_RT_COUNT = 12, /* "count/<output>", f32 scalar: positions of the batch that count, where not
                          all do; "weight_sum/<output>": what they weigh; written with the loss */
  GRADC_RT_CARRIED = 13, /* "<layer>/<state>", first dimension is the batch: what a stateful layer
                            hands from one batch to the next; zeros at first */
  GRADC_RT_STEP = 14,    /* "step/...": what the entry of one step reads, gives and keeps; in memory
                            once that entry is prepared */
  GRADC_RT_INPUT_GRADIENT = 15,  /* "input_gradient/<name>", of an input's type: what the loss, or
                                    what is made of the outputs, changes by */
  GRADC_RT_OUTPUT_GRADIENT = 16, /* "output_gradient/<name>", of an output's type: given by a host
                                    that has a loss of its own */
  GRADC_RT_NUMBER = 17, /* "number/<formula>", f64 scalar: the learning rate (NaN: as the schedule
                           has it), or what the optimizer's rule makes of one of its numbers, where
                           a host may change it from step to step; "number/scheduled_rate" */
  GRADC_RT_TENSOR_KIND_COUNT = 18
};

/* What a metric is of the means of its parts, which stand behind each formula; 0 for 0/0. */
enum gradc_rt_formula {
  GRADC_RT_FORMULA_MEAN = 0,               /* no parts: it is a mean itself */
  GRADC_RT_FORMULA_QUOTIENT = 1,           /* numerator, denominator */
  GRADC_RT_FORMULA_ROOT = 2,               /* square */
  GRADC_RT_FORMULA_EXPONENTIAL = 3,        /* logarithm */
  GRADC_RT_FORMULA_R_SQUARED = 4,          /* of each output: squared error, target, its square */
  GRADC_RT_FORMULA_AREA_ROC = 5,           /* of each threshold, rising: true and false positives;
                                              positives, negatives */
  GRADC_RT_FORMULA_AREA_PR = 6,            /* likewise */
  GRADC_RT_FORMULA_MATTHEWS = 7,           /* right; of each class: guessed, present */
  GRADC_RT_FORMULA_KAPPA = 8,              /* likewise */
  GRADC_RT_FORMULA_MEAN_QUOTIENT = 9,      /* of each class: numerator, denominator */
  GRADC_RT_FORMULA_WEIGHTED_QUOTIENT = 10, /* of each class: numerator, denominator, weight */
  GRADC_RT_FORMULA_DEFINED_QUOTIENT = 11   /* of each class: numerator, denominator; those with 0/0
                                              do not count */
};

enum gradc_rt_initializer_kind {
  GRADC_RT_INIT_ZEROS = 0,
  GRADC_RT_INIT_ONES = 1,
  GRADC_RT_INIT_CONSTANT = 2,         /* a = value */
  GRADC_RT_INIT_RANDOM_NORMAL = 3,    /* a = mean, b = standard deviation */
  GRADC_RT_INIT_RANDOM_UNIFORM = 4,   /* [a, b) */
  GRADC_RT_INIT_TRUNCATED_NORMAL = 5, /* a = mean, b = standard deviation; redrawn beyond 2 b */
  GRADC_RT_INIT_VARIANCE_SCALING =
      6, /* a = scale; mode, distribution, fan_in, fan_out (glorot, he, lecun) */
  GRADC_RT_INIT_ORTHOGONAL = 7, /* a = gain; matrix [product of all dims but the last, last dim] */
  GRADC_RT_INIT_IDENTITY = 8,   /* a = gain; rank 2 */
  GRADC_RT_INIT_DATA = 9,       /* data points at the dense values, dtype and size of the tensor */
  GRADC_RT_INIT_KIND_COUNT = 10
};

enum gradc_rt_fan_mode { GRADC_RT_FAN_IN = 0, GRADC_RT_FAN_OUT = 1, GRADC_RT_FAN_AVG = 2 };

enum gradc_rt_distribution {
  GRADC_RT_DIST_TRUNCATED_NORMAL = 0,
  GRADC_RT_DIST_UNTRUNCATED_NORMAL = 1,
  GRADC_RT_DIST_UNIFORM = 2
};

/* How a parameter gets its first value. Random values depend on (seed, stream, element) only. */
typedef struct gradc_rt_initializer {
  int64_t kind; /* gradc_rt_initializer_kind */
  double a;
  double b;
  int64_t mode;         /* gradc_rt_fan_mode */
  int64_t distribution; /* gradc_rt_distribution */
  int64_t fan_in;
  int64_t fan_out;
  uint64_t stream;  /* distinct for every parameter of the model */
  int64_t has_seed; /* 1: the initializer's own seed replaces the run's */
  uint64_t seed;
  const void* data;   /* GRADC_RT_INIT_DATA only */
  int64_t ones_begin; /* elements [ones_begin, ones_end) start at 1, whatever the kind */
  int64_t ones_end;
} gradc_rt_initializer;

typedef struct gradc_rt_tensor {
  const char* name;
  int64_t kind;  /* gradc_rt_tensor_kind */
  int64_t dtype; /* gradc_rt_dtype */
  int64_t rank;
  int64_t dims[GRADC_RT_MAX_RANK];
  int64_t bytes;
  int64_t slot; /* index into the slot table; every tensor has its own slot */
  const gradc_rt_initializer*
      initializer;           /* NULL = zeros (states and optimizer state have one too) */
  const gradc_rt_data* data; /* inputs and targets; NULL = as it is */
  /* Loss and metrics, for their mean over many batches: */
  int64_t counted_by; /* n: a batch weighs as much as the n-th GRADC_RT_COUNT says, from 1; 0: as it
                         has examples */
  double share; /* metrics that are parts of the loss: it contains them this many times; else 0 */
  int64_t formula; /* metrics: gradc_rt_formula */
} gradc_rt_tensor;

enum gradc_rt_entry_kind {
  GRADC_RT_PREDICT = 0,       /* inputs -> outputs, inference mode */
  GRADC_RT_EVALUATE = 1,      /* inputs, targets -> loss, metrics, inference mode */
  GRADC_RT_EVALUATE_TAIL = 2, /* the same weighted by tail/weight */
  GRADC_RT_TRAIN_STEP =
      3, /* forward, backward, update in place; adds 1 to optimizer/iteration; loss, metrics */
  GRADC_RT_TRAIN_STEP_TAIL = 4, /* the same weighted by tail/weight */
  GRADC_RT_GRADIENTS = 5,       /* inputs, targets -> loss, gradients, training mode */
  GRADC_RT_STEP_ENTRY = 6, /* language models: step/input (and step/position, where there is one)
                              -> step/output, one step of predict for one example; what later
                              steps need of it stays in the other step/ tensors, zeros at the
                              start of a text */
  /* For hosts, compiled when they are first called, or ahead of time on request; their tensors of
   * kinds 15 to 17, and gradients, are in memory once one of them is prepared, ahead of time at
   * once. */
  GRADC_RT_TUNED_STEP = 7, /* train_step with the optimizer's numbers read from number/... */
  GRADC_RT_TUNED_STEP_TAIL = 8,
  GRADC_RT_APPLY_GRADIENTS = 9, /* gradients -> the update, likewise tuned; adds 1 to
                                   optimizer/iteration */
  GRADC_RT_FORWARD = 10,        /* inputs -> outputs, training mode; changes nothing */
  GRADC_RT_FORWARD_TAIL = 11,
  /* inputs and targets -> loss and the gradients of parameters, of inputs, of both; training mode.
   * Those with parameters change states as a training step does, the others nothing. */
  GRADC_RT_LOSS_TO_PARAMETERS = 12,
  GRADC_RT_LOSS_TO_PARAMETERS_TAIL = 13,
  GRADC_RT_LOSS_TO_INPUTS = 14,
  GRADC_RT_LOSS_TO_INPUTS_TAIL = 15,
  GRADC_RT_LOSS_TO_ALL = 16,
  GRADC_RT_LOSS_TO_ALL_TAIL = 17,
  /* The same from gradients of the outputs: inputs and output gradients -> gradients. */
  GRADC_RT_OUTPUTS_TO_PARAMETERS = 18,
  GRADC_RT_OUTPUTS_TO_PARAMETERS_TAIL = 19,
  GRADC_RT_OUTPUTS_TO_INPUTS = 20,
  GRADC_RT_OUTPUTS_TO_INPUTS_TAIL = 21,
  GRADC_RT_OUTPUTS_TO_ALL = 22,
  GRADC_RT_OUTPUTS_TO_ALL_TAIL = 23,
  GRADC_RT_LEARNING_RATE = 24, /* optimizer/iteration -> number/scheduled_rate, the next step's */
  GRADC_RT_ENTRY_COUNT = 25
};

/* A kernel: compiled code that reads and writes its arguments, each a pointer to dense elements. It
 * is run by all threads at once, or by thread 0 alone. */
typedef void (*gradc_rt_kernel_fn)(void* const* arguments, int32_t thread, int32_t threads,
                                   void* scratch);

/* No pool has more threads than this. */
enum { GRADC_RT_MAX_THREADS = 256 };

/* So many arguments are passed as parameters, a kernel of more is given their address. */
enum { GRADC_RT_MAX_PARAMETERS = 20 };

typedef struct gradc_rt_kernel {
  gradc_rt_kernel_fn fn;
  int64_t parallel;   /* 0: thread 0 runs it, the others pass by */
  int64_t parameters; /* 0: fn is called as its type says; n: with n pointers to elements for
                         `arguments`, whatever its type says (runtime/kernel_call.h) */
} gradc_rt_kernel;

/* Where an argument lives, but for what loops add: offset bytes into a base. */
typedef struct gradc_rt_argument {
  int64_t base; /* the number of a slot; GRADC_RT_ARENA; GRADC_RT_CONSTANT - n: the entry's constant
                   n */
  int64_t offset;
} gradc_rt_argument;

enum gradc_rt_base { GRADC_RT_ARENA = -1, GRADC_RT_CONSTANT = -2 };

/* What a loop around a call adds to an argument's address: bytes times its iteration, or with a
 * period bytes times ((iteration + phase) mod period), for values that swap between buffers. */
typedef struct gradc_rt_stride {
  int64_t argument; /* of the call */
  int64_t loop;     /* 0 is the outermost loop around the call */
  int64_t bytes;    /* negative where the loop walks backwards */
  int64_t period;   /* 0: none */
  int64_t phase;
} gradc_rt_stride;

enum gradc_rt_step_kind { GRADC_RT_CALL = 0, GRADC_RT_LOOP = 1 };

enum gradc_rt_barrier {
  GRADC_RT_BARRIER_BEFORE = 1, /* the threads meet before the step */
  GRADC_RT_BARRIER_BETWEEN = 2 /* loops: and before every iteration but the first */
};

typedef struct gradc_rt_step {
  int64_t kind;     /* gradc_rt_step_kind */
  int64_t barriers; /* gradc_rt_barrier flags */
  /* Calls: */
  int64_t kernel;         /* of the entry's kernels */
  int64_t first_argument; /* of the entry's arguments */
  int64_t num_arguments;
  int64_t first_stride; /* of the entry's strides */
  int64_t num_strides;
  /* Loops: */
  int64_t trips; /* iterations, at least 1 */
  int64_t body;  /* that many of the following steps */
} gradc_rt_step;

/* A compiled function as data: every thread walks the steps (runtime/program.h). */
typedef struct gradc_rt_entry {
  const char* name;
  int64_t compiled; /* 0: absent, or not compiled yet (see ensure_entry); then all below is 0 */
  int64_t arena_bytes;
  int64_t scratch_bytes; /* per thread: what the kernels need, then from frame_offset on the
                            pointers of one call whose arguments move */
  int64_t frame_offset;
  int64_t num_steps;
  const gradc_rt_step* steps;
  int64_t num_arguments;
  const gradc_rt_argument* arguments;
  const gradc_rt_stride* strides;
  const gradc_rt_kernel* kernels;
  const void* const* constants; /* GRADC_RT_ALIGNMENT aligned */
} gradc_rt_entry;

/* Defaults of the training loop, from the model's "training" section. The learning-rate schedule is
 * inside the compiled step, a function of optimizer/iteration. */
typedef struct gradc_rt_training {
  int64_t epochs;
  int64_t shuffle; /* 0/1 */
  double validation_split;
  uint64_t seed;
  int64_t early_stopping; /* 0/1 */
  const char* monitor;    /* "val_loss", "loss", "val_accuracy", ...; NULL = val_loss */
  int64_t patience;       /* epochs without improvement before stopping */
  double min_delta;
  int64_t mode;                 /* -1 = smaller is better, 1 = larger */
  int64_t restore_best_weights; /* 0/1 */
  int64_t reduce_on_plateau;    /* 0/1: a step multiplies its rate by optimizer/rate_factor */
  const char* plateau_monitor;
  double plateau_factor;
  int64_t plateau_patience;
  double plateau_min_delta;
  int64_t plateau_mode;
  int64_t plateau_cooldown; /* epochs */
  double plateau_least;     /* of optimizer/rate_factor */
} gradc_rt_training;

/* Something that the numbers of a training step follow from: "layer hidden", "optimizer". The value
 * lists "option=value" separated by "; ". Checkpoints keep all facts and are continued only by a
 * model of the same. */
typedef struct gradc_rt_fact {
  const char* name;
  const char* value;
} gradc_rt_fact;

enum gradc_rt_hyperparameter_flags {
  GRADC_RT_ABOVE_MIN = 1, /* min itself is not allowed */
  GRADC_RT_BELOW_MAX = 2
};

/* A number of the optimizer that hosts may set. */
typedef struct gradc_rt_hyperparameter {
  const char* name; /* "learning_rate", the first, then as the options are called */
  double value;     /* the model's; NaN: a learning rate that follows from a schedule */
  double min;
  double max;
  int64_t flags; /* gradc_rt_hyperparameter_flags */
} gradc_rt_hyperparameter;

/* What an optimizer's rule is made of instead of a number, worked out when the number is set. */
enum gradc_rt_number_step {
  GRADC_RT_NUMBER_AS_IT_IS = 0,
  GRADC_RT_NUMBER_REST = 1, /* 1 - x */
  GRADC_RT_NUMBER_TWICE = 2,
  GRADC_RT_NUMBER_NEGATIVE = 3,
  GRADC_RT_NUMBER_LOGARITHM = 4,
  GRADC_RT_NUMBER_INVERSE = 5
};

#define GRADC_RT_MAX_NUMBER_STEPS 4

/* How a tensor GRADC_RT_NUMBER follows from a hyperparameter. */
typedef struct gradc_rt_number {
  int64_t tensor;
  int64_t hyperparameter; /* -1: none, it is `value` */
  double value;
  int64_t steps[GRADC_RT_MAX_NUMBER_STEPS]; /* gradc_rt_number_step, one after the other */
} gradc_rt_number;

typedef struct gradc_rt_model {
  int64_t abi_version; /* GRADC_RT_ABI_VERSION */
  const char* name;
  int64_t batch_size;
  int64_t num_tensors;
  const gradc_rt_tensor* tensors; /* order of kinds is free; order within a kind is the model's */
  int64_t num_slots;
  const gradc_rt_entry* entries; /* GRADC_RT_ENTRY_COUNT of them, indexed by gradc_rt_entry_kind */
  gradc_rt_training training;
  const char* compiler; /* "gradc 0.1.0, LLVM 19.1.7" */
  const char* target_triple;
  const char* target_cpu;
  const char* target_features; /* comma separated, without '+': what the code needs of the
                                  processor; may be NULL */
  int64_t train_step_flops;    /* 0 = unknown */
  int64_t num_facts;
  const gradc_rt_fact* facts; /* distinct names */
  const char* step_remark;    /* language models without the entry of one step: why; else NULL */
  /* A JIT host compiles entries when they are first needed: this fills an entry in place, unless
   * it is compiled already, and returns 0, or another value with a text in *message (owned by the
   * host, valid until the next call on the same thread). Instances on several threads may share the
   * model, so whether an entry is compiled is known after this call only. NULL in AOT models. */
  int64_t (*ensure_entry)(void* user, int64_t kind, const char** message);
  void* user;
  int64_t num_hyperparameters; /* 0: no entry for hosts reads one */
  const gradc_rt_hyperparameter* hyperparameters;
  int64_t num_numbers;
  const gradc_rt_number* numbers;
} gradc_rt_model;

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* GRADC_RUNTIME_MODEL_ABI_H_ */
