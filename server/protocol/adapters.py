"""Requests of /v1/load_lora_adapter and /v1/unload_lora_adapter."""

from pydantic import Field

from paddock.server.protocol.strict_model import StrictModel


class LoadAdapterRequest(StrictModel):
    lora_name: str = Field(min_length=1, max_length=200)
    lora_path: str = Field(min_length=1, max_length=4096)
    base_model_name: str | None = None
    load_inplace: bool = False


class UnloadAdapterRequest(StrictModel):
    lora_name: str = Field(min_length=1, max_length=200)
