// Collectives between processes that map one segment of memory: sums, gathers and broadcasts in turns.
//
// Every rank takes the same turns in the same order. In turn n a rank writes its slot of the pair n % 2, says so by its
// sequence number, and reads others' slots once they have said so. A slot is written again two turns later: by then
// every rank has said that it is past the turn between, so nobody still reads it. Nothing has to be reset.
#pragma once
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <climits>
#include <cstring>

#include "arguments.h"
#include "number.h"

namespace paddock {

struct ExchangeArgs {
  void* segment;      // shared, zero at first: a mark for each rank, then 2 * ranks slots
  const void* data;   // [rows, row_bytes], contiguous
  void* out;          // as data; of a gather [rows, ranks * row_bytes]
  int64_t rank, ranks, slot_bytes, rows, row_bytes;
};

constexpr int64_t kMarkBytes = 64;
constexpr int64_t kMarksBytes = 4096;          // room for 64 ranks, and the slots begin at a page
constexpr int64_t kSpins = 1 << 10;            // a few dozen microseconds: most peers are that close behind
constexpr int64_t kYields = 1 << 6;            // then the core is offered to whoever is ready, perhaps the peer
constexpr int64_t kLargeBytes = 1 << 15;       // from here on three or more ranks sum a part each

struct alignas(kMarkBytes) Mark {
  std::atomic<uint32_t> sequence;
  std::atomic<uint32_t> sleepers;
};
static_assert(sizeof(Mark) == kMarkBytes && std::atomic<uint32_t>::is_always_lock_free);

class Exchange {
 public:
  explicit Exchange(const ExchangeArgs& args)
      : args_(args), marks_(static_cast<Mark*>(args.segment)), turn_(own().sequence.load()) {}

  // Begins the next turn. The slot may be filled then.
  char* begin() {
    wait_for_all();
    ++turn_;
    return slot(args_.rank);
  }
  // This rank's slot is filled, and it is done with those of the turn before.
  void say() {
    own().sequence.store(turn_);
    if (own().sleepers.load()) futex(own(), FUTEX_WAKE, INT_MAX);
  }
  const char* hear(int64_t rank) {
    wait_for(rank);
    return slot(rank);
  }
  void wait_for_all() {
    for (int64_t rank = 0; rank < args_.ranks; ++rank) wait_for(rank);
  }

 private:
  Mark& own() { return marks_[args_.rank]; }
  char* slot(int64_t rank) {
    const int64_t index = turn_ % 2 * args_.ranks + rank;
    return static_cast<char*>(args_.segment) + kMarksBytes + index * args_.slot_bytes;
  }
  // Numbers wrap around; ranks are at most one turn apart.
  static bool behind(uint32_t seen, uint32_t turn) { return static_cast<int32_t>(seen - turn) < 0; }

  void wait_for(int64_t rank) {
    Mark& mark = marks_[rank];
    for (int64_t spin = 0; spin < kSpins + kYields; ++spin) {
      if (!behind(mark.sequence.load(std::memory_order_acquire), turn_)) return;
      if (spin < kSpins) relax();
      else sched_yield();
    }
    // Asleep it costs nothing, however long: a peer that is dead or stopped is the heartbeats' to find.
    mark.sleepers.fetch_add(1);
    for (uint32_t seen; behind(seen = mark.sequence.load(), turn_);) futex(mark, FUTEX_WAIT, seen);
    mark.sleepers.fetch_sub(1);
  }
  static void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }
  static void futex(Mark& mark, int operation, uint32_t value) {
    syscall(SYS_futex, &mark.sequence, operation, value, nullptr, nullptr, 0);
  }

  const ExchangeArgs& args_;
  Mark* marks_;
  uint32_t turn_;
};

