"""The sockets of a group: a ROUTER at the leader, a DEALER at each member."""

import hashlib
import socket
from functools import cache

import zmq
from zmq.utils import z85

Socket = zmq.Socket[bytes]
Context = zmq.Context[Socket]

LARGEST_FRAME_BYTES = 256 << 20
LINGER_MILLISECONDS = 500


def router(context: Context, address: str, secret: str | None) -> Socket:
    """Bound to `address` and nothing else. With a secret, peers that do not know it are not even heard."""
    made = _socket(context, zmq.ROUTER, address)
    made.setsockopt(zmq.ROUTER_MANDATORY, 1)
    # A member that was started again takes over its name from the connection that is gone.
    made.setsockopt(zmq.ROUTER_HANDOVER, 1)
    if secret is not None:
        admit_only(made, secret)
    made.bind(address)
    return made


def dealer(context: Context, address: str, name: str, secret: str | None) -> Socket:
    """Connected to `address`, whether anybody is there yet or not; `name` is unique among the leader's members."""
    made = _socket(context, zmq.DEALER, address)
    made.setsockopt(zmq.ROUTING_ID, name.encode())
    if secret is not None:
        show(made, secret)
    made.connect(address)
    return made


def admit_only(socket: Socket, secret: str) -> None:
    """Before it is bound: peers that do not know the secret are not even heard."""
    private = z85.encode(_private_key(secret))
    socket.curve_secretkey, socket.curve_publickey = private, zmq.curve_public(private)
    socket.curve_server = True


def show(socket: Socket, secret: str) -> None:
    """Before it connects: prove to the other end that the secret is known, and see that it knows it, too."""
    # The server's public key is as secret as the text it is made of: without it no handshake succeeds.
    socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
    socket.curve_serverkey = zmq.curve_public(z85.encode(_private_key(secret)))


def _socket(context: Context, kind: int, address: str) -> Socket:
    made: Socket = context.socket(kind)
    # What waits is bounded by the steps under way, and a dropped frame would be a lost step.
    made.setsockopt(zmq.SNDHWM, 0)
    made.setsockopt(zmq.RCVHWM, 0)
    made.setsockopt(zmq.MAXMSGSIZE, LARGEST_FRAME_BYTES)
    made.setsockopt(zmq.LINGER, LINGER_MILLISECONDS)
    # Without this an address such as [::1] is not understood; with it others are bound as mapped ones.
    made.setsockopt(zmq.IPV6, int("[" in address))
    return made


@cache
def _private_key(secret: str) -> bytes:
    return hashlib.scrypt(secret.encode(), salt=b"paddock group", n=1 << 14, r=8, p=1, dklen=32)


def listening(host: str) -> socket.socket:
    """A TCP socket at a free port of `host`, for `zmq.USE_FD`: its port is known before its process starts."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.bind((host, 0))
    made.listen()
    return made


def resolve(host: str) -> str:
    """The first IP address of `host`. Raises `OSError` while there is none."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return str(found[0][4][0])


def tcp(host: str, port: int | str) -> str:
    return f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"


def local_address_towards(host: str) -> str:
    """The address of this machine's interface that leads to `host`; no packet is sent."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((host, 9))
        return str(probe.getsockname()[0])
