"""A tiny llama of random weights with a byte-pair tokenizer, as a GGUF file: for tests of what is done to whole models."""
import array
import random
import struct

WIDTH, INNER, LAYERS, HEADS, CONTEXT = 64, 128, 2, 4, 512
LETTERS = "etaoinshrdlu"  # every pair of these is a token
U32, F32, STRING, ARRAY, I32 = 4, 6, 8, 9, 5
TYPE_F32, ALIGNMENT = 0, 32


def byte_characters():
    """The character that stands for each byte in a GPT-2 vocabulary."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = iter(range(256, 512))
    return [chr(b) if b in shown else chr(next(others)) for b in range(256)]


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def texts(values):
    return struct.pack("<IQ", STRING, len(values)) + b"".join(map(text, values))


def write_tiny_model(path, seed=1):
    generator = random.Random(seed)
    pairs = [(a, b) for a in LETTERS for b in LETTERS]
    tokens = ["<|end|>", *byte_characters(), *(a + b for a, b in pairs)]
    metadata = [
        ("general.architecture", STRING, text("llama")),
        ("general.name", STRING, text("tiny")),
        ("llama.block_count", U32, struct.pack("<I", LAYERS)),
        ("llama.context_length", U32, struct.pack("<I", CONTEXT)),
        ("llama.embedding_length", U32, struct.pack("<I", WIDTH)),
        ("llama.feed_forward_length", U32, struct.pack("<I", INNER)),
        ("llama.attention.head_count", U32, struct.pack("<I", HEADS)),
        ("llama.attention.head_count_kv", U32, struct.pack("<I", HEADS)),
        ("llama.attention.layer_norm_rms_epsilon", F32, struct.pack("<f", 1e-5)),
        ("llama.rope.freq_base", F32, struct.pack("<f", 10000)),
        ("tokenizer.ggml.model", STRING, text("gpt2")),
        ("tokenizer.ggml.pre", STRING, text("gpt-2")),
        ("tokenizer.ggml.tokens", ARRAY, texts(tokens)),
        ("tokenizer.ggml.token_type", ARRAY, struct.pack(f"<IQ{len(tokens)}i", I32, len(tokens), 3, *[1] * (len(tokens) - 1))),
        ("tokenizer.ggml.merges", ARRAY, texts([f"{a} {b}" for a, b in pairs])),
        ("tokenizer.ggml.bos_token_id", U32, struct.pack("<I", 0)),
        ("tokenizer.ggml.eos_token_id", U32, struct.pack("<I", 0)),
    ]
    shapes = {"token_embd.weight": (WIDTH, len(tokens)), "output_norm.weight": (WIDTH,)}  # columns first
    for i in range(LAYERS):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            shapes[f"blk.{i}.{name}.weight"] = (WIDTH, WIDTH)
        shapes[f"blk.{i}.ffn_gate.weight"] = shapes[f"blk.{i}.ffn_up.weight"] = (WIDTH, INNER)
        shapes[f"blk.{i}.ffn_down.weight"] = (INNER, WIDTH)
        shapes[f"blk.{i}.attn_norm.weight"] = shapes[f"blk.{i}.ffn_norm.weight"] = (WIDTH,)

    header = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(metadata))
    for key, kind, value in metadata:
        header += text(key) + struct.pack("<I", kind) + value
    data = b""
    for name, shape in shapes.items():
        header += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, TYPE_F32, len(data))
        if len(shape) == 1:
            values = array.array("f", (1 + 0.1 * generator.gauss(0, 1) for _ in range(shape[0])))
        else:
            values = array.array("f", (generator.gauss(0, shape[0] ** -0.5) for _ in range(shape[0] * shape[1])))
        data += values.tobytes()
        data += bytes(-len(data) % ALIGNMENT)
    path.write_bytes(header + bytes(-len(header) % ALIGNMENT) + data)
    return path
