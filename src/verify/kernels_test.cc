// Every kernel of every form, verified. BITKERF_VERIFY=full (./check --all): every pair of number format and encoding,
// larger shapes.
#include <gtest/gtest.h>

#include <cstdlib>
#include <set>

#include "verify/kernels.h"

namespace bitkerf {
namespace {

bool full() {
  const char* sweep = std::getenv("BITKERF_VERIFY");
  return sweep && std::string_view(sweep) == "full";
}

class Kernels : public testing::TestWithParam<Subject> {};

TEST_P(Kernels, AreVerified) {
  VerifyOptions options;
  options.full = full();
  for (const KernelCase& row : verify_kernels(GetParam(), options)) EXPECT_EQ(row.wrong, "") << row.kernel << ' ' << row.check;
}

INSTANTIATE_TEST_SUITE_P(All, Kernels, testing::ValuesIn(kernel_subjects(full())), [](const auto& info) {
  std::string name = info.param.name();
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return name;
});

// The tables decide what is verified: no format, encoding or form is left out.
TEST(KernelSubjects, CoverTheTables) {
  std::set<std::string> formats, inputs, forms_seen;
  for (const Subject& s : kernel_subjects(false)) {
    formats.insert(s.format.substr(0, s.format.find('.')));
    inputs.insert(s.input->name);
    forms_seen.insert(std::string(s.form->name));
  }
  for (const FormatRow& row : number_formats()) EXPECT_TRUE(formats.contains(std::string(row.name))) << row.name;
  for (const FormRow& form : forms()) EXPECT_TRUE(forms_seen.contains(std::string(form.name))) << form.name;
  for (const Encoding& input : encodings()) EXPECT_TRUE(inputs.contains(input.name)) << input.name;
}

}  // namespace
}  // namespace bitkerf
