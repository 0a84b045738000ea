"""Nothing is lost: a sample of the attempts of benchmarks/vault_proof.py. One that fails says how to repeat it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.vault import full, outside

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the proofs fork, which this system cannot")


def proofs(tmp_path: Path, *words: str) -> dict[str, Any]:
    """Run the proof in a process of its own, because it forks and this one may have threads."""
    out = tmp_path / "proofs.json"
    command = [sys.executable, str(ROOT / "benchmarks" / "vault_proof.py"), "--out", str(out), *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return {found["name"]: found for found in json.loads(out.read_text(encoding="utf-8"))["proofs"]}


def test_killed_or_failing_at_any_point_the_store_loses_nothing(tmp_path: Path) -> None:
    found = proofs(tmp_path, "--most", "60", "--kills", "40", "--only", "storage-kills", "storage-random-kills",
                   "storage-errors")  # fmt: skip
    assert [proof["tried"] for proof in found.values()] == [60, 40, 60]
    assert found["storage-kills"]["counts"]["points"] > 200
    assert found["storage-errors"]["of"] == 16 * found["storage-kills"]["counts"]["points"]


def test_a_power_cut_at_any_point_loses_nothing(tmp_path: Path) -> None:
    found = proofs(tmp_path, "--power", "80", "--only", "storage-power")["storage-power"]
    assert found["tried"] == 80
    assert found["counts"]["states_of_one_life"] > 500


def test_no_sync_of_the_write_door_can_be_removed(tmp_path: Path) -> None:
    found = proofs(tmp_path, "--only", "storage-mutants")["storage-mutants"]
    assert found["tried"] >= 10
    assert any(line.startswith("store/disk.py") for line in found["counts"]["syncs"])


def test_a_crowd_of_processes_loses_nothing(tmp_path: Path) -> None:
    assert proofs(tmp_path, "--rounds", "2", "--only", "crowd")["crowd"]["tried"] == 2


@pytest.mark.skipif(full.why_not() != "", reason=full.why_not())
def test_a_disk_that_is_full_or_read_only_loses_nothing(tmp_path: Path) -> None:
    found = proofs(tmp_path, "--most", "12", "--only", "full-disks", "read-only")
    assert [proof["tried"] for proof in found.values()] == [12, 12]


@pytest.mark.skipif(outside.why_not() != "", reason=outside.why_not())
def test_what_the_kernel_refuses_loses_nothing(tmp_path: Path) -> None:
    found = proofs(tmp_path, "--most", "12", "--only", "storage-strace")["storage-strace"]
    assert found["tried"] == 12
    assert found["counts"]["points"] > 200


@pytest.mark.tiny
def test_an_evolve_that_is_killed_anywhere_ends_as_the_same_child(tmp_path: Path) -> None:
    assert proofs(tmp_path, "--most", "8", "--only", "evolve-kills")["evolve-kills"]["tried"] == 8
