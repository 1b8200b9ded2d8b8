// File readers: good files of every kind (some as NumPy wrote them), and damaged ones, which must
// give a message and never a crash.
#include "runtime/array.h"
#include "runtime/byte_stream.h"
#include "runtime/output_file.h"
#include "runtime/safetensors.h"
#include "runtime/text.h"
#include "tests/unit/runtime/fake_model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <zlib.h>

namespace gradc::rt {
namespace {

using testing::read_bytes;
using testing::TempDir;
using testing::write_bytes;

Bytes bytes_of(const std::string& text) {
  Bytes bytes;
  bytes.append(reinterpret_cast<const uint8_t*>(text.data()), text.size());
  return bytes;
}

std::string fixture(const char* name) {
  return read_bytes(std::string(GRADC_SOURCE_DIR) + "/tests/unit/runtime/data/" + name);
}

void expect_error(const Status& status, const char* part) {
  EXPECT_EQ(status.code, Code::kUserError);
  EXPECT_NE(strstr(status.text.c_str(), part), nullptr) << status.text.c_str();
  EXPECT_NE(strstr(status.text.c_str(), "f.x"), nullptr) << "no file name: " << status.text.c_str();
}

std::string gzip(const std::string& text) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, text.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string big32(uint32_t v) {
  return {static_cast<char>(v >> 24), static_cast<char>(v >> 16), static_cast<char>(v >> 8),
          static_cast<char>(v)};
}

std::string idx(char type, std::vector<uint32_t> dims, const std::string& data) {
  std::string out{'\0', '\0', type, static_cast<char>(dims.size())};
  for (uint32_t d : dims)
    out += big32(d);
  return out + data;
}

Status read_idx(const std::string& text, Array* array) {
  return parse_idx(bytes_of(text), "f.x", array);
}

TEST(Idx, ReadsBytesAndBigEndianTypes) {
  Array a;
  ASSERT_TRUE(read_idx(idx(8, {2, 3}, "abcdef"), &a).ok());
  EXPECT_EQ(array_type_text(a), Str("u8[2, 3]"));
  EXPECT_EQ(load_i64(a.data.data(), a.dtype, 5), 'f');
  Array b;
  ASSERT_TRUE(read_idx(idx(11, {2}, std::string("\xff\xfe\x01\x00", 4)), &b).ok());
  EXPECT_EQ(load_i64(b.data.data(), b.dtype, 0), -2);
  EXPECT_EQ(load_i64(b.data.data(), b.dtype, 1), 256);
  Array c;
  ASSERT_TRUE(read_idx(idx(13, {1}, std::string("\x3f\xc0\x00\x00", 4)), &c).ok());
  EXPECT_EQ(load_f64(c.data.data(), c.dtype, 0), 1.5);
}

TEST(Idx, DamageIsReported) {
  Array a;
  expect_error(read_idx("", &a), "not an IDX file");
  expect_error(read_idx("\x89PNG....", &a), "not an IDX file");
  expect_error(read_idx(std::string("\0\0\x08\x03\0\0\0\x01", 8), &a), "cut off");
  expect_error(read_idx(idx(8, {2, 3}, "abcde"), &a), "needs 6 bytes of data, the file has 5");
  expect_error(read_idx(idx(8, {2, 3}, "abcdefg"), &a), "the file has 7");
  expect_error(read_idx(idx(8, {0xffffffff, 0xffffffff, 0xffffffff}, "x"), &a), "more than 2^62");
  expect_error(read_idx(std::string("\0\0\x08\x00", 4), &a), "rank");
  expect_error(read_idx(std::string("\0\0\x08\xff", 4), &a), "rank");
}

TEST(Gzip, RoundTripMembersAndPadding) {
  std::string text(3000000, 'a');
  for (size_t i = 0; i < text.size(); i += 7)
    text[i] = static_cast<char>(i);
  Bytes out;
  ASSERT_TRUE(
      gunzip(bytes_of(gzip(text) + gzip("tail") + std::string(10, '\0')), "f.x", &out).ok());
  EXPECT_EQ(std::string(reinterpret_cast<char*>(out.data()), out.size()), text + "tail");
}

TEST(Gzip, DamageIsReported) {
  const std::string good = gzip("hello hello hello hello");
  Bytes out;
  for (size_t cut = 2; cut < good.size(); ++cut)
    expect_error(gunzip(bytes_of(good.substr(0, cut)), "f.x", &out), "ends too early");
  std::string flipped = good;
  flipped[good.size() - 6] ^= 1;  // the checksum
  expect_error(gunzip(bytes_of(flipped), "f.x", &out), "gzip");
  expect_error(gunzip(bytes_of(good + "garbage"), "f.x", &out), "gzip");
}

// Every byte of a good file flipped in turn, and every truncation: an error or a good result, never
// a crash.
template <class Parse>
void torture(const std::string& good, Parse parse) {
  for (size_t cut = 0; cut < good.size(); ++cut)
    EXPECT_FALSE(parse(good.substr(0, cut)).ok()) << cut;
  for (size_t i = 0; i < good.size(); ++i) {
    for (int bit : {0, 3, 7}) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ (1 << bit));
      (void)parse(bad);
    }
  }
}

