#include "runtime/dates.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>

namespace gradc::rt {
namespace {

constexpr double kDay = 86400;
constexpr const char* kMonths[] = {"january",   "february", "march",    "april",
                                   "may",       "june",     "july",     "august",
                                   "september", "october",  "november", "december"};
constexpr const char* kWeekdays[] = {"monday", "tuesday",  "wednesday", "thursday",
                                     "friday", "saturday", "sunday"};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

char small(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

// Reads a cell from its beginning to its end.
class DateReader {
 public:
  explicit DateReader(CsvField cell) : at_(cell.text), end_(cell.text + cell.size) {}

  bool by_format(const char* format) {
    for (; *format != '\0'; ++format) {
      if (*format == ' ') {
        while (at_ < end_ && *at_ == ' ')
          ++at_;
      } else if (*format != '%') {
        if (!take(*format)) return false;
      } else if (!field(*++format)) {
        return false;
      }
    }
    return at_ == end_;
  }

  bool by_iso() {
    if (!number(4, 4, &year_)) return false;
    const bool dashes = take('-');
    if (!number(2, 2, &month_) || (dashes && !take('-')) || !number(2, 2, &day_)) return false;
    if (at_ == end_) return true;
    if (!take('T') && !take('t') && !take(' ')) return false;
    if (!number(2, 2, &hour_)) return false;
    const bool colons = take(':');
    if (!number(2, 2, &minute_)) return false;
    if (at_ < end_ && (colons ? *at_ == ':' : is_digit(*at_))) {
      if (colons) ++at_;
      if (!number(2, 2, &second_)) return false;
      if ((take('.') || take(',')) && !fraction(18)) return false;
    }
    return at_ == end_ || (offset() && at_ == end_);
  }

  bool seconds(double* out) const {
    const int64_t hour = noon_ < 0 ? hour_ : hour_ % 12 + 12 * noon_;
    const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(year_)),
                                           std::chrono::month(static_cast<unsigned>(month_)),
                                           std::chrono::day(static_cast<unsigned>(day_))};
    if (!date.ok() || year_ < 1 || hour > 23 || minute_ > 59 || second_ > 60) return false;
    const auto days = std::chrono::sys_days(date).time_since_epoch().count();
    *out = static_cast<double>(days) * kDay +
           static_cast<double>((hour * 60 + minute_) * 60 + second_) + fraction_;
    return true;
  }

 private:
  bool take(char wanted) {
    if (at_ == end_ || *at_ != wanted) return false;
    ++at_;
    return true;
  }

  bool number(int least, int most, int64_t* out) {
    int64_t value = 0;
    int digits = 0;
    for (; digits < most && at_ < end_ && is_digit(*at_); ++digits)
      value = value * 10 + (*at_++ - '0');
    *out = value;
    return digits >= least;
  }

  bool fraction(int most) {
    double unit = 1;
    int64_t value = 0;
    int digits = 0;
    for (; digits < most && at_ < end_ && is_digit(*at_); ++digits, unit *= 10)
      value = value * 10 + (*at_++ - '0');
    fraction_ = static_cast<double>(value) / unit;
    return digits > 0;
  }

  /// Z, +01, +0100 or +01:00.
  bool offset() {
    if (take('Z') || take('z')) return true;
    int64_t hours = 0, minutes = 0;
    if ((!take('+') && !take('-')) || !number(2, 2, &hours) || hours > 23) return false;
    const bool colon = take(':');
    if (!colon && (at_ == end_ || !is_digit(*at_))) return true;
    return number(2, 2, &minutes) && minutes < 60;
  }

  bool word(const char* text, size_t size) {
    if (static_cast<size_t>(end_ - at_) < size) return false;
    for (size_t i = 0; i < size; ++i)
      if (small(at_[i]) != text[i]) return false;
    at_ += size;
    return true;
  }

  // A whole name or its first three letters; which one it is, from 0.
  template <size_t count>
  bool name(const char* const (&names)[count], int64_t* which) {
    for (size_t i = 0; i < count; ++i) {
      if (!word(names[i], strlen(names[i])) && !word(names[i], 3)) continue;
      *which = static_cast<int64_t>(i);
      return true;
    }
    return false;
  }

