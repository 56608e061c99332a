"""What every process reads first: a topology that was damaged or edited is refused in plain words."""

from pathlib import Path

import pytest

from holdfast.adapters.home import Home
from holdfast.core.errors import Refused
from holdfast.core.topology import DEFAULT, resolve


def test_what_was_saved_is_read(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.save(resolve(DEFAULT, 9000))
    assert home.load() == resolve(DEFAULT, 9000)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "damaged"),
        ("null", "damaged"),
        ('{"regions": []}', "1 to 16 regions"),
        ('{"version": 99, "regions": [{"name": "a", "jurisdiction": "US"}]}', "version 99"),
        ('{"regions": [{"name": "../x", "jurisdiction": "US"}]}', "not a region name"),
        ('{"regions": [{"name": "a\\n", "jurisdiction": "US"}]}', "not a region name"),
        ('{"regions": [{"name": "a", "jurisdiction": "US", "http_port": 99999999}]}', "ports"),
        ('{"tail_bytes": 1023, "regions": [{"name": "a", "jurisdiction": "US"}]}', "tail_bytes is 1023"),
        ('{"tail_bytes": -1, "regions": [{"name": "a", "jurisdiction": "US"}]}', "tail_bytes is -1"),
    ],
)
def test_a_topology_that_cannot_run_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "topology.json").write_text(text)
    with pytest.raises(Refused, match=said) as caught:
        Home(tmp_path).load()
    assert caught.value.hint or said == "1 to 16 regions"


@pytest.mark.parametrize("text", [b"", b"{", b'{"name": "\xff", "since": 1, "until": 9}', b"[" * 5000])
def test_a_damaged_mark_of_a_drill_is_no_mark(tmp_path: Path, text: bytes) -> None:
    Home(tmp_path).drill_file.write_bytes(text)
    assert Home(tmp_path).drill(5) is None