TEST(Idx, Torture) {
  torture(idx(8, {2, 3}, "abcdef"), [](const std::string& text) {
    Array a;
    return read_idx(text, &a);
  });
}

Status read_npy_text(const std::string& text, Array* a) {
  return parse_npy(reinterpret_cast<const uint8_t*>(text.data()), text.size(), "f.x", a);
}

std::string npy(const std::string& dict, const std::string& data) {
  std::string out = "\x93NUMPY";
  out += '\1';
  out += '\0';
  out += static_cast<char>(dict.size() & 255);
  out += static_cast<char>(dict.size() >> 8);
  return out + dict + data;
}

TEST(Npy, ReadsWhatNumpyWrote) {  // data/*.npy: np.save of the arrays named in each check
  Array a;
  ASSERT_TRUE(read_npy_text(fixture("f4_c.npy"), &a).ok());  // arange(6).reshape(2,3) / 2
  EXPECT_EQ(array_type_text(a), Str("f32[2, 3]"));
  EXPECT_EQ(load_f64(a.data.data(), a.dtype, 5), 2.5);
  Array f;
  ASSERT_TRUE(read_npy_text(fixture("f8_fortran.npy"), &f)
                  .ok());  // asfortranarray(arange(24).reshape(2,3,4))
  EXPECT_EQ(array_type_text(f), Str("f64[2, 3, 4]"));
  for (size_t i = 0; i < 24; ++i)
    EXPECT_EQ(load_f64(f.data.data(), f.dtype, i), static_cast<double>(i));
  Array b;
  ASSERT_TRUE(read_npy_text(fixture("i2_big.npy"), &b).ok());  // array([1, -2, 300], '>i2')
  EXPECT_EQ(array_type_text(b), Str("i32[3]"));
  EXPECT_EQ(load_i64(b.data.data(), b.dtype, 1), -2);
  EXPECT_EQ(load_i64(b.data.data(), b.dtype, 2), 300);
  Array h;
  ASSERT_TRUE(read_npy_text(fixture("f2.npy"), &h).ok());  // array([0.1, 65504, 6e-8, inf], 'f2')
  EXPECT_NEAR(load_f64(h.data.data(), h.dtype, 0), 0.1, 5e-5);
  EXPECT_EQ(load_f64(h.data.data(), h.dtype, 1), 65504);
  EXPECT_EQ(load_f64(h.data.data(), h.dtype, 2), 0x1.0p-24);
  EXPECT_TRUE(std::isinf(load_f64(h.data.data(), h.dtype, 3)));
  Array s;
  ASSERT_TRUE(read_npy_text(fixture("scalar_bool.npy"), &s).ok());  // np.array(True)
  EXPECT_EQ(array_type_text(s), Str("bool[]"));
}

