#pragma once

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace weir::internal {

// A growable array whose hot calls inline to a store: like std::vector, but space can be reserved
// and filled without a check or an initialization. Move only.
template <class T>
class Column {
 public:
  Column() = default;
  Column(const Column&) = delete;
  Column& operator=(const Column&) = delete;
  Column(Column&& other) noexcept { swap(other); }
  Column& operator=(Column&& other) noexcept {
    swap(other);
    return *this;
  }
  ~Column() {
    clear();
    Free(data_);
  }

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::size_t capacity() const { return capacity_; }
  T* data() { return data_; }
  const T* data() const { return data_; }
  T& operator[](std::size_t i) { return data_[i]; }
  const T& operator[](std::size_t i) const { return data_[i]; }
  T* begin() { return data_; }
  T* end() { return data_ + size_; }
  const T* begin() const { return data_; }
  const T* end() const { return data_ + size_; }
  T& back() { return data_[size_ - 1]; }

  void reserve(std::size_t capacity) {
    if (capacity > capacity_) Grow(capacity);
  }
  template <class... Args>
  void emplace_back(Args&&... args) {
    if (size_ == capacity_) [[unlikely]] {
      Grow(capacity_ < 16 ? 16 : capacity_ * 2);
    }
    ::new (static_cast<void*>(data_ + size_)) T(std::forward<Args>(args)...);
    ++size_;
  }
  // As emplace_back, where the caller has reserved the space.
  template <class... Args>
  void emplace_unchecked(Args&&... args) {
    ::new (static_cast<void*>(data_ + size_)) T(std::forward<Args>(args)...);
    ++size_;
  }
  // As emplace_unchecked, of what make() returns, which is made in its place.
  template <class Make>
  void emplace_made(Make&& make) {
    ::new (static_cast<void*>(data_ + size_)) T(make());
    ++size_;
  }
  // Makes the first `size` elements count as existing; only for trivial T whose memory the caller
  // has written or will.
  void resize_uninitialized(std::size_t size)
    requires std::is_trivially_copyable_v<T>
  {
    reserve(size);
    size_ = size;
  }
  // Counts the first `size` elements as existing: the caller has reserved the space and constructed
  // them at data().
  void set_size(std::size_t size) { size_ = size; }
  // Destroys the elements from `size` on, of which there are at least that many.
  void truncate(std::size_t size) {
    if (size > size_) [[unlikely]]
      DieOfTruncate(size);
    if constexpr (!std::is_trivially_destructible_v<T>) {
      for (std::size_t i = size; i < size_; ++i) data_[i].~T();
    }
    size_ = size;
  }
  // Destroys the elements and keeps the memory.
  void clear() { truncate(0); }
  void swap(Column& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
  }

 private:
  static T* Allocate(std::size_t n) {
    return static_cast<T*>(::operator new(n * sizeof(T), std::align_val_t(alignof(T))));
  }
  static void Free(T* data) {
    if (data != nullptr) ::operator delete(static_cast<void*>(data), std::align_val_t(alignof(T)));
  }
  [[noreturn, gnu::cold, gnu::noinline]] void DieOfTruncate(std::size_t size) const {
    std::fprintf(stderr, "a column of %zu elements cannot be truncated to %zu\n", size_, size);
    std::abort();
  }
  [[gnu::noinline]] void Grow(std::size_t capacity) {
    T* data = Allocate(capacity);
    if constexpr (std::is_trivially_copyable_v<T>) {
      if (size_ > 0)
        std::memcpy(static_cast<void*>(data), static_cast<const void*>(data_), size_ * sizeof(T));
    } else {
      for (std::size_t i = 0; i < size_; ++i) {
        ::new (static_cast<void*>(data + i)) T(std::move(data_[i]));
        data_[i].~T();
      }
    }
    Free(data_);
    data_ = data;
    capacity_ = capacity;
  }

  T* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace weir::internal
