"""`paddock manifest -- vllm serve MODEL --flags…`: the InferenceService for a command line somebody already has."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from paddock.engine.config.argument import State
from paddock.engine.config.build import draft
from paddock.engine.config.catalogue import by_path, entries
from paddock.engine.config.manifest.check import API_VERSION, KIND, check
from paddock.engine.config.manifest.command import read_command
from paddock.engine.config.manifest.spec_writer import secret_key, to_spec
from paddock.engine.config.problems import ArgumentError, in_flags
from paddock.engine.config.serve import ServeConfig
from paddock.engine.config.sources import gather
from paddock.engine.config.variables import PREFIX, STANDARD, by_name

WIDTH = 100
_HIDDEN_GPUS = {"CUDA_VISIBLE_DEVICES=", "CUDA_VISIBLE_DEVICES=-1"}


@dataclass(frozen=True, slots=True)
class Manifest:
    """An InferenceService, and what its user should know."""

    content: dict[str, Any]
    secrets: tuple[str, ...]
    """Keys of the Secret that has to exist."""

    left_out: tuple[str, ...]
    """Arguments and variables that have no field."""

    refused: tuple[str, ...]
    """What the API server would say to it."""

    @property
    def secret_name(self) -> str:
        """The Secret that holds what the command line held in the open."""
        return f"{self.content['metadata']['name']}-secrets"

    def text(self) -> str:
        """YAML, with everything to know as comments above it."""
        body: str = yaml.safe_dump(self.content, sort_keys=False, allow_unicode=True, width=WIDTH)
        return "".join(f"{line}\n" for line in self._comments()) + body

    def _comments(self) -> Iterator[str]:
        if "template" in self.content["spec"]:
            yield "# A GPU for each rank, as the command line takes them; without template, the CPU serves."
        if self.secrets:
            literals = " ".join(f"--from-literal={key}=…" for key in self.secrets)
            yield "# Create the Secret first; the command line held its content in the open:"
            yield f"#   kubectl create secret generic {self.secret_name} {literals}"
        for title, lines in (
            ("Left out, since there is no field for it:", self.left_out),
            ("The API server refuses this manifest for now:", self.refused),
        ):
            if lines:
                yield f"# {title}"
            for line in lines:
                yield from textwrap.wrap(
                    line, WIDTH, initial_indent="# - ", subsequent_indent="#   ", break_on_hyphens=False
                )


def write_manifest(
    command: Sequence[str],
    name: str,
    namespace: str | None = None,
    replicas: int | None = None,
    uri: str | None = None,
) -> Manifest:
    """Translate a server's command line. ArgumentError if it is wrong by itself.

    Well-formed arguments that this engine does not serve yet are written down as well; what the API server
    says to them stands in `refused`.
    """
    given = read_command(command)
    layer = gather(given.arguments, {})
    wrong = [problem for problem in layer.problems if not problem.unsupported]
    values = {
        group: {name: value for name, value in fields.items() if _was_typed(layer.sources[group, name])}
        for group, fields in layer.values.items()
    }
    built = draft(values, layer.origins)
    if wrong or built.problems or built.config is None:
        raise ArgumentError([*wrong, *built.problems])
    left_out = [in_flags(problem) for problem in layer.problems if problem.unsupported]
    left_out += [note for word in given.variables if (note := _variable_note(word))]
    config, notes = _with_template(_balanced_outside(built.config))
    left_out += notes
    content = _content(config, name, namespace, replicas, uri)
    content["spec"] |= _devices(config, given.variables)
    secrets = [
        secret_key(entry) for entry in entries() if entry.argument.secret and _is_set(built.config, entry)
    ]
    return Manifest(content, tuple(secrets), tuple(left_out), tuple(map(str, check(content))))


def _with_template(config: ServeConfig) -> tuple[ServeConfig, list[str]]:
    """A pod does not see the file that a chat template came from, so its text goes into the manifest."""
    template = config.frontend.chat_template
    if template is None or "{" in template:
        return config, []
    try:
        text = Path(template).read_text()
    except (OSError, UnicodeDecodeError):
        return config, [
            f"the text of {template}: chatTemplate must hold it, or name a file that is in the pod"
        ]
    frontend = config.frontend.model_copy(update={"chat_template": text})
    return config.model_copy(update={"frontend": frontend}), []


def _was_typed(source: str) -> bool:
    return not source.startswith("default")


def _is_set(config: ServeConfig, entry: Any) -> bool:
    return getattr(getattr(config, entry.group), entry.name) is not None


def _content(
    config: ServeConfig, name: str, namespace: str | None, replicas: int | None, uri: str | None
) -> dict[str, Any]:
    model = config.model.model
    groups = to_spec(config, f"{name}-secrets")
    # Clients go on asking for the model by the name that it had.
    source = {"uri": uri or uri_of(model), "servedModelName": [model]}
    groups["model"] = source | groups.get("model", {})
    spec: dict[str, Any] = {} if replicas is None else {"replicas": replicas}
    spec |= {"model": groups.pop("model"), **groups}
    nodes = config.parallel.nnodes
    if nodes > 1:
        spec["nodes"] = nodes
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec}


def _devices(config: ServeConfig, variables: Sequence[str]) -> dict[str, Any]:
    """Each rank takes a GPU, as it does where the command line runs, unless that hides them all."""
    if _HIDDEN_GPUS & set(variables):
        return {}
    parallel = config.parallel
    ranks = parallel.tensor_parallel_size * parallel.pipeline_parallel_size // parallel.nnodes
    engines = parallel.data_parallel_size_local or parallel.data_parallel_size
    return {"template": {"resources": {"limits": {"nvidia.com/gpu": ranks * engines}}}}


def _balanced_outside(config: ServeConfig) -> ServeConfig:
    """A command that is one engine of several has an API of its own: so does each pod, and the Service balances them."""
    parallel = config.parallel
    if parallel.data_parallel_rank is None or parallel.data_parallel_size == 1:
        return config
    own = {"data_parallel_size_local": 1, "data_parallel_hybrid_lb": True, "data_parallel_rank": None}
    return config.model_copy(update={"parallel": parallel.model_copy(update=own)})


def uri_of(model: str) -> str:
    """The source of a model as typed: a URI stays, a folder is on the node, anything else is a hub name."""
    if "://" in model:
        return model
    return f"file://{model}" if model.startswith("/") else f"hf://{model}"


def _variable_note(word: str) -> str:
    """What becomes of a `NAME=value` before the program; its value is not repeated, it may be a secret."""
    name = word.partition("=")[0]
    for foreign in ("VLLM_", "SGLANG_"):
        name = PREFIX + name.removeprefix(foreign) if name.startswith(foreign) else name
    variable = by_name().get(name)
    if name in STANDARD:
        return f"{name}: the cluster decides it; GPUs are asked for in template.resources"
    if variable is None:
        return f"{name}: set it as spec.template.env if the server needs it"
    if variable.field is not None and variable.state is State.WORKS:
        return f"{name}: use {by_path()[variable.field].spec_path}"
    return f"{name}: {variable.state.value}{': ' + variable.reason if variable.reason else ''}"
