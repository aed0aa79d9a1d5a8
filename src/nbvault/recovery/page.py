"""A receipt as a page to print: one HTML file that needs nothing else. Pure."""

from __future__ import annotations

from html import escape
from typing import Any

from nbvault.recovery.receipt import Outcome, Receipt

_STYLE = """
body { font: 11pt/1.4 system-ui, sans-serif; margin: 2em; color: #111; }
table { border-collapse: collapse; width: 100%; } caption { text-align: left; font-weight: bold; padding: .5em 0; }
td, th { border: 1px solid #bbb; padding: .2em .5em; text-align: left; vertical-align: top; overflow-wrap: anywhere; }
th { background: #eee; } .bad { background: #fdd; } .hash { font: 9pt monospace; }
@media print { body { margin: 0; } tr { break-inside: avoid; } thead { display: table-header-group; } }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(receipt: Receipt) -> str:
    """The receipt, or a plan, as HTML; every name is escaped, and nothing in it can run."""
    found = receipt.as_json()
    what = "Plan of a restore" if receipt.dry_run else f"Restore {found['restore'] or ''}".strip()
    outcomes = receipt.outcomes
    rows = "\n".join(
        _row(item, outcomes.get(entry.number))
        for item, entry in zip(found["entries"], receipt.intent.entries, strict=True)
    )
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{escape(what)}</title>
<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><style>{_STYLE}</style></head>
<body><h1>{escape(what)}</h1>
<table><caption>Summary</caption><tbody>
{_summary(found)}
</tbody></table>
<table><caption>Notebooks</caption>
<thead><tr><th>Notebook</th><th>From</th><th>Action</th><th>Result</th><th>Verified</th><th>Version</th></tr></thead>
<tbody>
{rows}
</tbody></table></body></html>
"""


def _summary(found: dict[str, Any]) -> str:
    counts = ", ".join(f"{count:,} {name}" for name, count in found["counts"].items())
    facts = {
        "Status": f"{found['status']} (exit code {found['exit_code']})",
        "By": found["by"],
        "Begun": found["started_at"],
        "Ended": found["ended_at"],
        "As of": found["at"] or "the last protected version",
        "Commit": found["commit"],
        "Takes back": found["undo_of"],
        "Counts": counts,
        "Error": found.get("error"),
        "Notes": " ".join(found["notes"]),
    }
    return "\n".join(f"<tr><th>{name}</th><td>{_safe(text)}</td></tr>" for name, text in facts.items() if text)


def _row(item: dict[str, Any], outcome: Outcome | None) -> str:
    bad = ' class="bad"' if outcome is not None and not outcome.is_good else ""
    verified = {True: "yes", False: "no", None: ""}[item["verified"]]
    result = item["result"] or ""
    reason = f": {item['reason']}" if item["reason"] else ""
    came = item["path"] if item["path"] != item["target"] else ""
    cells = [item["target"], came, item["action"], f"{result}{reason}".lstrip(": "), verified]
    version = f'<td class="hash">{_safe(item["blob"] or "")}</td>'
    return f"<tr{bad}>" + "".join(f"<td>{_safe(cell)}</td>" for cell in cells) + version + "</tr>"


def _safe(text: object) -> str:
    """Escaped, and without what HTML cannot hold."""
    return escape("".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(text)))
