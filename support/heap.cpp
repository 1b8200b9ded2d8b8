// One range of addresses in pieces of 16 KiB. A run of pieces is free, or one large object, or
// holds objects of one size class. Free runs know their neighbours and grow together; runs of a
// class that have free objects are in the class's list. Where pages go back to the system, free
// objects in a run that is still in use go with them: they are nobody's until the run is free.
#include "support/heap.h"

#include <algorithm>
#include <array>
#include <bit>
#include <bitset>
#include <cstdint>
#include <cstdlib>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace gradc::heap {

namespace {

constexpr size_t kPieceBytes = size_t{16} << 10;
constexpr size_t kNumPieces = size_t{1} << 20;
constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kAlignment = 16;

// ---- size classes: by 16 to 256, by 64 to 1024, then four for each doubling ---------------------

constexpr size_t kFine = 16, kMiddle = 12, kCoarse = 16;
constexpr size_t kNumClasses = kFine + kMiddle + kCoarse;
constexpr size_t kLargestClass = kPieceBytes;

/// By sixteenths of a size, rounded up.
constexpr std::array<uint8_t, 1024 / 16 + 1> kClassOfSmall = [] {
  std::array<uint8_t, 1024 / 16 + 1> classes{};
  for (size_t i = 1; i < classes.size(); ++i)
    classes[i] = static_cast<uint8_t>(i <= kFine ? i - 1 : kFine + (i - kFine - 1) / 4);
  return classes;
}();

constexpr size_t class_of(size_t bytes) {
  if (bytes <= 1024) return kClassOfSmall[(bytes + 15) / 16];
  const auto power = static_cast<size_t>(std::bit_width(bytes - 1)) - 1;  // 2^power < bytes
  return kFine + kMiddle + (power - 10) * 4 + ((bytes - 1) >> (power - 2)) - 4;
}

constexpr size_t bytes_of(size_t index) {
  if (index < kFine) return (index + 1) * 16;
  if (index < kFine + kMiddle) return 256 + (index - kFine + 1) * 64;
  const size_t i = index - kFine - kMiddle;
  return (i % 4 + 5) << (8 + i / 4);
}

static_assert(bytes_of(kNumClasses - 1) == kLargestClass);
static_assert(class_of(kLargestClass) == kNumClasses - 1 && class_of(1025) == kFine + kMiddle);
static_assert(bytes_of(class_of(1280)) == 1280 && bytes_of(class_of(1281)) == 1536);

constexpr size_t pieces_of_class(size_t index) {
  return bytes_of(index) <= 2048 ? 4 : 8;
}

constexpr size_t kMostPages = 8 * kPieceBytes / 4096;  // of a run; no system has smaller ones
constexpr size_t kMostObjects = 4 * kPieceBytes / bytes_of(0);
static_assert(kMostPages >= pieces_of_class(kNumClasses - 1) * kPieceBytes / 4096);
static_assert(kMostObjects >= pieces_of_class(0) * kPieceBytes / bytes_of(0));

/// How many objects move between a thread and the heap at once.
constexpr uint32_t batch_of(size_t index) {
  return static_cast<uint32_t>(std::clamp<size_t>((size_t{16} << 10) / bytes_of(index), 2, 64));
}

struct Object {
  Object* next;
};

enum class Use : uint8_t { kNone, kFree, kLarge, kClass };

constexpr uint32_t kNoPiece = UINT32_MAX;

/// A piece; what a run is stands at its first one, and where it begins at its last (free runs) or
/// at all of them (others).
struct Piece {
  uint32_t first = 0;
  uint32_t count = 0;  ///< pieces of the run
  Use use = Use::kNone;
  uint8_t size_class = 0;
  uint32_t live = 0;   ///< objects that are not in `objects`
  uint32_t fresh = 0;  ///< objects that never were anything, at the end of the run
  Object* objects = nullptr;
  uint32_t previous = 0, next = 0;  ///< in the list of free runs, or of the class
};

class Lock {
 public:
  Lock() { pthread_mutex_lock(&mutex); }
  ~Lock() { pthread_mutex_unlock(&mutex); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

  static pthread_mutex_t mutex;
};

pthread_mutex_t Lock::mutex = PTHREAD_MUTEX_INITIALIZER;

/// What all threads share; the lock is held. Needs no constructor: memory is asked for before any
/// runs.
class Shared {
 public:
  char* base() const { return base_; }
  bool holds(const void* memory) const {
    return base_ != nullptr &&
           static_cast<size_t>(static_cast<const char*>(memory) - base_) < kNumPieces * kPieceBytes;
  }

