"""One of two ranks that run saved models in parts, by tensors and by layers: `python run_rank.py FOLDER RANK MEMORY NAME...`.

MEMORY is an inherited descriptor of memory for both. Each model's folder is FOLDER/NAME; the logits of 20 tokens, in two
chunks, go to FOLDER/NAME/tensor-RANK.pt and FOLDER/NAME/pipeline-1.pt, and for a model with experts, whole ones on either
rank, to FOLDER/NAME/PLACEMENT-RANK.pt. For `transformers:NAME` the model runs through transformers, split by tensors, and the
tokens that follow greedily go to FOLDER/NAME/transformers-RANK.json, or why it is refused.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

import torch
import torch.distributed as dist

from paddock.engine.config import LoadConfig, ModelConfig
from paddock.engine.layers.placement import ExpertPlacement, Placement
from paddock.engine.models.causal_lm import CausalLM
from paddock.engine.models.errors import CheckpointError
from paddock.engine.models.expert_count import expert_count
from paddock.engine.models.shape import ModelShape
from paddock.engine.weights.loader import load_model
from paddock.kernels import AttentionMetadata
from paddock.kernels.collective import SharedMemoryRanks

TOKENS = torch.arange(20) * 3
CHUNKS = ((0, 13), (13, 20))
THROUGH_TRANSFORMERS = "transformers:"
MOST_TOKENS = 32


def main() -> None:
    folder, rank = Path(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    peers = SharedMemoryRanks(int(sys.argv[3]), rank, 2)
    cpu = torch.device("cpu")
    by_tensors = Placement(torch.float32, cpu, rank, 2, peers)
    by_layers = Placement(torch.float32, cpu, stage=rank, num_stages=2)
    for name in sys.argv[4:]:
        if name.startswith(THROUGH_TRANSFORMERS):
            own = folder / name.removeprefix(THROUGH_TRANSFORMERS)
            (own / f"transformers-{rank}.json").write_text(json.dumps(run_transformers(own, by_tensors)))
            continue
        run_model(folder / name, by_tensors, f"tensor-{rank}.pt")
        run_model(folder / name, by_layers, f"pipeline-{rank}.pt")
        if expert_count(ModelShape.read(folder / name, ModelConfig())) is not None:
            for placement in get_args(ExpertPlacement):
                by_experts = replace(by_tensors, expert_placement=placement)
                run_model(folder / name, by_experts, f"{placement}-{rank}.pt")
    dist.destroy_process_group()


def load(shape: ModelShape, folder: Path, place: Placement) -> CausalLM:
    model, _ = load_model(shape, folder, LoadConfig(use_tqdm_on_load=False), place, 64, 0)
    size = (4, model.num_kv_heads, 16, model.head_dim)
    model.bind_cache([(torch.zeros(size), torch.zeros(size)) for _ in range(model.num_cache_layers)])
    return model


@torch.inference_mode()
def run_transformers(folder: Path, place: Placement) -> list[int] | str:
    try:
        model = load(ModelShape.read(folder, ModelConfig(model_impl="transformers")), folder, place)
    except CheckpointError as error:
        return str(error)
    known, computed = TOKENS.tolist(), 0
    ends = [last for _, last in CHUNKS]
    while len(known) < MOST_TOKENS:
        end = ends.pop(0) if ends else len(known)
        metadata = AttentionMetadata.build([end - computed], [end], [[2, 1]], 16)
        hidden = model(torch.tensor(known[computed:end]), torch.arange(computed, end), metadata)
        scores, computed = model.logits(hidden[-1:]), end
        if computed == len(known):
            known.append(int(scores.argmax()))
    return known[len(TOKENS) :]


def run_model(folder: Path, place: Placement, output: str) -> None:
    shape = ModelShape.read(folder, ModelConfig())
    model = load(shape, folder, place)
    with torch.inference_mode():
        chunks = [run_chunk(model, place, shape, *chunk) for chunk in CHUNKS]
        if place.is_last_stage:
            torch.save(model.logits(torch.cat(chunks)), folder / output)


def run_chunk(model: CausalLM, place: Placement, shape: ModelShape, first: int, last: int) -> torch.Tensor:
    incoming = None
    if not place.is_first_stage:
        incoming = torch.empty(last - first, shape.hidden_size)
        dist.recv(incoming, src=0)
    metadata = AttentionMetadata.build([last - first], [last], [[2, 1]], 16)
    hidden: torch.Tensor = model(TOKENS[first:last], torch.arange(first, last), metadata, incoming)
    if not place.is_last_stage:
        dist.send(hidden, dst=1)
    return hidden


if __name__ == "__main__":
    main()
