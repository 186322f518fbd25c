"""How weights are held: as `--quantization` asks, or as the checkpoint's `quantization_config` says. Torch-free."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from paddock.engine.models.errors import CheckpointError
from paddock.engine.models.family import Family

ROUNDED = {"int8": 8, "int4": 4}
"""Methods that round a checkpoint of plain weights when it is loaded, and the bits of a code."""

GROUPS = (128, 64, 32)
"""Neighbouring inputs that share a scale: the first of these that divides a layer's inputs."""

BY_INPUT = ("group", "dynamic")
"""Values of compressed-tensors' actorder for which groups are of inputs that are no neighbours."""

StoredMethod = Literal["fp8", "gptq", "awq", "compressed-tensors"]
STORED: tuple[StoredMethod, ...] = ("fp8", "gptq", "awq", "compressed-tensors")
"""Methods of checkpoints. Codes of 4 and 8 bits stay where a kernel multiplies by them; all else is made plain numbers."""


@dataclass(frozen=True)
class StoredWeights:
    """Of a checkpoint that is quantized already. Blocks are of outputs and inputs."""

    method: StoredMethod
    bits: int
    group: int
    """Neighbouring inputs that share a scale, -1 for all; of fp8, the inputs of a block."""
    outputs: int = 1
    """Of fp8: the outputs of a block."""
    zero_offset: int = 0
    """Added to a stored zero."""
    symmetric: bool = False
    """Of compressed-tensors: no zeros are stored."""
    group_index: str | None = None
    """Ending of the tensor with the group of each input; None where neighbours share a group."""


@dataclass(frozen=True)
class Quantization:
    """Either is None: a checkpoint that is quantized already is not rounded again."""

    rounded_bits: int | None = None
    stored: StoredWeights | None = None

    @staticmethod
    def read(
        fields: Mapping[str, Any], family: Family, asked: str | None, source: str, *, native: bool
    ) -> "Quantization":
        """Raises `CheckpointError` for a method that the engine has not, or not for this family."""
        if asked is not None and asked not in (*ROUNDED, *STORED, *family.quantizations):
            raise CheckpointError(f"--quantization {asked!r} is not supported; {_what_works(family)}.")
        config = fields.get("quantization_config")
        if not config:
            return _rounded(asked, family, source, native=native)
        if not isinstance(config, Mapping):
            raise CheckpointError(f"{source}: quantization_config is {config!r:.80}; expected an object.")
        method = config.get("quant_method")
        if asked is not None and asked != method:
            raise CheckpointError(
                f"--quantization {asked!r}: the checkpoint is quantized already, by {method!r} "
                f"(quantization_config in {source}); leave --quantization out, or take the unquantized checkpoint."
            )
        if method in family.quantizations:
            return Quantization()
        if family.quantizations or not native or method not in STORED:
            raise CheckpointError(
                f"{source}: quantization_config {method!r} is not supported here; {_what_works(family)}, "
                "or take the unquantized checkpoint."
            )
        return Quantization(stored=_READERS[method](config, source))


def _what_works(family: Family) -> str:
    stored = family.quantizations or STORED
    return (
        f"--quantization {' and '.join(ROUNDED)} round plain weights at loading, and checkpoints may be of "
        f"{', '.join(stored)}"
    )


def _rounded(asked: str | None, family: Family, source: str, *, native: bool) -> Quantization:
    if asked is None:
        return Quantization()
    if asked not in ROUNDED:
        raise CheckpointError(
            f"--quantization {asked!r}: {source} has no quantization_config, so its weights are plain numbers; "
            f"leave --quantization out, or round them at loading with {' or '.join(ROUNDED)}."
        )
    if not native or not family.rounds_weights:
        why = "has experts" if native else "runs through transformers"
        raise CheckpointError(
            f"--quantization {asked!r}: this model ({source}) {why}, whose weights are not rounded at loading; leave "
            "--quantization out."
        )
    return Quantization(rounded_bits=ROUNDED[asked])


