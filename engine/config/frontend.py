"""The HTTP server and the OpenAI API."""

from typing import Annotated, Literal

from paddock.engine.config.argument import Group, State, arg
from paddock.engine.config.structures import LoRAModules
from paddock.engine.config.values import ExactInt, LongText, Strings, Text, Whole

_NO_CLIENT_CERTIFICATE = (
    "the kubelet probes a pod without a client certificate, so no pod would become ready; use 1, which checks "
    "the certificates that clients present, and let a proxy or service mesh in front require one"
)


class FrontendConfig(Group):
    """The HTTP server and the OpenAI API."""

    allow_credentials: bool = arg(
        False,
        "Browsers may send cookies and authorization headers with cross-origin requests.",
        state=State.WORKS,
    )

    allowed_headers: Strings = arg(
        ("*",), "Request headers that cross-origin callers may send.", state=State.WORKS, style="json"
    )

    allowed_methods: Strings = arg(
        ("*",), "HTTP methods that cross-origin callers may use.", state=State.WORKS, style="json"
    )

    allowed_origins: Strings = arg(
        ("*",), "Origins whose pages may call the API from a browser.", state=State.WORKS, style="json"
    )

    api_key: Strings | None = arg(
        None,
        "API calls without one of these bearer tokens are answered 401. In a cluster it comes from a "
        "Secret, elsewhere also from PADDOCK_API_KEY.",
        state=State.WORKS,
        secret=True,
    )

    chat_template: LongText | None = arg(
        None,
        "Jinja template (a file path, or the text itself) that renders chat requests instead of the "
        "tokenizer's own.",
        state=State.WORKS,
    )

    chat_template_content_format: Literal["auto", "openai", "string"] = arg(
        "auto",
        "Decides whether message content reaches the template as plain text or as a list of typed parts.",
        state=State.WORKS,
    )

    disable_fastapi_docs: bool = arg(
        False, "The schema, Swagger and ReDoc pages answer 404.", state=State.WORKS
    )

    disable_frontend_multiprocessing: bool = arg(
        False, "API server and engine run in one process.", state=State.WORKS
    )

    disable_uvicorn_access_log: bool = arg(
        False,
        "No per-request access line is logged by the HTTP layer. Probes and scrapes that succeed are never "
        "logged.",
        state=State.WORKS,
    )

    enable_auto_tool_choice: bool = arg(
        False,
        "With tool_choice auto the model may decide by itself to call tools, and its output is parsed "
        "into tool calls.",
        state=State.WORKS,
    )

    enable_force_include_usage: bool = arg(
        False,
        "Every response, streamed ones too, carries token usage even if the request did not ask.",
        state=State.WORKS,
    )

    enable_log_outputs: bool = arg(
        False, "Generated text is logged as well as the request.", state=State.WORKS
    )

    enable_prompt_tokens_details: bool = arg(
        False, "usage in responses includes prompt_tokens_details (cached token count).", state=State.WORKS
    )

    enable_request_id_headers: bool = arg(
        False, "Every response carries an X-Request-Id header.", state=State.WORKS
    )

    enable_server_load_tracking: bool = arg(
        False, "The app counts requests in flight and reports them at its load endpoint.", state=State.WORKS
    )

    enable_ssl_refresh: bool = arg(
        False, "A changed certificate, key or CA file is picked up without a restart.", state=State.WORKS
    )

    enable_tokenizer_info_endpoint: bool = arg(
        False, "Opens an endpoint that reveals tokenizer settings, chat template included.", state=State.WORKS
    )

    exclude_tools_when_tool_choice_none: bool = arg(
        False,
        "With tool_choice none the tool definitions are left out of the prompt.",
        state=State.WORKS,
    )

    h11_max_header_count: Whole = arg(
        256, "A request with more headers than this is rejected.", ge=1, state=State.WORKS
    )

    h11_max_incomplete_event_size: Whole = arg(
        4194304,
        "A request whose header or body piece exceeds this many buffered bytes is rejected.",
        ge=1,
        state=State.WORKS,
    )

    host: Text | None = arg(
        None,
        "Address that the HTTP server binds; every interface when unset.",
        state=State.WORKS,
        cluster_reason="pods listen on every address; the Service is the way in",
    )

    log_config_file: Text | None = arg(
        None,
        "Logging of the engine and the HTTP layer follows this JSON dictConfig file.",
        state=State.WORKS,
    )

    log_error_stack: bool = arg(
        False, "Error responses are logged with their stack trace.", state=State.WORKS
    )

    lora_modules: LoRAModules | None = arg(
        None, "Each named adapter is preloaded and selectable as a model name in requests.", state=State.WORKS
    )

    max_log_len: Whole | None = arg(
        None,
        "Logged prompts are cut to this many characters or token ids; unset logs them whole.",
        ge=0,
        state=State.WORKS,
    )

    middleware: Strings = arg(
        (),
        "Imports this dotted path and wraps the app with it: a function as an http middleware, a class "
        "as ASGI middleware.",
        state=State.WORKS,
        style="repeat",
    )

    port: int = arg(
        8000,
        "TCP port that the HTTP server listens on.",
        state=State.WORKS,
        ge=0,
        le=65535,
        cluster_minimum=1,
    )

    response_role: Text = arg(
        "assistant",
        "Generated chat messages carry this role name when a generation prompt was added.",
        state=State.WORKS,
    )

    return_tokens_as_token_ids: bool = arg(
        False,
        "Tokens in logprob output appear as token_id:N, so that tokens which are not valid text stay "
        "recognisable.",
        state=State.WORKS,
    )

    root_path: Text | None = arg(
        None, "Prefix of the URLs that the server generates, for a proxy that strips it.", state=State.WORKS
    )

    ssl_ca_certs: Text | None = arg(
        None, "Client certificates are checked against this CA bundle.", state=State.WORKS
    )

    ssl_cert_reqs: Annotated[Literal[0, 1, 2], ExactInt] = arg(
        0,
        "Whether clients must present a certificate, as the numeric constant of Python's ssl module (0 "
        "none, 1 optional, 2 required).",
        state=State.WORKS,
        cluster_refused={2: _NO_CLIENT_CERTIFICATE},
    )

    ssl_certfile: Text | None = arg(
        None, "The listener speaks HTTPS with the certificate in this file.", state=State.WORKS
    )

    ssl_keyfile: Text | None = arg(None, "HTTPS uses the private key in this file.", state=State.WORKS)

    tool_call_parser: Text | None = arg(
        None,
        "Name of the parser that turns this model's tool-call text into OpenAI tool_calls.",
        state=State.WORKS,
    )

    tool_parser_plugin: Text = arg(
        "",
        "Imports this Python file, and the parsers it registers become valid for --tool-call-parser.",
        state=State.WORKS,
    )

    tool_server: Text | None = arg(
        None,
        "Built-in tools are reached at these comma-separated host:port servers; the word demo starts "
        "demonstration tools.",
    )

    trust_request_chat_template: bool = arg(
        False,
        "A template sent inside a request is honoured; otherwise the server's own template is always used.",
        state=State.WORKS,
    )

    uds: Text | None = arg(
        None,
        "The server listens on this Unix socket file, open to its owner and group, and opens no TCP port.",
        state=State.WORKS,
        cluster_reason="the Service and the probes reach pods over TCP",
    )

    uvicorn_log_level: Literal["critical", "debug", "error", "info", "trace", "warning"] = arg(
        "info", "How chatty the log of the HTTP layer is.", state=State.WORKS
    )
