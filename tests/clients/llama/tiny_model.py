"""Write a llama model of half a megabyte with random weights: ``tiny_model.py OUT.gguf``.

A server that loads it shows its wire as it is; what the model says means nothing.
"""

from __future__ import annotations

import sys

import gguf
import numpy as np

WIDTH, HIDDEN, LAYERS, HEADS, CONTEXT = 64, 128, 2, 4, 4096
WORDS = (
    *("the", "mill", "water", "runs", "off", "in", "a", "race", "and", "wheel", "stone"),
    *("é", "水", "🎉"),
)
TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"

weights = np.random.default_rng(1)


def main(path: str) -> None:
    """Write the model to `path`."""
    out = gguf.GGUFWriter(path, "llama")
    out.add_name("tiny")
    out.add_context_length(CONTEXT)
    out.add_embedding_length(WIDTH)
    out.add_block_count(LAYERS)
    out.add_feed_forward_length(HIDDEN)
    out.add_head_count(HEADS)
    out.add_head_count_kv(HEADS)
    out.add_rope_dimension_count(WIDTH // HEADS)
    out.add_layer_norm_rms_eps(1e-5)
    add_vocabulary(out)
    out.add_chat_template(TEMPLATE)
    add_weights(out)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def add_vocabulary(out: gguf.GGUFWriter) -> None:
    """Add a token for each byte and a few words, so that an answer is longer than its tokens."""
    kinds = gguf.TokenType
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokens += [".", ",", *(f"▁{word}" for word in WORDS)]
    types = [kinds.UNKNOWN, kinds.CONTROL, kinds.CONTROL, *[kinds.BYTE] * 256]
    types += [kinds.NORMAL] * (len(tokens) - len(types))
    out.add_vocab_size(len(tokens))
    out.add_tokenizer_model("llama")
    out.add_token_list(tokens)
    out.add_token_scores([0.0] * len(tokens))
    out.add_token_types(types)
    out.add_bos_token_id(1)
    out.add_eos_token_id(2)
    out.add_unk_token_id(0)
    add_weight(out, "token_embd.weight", len(tokens), WIDTH)
    add_weight(out, "output.weight", len(tokens), WIDTH)


def add_weights(out: gguf.GGUFWriter) -> None:
    """Add the layers."""
    for layer in range(LAYERS):
        block = f"blk.{layer}"
        add_weight(out, f"{block}.attn_norm.weight", WIDTH)
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add_weight(out, f"{block}.{part}.weight", WIDTH, WIDTH)
        add_weight(out, f"{block}.ffn_norm.weight", WIDTH)
        add_weight(out, f"{block}.ffn_gate.weight", HIDDEN, WIDTH)
        add_weight(out, f"{block}.ffn_up.weight", HIDDEN, WIDTH)
        add_weight(out, f"{block}.ffn_down.weight", WIDTH, HIDDEN)
    add_weight(out, "output_norm.weight", WIDTH)


def add_weight(out: gguf.GGUFWriter, name: str, *shape: int) -> None:
    """Add one tensor: ones for a norm, else random numbers."""
    values = np.ones(shape) if "norm" in name else weights.normal(0, 0.4, shape)
    out.add_tensor(name, values.astype(np.float32))


if __name__ == "__main__":
    main(sys.argv[1])
