"""`nbvault metrics`: the last session for Prometheus, once or as an endpoint."""

from __future__ import annotations

import click

from nbvault.cli import output
from nbvault.cli.options import config_option, load


@click.command("metrics")
@click.option("--listen", metavar="HOST:PORT", help="Answer Prometheus there until the process is ended.")
@config_option
def command(*, listen: str | None) -> None:
    """The numbers of the last session in the text format of Prometheus, from the state store.

    With --listen they are read anew for each GET of /metrics. Whoever reaches that address can read them; they hold
    counts, times and sizes, and the backed-up root, but no name of a notebook or a person.
    """
    from nbvault.metering import scraped

    settings = load()
    if listen is None:
        output.say(scraped(settings).rstrip("\n"))
        return
    from nbvault.monitoring.endpoint import Endpoint

    # What is missing should be said now, and not at the first scrape.
    scraped(settings)
    with Endpoint(listen, lambda: scraped(settings)) as endpoint:
        output.note(f"Metrics at {endpoint.url}; Ctrl-C ends it.")
        endpoint.serve()