  bool field(char specifier) {
    int64_t which = 0;
    switch (specifier) {
      case 'Y':
        return number(4, 4, &year_);
      case 'y':  // as POSIX: 69 to 99 are of the 20th century
        if (!number(2, 2, &year_)) return false;
        year_ += year_ < 69 ? 2000 : 1900;
        return true;
      case 'm':
        return number(1, 2, &month_);
      case 'b':
      case 'B':
        if (!name(kMonths, &which)) return false;
        month_ = which + 1;
        return true;
      case 'd':
        return number(1, 2, &day_);
      case 'H':
        return number(1, 2, &hour_);
      case 'I':
        return number(1, 2, &hour_) && hour_ >= 1 && hour_ <= 12;
      case 'p':
        noon_ = word("am", 2) ? 0 : word("pm", 2) ? 1 : -1;
        return noon_ >= 0;
      case 'M':
        return number(1, 2, &minute_);
      case 'S':
        return number(1, 2, &second_);
      case 'f':
        return fraction(9);
      case 'z':
        return offset();
      case 'a':
      case 'A':
        return name(kWeekdays, &which);
      case 'F':
        return number(4, 4, &year_) && take('-') && number(1, 2, &month_) && take('-') &&
               number(1, 2, &day_);
      case 'T':
        return number(1, 2, &hour_) && take(':') && number(1, 2, &minute_) && take(':') &&
               number(1, 2, &second_);
      default:
        return specifier == '%' && take('%');
    }
  }

  const char* at_;
  const char* end_;
  int64_t year_ = 1970, month_ = 1, day_ = 1, hour_ = 0, minute_ = 0, second_ = 0;
  int64_t noon_ = -1;  // 0 in the morning, 1 behind noon; -1: hours are of 24
  double fraction_ = 0;
};

// A part's value, and of periodic ones where it lies between two beginnings, in [0, 1); else -1.
struct Part {
  double value;
  double phase;
};

Part cyclic(double value, double first, double period) {
  return {value, (value - first) / period};
}

Part part_of(int64_t part, double seconds) {
  // The years 1 to 9999: a fill may be any number.
  const double day = std::clamp(std::floor(seconds / kDay), -719162.0, 2932896.0);
  const double clock = std::clamp(std::floor(seconds - day * kDay), 0.0, kDay - 1);
  const std::chrono::sys_days days{std::chrono::days(static_cast<int>(day))};
  const std::chrono::year_month_day date(days);
  const double month = static_cast<double>(static_cast<unsigned>(date.month()));
  switch (part) {
    case GRADC_RT_DATE_YEAR:
      return {static_cast<double>(static_cast<int>(date.year())), -1};
    case GRADC_RT_DATE_QUARTER:
      return cyclic(std::floor((month + 2) / 3), 1, 4);
    case GRADC_RT_DATE_MONTH:
      return cyclic(month, 1, 12);
    case GRADC_RT_DATE_DAY: {
      const auto last =
          std::chrono::year_month_day_last(date.year(), std::chrono::month_day_last(date.month()))
              .day();
      return cyclic(static_cast<double>(static_cast<unsigned>(date.day())), 1,
                    static_cast<double>(static_cast<unsigned>(last)));
    }
    case GRADC_RT_DATE_DAY_OF_WEEK:
      return cyclic(static_cast<double>(std::chrono::weekday(days).iso_encoding() - 1), 0, 7);
    case GRADC_RT_DATE_DAY_OF_YEAR: {
      const std::chrono::sys_days first(date.year() / std::chrono::January / 1);
      return cyclic(static_cast<double>((days - first).count() + 1), 1,
                    date.year().is_leap() ? 366 : 365);
    }
    case GRADC_RT_DATE_HOUR:
      return cyclic(std::floor(clock / 3600), 0, 24);
    case GRADC_RT_DATE_MINUTE:
      return cyclic(std::fmod(std::floor(clock / 60), 60), 0, 60);
    case GRADC_RT_DATE_SECOND:
      return cyclic(std::fmod(clock, 60), 0, 60);
    default:
      return {seconds / kDay, -1};
  }
}

bool is_periodic(int64_t part) {
  return part != GRADC_RT_DATE_YEAR && part != GRADC_RT_DATE_DAYS;
}

}  // namespace

bool read_date(CsvField cell, const char* format, double* seconds) {
  DateReader reader(cell);
  return (format == nullptr ? reader.by_iso() : reader.by_format(format)) &&
         reader.seconds(seconds);
}

size_t date_values(const gradc_rt_column& column) {
  size_t values = 0;
  for (size_t n = 0; date_part(column, n) != 0; ++n)
    values += column.date_cyclic != 0 && is_periodic(date_part(column, n)) ? 2 : 1;
  return values;
}

void split_date(const gradc_rt_column& column, double seconds, double* out) {
  constexpr double kTwoPi = 6.283185307179586476925;
  for (size_t n = 0; date_part(column, n) != 0; ++n) {
    const Part part = part_of(date_part(column, n), seconds);
    if (column.date_cyclic == 0 || part.phase < 0) {
      *out++ = part.value;
    } else {
      *out++ = std::sin(kTwoPi * part.phase);
      *out++ = std::cos(kTwoPi * part.phase);
    }
  }
}

}  // namespace gradc::rt
