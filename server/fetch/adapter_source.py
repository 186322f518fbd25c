"""Where adapters are fetched from: of a hub's repository only an adapter's own two files."""

from paddock.engine.config import LoadConfig, ModelConfig
from paddock.engine.lora.config_file import CONFIG_FILE, WEIGHTS_FILE
from paddock.server.fetch.hub import Announced, HubSource
from paddock.server.fetch.source import Source, source_of

ADAPTER_MARKS = (CONFIG_FILE,)
"""What an adapter's folder has at its top."""


class HubAdapter(HubSource):
    """An adapter that lies in a repository of the hub, as PEFT saves it."""

    def _download(self, announced: Announced) -> None:
        announced.download([CONFIG_FILE, WEIGHTS_FILE])


def adapter_source(address: str, sha256: str | None) -> Source:
    """Raises FetchError for a bad address."""
    if address.startswith("hf://"):
        return HubAdapter.of(address, ModelConfig(), LoadConfig())
    return source_of(address, sha256, ModelConfig(), LoadConfig())
