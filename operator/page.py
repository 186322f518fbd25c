"""Pages that pods serve: read to their end, up to a bound."""

from __future__ import annotations

import aiohttp

METRICS_BYTES = 4 << 20
METRICS_SECONDS = 4.0
_CONNECT_SECONDS = 2.0


async def page(
    session: aiohttp.ClientSession, url: str, largest: int = METRICS_BYTES, seconds: float = METRICS_SECONDS
) -> str:
    """The text at `url`. Raises ClientError, TimeoutError, and ValueError for one of more than `largest` bytes.

    A pod's certificate is for its Service's name, and what pods show here is no secret: it is not checked.
    """
    limit = aiohttp.ClientTimeout(total=seconds, sock_connect=min(seconds, _CONNECT_SECONDS))
    async with session.get(url, timeout=limit, ssl=False, allow_redirects=False) as response:
        response.raise_for_status()
        text = bytearray()
        # `content.read(n)` gives what has come so far, which may be a part.
        async for piece in response.content.iter_any():
            text += piece
            if len(text) > largest:
                raise ValueError(f"{url} answers more than {largest} bytes")
        return text.decode(errors="replace")
