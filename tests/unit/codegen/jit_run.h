// Runs a compiled entry on tensors, with real threads that meet at real barriers. Slots are those
// of entry_of() in lower_support.h: inputs by position, then outputs by position.
#pragma once

#include "codegen/jit.h"
#include "ir/graph.h"
#include "ir/tensor.h"
#include "tests/unit/codegen/jit_support.h"

#include <gtest/gtest.h>

#include <barrier>
#include <cstring>
#include <thread>
#include <vector>

namespace gradc::test {

template <class T>
void put(std::vector<std::byte>& bytes, const Tensor& t) {
  bytes.resize(t.data.size() * sizeof(T));
  for (size_t i = 0; i < t.data.size(); ++i) {
    const T x = static_cast<T>(t.data[i]);
    std::memcpy(bytes.data() + i * sizeof(T), &x, sizeof(T));
  }
}

template <class T>
void get(const std::vector<std::byte>& bytes, Tensor& t) {
  for (size_t i = 0; i < t.data.size(); ++i) {
    T x{};
    std::memcpy(&x, bytes.data() + i * sizeof(T), sizeof(T));
    t.data[i] = static_cast<double>(x);
  }
}

inline std::vector<std::byte> to_bytes(const Tensor& t) {
  std::vector<std::byte> bytes;
  if (t.type.dtype == DType::kF32) put<float>(bytes, t);
  if (t.type.dtype == DType::kF64) put<double>(bytes, t);
  if (t.type.dtype == DType::kI32) put<int32_t>(bytes, t);
  if (t.type.dtype == DType::kI64) put<int64_t>(bytes, t);
  if (t.type.dtype == DType::kU8 || t.type.dtype == DType::kBool) put<uint8_t>(bytes, t);
  EXPECT_FALSE(bytes.empty()) << gradc::to_string(t.type);
  return bytes;
}

inline Tensor from_bytes(const TensorType& type, const std::vector<std::byte>& bytes) {
  Tensor t(type);
  if (type.dtype == DType::kF32) get<float>(bytes, t);
  if (type.dtype == DType::kF64) get<double>(bytes, t);
  if (type.dtype == DType::kI32) get<int32_t>(bytes, t);
  if (type.dtype == DType::kI64) get<int64_t>(bytes, t);
  if (type.dtype == DType::kU8 || type.dtype == DType::kBool) get<uint8_t>(bytes, t);
  return t;
}

/// Runs an entry with real threads that meet at real barriers.
inline void run_threads(const JitEntry& entry, std::vector<void*>& slots, int count) {
  const auto arena = aligned_bytes(entry.table.arena_bytes);
  std::memset(arena.get(), 0xff, static_cast<size_t>(entry.table.arena_bytes));  // NaN
  std::barrier<> meet(count);
  std::vector<std::jthread> threads;
  for (int i = 0; i < count; ++i) {
    threads.emplace_back([&, i] {
      const auto scratch = aligned_bytes(entry.table.scratch_bytes);
      const auto wait = [](void* pool) { static_cast<std::barrier<>*>(pool)->arrive_and_wait(); };
      run_entry(entry, slots.data(), arena.get(), {i, count, wait, &meet, scratch.get()});
    });
  }
}

using Memory = std::vector<std::vector<std::byte>>;

inline Memory run_compiled(const JitEntry& entry, const Graph& graph,
                           const std::vector<Tensor>& inputs, int threads) {
  Memory memory;
  for (const Tensor& t : inputs)
    memory.push_back(to_bytes(t));
  for (const GraphOutput& output : graph.outputs())
    memory.push_back(to_bytes(Tensor(graph.type(output.value))));
  std::vector<void*> slots;
  for (std::vector<std::byte>& bytes : memory)
    slots.push_back(bytes.data());
  run_threads(entry, slots, threads);
  return memory;
}

}  // namespace gradc::test
