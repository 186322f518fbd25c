"""Settings of the serving process itself."""

from paddock.engine.config.argument import Group, State, arg
from paddock.engine.config.successors import inverse
from paddock.engine.config.values import Text, Whole


class ServiceConfig(Group):
    """Settings of the serving process itself."""

    api_server_count: Whole = arg(
        1,
        "That many API server processes share the listening port and feed the same engines.",
        state=State.WORKS,
        ge=1,
        aliases=("-asc",),
    )

    config: Text | None = arg(
        None,
        "YAML file with options that the command line leaves out, keyed by their long names. The "
        "command line wins over it.",
        state=State.WORKS,
        cluster_reason="the InferenceService is itself the configuration; set its fields instead",
    )

    disable_log_requests: bool | None = arg(
        None,
        "Old inverse of enable-log-requests.",
        state=State.DEPRECATED,
        successor=inverse("service.enable_log_requests"),
    )

    disable_log_stats: bool = arg(
        False,
        "The periodic summary of throughput and queues no longer appears in the log.",
        state=State.WORKS,
        negation=False,
    )

    enable_log_requests: bool = arg(
        False,
        "Every accepted request is written to the log with its id, parameters and clipped prompt.",
        state=State.WORKS,
    )

    headless: bool = arg(
        False,
        "This node runs engine processes only and opens no HTTP port; a head node serves the API for them.",
        state=State.WORKS,
        negation=False,
        cluster_reason="the operator decides which pods of a replica serve the API",
    )
