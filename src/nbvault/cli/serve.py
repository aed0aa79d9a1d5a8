"""`nbvault serve`: the page where people help themselves."""

from __future__ import annotations

import logging
import sys

import click

from nbvault.cli import output
from nbvault.cli.options import config_option, load
from nbvault.errors import ConfigurationError

_PORT_MOST = 65535


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, _PORT_MOST), default=8080, show_default=True, help="Port; 0 takes a free one."
)
@config_option
def command(*, host: str, port: int) -> int:
    """The web page: find, look, compare, restore, undo; and how the backup is.

    On this machine it prints a link that opens it once. For others, web.sign_in says how they sign in. Ends at Ctrl-C
    or SIGTERM; restores that run then are finished first.
    """
    try:
        from nbvault.web.server import serve
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("nbvault"):
            raise
        raise ConfigurationError(
            f"The page needs the package {error.name}.", hint="Install it: pip install 'nbvault[web]'."
        ) from error
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    return serve(load(), host=host, port=port, say=_say)


def _say(text: str) -> None:
    output.say(text)
    sys.stdout.flush()
