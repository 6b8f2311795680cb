"""llama.cpp's own server with a model of half a megabyte, whose weights are made here, at random.

Runs in an environment of its own: `python llama_cpp.py FOLDER PORT`.
"""

import signal
import sys
from pathlib import Path

import gguf
import numpy as np
import xllamacpp

WIDTH, HEADS, LAYERS, INNER, CONTEXT = 64, 4, 2, 128, 4_096
SIGNS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;!?'\"-{}[]"
TEMPLATE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:"


def write_model(path: Path) -> None:
    special, numbered = ["<unk>", "<s>", "</s>"], [f"<0x{byte:02X}>" for byte in range(256)]
    plain = ["\u2581", *SIGNS]
    made = gguf.GGUFWriter(path, "llama")
    made.add_context_length(CONTEXT)
    made.add_embedding_length(WIDTH)
    made.add_block_count(LAYERS)
    made.add_feed_forward_length(INNER)
    made.add_head_count(HEADS)
    made.add_head_count_kv(HEADS)
    made.add_layer_norm_rms_eps(1e-5)
    made.add_rope_dimension_count(WIDTH // HEADS)
    made.add_file_type(0)
    made.add_tokenizer_model("llama")
    made.add_token_list([*special, *numbered, *plain])
    made.add_token_scores([0.0] * 259 + [-float(place) for place in range(len(plain))])
    kind = gguf.TokenType
    types = [kind.UNKNOWN, kind.CONTROL, kind.CONTROL, *[kind.BYTE] * 256, *[kind.NORMAL] * len(plain)]
    made.add_token_types(types)
    made.add_bos_token_id(1)
    made.add_eos_token_id(2)
    made.add_unk_token_id(0)
    made.add_chat_template(TEMPLATE)
    _add_weights(made, len(types))
    made.write_header_to_file()
    made.write_kv_data_to_file()
    made.write_tensors_to_file()
    made.close()


def _add_weights(made: gguf.GGUFWriter, tokens: int) -> None:
    chance = np.random.default_rng(1)

    def add(name: str, *shape: int) -> None:
        weights = chance.standard_normal(shape) * 0.05 if len(shape) > 1 else np.ones(shape)
        made.add_tensor(f"{name}.weight", weights.astype(np.float32))

    add("token_embd", tokens, WIDTH)
    add("output_norm", WIDTH)
    add("output", tokens, WIDTH)
    for layer in range(LAYERS):
        for name in ("attn_norm", "ffn_norm"):
            add(f"blk.{layer}.{name}", WIDTH)
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"blk.{layer}.{name}", WIDTH, WIDTH)
        add(f"blk.{layer}.ffn_gate", INNER, WIDTH)
        add(f"blk.{layer}.ffn_up", INNER, WIDTH)
        add(f"blk.{layer}.ffn_down", WIDTH, INNER)


if __name__ == "__main__":
    model = Path(sys.argv[1]) / "tiny.gguf"
    write_model(model)
    chosen = xllamacpp.CommonParams()
    chosen.model.path, chosen.port, chosen.hostnames = str(model), int(sys.argv[2]), ["127.0.0.1"]
    chosen.n_ctx, chosen.n_parallel, chosen.cpuparams.n_threads = CONTEXT, 2, 1
    server = xllamacpp.Server(chosen)
    print(server.listening_address, flush=True)
    signal.pause()