TEST(Npy, DamageIsReported) {
  Array a;
  expect_error(read_npy_text("hello", &a), "not an .npy file");
  expect_error(read_npy_text("\x93NUMPY\x09_____", &a), "version is 9");
  expect_error(
      read_npy_text(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", "1234"), &a),
      "needs 8 bytes of data, the file has 4");
  expect_error(
      read_npy_text(npy("{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }", "12345678"),
                    &a),
      "'<c8' is not supported");
  expect_error(
      read_npy_text(
          npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", "1234"), &a),
      "structured");
  expect_error(
      read_npy_text(
          npy("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", ""),
          &a),
      "not a dict");
  expect_error(read_npy_text(npy("{'descr': '<f4', 'fortran_order': False, 'shape': "
                                 "(4611686018427387904, 4611686018427387904), }",
                                 ""),
                             &a),
               "more than 2^62");
  expect_error(
      read_npy_text(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", ""), &a),
      "not a dict");
  torture(fixture("f4_c.npy"), [](const std::string& text) {
    Array t;
    return read_npy_text(text, &t);
  });
}

TEST(Npy, WritesWhatItReads) {
  TempDir dir;
  const Array a = testing::make_array("a", Dtype::kF64, {2, 2}, {1, -2, 0.1, 4});
  ASSERT_TRUE(write_npy(dir.file("a.npy").c_str(), a).ok());
  Array b;
  ASSERT_TRUE(read_npy_text(read_bytes(dir.file("a.npy")), &b).ok());
  EXPECT_EQ(array_type_text(b), Str("f64[2, 2]"));
  EXPECT_EQ(memcmp(a.data.data(), b.data.data(), 32), 0);
  EXPECT_EQ(read_bytes(dir.file("a.npy")).size() % 64, 32u);  // the data begin on a multiple of 64
}

TEST(Npz, ReadsWhatNumpyWrote) {
  for (const char* file :
       {"stored.npz", "packed.npz"}) {  // savez / savez_compressed(x=arange(1000), y=[1, 2])
    Vec<Array> arrays;
    ASSERT_TRUE(parse_npz(bytes_of(fixture(file)), "f.x", &arrays).ok());
    ASSERT_EQ(arrays.size(), 2u);
    EXPECT_EQ(arrays[0].name, Str("x"));
    EXPECT_EQ(array_type_text(arrays[0]), Str("i32[1000]"));
    EXPECT_EQ(load_i64(arrays[0].data.data(), Dtype::kI32, 999), 999);
    EXPECT_EQ(array_type_text(arrays[1]), Str("u8[2]"));
  }
}

TEST(Npz, DamageIsReported) {
  Vec<Array> arrays;
  expect_error(parse_npz(bytes_of("PK"), "f.x", &arrays), "not a zip");
  const std::string good = fixture("packed.npz");
  for (size_t cut = 0; cut < good.size(); cut += 3) {
    Vec<Array> out;
    EXPECT_FALSE(parse_npz(bytes_of(good.substr(0, cut)), "f.x", &out).ok());
  }
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x55);
    Vec<Array> out;
    (void)parse_npz(bytes_of(bad), "f.x", &out);
  }
}

std::string safetensors_text(const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + header + data;
}

Status parse_st(const std::string& text, SafetensorsFile* file) {
  return parse_safetensors(bytes_of(text), "f.x", file);
}

TEST(Safetensors, WritesAndReadsBack) {
  TempDir dir;
  const int64_t dims[] = {2, 2};
  const float values[] = {1, 2, 3, -4};
  const int64_t step = 7;
  Vec<TensorView> views;
  views.push({"dense/kernel", Dtype::kF32, {dims, 2}, values, 16});
  views.push({"it \"er\"\n", Dtype::kI64, {}, &step, 8});
  Vec<Metadata> metadata;
  metadata.push({Str("note"), Str("a \"quoted\" \\ text")});
  const std::string path = dir.file("w.safetensors");
  ASSERT_TRUE(write_safetensors(path.c_str(), {views.data(), 2}, {metadata.data(), 1}).ok());
  SafetensorsFile file;
  ASSERT_TRUE(read_safetensors(path.c_str(), &file).ok());
  ASSERT_EQ(file.arrays.size(), 2u);
  const Array* kernel = file.find("dense/kernel");
  ASSERT_NE(kernel, nullptr);
  EXPECT_EQ(array_type_text(*kernel), Str("f32[2, 2]"));
  EXPECT_EQ(memcmp(kernel->data.data(), values, 16), 0);
  ASSERT_NE(file.find("it \"er\"\n"), nullptr);
  EXPECT_STREQ(file.meta("note"), "a \"quoted\" \\ text");
  EXPECT_EQ(file.meta("none"), nullptr);
  std::vector<std::string> left;  // no temporary file stays behind
  Vec<Str> names;
  ASSERT_TRUE(list_directory(dir.path().c_str(), &names).ok());
  EXPECT_EQ(names.size(), 1u);
}

TEST(Safetensors, ReadsEscapesAndNarrowTypes) {
  SafetensorsFile file;
  ASSERT_TRUE(
      parse_st(safetensors_text("{\"\\u00e9\\ud83d\\ude00\":{\"dtype\":\"I16\",\"shape\":[2],"
                                "\"data_offsets\":[0,4]}}  ",
                                std::string("\xff\xff\x02\x00", 4)),
               &file)
          .ok());
  EXPECT_EQ(file.arrays[0].name, Str("\xc3\xa9\xf0\x9f\x98\x80"));
  EXPECT_EQ(array_type_text(file.arrays[0]), Str("i32[2]"));
  EXPECT_EQ(load_i64(file.arrays[0].data.data(), Dtype::kI32, 0), -1);
}

TEST(Safetensors, DamageIsReported) {
  const auto header = [](const char* dtype, const char* shape, const char* offsets) {
    return std::string("{\"a\":{\"dtype\":\"") + dtype + "\",\"shape\":" + shape +
           ",\"data_offsets\":" + offsets + "}}";
  };
  struct Case {
    std::string text;
    const char* message;
  };
  const std::string four = "1234";
  const Case cases[] = {
      {"", "not a safetensors file"},
      {std::string(8, '\xff') + "{}", "not a safetensors file"},
      {safetensors_text("{", ""), "malformed"},
      {safetensors_text("[]", ""), "malformed"},
      {safetensors_text("{}x", ""), "malformed"},
      {safetensors_text("{\"a\":{}}", ""), "malformed"},
      {safetensors_text(header("F32", "[1]", "[0,4]") + "}", four), "malformed"},
      {safetensors_text(header("F32", "[1", "[0,4]"), four), "malformed"},
      {safetensors_text(header("F32", "[-1]", "[0,4]"), four), "malformed"},
      {safetensors_text(header("F32", "[01]", "[0,4]"), four), "malformed"},
      {safetensors_text(header("F8_E4M3", "[1]", "[0,1]"), "1"), "F8_E4M3"},
      {safetensors_text(header("F32", "[1]", "[0,8]"), four), "claims bytes 0 to 8"},
      {safetensors_text(header("F32", "[2]", "[0,4]"), four), "claims bytes"},
      {safetensors_text(header("F32", "[1]", "[4,0]"), four), "claims bytes"},
      {safetensors_text(header("F32", "[9223372036854775807,9223372036854775807]", "[0,4]"), four),
       "claims"},
      {safetensors_text(header("F32", "[1]", "[0,4]"), four + "5"),
       "5 bytes of data, its header describes 4"},
      {safetensors_text(header("F32", "[1]", "[1,5]"), four + "5"), "begins at byte 1"},
      {safetensors_text("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                        "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
                        "12"),
       "appears twice"},
      {safetensors_text("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
                        "\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
                        "12"),
       "begins at byte 1"},
      {safetensors_text(header("U64", "[1]", "[0,8]"), std::string(8, '\xff')), "does not fit"},
  };
  for (const Case& one : cases) {
    SafetensorsFile file;
    expect_error(parse_st(one.text, &file), one.message);
  }
  torture(safetensors_text(header("F32", "[1]", "[0,4]"), four), [](const std::string& text) {
    SafetensorsFile file;
    return parse_st(text, &file);
  });
}

TEST(Safetensors, DeepNestingIsRefusedAtOnce) {
  SafetensorsFile file;
  expect_error(parse_st(safetensors_text(std::string(100000, '{'), ""), &file), "malformed");
  expect_error(parse_st(safetensors_text("{\"a\":" + std::string(100000, '['), ""), &file),
               "malformed");
}

// A file of a kilobyte that unpacks to a hundred megabytes is not unpacked for its message.
TEST(Gzip, WhatTheHeaderDoesNotAskForIsNotUnpacked) {
  const std::string bomb = gzip(idx(8, {2, 3}, std::string(100 << 20, 'a')));
  ByteStream stream;
  const Bytes packed = bytes_of(bomb);
  ASSERT_TRUE(stream.open(packed.span(), "f.x").ok());
  Array a;
  const Status status = read_idx(stream, "f.x", &a);
  expect_error(status, "needs 6 bytes of data, the file has ");
  size_t seen = 0;
  ASSERT_EQ(sscanf(strstr(status.text.c_str(), "the file has"), "the file has %zu", &seen), 1);
  EXPECT_GT(seen, 6u);
  EXPECT_LT(seen, size_t{8} << 20);
}

TEST(Npz, ArraysThatNobodyAskedForMayHoldAnything) {
  const std::string file = fixture("packed.npz");  // x and y
  ArrayChoice choice;
  choice.wants = [](const void*, const Str& name) { return name == "y"; };
  Vec<Array> arrays;
  std::string bad = file;
  const size_t x = bad.find("x.npy") + 5;  // its data is damaged: it is not even unpacked
  bad[x + 40] = static_cast<char>(bad[x + 40] ^ 0x55);
  ASSERT_TRUE(parse_npz(bytes_of(bad), "f.x", &arrays, &choice).ok());
  ASSERT_EQ(arrays.size(), 1u);
  EXPECT_EQ(arrays[0].name, Str("y"));
  ASSERT_EQ(choice.skipped.size(), 1u);
  EXPECT_EQ(choice.skipped[0], Str("x"));
}

TEST(Safetensors, TensorsThatNobodyAskedForMayHaveAnyType) {
  const std::string text = safetensors_text(
      "{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[3],\"data_offsets\":[0,3]},"
      "\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[3,4]}}",
      "1234");
  ArrayChoice choice;
  choice.wants = [](const void*, const Str& name) { return name == "b"; };
  SafetensorsFile file;
  ASSERT_TRUE(parse_safetensors(bytes_of(text), "f.x", &file, &choice).ok());
  ASSERT_EQ(file.arrays.size(), 1u);
  EXPECT_EQ(load_i64(file.arrays[0].data.data(), Dtype::kU8, 0), '4');
  SafetensorsFile all;
  expect_error(parse_st(text, &all), "tensor \"a\" has dtype F8_E4M3");
}

TEST(Text, NothingOfAFileSteersATerminal) {
  const auto text = [](const std::string& raw) {
    return std::string(shown(raw.data(), raw.size()).c_str());
  };
  EXPECT_EQ(text("plain text"), "plain text");
  EXPECT_EQ(text("a\nb\r\tc"), "a\\nb\\r\\tc");
  EXPECT_EQ(text("\x1b[31mred\x1b[0m"), "\\x1b[31mred\\x1b[0m");
  EXPECT_EQ(text(std::string("a\0b", 3)), "a\\x00b");
  EXPECT_EQ(text("\x7f\xc2\x9b"), "\\x7f\\u{9b}");  // DEL, and CSI as one character
  EXPECT_EQ(text("caf\xe9!"), "caf\\xe9!");         // latin-1
  EXPECT_EQ(text("caf\xc3\xa9 \xe7\xbb\xbf"), "caf\xc3\xa9 \xe7\xbb\xbf");  // UTF-8 stays
  EXPECT_EQ(text("\xe2\x80\xaegnp.exe"), "\\u{202e}gnp.exe");               // right to left
  EXPECT_EQ(text("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // a surrogate is no character
  EXPECT_EQ(text(std::string(100000, 'a')), std::string(40, 'a') + "...");
  EXPECT_EQ(text(std::string(38, 'a') + "\xc3\xa9\xc3\xa9"), std::string(38, 'a') + "\xc3\xa9...");
}

TEST(File, ErrorsNameTheFileAndTheReason) {
  TempDir dir;
  Bytes bytes;
  const std::string missing = dir.file("f.x");
  expect_error(read_file(missing.c_str(), &bytes), "No such file");
  const Status folder = read_file(dir.path().c_str(), &bytes);
  EXPECT_NE(strstr(folder.text.c_str(), "is a directory"), nullptr);
  OutputFile file;
  EXPECT_FALSE(file.open((dir.path() + "/no/such/f.x").c_str()).ok());
}

TEST(File, AnUncommittedFileLeavesNothing) {
  TempDir dir;
  write_bytes(dir.file("a"), "old");
  {
    OutputFile file;
    ASSERT_TRUE(file.open(dir.file("a").c_str()).ok());
    ASSERT_TRUE(file.write("new", 3).ok());
  }
  EXPECT_EQ(read_bytes(dir.file("a")), "old");
  Vec<Str> names;
  ASSERT_TRUE(list_directory(dir.path().c_str(), &names).ok());
  EXPECT_EQ(names.size(), 1u);
}

TEST(Dtype, HalfAndBrainFloatsRoundTripAndRoundToEven) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const uint16_t b = static_cast<uint16_t>(bits);
    const float h = f16_to_f32(b);
    const float f = bf16_to_f32(b);
    if (!std::isnan(h)) {
      EXPECT_EQ(f64_to_f16(static_cast<double>(h)), b);
    }
    if (!std::isnan(f)) {
      EXPECT_EQ(f64_to_bf16(static_cast<double>(f)), b);
    }
  }
  EXPECT_EQ(f64_to_f16(1.0 + 0x1.0p-11), 0x3C00);  // a tie goes to the even mantissa
  EXPECT_EQ(f64_to_f16(1.0 + 3 * 0x1.0p-11), 0x3C02);
  EXPECT_EQ(f64_to_f16(65519.9), 0x7BFF);
  EXPECT_EQ(f64_to_f16(65520), 0x7C00);  // rounds up to infinity
  EXPECT_EQ(f64_to_f16(0x1.0p-25), 0);   // half of the least subnormal: even is zero
  EXPECT_EQ(f64_to_bf16(1.0 + 0x1.0p-8), 0x3F80);
  EXPECT_EQ(f64_to_bf16(-1.0 - 3 * 0x1.0p-8), 0xBF82);
  EXPECT_TRUE(std::isnan(f16_to_f32(f64_to_f16(std::nan("")))));
}

}  // namespace
}  // namespace gradc::rt
