"""A reply of ours as a response."""

import msgspec
from fastapi import Response

from paddock.server.protocol.replies import encode_reply


def as_json(reply: msgspec.Struct) -> Response:
    return Response(encode_reply(reply), media_type="application/json")
