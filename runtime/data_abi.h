/* How a compiled model says what happens to its data: part of the contract in model_abi.h, which
 * includes it. */
#ifndef GRADC_RUNTIME_DATA_ABI_H_
#define GRADC_RUNTIME_DATA_ABI_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum gradc_rt_standardize {
  GRADC_RT_STANDARDIZE_NONE = 0,
  GRADC_RT_STANDARDIZE_GIVEN = 1,    /* mean and std below */
  GRADC_RT_STANDARDIZE_FROM_DATA = 2 /* computed from the training set, kept with the weights */
};

enum gradc_rt_data_flags {
  GRADC_RT_TARGET_ROWS_SUM_TO_ONE = 1, /* along the last dimension: distributions */
  GRADC_RT_TARGET_WHOLE = 2,           /* whole numbers only */
  GRADC_RT_TARGET_ABOVE_MIN = 4,       /* target_min itself is excluded */
  GRADC_RT_INPUT_ANY_SCALE = 8, /* its scale does not matter: no weights meet the input as it is, or
                                   a rescaling makes the target's */
  GRADC_RT_TARGET_OF_LOGITS = 16, /* the output is before its softmax or sigmoid */
  GRADC_RT_TARGET_IS_WEIGHT = 32  /* no target: what each example weighs in the loss */
};

/* How a text is cut into tokens. */
enum gradc_rt_text_split {
  GRADC_RT_TEXT_NONE = 0,
  GRADC_RT_TEXT_WORDS = 1, /* at white space */
  GRADC_RT_TEXT_BYTES = 2  /* characters: every byte is one */
};

enum gradc_rt_text_flags {
  GRADC_RT_TEXT_LOWER = 1,     /* A to Z become small */
  GRADC_RT_TEXT_STRIP = 2,     /* ASCII punctuation is left out */
  GRADC_RT_TEXT_PAD_FRONT = 4, /* short texts are filled up before their first token */
  GRADC_RT_TEXT_CUT_FRONT = 8  /* long texts keep their last tokens */
};

/* What a missing cell of a column becomes. */
enum gradc_rt_missing {
  GRADC_RT_MISSING_REFUSED = 0,
  GRADC_RT_MISSING_MEAN = 1,   /* of what the rows that are trained on have */
  GRADC_RT_MISSING_MEDIAN = 2, /* likewise */
  GRADC_RT_MISSING_GIVEN = 3   /* fill; of categories fill_text */
};

/* A column of a table that an input takes. */
typedef struct gradc_rt_column {
  const char* name;
  int64_t categories; /* 0: it holds numbers, one value of the example each; else names, so many at
                         most: as many values 0 or 1, or in an input of integers one number from 1
                         (0: no name that was trained with) */
  int64_t missing;    /* gradc_rt_missing */
  double fill;
  const char* fill_text;
  int64_t flag; /* 1: another value behind, 1 where the cell is missing */
  /* Dates and times: as many values as there are parts. */
  int64_t date_parts;  /* four bits each, gradc_rt_date_part, the first one lowest; 0: no dates */
  int64_t date_cyclic; /* 1: periodic parts are a sine and a cosine each */
  const char* date_format; /* as strptime's; NULL: ISO 8601 */
} gradc_rt_column;

/* Of a date and time; numbers are those of pandas. */
enum gradc_rt_date_part {
  GRADC_RT_DATE_YEAR = 1,
  GRADC_RT_DATE_QUARTER = 2,     /* 1 to 4 */
  GRADC_RT_DATE_MONTH = 3,       /* 1 to 12 */
  GRADC_RT_DATE_DAY = 4,         /* of the month, from 1 */
  GRADC_RT_DATE_DAY_OF_WEEK = 5, /* 0 Monday to 6 Sunday */
  GRADC_RT_DATE_DAY_OF_YEAR = 6, /* from 1 */
  GRADC_RT_DATE_HOUR = 7,
  GRADC_RT_DATE_MINUTE = 8,
  GRADC_RT_DATE_SECOND = 9,
  GRADC_RT_DATE_DAYS = 10 /* since the beginning of 1970, with the day's fraction */
};

/* What the examples of a class weigh in the loss that is trained on. */
typedef struct gradc_rt_class_weight {
  const char* name; /* of the class, or its number */
  double weight;
} gradc_rt_class_weight;

enum gradc_rt_resize_fit {
  GRADC_RT_RESIZE_STRETCH = 0,
  GRADC_RT_RESIZE_CROP = 1, /* the middle of the image that has the shape */
  GRADC_RT_RESIZE_PAD = 2   /* zeros beside an image of another shape */
};

enum gradc_rt_resize_filter { GRADC_RT_RESIZE_BILINEAR = 0, GRADC_RT_RESIZE_NEAREST = 1 };

/* Which part of a recording that is longer is taken; beside a shorter one are zeros. */
enum gradc_rt_sound_align {
  GRADC_RT_SOUND_START = 0, /* its beginning; zeros behind */
  GRADC_RT_SOUND_MIDDLE = 1,
  GRADC_RT_SOUND_END = 2
};

