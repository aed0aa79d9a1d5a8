"""TLS is verified, and a certificate that is not trusted ends it at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from nbvault.errors import ConfigurationError
from nbvault.workspace.errors import Unreachable
from tls_places import make_certificate, server_context
from workspace_places import FakeClock, client_of


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key, in one file."""
    return make_certificate(tmp_path)


async def _empty(_request: web.BaseRequest) -> web.StreamResponse:
    return web.json_response({})


async def test_a_certificate_counts_only_if_somebody_we_trust_says_so(certificate: Path) -> None:
    """Unknown: told at once, not retried; named as a CA file: taken."""
    app, clock = web.Application(), FakeClock()
    app.router.add_get("/{tail:.*}", _empty)
    server = TestServer(app, scheme="https")
    await server.start_server(ssl=server_context(certificate))
    host = str(server.make_url("")).rstrip("/")
    async with client_of(host, clock) as client:
        with pytest.raises(Unreachable, match="REQUESTS_CA_BUNDLE"):
            await client.list_folder("/c")
        assert (clock.slept, client.stats.list) == ([], 1)
    async with client_of(host, clock, ca_file=str(certificate)) as client:
        assert await client.list_folder("/c") == []
    await server.close()


async def test_a_ca_file_that_is_not_there_is_a_matter_of_configuration() -> None:
    """Named in the message."""
    with pytest.raises(ConfigurationError, match="/not/there"):
        async with client_of("https://127.0.0.1:1", ca_file="/not/there"):
            pass
