"""Settings of the engine as a whole that are JSON objects."""

from paddock.engine.config.argument import Group, State, arg
from paddock.engine.config.structures import (
    CompilationConfig,
    KVEventsConfig,
    KVTransferConfig,
    SpeculativeConfig,
    StructuredOutputsSettings,
)
from paddock.engine.config.values import JsonObject


class EngineConfig(Group):
    """Settings of the engine as a whole that are JSON objects."""

    additional_config: JsonObject = arg(
        {},
        "Settings handed unchanged to a hardware platform's plug-in.",
        state=State.REFUSED,
        reason="no hardware platform plug-in exists that would read it",
    )

    compilation_config: CompilationConfig = arg(
        CompilationConfig(),
        "Sets which CUDA graphs are captured (see --cuda-graph-sizes).",
        state=State.WORKS,
        aliases=("-O",),
    )

    kv_events_config: KVEventsConfig | None = arg(None, "KV-cache block events are published.")

    kv_transfer_config: KVTransferConfig | None = arg(
        None, "KV blocks are exchanged with other instances or stores through the named connector."
    )

    speculative_config: SpeculativeConfig | None = arg(
        None, "Draft tokens are proposed by the given method or model and verified in one step."
    )

    structured_outputs_config: StructuredOutputsSettings = arg(
        StructuredOutputsSettings(),
        "Sets the engine for constrained output and how strict it is.",
        state=State.WORKS,
    )