  /// Up to `count` objects of a class, as a list; null if there are none to be had.
  Object* take(size_t size_class, uint32_t count, uint32_t& taken) {
    Object* list = nullptr;
    for (taken = 0; taken < count;) {
      if (partial_[size_class] == kNoPiece && !add_run(size_class)) break;
      Piece& run = pieces_[partial_[size_class]];
      while (taken < count && (run.objects != nullptr || run.fresh > 0)) {
        Object* object = run.objects;
        if (object != nullptr) {
          run.objects = object->next;
        } else {
          object = reinterpret_cast<Object*>(end_of(run) - run.fresh-- * bytes_of(size_class));
        }
        object->next = list;
        list = object;
        ++run.live;
        ++taken;
      }
      if (run.objects == nullptr && run.fresh == 0) unlink(run, partial_[size_class]);
    }
    return list;
  }

  void put(Object* list) {
    while (list != nullptr) {
      Object* object = list;
      list = object->next;
      Piece& run = run_of(object);
      const bool was_full = run.objects == nullptr && run.fresh == 0;
      object->next = run.objects;
      run.objects = object;
      if (was_full) link(run, partial_[run.size_class]);
      if (--run.live == 0) {
        unlink(run, partial_[run.size_class]);
        free_run(run);
      }
    }
  }

  void* take_large(size_t bytes) {
    Piece* run = take_run((bytes + kPieceBytes - 1) / kPieceBytes);
    if (run == nullptr) return nullptr;
    run->use = Use::kLarge;
    return address(*run);
  }
  Piece& run_of(const void* memory) const {
    const auto at = static_cast<size_t>(static_cast<const char*>(memory) - base_) / kPieceBytes;
    return pieces_[pieces_[at].first];
  }
  void free_run(Piece& run) {
    uint32_t first = index(run), count = run.count;
    if (first + count < used_ && pieces_[first + count].use == Use::kFree) {
      Piece& behind = pieces_[first + count];
      unlink(behind, free_);
      count += behind.count;
      behind.use = Use::kNone;
    }
    if (first > 0 && pieces_[first - 1].use != Use::kNone) {
      Piece& before = pieces_[pieces_[first - 1].first];
      if (before.use == Use::kFree) {
        unlink(before, free_);
        run.use = Use::kNone;
        first -= before.count;
        count += before.count;
      }
    }
    make_free(first, count);
  }

  void give_back() {
    for (uint32_t at = free_; at != kNoPiece; at = pieces_[at].next)
      (void)madvise(address(pieces_[at]), pieces_[at].count * kPieceBytes, MADV_DONTNEED);
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    for (uint32_t& list : partial_) {
      for (uint32_t at = list; at != kNoPiece;) {
        Piece& run = pieces_[at];
        at = run.next;
        if (page <= kPieceBytes) give_back_pages(run, page);
        if (run.objects == nullptr && run.fresh == 0) unlink(run, list);
      }
    }
  }

  /// False where there are no addresses for it.
  bool begin() {
    if (state_ == State::kUnused) {
      const auto map = [](size_t bytes) {
        void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        return memory == MAP_FAILED ? nullptr : static_cast<char*>(memory);
      };
      char* memory = map(kNumPieces * kPieceBytes + kHugePage);
      char* table = memory != nullptr ? map(kNumPieces * sizeof(Piece)) : nullptr;
      state_ = table != nullptr ? State::kReady : State::kNone;
      if (table == nullptr && memory != nullptr)
        munmap(memory, kNumPieces * kPieceBytes + kHugePage);
      if (table != nullptr) {
        const size_t skip =
            (kHugePage - reinterpret_cast<uintptr_t>(memory) % kHugePage) % kHugePage;
        pieces_ = reinterpret_cast<Piece*>(table);
        (void)madvise(memory + skip, kNumPieces * kPieceBytes, MADV_HUGEPAGE);
        for (uint32_t& list : partial_)
          list = kNoPiece;
        base_ = memory + skip;
        pthread_atfork([] { pthread_mutex_lock(&Lock::mutex); },
                       [] { pthread_mutex_unlock(&Lock::mutex); },
                       [] { pthread_mutex_unlock(&Lock::mutex); });
      }
    }
    return state_ == State::kReady;
  }

 private:
  enum class State : uint8_t { kUnused, kReady, kNone };

  uint32_t index(const Piece& piece) const { return static_cast<uint32_t>(&piece - pieces_); }
  char* address(const Piece& piece) const { return base_ + index(piece) * kPieceBytes; }
  char* end_of(const Piece& run) const { return address(run) + run.count * kPieceBytes; }

