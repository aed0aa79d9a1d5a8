"""What a server says of a push, in the words of Azure Repos instead of git's own: its reasons stand beside each ref."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

_PROGRESS, _REPORT = 2, 1
_MOST = 65_515


def retold(body: bytes, *, reasons: Mapping[str, str], unpack: str = "") -> bytes:
    """The answer to a push with other reasons.

    Args:
        body: The answer of `git receive-pack`, with its side band.
        reasons: What to say of refs that git's hooks declined, by ref; ``*`` is for all the others.
        unpack: What to say of the push as a whole, where it was declined as a whole.
    """
    report = b"".join(data for band, data in _side_bands(body) if band == _REPORT)
    if not report:
        return body
    lines = []
    for line in _lines(report):
        lines.append(_retold_line(line, reasons, unpack))
    inner = b"".join(map(_packet, lines)) + b"0000"
    pieces = [inner[start : start + _MOST - 1] for start in range(0, len(inner), _MOST - 1)]
    return b"".join(_packet(bytes([_REPORT]) + piece) for piece in pieces) + b"0000"


def _retold_line(line: bytes, reasons: Mapping[str, str], unpack: str) -> bytes:
    if line.startswith(b"unpack ") and unpack:
        return f"unpack error {unpack}\n".encode()
    verb, _, rest = line.partition(b" ")
    ref, _, why = rest.partition(b" ")
    if verb != b"ng" or not why.rstrip().endswith(b"hook declined"):
        return line
    reason = reasons.get(ref.decode(), reasons.get("*", ""))
    return b"ng %b %b\n" % (ref, reason.encode()) if reason else line


def _side_bands(body: bytes) -> Iterator[tuple[int, bytes]]:
    for packet in _lines(body):
        if packet:
            yield packet[0], packet[1:]


def _lines(data: bytes) -> Iterator[bytes]:
    place = 0
    while place + 4 <= len(data):
        length = int(data[place : place + 4], 16)
        if length > 4:
            yield data[place + 4 : place + length]
        place += max(length, 4)


def _packet(data: bytes) -> bytes:
    return b"%04x" % (len(data) + 4) + data
