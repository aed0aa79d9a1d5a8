"""What a session met on its way to the workspace, in sentences for whoever has to find out why it took so long."""

from __future__ import annotations

from nbvault.model import SLOW_S, RequestCounts

# Below these shares of all requests a night is like any other.
THROTTLED_SHARE = 0.05
OTHER_SHARE = 0.01


def weather(requests: RequestCounts) -> list[str]:
    """A sentence for each kind of bad weather; none for a usual night."""
    sent = max(requests.sent, 1)
    broken = requests.retried - requests.throttled - requests.timed_out
    found = []
    if requests.throttled / sent >= THROTTLED_SHARE:
        found.append(
            f"The workspace refused {_share(requests.throttled, sent)} because there were too many; they were sent "
            "again. Who else uses it at this hour? If its limit is known, set workspace.requests_per_second."
        )
    if requests.timed_out:
        found.append(
            f"{_share(requests.timed_out, sent)} had no answer in time (workspace.timeout_s) and were given up or sent "
            "again."
        )
    if broken / sent >= OTHER_SHARE:
        found.append(f"{_share(broken, sent)} failed on the workspace's side or on the way and were sent again.")
    if requests.slow / sent >= OTHER_SHARE:
        found.append(
            f"The workspace was slow: {_share(requests.slow, sent)} took over {SLOW_S:g} s, the slowest "
            f"{requests.slowest_s:.1f} s."
        )
    return found


def _share(count: int, sent: int) -> str:
    return f"{count:,} of {sent:,} requests ({100 * count / sent:.1f} %)"
