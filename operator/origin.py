"""Where something listens, as the beginning of its addresses."""


def origin(scheme: str, host: str, port: object) -> str:
    """`scheme://host:port`, with the brackets that an IPv6 address takes (RFC 3986, section 3.2.2)."""
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
