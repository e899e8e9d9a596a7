#include "connectors/files/input_stream.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace weir {
namespace {

constexpr size_t kCompressedBufferBytes = 128 << 10;
// 128 MiB: what `zstd` itself accepts without being told.
constexpr int kMaxZstdWindowLog = 27;

class PlainStream final : public InputStream {
 public:
  PlainStream(std::unique_ptr<RandomAccessFile> file, uint64_t offset)
      : file_(std::move(file)), offset_(offset) {}

  absl::StatusOr<size_t> Read(char* buffer, size_t size) override {
    WEIR_ASSIGN_OR_RETURN(const size_t n, file_->ReadAt(offset_, size, buffer));
    offset_ += n;
    return n;
  }
  uint64_t file_bytes_read() const override { return offset_; }
  bool compressed() const override { return false; }

 private:
  std::unique_ptr<RandomAccessFile> file_;
  uint64_t offset_;
};

// What gzip and zstd share: a buffer of compressed bytes that is filled from the file.
class CompressedStream : public InputStream {
 public:
  CompressedStream(std::unique_ptr<RandomAccessFile> file, std::string path)
      : path_(std::move(path)), file_(std::move(file)), buffer_(kCompressedBufferBytes) {}

  uint64_t file_bytes_read() const final { return offset_; }
  bool compressed() const final { return true; }

 protected:
  // Fills the buffer once it is used up. After it, available() is 0 only at the end of the file.
  absl::Status Fill() {
    if (begin_ < end_) return absl::OkStatus();
    WEIR_ASSIGN_OR_RETURN(end_, file_->ReadAt(offset_, buffer_.size(), buffer_.data()));
    begin_ = 0;
    offset_ += end_;
    return absl::OkStatus();
  }
  size_t available() const { return end_ - begin_; }

  absl::Status Damaged(std::string_view kind, std::string_view what) const {
    return absl::DataLossError(StrCat(path_, ": the ", kind, " data is damaged near byte ",
                                      offset_ - available(), ": ", what));
  }
  absl::Status CutOff(std::string_view kind) const {
    return absl::DataLossError(
        StrCat(path_, ": the ", kind, " data is cut off after ", offset_, " bytes"));
  }

  std::string path_;
  std::unique_ptr<RandomAccessFile> file_;
  std::vector<char> buffer_;
  size_t begin_ = 0;
  size_t end_ = 0;
  uint64_t offset_ = 0;
};

class GzipStream final : public CompressedStream {
 public:
  using CompressedStream::CompressedStream;
  ~GzipStream() override {
    if (initialized_) inflateEnd(&zlib_);
  }

  absl::Status Initialize() {
    constexpr int kGzipOnly = 16;
    if (inflateInit2(&zlib_, MAX_WBITS + kGzipOnly) != Z_OK) {
      return absl::ResourceExhaustedError(StrCat(path_, ": no memory to decompress it"));
    }
    initialized_ = true;
    return absl::OkStatus();
  }

  absl::StatusOr<size_t> Read(char* buffer, size_t size) override {
    zlib_.next_out = reinterpret_cast<Bytef*>(buffer);
    zlib_.avail_out = static_cast<uInt>(std::min<size_t>(size, 1u << 30));
    const size_t wanted = zlib_.avail_out;
    while (zlib_.avail_out == wanted) {
      WEIR_RETURN_IF_ERROR(Fill());
      if (available() == 0) {
        if (in_member_) return CutOff("gzip");
        return 0;
      }
      if (!in_member_) {
        // Zeros after the last member are padding, as gzip itself takes them.
        if (members_ > 0 && buffer_[begin_] == 0) {
          ++begin_;
          continue;
        }
        if (inflateReset(&zlib_) != Z_OK)
          return absl::InternalError(StrCat(path_, ": inflateReset failed"));
        in_member_ = true;
      }
      zlib_.next_in = reinterpret_cast<Bytef*>(buffer_.data() + begin_);
      zlib_.avail_in = static_cast<uInt>(available());
      const int result = inflate(&zlib_, Z_NO_FLUSH);
      begin_ = end_ - zlib_.avail_in;
      if (result == Z_STREAM_END) {
        in_member_ = false;
        ++members_;
      } else if (result != Z_OK) {
        return Damaged("gzip", zlib_.msg == nullptr ? "no valid stream" : zlib_.msg);
      }
    }
    return wanted - zlib_.avail_out;
  }

