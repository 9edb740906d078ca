// Which recipe each published quantization method is. Rows with something missing name the axis that recipes lack.
#include "compress/records.h"

namespace bitkerf {
namespace {

constexpr PaperRow kPapers[] = {
    {"OCP Microscaling formats v1.0", "rtn-ocp/mxfp4", ""},
    {"INT v.s. FP", "hadamard | rtn-max/nvint4", ""},
    {"NUPES", "rtn/pow4:a=auto", "rounding: feedback"},
    {"LLM-FP4", "rtn-wide/fp4.f32.row", "transform: powers of two; search: error of the layer's output"},
    {"Low-Bitwidth FP Quantization (diffusion)", "rtn-wide/fp8.f32.row", "rounding: learned"},
    {"QLoRA (NF4)", "rtn-max/nf4", ""},
    {"BitNet b1.58", "rtn/ternary.tensor", "training"},
    {"Dynamic fixed point (INT16 training)", "rtn-max/int16:p=15.row", "training"},
    {"APT-LLM (bipolar-INT)", "rtn/bipolar3 | bit_planes", ""},
    {"Matryoshka Quantization", "rtn/bipolar8 | bit_planes", "rounding: nested, feedback"},
    {"ABQ-LLM", "rtn/bal2 | bit_planes", "transform: balance vectors; calibration"},
    {"LUT Tensor Core", "rtn/bipolar2 | bit_planes", ""},
    {"T-MAC", "rtn/bipolar2 | bit_planes", ""},
    {"MixPE", "rtn/int4.g128", ""},
    {"Tilus", "rtn/int3.g64", ""},
    {"QuIP#", "hadamard | gptq/e8p2", "transform: of outputs too; tuning of signs"},
    {"HIGGS (linearity theorem)", "hadamard | rtn/normal4", ""},
    {"GPTQ = Babai", "gptq/int4.g128", ""},
    {"SimVQ", "rtn/cb8d2", "codebook: basis x linear map"},
    {"LR2VQ", "rtn/cb8d2", "codebook: of lower dimension"},
    {"LLM.int8()", "outlier(6) | rtn-max/int8.f32.row", "outliers that calibration did not see"},
    {"BCT", "gptq/mxint4", ""},
    {"FlatQuant", "kron(4) | rtn/int4.row", "clips: learned"},
    {"Agile-Quant", "rtn/int4.row", "activations: bits by profile; pruned tokens"},
    {"FlexQ", "rtn/bipolar6.g64 | bit_planes", "allocation: bits of activations by layer"},
    {"HAWQ-V3", "rtn-max/int8.row", ""},
    {"CrossQuant", "cross(0.15) | rtn/int8.row", ""},
    {"MixLLM", "rtn/int4.g128", "allocation: rows of 8 bits"},
    {"COMET", "rtn/int4.g128", "activations: 4 and 8 bits by block"},
    {"QFX", "rtn-max/int16.tensor", "training"},
    {"FP quantization scaling law", "rtn/e2m1.row", "training"},
    {"MXFP4 training", "rtn-max/mxfp4", "training; rounding: stochastic"},
    {"QuantVLA", "rtn/int4.g128", "transform: matched temperature and energy"},
    {"KIVI", "", "keys and values of the cache"},
    {"BFP + channel rearrangement", "", "keys and values of the cache; order of channels"},
    {"MatryoshkaKV", "", "keys and values of the cache"},
    {"8-bit and 4-bit optimizers", "", "training"},
};

}  // namespace

std::span<const PaperRow> papers() { return kPapers; }

}  // namespace bitkerf
