"""One of two ranks that run saved models in parts, by tensors and by layers: `python run_rank.py FOLDER RANK NAME...`.

Each model's folder is FOLDER/NAME; the logits of 20 tokens, in two chunks, go to FOLDER/NAME/tensor-RANK.pt and
FOLDER/NAME/pipeline-1.pt.
"""

import sys
from pathlib import Path

import torch
import torch.distributed as dist

from paddock.engine.config import LoadConfig, ModelConfig
from paddock.engine.layers.placement import Placement
from paddock.engine.models.causal_lm import CausalLM
from paddock.engine.models.shape import ModelShape
from paddock.engine.weights.loader import load_model
from paddock.kernels import AttentionMetadata

TOKENS = torch.arange(20) * 3
CHUNKS = ((0, 13), (13, 20))


def main() -> None:
    folder, rank = Path(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    cpu = torch.device("cpu")
    by_tensors = Placement(torch.float32, cpu, rank, 2, dist.group.WORLD)
    by_layers = Placement(torch.float32, cpu, stage=rank, num_stages=2)
    for name in sys.argv[3:]:
        run_model(folder / name, by_tensors, f"tensor-{rank}.pt")
        run_model(folder / name, by_layers, f"pipeline-{rank}.pt")
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
