"""Starting weights with an induction circuit in them, so that a short training need not discover how to copy.

Copying from context is done by two layers (Elhage et al. 2021, Olsson et al. 2022): heads of the first write the token
before into each position, heads of the second look for positions whose token before equals the present token, and bring
the token that followed. A transformer finds this circuit by itself after many millions of tokens; here it is laid out at
the start, and training then learns when to use it. Everything else starts small and random, as usual.

Layout of the residual stream: dimension 0 is a constant, 1 to 127 hold the token, 128 to 255 what earlier tokens were.
"""

from __future__ import annotations

import math

import torch
from transformers import Qwen3ForCausalLM

TOKEN = 0.05  # standard deviation of token embeddings
CONSTANT = 0.4  # the embedding's value in dimension 0
SHARP_GAIN = 2.0  # gain of the query and key norms: logits up to 4 * sqrt(head_dim)
FAST = 4  # frequency pairs that tell neighbouring positions apart
STEADY = 9  # frequency pairs, the slowest, that hardly turn over some hundred tokens


@torch.no_grad()
def lay_circuit(model: Qwen3ForCausalLM, generator: torch.Generator) -> None:
    """Overwrite the embeddings and the attention of layers 0 and 1; silence the outputs of all other blocks."""
    config = model.config
    for layer in model.model.layers:
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()
    half = config.hidden_size // 2
    embeddings = model.model.embed_tokens.weight
    embeddings.copy_(TOKEN * torch.randn(embeddings.shape, generator=generator))
    embeddings[:, 0] = CONSTANT
    embeddings[:, half:] = 0.0
    codes = torch.randn(config.head_dim, config.hidden_size, generator=generator) / math.sqrt(half)
    codes[:, 0] = 0.0
    codes[:, half:] = 0.0
    look_back(model, codes)
    match_and_bring(model, codes)


def look_back(model: Qwen3ForCausalLM, codes: torch.Tensor) -> None:
    """Layer 0, head `h`: attend `h + 1` positions back, write that token's code behind the token's dimensions.

    Queries and keys are constants, so rotary embedding alone decides: the query is turned back by the wanted distance.
    The first four heads look one to four positions back; two of them share a key/value head.
    """
    config, attention = model.config, model.model.layers[0].self_attn
    size, group = config.head_dim, config.num_attention_heads // config.num_key_value_heads
    inverse = config.rope_parameters["rope_theta"] ** (-torch.arange(FAST) * 2 / size)
    attention.q_norm.weight.fill_(SHARP_GAIN)
    attention.k_norm.weight.fill_(SHARP_GAIN)
    for head in range(4):
        query, key = head * size, head // group * size
        attention.q_proj.weight[query : query + size] = 0.0
        attention.k_proj.weight[key : key + size] = 0.0
        attention.k_proj.weight[key : key + FAST, 0] = 1.0
        angle = (head + 1) * inverse
        attention.q_proj.weight[query : query + FAST, 0] = torch.cos(angle)
        attention.q_proj.weight[query + size // 2 : query + size // 2 + FAST, 0] = -torch.sin(angle)
        attention.v_proj.weight[key : key + size] = codes
        place = config.hidden_size // 2 + head * size
        attention.o_proj.weight[place : place + size, query : query + size] = TOKEN * torch.eye(size)


def match_and_bring(model: Qwen3ForCausalLM, codes: torch.Tensor) -> None:
    """Layer 1: even heads match the present token with the token before; odd heads also the two before each.

    Each key/value head brings a quarter of the token's dimensions, so the four together bring the whole token.
    """
    config, attention = model.config, model.model.layers[1].self_attn
    size, half = config.head_dim, config.hidden_size // 2
    group = config.num_attention_heads // config.num_key_value_heads
    slow = torch.cat([torch.arange(size // 2 - STEADY, size // 2), torch.arange(size - STEADY, size)])
    back = [half + distance * size + torch.arange(size) for distance in range(4)]
    attention.q_norm.weight.fill_(SHARP_GAIN)
    attention.k_norm.weight.fill_(SHARP_GAIN)
    attention.q_proj.weight.zero_()
    attention.k_proj.weight.zero_()
    attention.v_proj.weight.zero_()
    pick = torch.eye(config.hidden_size)
    for head in range(config.num_attention_heads):
        query, key = head * size, head // group * size
        longer = 0.7 if head % 2 else 0.0
        # Rows rotate with the head so that each head sees other parts of the code.
        rows = (torch.arange(len(slow)) + 7 * (head // group)) % size
        attention.q_proj.weight[query + slow] = codes[rows] + longer * pick[back[0]][rows]
        attention.k_proj.weight[key + slow] = pick[back[0]][rows] + 0.7 * pick[back[1]][rows]
        if head % group == 0:
            dims = head // group * size + torch.arange(size)
            attention.v_proj.weight[key : key + size] = pick[dims]
        dims = head // group * size + torch.arange(size)
        attention.o_proj.weight[dims, query + torch.arange(size)] = 2 * TOKEN
