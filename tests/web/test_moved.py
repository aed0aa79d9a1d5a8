"""A notebook that has come out of a place that its reader may not see."""

from __future__ import annotations

from nbvault_emulator.testing import Emulator
from web.places import ANN, BOB, MARK, OPEN, PROXY, ROOT, SECRET, Desk, hide, serving

THEN, NOW = f"{ROOT}{SECRET}/{MARK}_prices", f"{ROOT}{OPEN}/prices"


def test_where_it_was_is_not_confirmed(desk: Desk, emulator: Emulator) -> None:
    """Asked for by its old path it is not there, as if it had never been; who may see that folder is led on."""
    emulator.move(THEN, NOW)
    desk.sync()
    hide(emulator, ANN)
    with serving(desk, **PROXY) as page:
        ann, bob = (page.person(emulator.user_token(who)) for who in (ANN, BOB))
        for address in ("/api/history", "/api/source", "/notebook", "/blame"):
            assert [ann.get(address, path=path).status_code for path in (NOW, THEN, THEN + "x")] == [200, 404, 404]
            assert [bob.get(address, path=path).status_code for path in (NOW, THEN)] == [200, 200]
        refused = [ann.post("/api/restores", {"paths": [path]}) for path in (THEN, THEN + "x")]
        assert [each.status_code for each in refused] == [404, 404]
        assert refused[0].text.replace(THEN, "") == refused[1].text.replace(THEN + "x", "")
