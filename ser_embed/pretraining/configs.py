"""The sizes a HuBERT can be made in from scratch. No framework is loaded here."""

from typing import Any

# At most 10 MB in half precision: 4.8 million weights. The first convolutions, which run thousands of times a second,
# are narrow, which halves the time of a step, and what they save is spent on the blocks. LayerNorm in front of every
# block learns without a long warm-up, and LayerNorm in the convolutions makes a clip's vector independent of its batch.
# Nothing is dropped out: so small a network sees too little of its audio twice to learn it by heart.
_MINI: dict[str, Any] = {
    "conv_dim": [64, 96, 128, 192, 256, 256, 256],
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
    "hidden_size": 256,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "intermediate_size": 768,
    "num_conv_pos_embeddings": 64,
    "num_conv_pos_embedding_groups": 16,
    "hidden_dropout": 0.0,
    "activation_dropout": 0.0,
    "attention_dropout": 0.0,
    "feat_proj_dropout": 0.0,
    "layerdrop": 0.0,
}

CONFIGS = {"mini": _MINI}
