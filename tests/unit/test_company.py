"""Beside other programs threads sleep while they wait; alone, and where the owner has chosen, nothing is touched."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil
import pytest

from germline import aging, company
from germline.settings import Plan
from tests.unit.small_lineage import lighthouse

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="GNU's OpenMP is torch's on Linux")


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has not loaded torch, and whose owner has chosen nothing. What is set is undone."""
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    for name in company.CHOSEN:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.mark.parametrize(("percent", "told"), [(2.0, ""), (60.0, "other programs keep 1.2 of 2 cores busy")])
def test_who_is_not_alone_waits_asleep(percent: float, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "cpu_count", lambda: 2)
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval: percent)
    assert company.make_room().startswith(told)
    assert ("GOMP_SPINCOUNT" in os.environ) == bool(told)


@pytest.mark.parametrize("name", sorted(company.CHOSEN))
def test_what_an_owner_has_chosen_stays(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "7")
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval: 100.0)
    assert company.make_room() == ""
    assert {key: os.environ.get(key) for key in company.CHOSEN} == {**dict.fromkeys(company.CHOSEN), name: "7"}


def test_a_child_that_grows_beside_a_server_waits_asleep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, str]] = []

    def not_started(command: list[str], *, env: dict[str, str], **_: object) -> None:
        given.append(env)
        raise InterruptedError

    monkeypatch.setattr(aging.subprocess, "Popen", not_started)
    home = lighthouse(tmp_path / "home")
    for chosen in ("", "9"):
        if chosen:
            monkeypatch.setenv("GOMP_SPINCOUNT", chosen)
        with pytest.raises(InterruptedError):
            aging._evolve(home, Plan(), lambda event: None, ())
    assert [env["GOMP_SPINCOUNT"] for env in given] == ["1000", "9"]
