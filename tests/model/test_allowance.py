"""What a process is told that it may use: the least of what its control groups leave it, and of what there is."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from germline.forge.allowance import available_bytes, cores, total_bytes

MIB = 1 << 20


@pytest.fixture
def groups(tmp_path: Path) -> tuple[Path, Path]:
    """A service in a slice, as systemd makes them; nothing is limited yet."""
    own, root = tmp_path / "own", tmp_path / "groups"
    own.write_text("9:name=systemd:/\n0::/user.slice/bot.service\n")
    inner = root / "user.slice" / "bot.service"
    inner.mkdir(parents=True)
    for group in (inner, inner.parent):
        (group / "memory.max").write_text("max\n")
        (group / "cpu.max").write_text("max 100000\n")
    return root, own


def test_without_limits_it_is_the_machine(groups: tuple[Path, Path], tmp_path: Path) -> None:
    nowhere = (tmp_path / "none", tmp_path / "none")
    assert total_bytes(*groups) == total_bytes(*nowhere) == psutil.virtual_memory().total
    assert 0 < available_bytes(*groups) <= psutil.virtual_memory().total
    assert cores(*groups) == cores(*nowhere) >= 1


def test_a_container_has_what_its_groups_leave_it(groups: tuple[Path, Path]) -> None:
    root, own = groups
    outer, inner = root / "user.slice", root / "user.slice" / "bot.service"
    (outer / "memory.max").write_text(f"{64 * MIB}\n")
    (outer / "memory.current").write_text(f"{50 * MIB}\n")
    (outer / "memory.stat").write_text(f"anon 1\ninactive_file {10 * MIB}\n")
    (inner / "memory.max").write_text(f"{96 * MIB}\n")
    assert total_bytes(*groups) == 64 * MIB
    assert available_bytes(*groups) == 24 * MIB
    (outer / "memory.current").write_text(f"{90 * MIB}\n")
    assert available_bytes(*groups) == 0
    own.write_text("0::/\n")  # as seen from within: its own group is the root
    (root / "memory.max").write_text(f"{32 * MIB}\n")
    assert total_bytes(*groups) == 32 * MIB


def test_a_share_of_the_cores_counts_in_whole_ones(groups: tuple[Path, Path]) -> None:
    (groups[0] / "user.slice" / "cpu.max").write_text("50000 100000\n")
    assert cores(*groups) == 1


@pytest.mark.skipif(not hasattr(psutil.Process, "cpu_affinity"), reason="keeps a process to a core")
def test_a_process_kept_to_one_core_has_one(groups: tuple[Path, Path]) -> None:
    process = psutil.Process()
    allowed = process.cpu_affinity()
    try:
        process.cpu_affinity(allowed[:1])
        assert cores(*groups) == 1
    finally:
        process.cpu_affinity(allowed)
