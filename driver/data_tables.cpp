#include "driver/data_tables.h"

namespace gradc {

void set_text(gradc_rt_data& rule, const DataRule& given) {
  const TextRule& text = given.text;
  switch (text.split) {
    case TextRule::Split::kNone:
      return;
    case TextRule::Split::kWhitespace:
      rule.text_split = GRADC_RT_TEXT_WORDS;
      break;
    case TextRule::Split::kCharacter:
      rule.text_split = GRADC_RT_TEXT_BYTES;
      break;
  }
  rule.text_flags = (text.lower ? GRADC_RT_TEXT_LOWER : 0) |
                    (text.strip ? GRADC_RT_TEXT_STRIP : 0) |
                    (text.pad_front ? GRADC_RT_TEXT_PAD_FRONT : 0) |
                    (text.cut_front ? GRADC_RT_TEXT_CUT_FRONT : 0);
  rule.max_tokens = text.max_tokens;
  rule.mask_selection_rate = text.mask_selection_rate;
  rule.mask_token_rate = text.mask_token_rate;
  rule.random_token_rate = text.random_token_rate;
  rule.mask_token_id = text.mask_token_id;
}

void set_examples(gradc_rt_data& rule, const DataRule& given) {
  rule.flip_vertical = given.flip_vertical ? 1 : 0;
  rule.cutout_height = given.cutout.height;
  rule.cutout_width = given.cutout.width;
  rule.cutout_fill = given.cutout.fill;
  rule.mixup_alpha = given.mix.mixup;
  rule.cutmix_alpha = given.mix.cutmix;
}

int64_t date_parts(const ColumnRule& column) {
  int64_t parts = 0;
  for (auto part = column.date.rbegin(); part != column.date.rend(); ++part)
    parts = parts * 16 + static_cast<int64_t>(*part);
  return parts;
}

void set_files(gradc_rt_data& rule, const DataRule& given) {
  rule.resize_height = given.resize.height;
  rule.resize_width = given.resize.width;
  rule.resize_fit = static_cast<int64_t>(given.resize.fit);
  rule.resize_filter = static_cast<int64_t>(given.resize.filter);
  rule.series_stride = given.series.stride;
  rule.series_horizon = given.series.horizon;
  const SoundRule& sound = given.sound;
  rule.sound_rate = sound.rate;
  rule.sound_align = static_cast<int64_t>(sound.align);
  rule.mel_fft = sound.fft_length;
  rule.mel_frame = sound.sequence_length;
  rule.mel_stride = sound.sequence_stride;
  rule.mel_low = sound.min_freq;
  rule.mel_high = sound.max_freq;
  rule.mel_least = sound.min_power;
  rule.mel_scale = static_cast<int64_t>(sound.mel_scale);
}

}  // namespace gradc
