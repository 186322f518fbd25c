"""Layers that come from host memory as they are needed: the same numbers, and two layers at a time on the device."""

from dataclasses import replace

import pytest
import torch

from paddock.engine.config import LoadConfig
from paddock.engine.config.serve import ServeConfig
from paddock.engine.layers.layer_stream import NUM_BUFFERS, LayerStream, chosen_layers, tensors_of
from paddock.engine.layers.placement import Placement
from paddock.engine.models.quantization import Quantization
from paddock.engine.settings import EngineSettings, SettingsError
from paddock.engine.weights.loader import load_model
from paddock.engine.worker import fit
from paddock.engine.worker.fit import MemoryNeed
from paddock.kernels import AttentionMetadata

CPU = torch.device("cpu")
IDS = (torch.arange(40) * 7) % 211
FAMILIES = ["qwen3", "gemma2", "mixtral", "deepseek-v3", "gpt-oss-mxfp4", "gpt2"]


def model_of(checkpoint, stream=None):
    place = Placement(torch.float32, CPU, stream=stream)
    load = LoadConfig(use_tqdm_on_load=False)
    model, _ = load_model(checkpoint.shape(), checkpoint.path, load, place, 64, 0)
    size = (4, model.num_kv_heads, 16, model.head_dim)
    keys = [torch.zeros(size) for _ in range(model.num_cache_layers)]
    model.bind_cache(
        [(key, torch.zeros(size)) if model.keeps_values else (key, key) for key in keys],
    )
    return model


def logits(model):
    metadata = AttentionMetadata.build([40], [40], [[2, 1, 0]], 16)
    return model.logits(model(IDS, torch.arange(40), metadata))


@pytest.mark.parametrize("layers", [[0, 1, 2], [0, 2], [1]], ids=str)
@pytest.mark.parametrize("name", FAMILIES)
@torch.inference_mode()
def test_streamed_layers_give_the_same_bits_step_after_step(checkpoint_of, name, layers):
    plain = model_of(checkpoint_of(name))
    held = [index for index in layers if index < len(plain.layers)]

    streamed = model_of(checkpoint_of(name), LayerStream(held, CPU))

    expected = logits(plain)
    for _ in range(3):
        assert torch.equal(logits(streamed), expected)


@torch.inference_mode()
def test_weights_of_streamed_layers_are_views_of_two_buffers(checkpoint_of):
    model = model_of(checkpoint_of("qwen3"), LayerStream([0, 1, 2], CPU))
    weights = [
        [tensor for _, name, tensor in tensors_of(layer) if not name.endswith("_cache")]
        for layer in model.layers
    ]

    storages = [{weight.untyped_storage().data_ptr() for weight in layer} for layer in weights]

    assert [len(each) for each in storages] == [1, 1, 1]
    assert storages[0] == storages[2] != storages[1]
    assert all(len(layer) > 5 for layer in weights)


def test_as_many_layers_stay_as_fit_and_lie_evenly():
    assert chosen_layers([10] * 8, 80) == list(range(8))
    assert chosen_layers([10] * 8, 45) == [0, 2, 4, 6]
    assert chosen_layers([10] * 8, 30) == [0, 2, 5]
    assert chosen_layers([10] * 8, 9) == []


def test_the_fit_counts_two_layers_on_the_device_and_the_rest_on_the_host(checkpoint_of, monkeypatch):
    checkpoint, place = checkpoint_of("llama"), Placement(torch.float32, torch.device("cuda"))
    whole = MemoryNeed.of(checkpoint.shape(), checkpoint.path, checkpoint.settings(), place)
    settings = checkpoint.settings(cpu_offload_bytes=1 << 30)

    need = MemoryNeed.of(checkpoint.shape(), checkpoint.path, settings, place)

    assert need.weights == whole.weights
    assert len(need.offload.layers) == checkpoint.shape().num_layers > NUM_BUFFERS
    layer = need.offload.host_bytes // len(need.offload.layers)
    assert need.offload.buffer_bytes == NUM_BUFFERS * layer

    on_device = whole.weights - need.offload.host_bytes + need.offload.buffer_bytes
    room = on_device + need.step + need.cache
    monkeypatch.setattr(fit, "usable_memory", lambda *_: room)
    monkeypatch.setattr(fit, "free_memory", lambda *_: room)
    need.check(settings, torch.device("cuda"), 1)
    with pytest.raises(MemoryError, match="the model does not fit"):
        whole.check(checkpoint.settings(), torch.device("cuda"), 1)
    monkeypatch.setattr(fit, "available_memory", lambda: need.offload.host_bytes - 1)
    with pytest.raises(MemoryError, match=r"--cpu-offload-gb 0\.00 GiB of host memory for each of 1 ranks"):
        need.check(settings, torch.device("cuda"), 1)


def test_what_would_save_nothing_is_refused_with_what_would(checkpoint_of):
    checkpoint, place = checkpoint_of("llama"), Placement(torch.float32, torch.device("cuda"))
    settings = checkpoint.settings(cpu_offload_bytes=1000)

    with pytest.raises(
        SettingsError, match=r"holds 0 of the 3 layers .* nothing would be saved. Use at least"
    ):
        MemoryNeed.of(checkpoint.shape(), checkpoint.path, settings, place)


def test_a_cpu_and_models_that_cannot_are_refused_by_name(checkpoint_of):
    checkpoint = checkpoint_of("llama")
    config = ServeConfig.model_validate({"cache": {"cpu_offload_gb": 1.5}})

    assert EngineSettings.resolve(config, checkpoint.shape()).cpu_offload_bytes == 3 << 29
    with pytest.raises(
        SettingsError, match=r"--cpu-offload-gb 1\.5: on a CPU all weights are in host memory"
    ):
        checkpoint.executor(checkpoint.settings(cpu_offload_bytes=3 << 29))
    with pytest.raises(SettingsError, match=r"1\.5: LlamaForCausalLM runs through transformers"):
        EngineSettings.resolve(config, replace(checkpoint.shape(), native=False))
    rounded = replace(checkpoint.shape(), quantization=Quantization(rounded_bits=8))
    with pytest.raises(SettingsError, match=r"1\.5: LlamaForCausalLM has its weights in codes"):
        EngineSettings.resolve(config, rounded)
