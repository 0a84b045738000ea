"""Every test has a configuration of its own, so that none touches the user's keys or witnesses; and none is timed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from germline.store import keys

CONFIG = "GERMLINE_CONFIG"

settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(scope="session", autouse=True)
def _keys_of_the_session(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where lineages that several tests share find their keys."""
    os.environ[CONFIG] = str(tmp_path_factory.mktemp("session"))
    keys.path_of("").parent.mkdir(parents=True)


@pytest.fixture(autouse=True)
def _configuration(_keys_of_the_session: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session's keys and no witness: a copy of a shared lineage may be grown by each test anew."""
    shared = keys.path_of("").parent
    monkeypatch.setenv(CONFIG, str(tmp_path.with_name(f"{tmp_path.name}-config")))
    mine = keys.path_of("").parent
    mine.parent.mkdir(parents=True)
    try:
        mine.symlink_to(shared, target_is_directory=True)
    except OSError:  # Windows, where making a link takes a right that few have
        shutil.copytree(shared, mine)


def forget() -> None:
    """Drop every witness: a second copy of one lineage, grown on one machine, would be taken for a fork."""
    shutil.rmtree(keys.configuration() / "witness", ignore_errors=True)