  /// Pages of a run of objects on which none is in use.
  void give_back_pages(Piece& run, size_t page) {
    const size_t bytes = bytes_of(run.size_class);
    const size_t count = run.count * kPieceBytes / bytes;
    char* const first = end_of(run) - count * bytes;
    std::bitset<kMostObjects> unused;
    for (size_t i = count - run.fresh; i < count; ++i)
      unused.set(i);
    for (Object* object = run.objects; object != nullptr; object = object->next)
      unused.set(static_cast<size_t>(reinterpret_cast<char*>(object) - first) / bytes);
    std::bitset<kMostPages> needed;
    for (size_t i = 0; i < count; ++i) {
      const auto begin = static_cast<size_t>(first + i * bytes - address(run));
      for (size_t p = begin / page; !unused[i] && p <= (begin + bytes - 1) / page; ++p)
        needed.set(p);
    }
    Object** link = &run.objects;
    while (*link != nullptr) {
      const auto at = static_cast<size_t>(reinterpret_cast<char*>(*link) - address(run));
      if (needed[at / page]) {
        link = &(*link)->next;
      } else {
        *link = (*link)->next;
      }
    }
    for (size_t p = 0; p < run.count * kPieceBytes / page; ++p) {
      if (!needed[p]) (void)madvise(address(run) + p * page, page, MADV_DONTNEED);
    }
  }

  void link(Piece& run, uint32_t& list) {
    run.previous = kNoPiece;
    run.next = list;
    if (list != kNoPiece) pieces_[list].previous = index(run);
    list = index(run);
  }
  void unlink(Piece& run, uint32_t& list) {
    (run.previous != kNoPiece ? pieces_[run.previous].next : list) = run.next;
    if (run.next != kNoPiece) pieces_[run.next].previous = run.previous;
  }
  void make_free(uint32_t first, uint32_t count) {
    Piece& run = pieces_[first];
    run.first = first;
    run.count = count;
    run.use = Use::kFree;
    Piece& last = pieces_[first + count - 1];
    last.first = first;
    last.use = Use::kFree;
    link(run, free_);
  }

  /// The smallest free run that is large enough, else new pieces.
  Piece* take_run(size_t count) {
    uint32_t best = kNoPiece;
    for (uint32_t at = free_; at != kNoPiece; at = pieces_[at].next) {
      if (pieces_[at].count >= count &&
          (best == kNoPiece || pieces_[at].count < pieces_[best].count))
        best = at;
    }
    uint32_t first = best;
    if (best != kNoPiece) {
      const uint32_t rest = pieces_[best].count - static_cast<uint32_t>(count);
      unlink(pieces_[best], free_);
      if (rest > 0) make_free(best + static_cast<uint32_t>(count), rest);
    } else {
      if (count > kNumPieces - used_) return nullptr;
      first = used_;
      used_ += static_cast<uint32_t>(count);
    }
    for (uint32_t i = 0; i < count; ++i) {
      pieces_[first + i].first = first;
      pieces_[first + i].use = Use::kClass;
    }
    pieces_[first].count = static_cast<uint32_t>(count);
    return &pieces_[first];
  }

  bool add_run(size_t size_class) {
    Piece* run = take_run(pieces_of_class(size_class));
    if (run == nullptr) return false;
    run->size_class = static_cast<uint8_t>(size_class);
    run->live = 0;
    run->objects = nullptr;
    run->fresh = static_cast<uint32_t>(run->count * kPieceBytes / bytes_of(size_class));
    link(*run, partial_[size_class]);
    return true;
  }