// out[i] = sum of all slots' elements from `first` on, in float32 and in the order of the ranks.
template <class T>
void sum_slots(Exchange& exchange, int64_t ranks, int64_t first, int64_t count, T* out) {
  constexpr int64_t kBlock = 1024;
  alignas(64) float sums[kBlock];
  for (int64_t start = 0; start < count; start += kBlock) {
    const int64_t length = std::min(kBlock, count - start);
    for (int64_t rank = 0; rank < ranks; ++rank) {
      const T* from = reinterpret_cast<const T*>(exchange.hear(rank)) + first + start;
      if (rank == 0)
        for (int64_t i = 0; i < length; ++i) sums[i] = widened(from[i]);
      else
        for (int64_t i = 0; i < length; ++i) sums[i] += widened(from[i]);
    }
    for (int64_t i = 0; i < length; ++i) narrow(sums[i], out[start + i]);
  }
}

// Each rank sums a part of the elements and reads the others' sums: the work of a rank does not grow with their number.
template <class T>
void reduce_in_parts(const ExchangeArgs& args, Exchange& exchange, int64_t count, T* out) {
  const auto part = [&](int64_t rank) { return count * rank / args.ranks; };
  exchange.say();
  exchange.wait_for_all();
  // The slots that are summed are those of the turn before the one in which the sums are told.
  const int64_t first = part(args.rank), own = part(args.rank + 1) - first;
  sum_slots(exchange, args.ranks, first, own, out + first);
  memcpy(exchange.begin(), out + first, own * sizeof(T));
  exchange.say();
  for (int64_t rank = 0; rank < args.ranks; ++rank)
    if (rank != args.rank)
      memcpy(out + part(rank), exchange.hear(rank), (part(rank + 1) - part(rank)) * sizeof(T));
}

template <class T>
void reduce(const ExchangeArgs& args) {
  const T* data = static_cast<const T*>(args.data);
  T* out = static_cast<T*>(args.out);
  const int64_t elements = args.rows * args.row_bytes / sizeof(T), most = args.slot_bytes / sizeof(T);
  Exchange exchange(args);
  for (int64_t start = 0; start < elements; start += most) {
    const int64_t count = std::min(most, elements - start);
    memcpy(exchange.begin(), data + start, count * sizeof(T));
    if (args.ranks > 2 && count * static_cast<int64_t>(sizeof(T)) >= kLargeBytes) {
      reduce_in_parts(args, exchange, count, out + start);
    } else {
      exchange.say();
      sum_slots(exchange, args.ranks, 0, count, out + start);
    }
  }
}

// out = sum of all ranks' data; the same bits on every rank.
inline void run_reduce(const Kernels& kernels, const ExchangeArgs& args, int) {
  if (kernels.element_size == sizeof(float)) reduce<float>(args);
  else reduce<Bfloat16>(args);
}

// out[row] = the ranks' rows side by side.
inline void run_gather(const Kernels&, const ExchangeArgs& args, int) {
  const char* data = static_cast<const char*>(args.data);
  const int64_t total = args.rows * args.row_bytes;
  Exchange exchange(args);
  for (int64_t start = 0; start < total; start += args.slot_bytes) {
    const int64_t end = std::min(start + args.slot_bytes, total);
    memcpy(exchange.begin(), data + start, end - start);
    exchange.say();
    for (int64_t rank = 0; rank < args.ranks; ++rank) {
      const char* from = exchange.hear(rank);
      for (int64_t at = start; at < end;) {
        const int64_t row = at / args.row_bytes, column = at % args.row_bytes;
        const int64_t count = std::min(args.row_bytes - column, end - at);
        char* to = static_cast<char*>(args.out) + (row * args.ranks + rank) * args.row_bytes + column;
        memcpy(to, from + (at - start), count);
        at += count;
      }
    }
  }
}

// out = the first rank's data. The first rank does not wait for the others to read it.
inline void run_broadcast(const Kernels&, const ExchangeArgs& args, int) {
  const int64_t total = args.rows * args.row_bytes;
  Exchange exchange(args);
  for (int64_t start = 0; start < total; start += args.slot_bytes) {
    const int64_t count = std::min(args.slot_bytes, total - start);
    char* slot = exchange.begin();
    if (args.rank == 0) memcpy(slot, static_cast<const char*>(args.data) + start, count);
    exchange.say();
    if (args.rank != 0) memcpy(static_cast<char*>(args.out) + start, exchange.hear(0), count);
  }
}

}  // namespace paddock