enum gradc_rt_mel_scale { GRADC_RT_MEL_HTK = 0, GRADC_RT_MEL_SLANEY = 1 };

/* What happens to one input or target between the file and the model, in this order:
 * crop/flip/shift (training only, except the centred crop), x*scale + offset, (x - mean)/std,
 * noise, cutout, mixing of two examples (training only). Integer class targets become one-hot rows
 * if one_hot_depth > 0. Shapes that differ but have equal element counts are reshaped. */
typedef struct gradc_rt_data {
  double scale; /* 1 = none */
  double offset;
  int64_t standardize; /* gradc_rt_standardize */
  int64_t
      stat_count; /* 1: one pair for all; size of the last dimension; or elements of one example */
  const double* mean; /* stat_count values, GIVEN only */
  const double* std;
  int64_t one_hot_depth; /* 0 = none */
  int64_t value_count; /* integer data: every value must lie in [0, value_count); 0 = not checked */
  int64_t flip_horizontal; /* 1: mirror the width axis of [height, width(, channels)] with
                              probability 1/2 */
  int64_t shift_height;    /* random shift by up to this many rows, zeros move in */
  int64_t shift_width;
  int64_t
      crop; /* 1: the source may be higher and wider: random crop in training, centred otherwise */
  double noise_stddev; /* Gaussian noise added in training */
  double target_min;   /* targets: what the loss is defined for, after scale and offset; checked if
                          target_min < target_max */
  double target_max;
  int64_t flags;   /* gradc_rt_data_flags */
  int64_t classes; /* targets of a classification: how many classes there are, whether they come as
                      numbers, names or rows; 0 = values */
  int64_t has_ignored; /* 1: `ignored` is allowed too, whatever the ranges */
  int64_t ignored;
  int64_t num_ranges; /* integer data: [low, high] of each element of an example, in turn; 0 = not
                         known beyond value_count */
  const int64_t* ranges; /* num_ranges pairs */
  int64_t text_split;    /* gradc_rt_text_split: the input is texts as numbers of tokens */
  int64_t text_flags;    /* gradc_rt_text_flags */
  int64_t max_tokens;    /* as many numbers at most, padding and unknown among them; 0 = any */
  /* Texts: some tokens are hidden from the model and asked for. */
  double mask_selection_rate; /* of the tokens; 0 = none */
  double mask_token_rate;     /* of those: mask_token_id stands there */
  double random_token_rate;   /* and another token; the rest stays as it is */
  int64_t mask_token_id;      /* -1 = the last that the input can have */
  /* Tables: */
  int64_t num_columns; /* 0: all that are neither target nor left out, as numbers */
  const gradc_rt_column* columns;
  /* Targets of a classification: */
  /* n: the n-th tensor, from 1, f32[classes], holds the weights of the classes, which follow from
   * the data that are trained on; 0: none does */
  int64_t weighted_by;
  int64_t num_class_weights; /* 0: by how often each class is there; else those, the others 1 */
  const gradc_rt_class_weight* class_weights;
  /* Image files: */
  int64_t resize_height; /* 0: they have the size that is wanted */
  int64_t resize_width;
  int64_t resize_fit;    /* gradc_rt_resize_fit */
  int64_t resize_filter; /* gradc_rt_resize_filter */
  /* Series, windows over the rows of a table: */
  int64_t series_stride;  /* rows from window to window; 0: no windows */
  int64_t series_horizon; /* rows from a window's last one to the target's first */
  /* Recordings: */
  int64_t sound_rate;  /* samples a second; 0: no sound */
  int64_t sound_align; /* gradc_rt_sound_align */
  int64_t mel_fft;     /* samples of a Fourier transform, a power of two; 0: no spectrogram, the
                          samples themselves */
  int64_t mel_frame;   /* samples of a frame, at most mel_fft */
  int64_t mel_stride;  /* samples from frame to frame */
  double mel_low;      /* Hz, of the bands, as many as the input has values for a frame */
  double mel_high;
  double mel_least;  /* power; less counts as that much */
  int64_t mel_scale; /* gradc_rt_mel_scale */
  /* In training only: */
  int64_t flip_vertical; /* 1: mirror the height axis with probability 1/2 */
  int64_t cutout_height; /* a hole of so many rows around a place drawn evenly, cut off at the
                            edges; 0: none */
  int64_t cutout_width;
  double cutout_fill; /* what stands in it, before scale; NaN: the mean of the standardization */
  /* Of one input, for all inputs and targets of an example: mixed with another example. Where both
   * are above 0, either is drawn. */
  double mixup_alpha;  /* in shares drawn from Beta(alpha, alpha); 0: not */
  double cutmix_alpha; /* in a box with the other share of the pixels; 0: not */
} gradc_rt_data;

#ifdef __cplusplus
}
#endif

#endif /* GRADC_RUNTIME_DATA_ABI_H_ */