 private:
  z_stream zlib_{};
  bool initialized_ = false;
  bool in_member_ = false;
  uint64_t members_ = 0;
};

class ZstdStream final : public CompressedStream {
 public:
  using CompressedStream::CompressedStream;
  ~ZstdStream() override { ZSTD_freeDCtx(context_); }

  absl::Status Initialize() {
    context_ = ZSTD_createDCtx();
    if (context_ == nullptr || ZSTD_isError(ZSTD_DCtx_setParameter(context_, ZSTD_d_windowLogMax,
                                                                   kMaxZstdWindowLog)) != 0) {
      return absl::ResourceExhaustedError(StrCat(path_, ": no memory to decompress it"));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<size_t> Read(char* buffer, size_t size) override {
    ZSTD_outBuffer out{.dst = buffer, .size = size, .pos = 0};
    while (out.pos == 0) {
      WEIR_RETURN_IF_ERROR(Fill());
      // An empty input still lets out what the decoder holds.
      const bool at_end = available() == 0;
      if (at_end && !in_frame_) return 0;
      ZSTD_inBuffer in{.src = buffer_.data() + begin_, .size = available(), .pos = 0};
      const size_t result = ZSTD_decompressStream(context_, &out, &in);
      begin_ += in.pos;
      if (ZSTD_isError(result) != 0) return Damaged("zstd", ZSTD_getErrorName(result));
      in_frame_ = result != 0;
      if (at_end && in_frame_ && out.pos == 0) return CutOff("zstd");
    }
    return out.pos;
  }

 private:
  ZSTD_DCtx* context_ = nullptr;
  bool in_frame_ = false;
};

bool EndsWith(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

absl::Status Discard(InputStream& stream, const std::string& path, uint64_t bytes) {
  std::vector<char> scratch(std::min<uint64_t>(bytes, 256 << 10));
  for (uint64_t left = bytes; left > 0;) {
    WEIR_ASSIGN_OR_RETURN(const size_t n,
                          stream.Read(scratch.data(), std::min<uint64_t>(left, scratch.size())));
    if (n == 0) {
      return absl::DataLossError(StrCat(path, ": has ", bytes - left,
                                        " bytes, but was read up to byte ", bytes,
                                        " before; was it replaced?"));
    }
    left -= n;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<InputStream>> InputStream::Open(FileSystem& files,
                                                               const std::string& path,
                                                               uint64_t offset) {
  WEIR_ASSIGN_OR_RETURN(std::unique_ptr<RandomAccessFile> file, files.OpenForRead(path));
  char magic[4] = {};
  WEIR_ASSIGN_OR_RETURN(const size_t n, file->ReadAt(0, sizeof(magic), magic));
  const std::string_view head(magic, n);
  std::unique_ptr<InputStream> stream;
  if (head.substr(0, 2) == "\x1f\x8b") {
    auto gzip = std::make_unique<GzipStream>(std::move(file), path);
    WEIR_RETURN_IF_ERROR(gzip->Initialize());
    stream = std::move(gzip);
  } else if (head == "\x28\xb5\x2f\xfd") {
    auto zstd = std::make_unique<ZstdStream>(std::move(file), path);
    WEIR_RETURN_IF_ERROR(zstd->Initialize());
    stream = std::move(zstd);
  } else {
    if (n > 0 && (EndsWith(path, ".gz") || EndsWith(path, ".zst"))) {
      return absl::DataLossError(StrCat(path,
                                        ": the name says that it is compressed, its first bytes "
                                        "that it is not; rename or compress it"));
    }
    WEIR_ASSIGN_OR_RETURN(const uint64_t size, file->Size());
    if (size < offset) {
      return absl::DataLossError(StrCat(path, ": has ", size, " bytes, but was read up to byte ",
                                        offset, " before; was it replaced?"));
    }
    return std::make_unique<PlainStream>(std::move(file), offset);
  }
  WEIR_RETURN_IF_ERROR(Discard(*stream, path, offset));
  return stream;
}

}  // namespace weir
