// A vector whose first N elements live on the stack: what the call path keeps leaves, frames and signature words in.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <new>
#include <type_traits>

namespace addax {

template <typename T, size_t N>
class SmallVector {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  SmallVector() : data_(reinterpret_cast<T*>(inline_)) {}
  ~SmallVector() {
    if (!is_inline()) std::free(data_);
  }
  SmallVector(const SmallVector&) = delete;
  SmallVector& operator=(const SmallVector&) = delete;

  void push_back(const T& v) {
    if (size_ == capacity_) grow(size_ + 1);
    data_[size_++] = v;
  }
  T& back() { return data_[size_ - 1]; }
  void pop_back() { size_--; }
  void resize(size_t n) {  // new elements are not initialised
    if (n > capacity_) grow(n);
    size_ = n;
  }
  void clear() { size_ = 0; }
  T* data() { return data_; }
  const T* data() const { return data_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }
  T* begin() { return data_; }
  T* end() { return data_ + size_; }

 private:
  bool is_inline() const { return data_ == reinterpret_cast<const T*>(inline_); }

  __attribute__((noinline)) void grow(size_t needed) {
    size_t capacity = capacity_ * 2 > needed ? capacity_ * 2 : needed;
    T* data = static_cast<T*>(std::malloc(capacity * sizeof(T)));
    if (data == nullptr) throw std::bad_alloc();
    std::memcpy(static_cast<void*>(data), data_, size_ * sizeof(T));
    if (!is_inline()) std::free(data_);
    data_ = data;
    capacity_ = capacity;
  }

  T* data_;
  size_t size_ = 0, capacity_ = N;
  alignas(T) char inline_[N * sizeof(T)];
};

}  // namespace addax
