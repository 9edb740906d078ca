#include "files/huggingface_families.h"

#include "core/error.h"
#include "core/printable.h"
#include "files/huggingface.h"

namespace bitkerf {
namespace {

bool never(i64, const Metadata&) { return false; }
bool always(i64, const Metadata&) { return true; }
bool even_layers(i64 layer, const Metadata&) { return layer % 2 == 0; }
bool all_but_every_nth(i64 layer, const Metadata& config) {
  std::string_view key = config.has("sliding_window_pattern") ? "sliding_window_pattern" : "_sliding_window_pattern";
  return (layer + 1) % config.integer(key, 1, 1 << 14, 6) != 0;
}
bool upper_layers(i64 layer, const Metadata& config) {
  return config.boolean("use_sliding_window", false) && layer >= config.integer("max_window_layers", 0, 1 << 20, 0);
}

constexpr std::string_view kSilu = "silu", kGelu = "gelu_pytorch_tanh";

// A row's columns: class, architecture, activation's key and value, norms_after, norm_offset, tied_output, head_size,
// rope_base, local_rope_base, has_window.
constexpr HuggingfaceFamily kFamilies[] = {
    {"LlamaForCausalLM", "llama", "hidden_act", kSilu, false, 0, false, 0, 1e4, 0, never},
    {"MistralForCausalLM", "llama", "hidden_act", kSilu, false, 0, false, 0, 1e4, 0, always},
    {"Qwen2ForCausalLM", "qwen2", "hidden_act", kSilu, false, 0, false, 0, 1e4, 0, upper_layers},
    {"Qwen3ForCausalLM", "qwen3", "hidden_act", kSilu, false, 0, false, 128, 1e4, 0, upper_layers},
    {"Gemma2ForCausalLM", "gemma2", "hidden_activation", kGelu, true, 1, true, 256, 1e4, 0, even_layers},
    {"Gemma3ForCausalLM", "gemma3", "hidden_activation", kGelu, true, 1, true, 256, 1e6, 1e4, all_but_every_nth},
    {"Phi3ForCausalLM", "phi3", "hidden_act", kSilu, false, 0, false, 0, 1e4, 0, always},
    {"BertModel", "bert", "hidden_act", "gelu", false, 0, false, 0, 0, 0, never, true},
};

struct NameRow {
  std::string_view from, to;
  std::string_view to_norms_after = to;  // in families with norms_after
};

// Parameters of the whole model, complete names; an empty one is left out.
constexpr NameRow kDecoderGlobals[] = {
    {"model.embed_tokens.weight", "token_embd.weight"},
    {"model.norm.weight", "output_norm.weight"},
    {"lm_head.weight", "output.weight"},
};
constexpr NameRow kEncoderGlobals[] = {
    {"embeddings.word_embeddings.weight", "token_embd.weight"},
    {"embeddings.position_embeddings.weight", "position_embd.weight"},
    {"embeddings.token_type_embeddings.weight", "token_types.weight"},
    {"embeddings.LayerNorm.weight", "token_embd_norm.weight"},
    {"embeddings.LayerNorm.bias", "token_embd_norm.bias"},
    {"embeddings.position_ids", ""},
    // Vectors of texts are means or first ones of the last layer's; what classifiers put behind it is not part of GGUF files.
    {"pooler.dense.weight", ""},
    {"pooler.dense.bias", ""},
};

// Modules of a layer: "model.layers.N.<from>.weight" is "blk.N.<to>.weight"; ".bias" likewise.
constexpr NameRow kDecoderModules[] = {
    {"input_layernorm", "attn_norm"},
    {"self_attn.q_proj", "attn_q"},
    {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},
    {"self_attn.qkv_proj", "attn_qkv"},
    {"self_attn.q_norm", "attn_q_norm"},
    {"self_attn.k_norm", "attn_k_norm"},
    {"self_attn.o_proj", "attn_output"},
    {"post_attention_layernorm", "ffn_norm", "post_attention_norm"},
    {"pre_feedforward_layernorm", "ffn_norm"},
    {"mlp.gate_proj", "ffn_gate"},
    {"mlp.up_proj", "ffn_up"},
    {"mlp.gate_up_proj", "ffn_up"},  // GGUF calls Phi-3's fused matrix so; the gate's rows come first in both
    {"mlp.down_proj", "ffn_down"},
    {"post_feedforward_layernorm", "post_ffw_norm"},
};

constexpr NameRow kEncoderModules[] = {
    {"attention.self.query", "attn_q"},
    {"attention.self.key", "attn_k"},
    {"attention.self.value", "attn_v"},
    {"attention.output.dense", "attn_output"},
    {"attention.output.LayerNorm", "attn_output_norm"},
    {"intermediate.dense", "ffn_up"},
    {"output.dense", "ffn_down"},
    {"output.LayerNorm", "layer_output_norm"},
};

struct Naming {
  std::span<const NameRow> globals, modules;
  std::string_view layer_prefix;
};
constexpr Naming kDecoder{kDecoderGlobals, kDecoderModules, "model.layers."};
constexpr Naming kEncoder{kEncoderGlobals, kEncoderModules, "encoder.layer."};
// Buffers that old checkpoints saved; models compute them.
constexpr std::string_view kBufferSuffix = ".rotary_emb.inv_freq";

}  // namespace

std::span<const HuggingfaceFamily> huggingface_families() { return kFamilies; }

const HuggingfaceFamily& huggingface_family(const std::string& where, std::string_view class_name) {
  for (const HuggingfaceFamily& family : kFamilies)
    if (family.class_name == class_name) return family;
  std::string known;
  for (const HuggingfaceFamily& family : kFamilies) known += fmt::format(" {}", family.class_name);
  fail(Fault::file, "{}: models of class {} are not supported, expected one of:{}", where, printable(class_name),
       known);
}

std::string translate_tensor_name(std::string_view name, const Metadata& metadata) {
  if (name.ends_with(kBufferSuffix)) return "";
  if (name == "lm_head.weight" && metadata.boolean("bitkerf.tied_output", false)) return "";
  bool norms_after = false, is_encoder = false;
  for (const HuggingfaceFamily& family : kFamilies)
    if (family.architecture == metadata.text("general.architecture"))
      norms_after = family.norms_after, is_encoder = family.is_encoder;
  const Naming& naming = is_encoder ? kEncoder : kDecoder;
  for (const NameRow& row : naming.globals)
    if (row.from == name) return std::string(row.to);
  if (!name.starts_with(naming.layer_prefix)) return std::string(name);
  // the layer's number, the module, "weight" or "bias"
  std::string_view rest = name.substr(naming.layer_prefix.size());
  std::size_t first = rest.find('.'), last = rest.rfind('.');
  if (first == rest.npos || first == last) return std::string(name);
  std::string_view layer = rest.substr(0, first), module = rest.substr(first + 1, last - first - 1);
  for (const NameRow& row : naming.modules)
    if (row.from == module)
      return fmt::format("blk.{}.{}.{}", layer, norms_after ? row.to_norms_after : row.to, rest.substr(last + 1));
  return std::string(name);
}

}  // namespace bitkerf
