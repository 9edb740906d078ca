// What --bits R reads: the planes behind the first R lie on pages that nobody may touch.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include "verify/guarded.h"
#include "verify/problem.h"

namespace bitkerf {
namespace {

OwnedMatrix<float> product(const PackedLinear& linear, Matrix<const float> x, Isa isa, std::string_view kernel) {
  Threads one(1);
  Arena arena(linear.scratch(x.rows));
  Context context{one, arena, isa, kernel};
  OwnedMatrix<float> y(x.rows, linear.shape().rows);
  linear.apply(x, y.view(), context);
  return y;
}

TEST(PlanesRead, AreTheFirstRAndNoOthers) {
  // 1024 columns: a plane of a panel is a page of 4096 bytes. Scales: a second page, in full.
  const Shape shape{64, 1024};
  const i64 plane = 4096, panels = 2;
  Threads threads(1);
  std::mt19937 random(1);
  for (const char* name : {"bipolar8.f32.g32", "int8.f32.g32", "bipolar4.f32.g32", "uint4.f16.g32"})
    for (const char* encoded : {"int8.g32", "int4.g128", "bipolar2.g64"}) {
      Subject subject{&form("bit_planes"), name, nullptr, &encoding(encoded)};
      Weights weights = make_weights(subject, shape, WeightPattern::ordinary, random);
      const NumberFormat& format = weights.quantized->format;
      const int bits = format.grid.bits();
      const i64 scales = 32 * kPanelRows * 4;  // bytes of a panel: float32, or float16 scales and minima
      auto packed = pack(subject, weights, threads);
      ASSERT_EQ(packed->bytes(), panels * (bits * plane + scales));
      OwnedMatrix<float> x = make_input(*subject.input, 9, shape.cols, InputPattern::ordinary, random);
      for (int r = 1; r <= bits; r++) {
        Guarded memory(packed->packed_bytes().data(), packed->bytes(), 4096, Edge::front);
        auto open = form("bit_planes").open({format, subject.input, shape, 1, {memory.data(), packed->packed_bytes().size()}}, r);
        auto allowed = form("bit_planes").open({format, subject.input, shape, 1, packed->packed_bytes()}, r);
        EXPECT_EQ(open->bytes(), panels * (r * plane + scales)) << name << ' ' << r;  // in proportion to r, scales apart
        i64 forbidden = 0;
        for (i64 p = 0; p < panels; p++) {
          std::byte* unread = memory.data() + p * (bits * plane + scales) + r * plane;
          if (r < bits) {
            ASSERT_EQ(mprotect(unread, static_cast<std::size_t>((bits - r) * plane), PROT_NONE), 0);
          }
          forbidden += (bits - r) * plane;
        }
        EXPECT_EQ(packed->bytes() - forbidden, open->bytes());
        for (const IsaRow& isa : isas()) {
          if (!runs(isa.isa)) continue;
          KernelList list = open->kernels(isa.isa);
          for (const PanelKernels* kernels : list.all())
            for (i64 tokens : {1, 9}) {
              if (!kernels->takes(tokens)) continue;
              Matrix<const float> some = x.view().sub_rows(0, tokens);
              OwnedMatrix<float> y;
              EXPECT_TRUE(survives([&] { y = product(*open, some, isa.isa, kernels->name); })) << name << ' ' << r << ' ' << kernels->name;
              if (y.rows() == 0) continue;
              OwnedMatrix<float> want = product(*allowed, some, isa.isa, kernels->name);
              for (i64 t = 0; t < tokens; t++)
                for (i64 i = 0; i < shape.rows; i++) EXPECT_EQ(y(t, i), want(t, i)) << name << ' ' << r << ' ' << kernels->name;
            }
        }
        ASSERT_EQ(mprotect(memory.data(), static_cast<std::size_t>(packed->bytes()), PROT_READ | PROT_WRITE), 0);
      }
    }
}

}  // namespace
}  // namespace bitkerf
