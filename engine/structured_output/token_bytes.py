"""Which raw bytes a vocabulary entry stands for."""


def _alphabet() -> dict[str, int]:
    """The printable stand-in of each byte, as in GPT-2's vocabulary: printable bytes stand for themselves."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    stand_ins = {chr(byte): byte for byte in printable}
    stand_ins.update({chr(256 + offset): byte for offset, byte in enumerate(others)})
    return stand_ins


BYTE_OF_CHARACTER = _alphabet()


def piece_bytes(piece: str) -> bytes:
    """Of a byte-level BPE entry; one with a character outside the alphabet is plain text."""
    try:
        return bytes([BYTE_OF_CHARACTER[character] for character in piece])
    except KeyError:
        return piece.encode()


def fallback_bytes(piece: str) -> bytes:
    """Of a SentencePiece entry: `<0xNN>` is a byte, and the low block a space."""
    if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
        return bytes.fromhex(piece[3:5])
    return piece.replace("▁", " ").encode()