  State state_ = State::kUnused;
  char* base_ = nullptr;
  Piece* pieces_ = nullptr;
  uint32_t used_ = 0;         ///< pieces that were ever something
  uint32_t free_ = kNoPiece;  ///< free runs
  std::array<uint32_t, kNumClasses> partial_{};
};

constinit Shared shared;

/// Free objects of a class that a thread keeps at most; as many again go back at once.
constexpr std::array<uint32_t, kNumClasses> kMostKept = [] {
  std::array<uint32_t, kNumClasses> most{};
  for (size_t i = 0; i < kNumClasses; ++i)
    most[i] = 2 * batch_of(i);
  return most;
}();

/// What a thread has of each class.
struct Cache {
  struct List {
    Object* objects = nullptr;
    uint32_t count = 0;
  };
  std::array<List, kNumClasses> lists{};
  bool ended = false;  ///< the thread's own objects are gone: keep nothing
};

/// As the count of a list without objects, once the thread has ended: more than any list may have.
constexpr uint32_t kEnded = UINT32_MAX / 2;

constinit thread_local Cache cache;

void flush() {
  const Lock lock;
  for (Cache::List& list : cache.lists) {
    shared.put(list.objects);
    list = {nullptr, cache.ended ? kEnded : 0};
  }
}

/// Gives back at the thread's end what it kept.
struct AtEnd {
  bool watched = false;
  ~AtEnd() {
    cache.ended = true;
    flush();
  }
};

thread_local AtEnd at_end;

[[gnu::noinline, gnu::cold]] void* refill(size_t size_class) {
  Cache::List& list = cache.lists[size_class];
  if (!cache.ended) at_end.watched = true;
  const Lock lock;
  if (!shared.begin()) return std::malloc(bytes_of(size_class));
  uint32_t taken = 0;
  Object* objects = shared.take(size_class, cache.ended ? 1 : batch_of(size_class), taken);
  if (objects == nullptr) return std::malloc(bytes_of(size_class));
  list = {objects->next, cache.ended ? kEnded : taken - 1};
  return objects;
}

/// Gives back what a list has too much: half of it, or all where the thread has ended.
[[gnu::noinline, gnu::cold]] void spill(size_t size_class) {
  Cache::List& list = cache.lists[size_class];
  Object* rest = list.objects;
  if (cache.ended) {
    list = {nullptr, kEnded};
  } else {
    list.count = batch_of(size_class);
    Object* last = list.objects;
    for (uint32_t i = 1; i < list.count; ++i)
      last = last->next;
    rest = std::exchange(last->next, nullptr);
  }
  const Lock lock;
  shared.put(rest);
}

/// An object that was given back, for the thread's next one of its class.
inline void keep(void* memory, size_t size_class) {
  Cache::List& list = cache.lists[size_class];
  auto* object = static_cast<Object*>(memory);
  object->next = list.objects;
  list.objects = object;
  if (++list.count >= kMostKept[size_class]) [[unlikely]]
    spill(size_class);
}

[[gnu::noinline, gnu::cold]] void* allocate_large(size_t bytes, size_t alignment) {
  if (alignment <= kPieceBytes && bytes <= kNumPieces * kPieceBytes) {
    const Lock lock;
    if (shared.begin()) {
      if (void* memory = shared.take_large(std::max<size_t>(bytes, 1))) return memory;
    }
  }
  if (alignment <= kAlignment) return std::malloc(bytes);
  if (bytes > SIZE_MAX - alignment) return nullptr;
  return std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
}

/// Of memory whose class is not known, or that is in none.
[[gnu::noinline]] void deallocate_any(void* memory) {
  if (!shared.holds(memory)) return std::free(memory);
  Piece& run = shared.run_of(memory);
  if (run.use == Use::kClass) return keep(memory, run.size_class);
  const Lock lock;
  shared.free_run(run);
}

}  // namespace

void* allocate(size_t bytes) {
  if (bytes > kLargestClass) [[unlikely]]
    return allocate_large(bytes, kAlignment);
  const size_t size_class = class_of(bytes);
  Cache::List& list = cache.lists[size_class];
  Object* object = list.objects;
  if (object == nullptr) [[unlikely]]
    return refill(size_class);
  list.objects = object->next;
  --list.count;
  return object;
}

void* allocate(size_t bytes, size_t alignment) {
  if (alignment <= kAlignment) return allocate(bytes);
  if (bytes <= kLargestClass && alignment <= kLargestClass) {
    // Runs end with a piece, objects at the run's end: they are aligned as their size is.
    const size_t rounded = (std::max<size_t>(bytes, 1) + alignment - 1) / alignment * alignment;
    if (rounded <= kLargestClass && bytes_of(class_of(rounded)) % alignment == 0)
      return allocate(rounded);
  }
  return allocate_large(bytes, alignment);
}

void deallocate(void* memory) {
  if (memory != nullptr) deallocate_any(memory);
}

void deallocate(void* memory, size_t bytes) {
  if (bytes > kLargestClass || !shared.holds(memory)) [[unlikely]]
    return deallocate(memory);
  keep(memory, class_of(bytes));
}

void give_back() {
  flush();
  {
    const Lock lock;
    if (shared.base() != nullptr) shared.give_back();
  }
#if defined(__GLIBC__)
  malloc_trim(0);
#endif
}

}  // namespace gradc::heap