def _fp8(config: Mapping[str, Any], source: str) -> StoredWeights:
    block = config.get("weight_block_size", [128, 128])
    sizes = isinstance(block, list) and len(block) == 2 and all(type(n) is int and n > 0 for n in block)
    if not sizes:
        raise CheckpointError(
            f"{source}: quantization_config.weight_block_size is {block!r}; expected two whole numbers, the outputs "
            "and inputs of a block."
        )
    if config.get("fmt", "e4m3") != "e4m3":
        raise CheckpointError(f"{source}: quantization_config.fmt is {config['fmt']!r}; only 'e4m3' works.")
    return StoredWeights("fp8", 8, block[1], outputs=block[0])


def _gptq(config: Mapping[str, Any], source: str) -> StoredWeights:
    _refuse_unless(config, source, "desc_act", (False, True, None))
    return StoredWeights(
        "gptq",
        _bits(config, source, (4, 8)),
        _group(config, source),
        zero_offset=0 if config.get("checkpoint_format") == "gptq_v2" else 1,
        group_index="g_idx" if config.get("desc_act") else None,
    )


def _awq(config: Mapping[str, Any], source: str) -> StoredWeights:
    _refuse_unless(config, source, "version", ("gemm", "GEMM", None))
    return StoredWeights("awq", _bits(config, source, (4,)), _group(config, source))


def _compressed(config: Mapping[str, Any], source: str) -> StoredWeights:
    """Weights alone, packed, and all in one way; layers that `ignore` names are plain in the files."""
    _refuse_unless(config, source, "format", ("pack-quantized",))
    _refuse_unless(config, source, "kv_cache_scheme", (None, {}))
    groups = config.get("config_groups")
    scheme = next(iter(groups.values()), None) if isinstance(groups, Mapping) and len(groups) == 1 else None
    if not isinstance(scheme, Mapping) or not isinstance(scheme.get("weights"), Mapping):
        raise CheckpointError(
            f"{source}: quantization_config.config_groups is {groups!r:.80}; one group works, with weights."
        )
    _refuse_unless(scheme, source, "targets", (["Linear"],))
    for name in ("input_activations", "output_activations"):
        _refuse_unless(scheme, source, name, (None,))
    weights = scheme["weights"]
    for name, allowed in (
        ("type", ("int",)), ("strategy", ("group", "channel")), ("actorder", (None, "weight", "static", *BY_INPUT)),
        ("dynamic", (False, None)), ("symmetric", (True, False)),
    ):  # fmt: skip
        _refuse_unless(weights, source, name, allowed)
    by_group = weights["strategy"] == "group"
    return StoredWeights(
        "compressed-tensors",
        _bits({"bits": weights.get("num_bits")}, source, (4, 8)),
        _group(weights, source) if by_group else -1,
        symmetric=weights["symmetric"],
        group_index="weight_g_idx" if by_group and weights.get("actorder") in BY_INPUT else None,
    )


_READERS = {"fp8": _fp8, "gptq": _gptq, "awq": _awq, "compressed-tensors": _compressed}


def _refuse_unless(config: Mapping[str, Any], source: str, name: str, allowed: tuple[object, ...]) -> None:
    if config.get(name) not in allowed:
        raise CheckpointError(
            f"{source}: quantization_config.{name} is {config.get(name)!r}, and only {allowed[0]!r} works; take another "
            "quantized checkpoint, or the unquantized one."
        )


def _bits(config: Mapping[str, Any], source: str, allowed: tuple[int, ...]) -> int:
    bits = config.get("bits", 4)
    if bits not in allowed:
        raise CheckpointError(
            f"{source}: quantization_config.bits is {bits!r}; {' and '.join(map(str, allowed))} work."
        )
    return int(bits)


def _group(config: Mapping[str, Any], source: str) -> int:
    group = config.get("group_size", 128)
    if type(group) is not int or (group != -1 and group < 1):
        raise CheckpointError(
            f"{source}: quantization_config.group_size is {group!r}; expected a whole number of at least 1, or -1."
        )
    return group
