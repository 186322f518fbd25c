"""One of two ranks that run saved models in parts, by tensors and by layers: `python run_rank.py FOLDER RANK MEMORY NAME...`.

MEMORY is an inherited descriptor of memory for both. Each model's folder is FOLDER/NAME; the logits of 20 tokens, in two chunks, go to FOLDER/NAME/tensor-RANK.pt and
FOLDER/NAME/pipeline-1.pt, and for a model with experts, whole ones on either rank, to FOLDER/NAME/PLACEMENT-RANK.pt.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

import torch
import torch.distributed as dist

from paddock.engine.config import LoadConfig, ModelConfig
from paddock.engine.layers.placement import ExpertPlacement, Placement
from paddock.engine.models.causal_lm import CausalLM
from paddock.engine.models.expert_count import expert_count
from paddock.engine.models.shape import ModelShape
from paddock.engine.weights.loader import load_model
from paddock.kernels import AttentionMetadata
from paddock.kernels.collective import SharedMemoryRanks

TOKENS = torch.arange(20) * 3
CHUNKS = ((0, 13), (13, 20))


def main() -> None:
    folder, rank = Path(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    peers = SharedMemoryRanks(int(sys.argv[3]), rank, 2)
    cpu = torch.device("cpu")
    by_tensors = Placement(torch.float32, cpu, rank, 2, peers)
    by_layers = Placement(torch.float32, cpu, stage=rank, num_stages=2)
    for name in sys.argv[4:]:
        run_model(folder / name, by_tensors, f"tensor-{rank}.pt")
        run_model(folder / name, by_layers, f"pipeline-{rank}.pt")
        if expert_count(ModelShape.read(folder / name, ModelConfig())) is not None:
            for placement in get_args(ExpertPlacement):
                by_experts = replace(by_tensors, expert_placement=placement)
                run_model(folder / name, by_experts, f"{placement}-{rank}.pt")
    dist.destroy_process_group()


def run_model(folder: Path, place: Placement, output: str) -> None:
    shape = ModelShape.read(folder, ModelConfig())
    model, _ = load_model(shape, folder, LoadConfig(use_tqdm_on_load=False), place, 64, 0)
    size = (4, model.num_kv_heads, 16, model.head_dim)
    model.bind_cache([(torch.zeros(size), torch.zeros(size)) for _ in range(model.num_cache_layers)])
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
