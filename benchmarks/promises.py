"""What README promises, and which proofs stand behind each promise. Written out as PROOFS.md by vault_proof.py."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import psutil
from tests.vault.proof import Tally

PROMISES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Pull the plug at any instant: HEAD is a whole, verified generation, the old one or the new.",
     ("storage-kills", "storage-random-kills", "storage-power", "evolve-kills", "evolve-power",
      "restore-kills", "restore-power")),
    ("A killed run ends as the same child as one that nothing disturbed.", ("evolve-kills", "evolve-power")),
    ("What was acknowledged is on the disk: no sync can be removed without a power cut losing something.",
     ("storage-mutants", "evolve-mutants", "restore-mutants")),
    ("A full, failing or read-only disk stops it with the cure, and it goes on from there.",
     ("storage-errors", "storage-strace", "evolve-errors", "full-disks", "read-only")),
    ("Two germlines in one lineage do not harm it.", ("crowd",)),
    ("Not a bit of what was published changes unnoticed, and the file is named; an independent program agrees.",
     ("store-attacks",)),
    ("History cannot be rewritten, cut or rolled back unnoticed, given one witness or one checkpoint line.",
     ("ledger-attacks",)),
    ("Bad rows are refused one by one, with place and reason, and the books balance.", ("hostile-rows",)),
    ("Bad weights never become a generation.", ("bad-weights",)),
    ("Files cannot run code.", ("exploits",)),
)  # fmt: skip


def report(tallies: Sequence[Tally], seconds: float) -> str:
    """PROOFS.md: each promise with what was tried against it, and the proofs one by one."""
    known = {tally.name: tally for tally in tallies}
    lines = [
        "# Proofs",
        "",
        f"`{shlex.join(['python', *sys.argv])}`, {date.today().isoformat()}, commit {_commit()}, {_machine()}: "
        f"{seconds / 60:.0f} minutes, {sum(tally.faults for tally in tallies):,} faults, "
        f"{sum(len(tally.lost) for tally in tallies)} lost.",
        "A proof that fails says how to repeat its attempt, as `benchmarks/vault_proof.py --only NAME --attempt N`.",
        "",
        "| promise | faults tried | lost | proofs |",
        "| --- | ---: | ---: | --- |",
    ]
    for promise, names in PROMISES:
        there = [known[name] for name in names if name in known]
        missing = [name for name in names if name not in known]
        proofs = ", ".join([tally.name for tally in there] + [f"{name} (not run)" for name in missing])
        faults, lost = sum(tally.faults for tally in there), sum(len(tally.lost) for tally in there)
        lines.append(f"| {promise} | {faults:,} | {lost} | {proofs} |")
    lines += [
        "",
        "| proof | faults | of | lost | seconds | what is tried |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    lines += [
        f"| {tally.name} | {tally.faults:,} | {tally.of * tally.each:,} | {len(tally.lost)} | {tally.seconds:,.0f} | "
        f"{tally.about} |"
        for tally in tallies
    ]
    return "\n".join([*lines, ""])


def _commit() -> str:
    root = Path(__file__).resolve().parent
    command = ["git", "-C", str(root), "describe", "--always", "--dirty"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def _machine() -> str:
    name = next(
        (line.partition(":")[2].strip() for line in _cpuinfo().splitlines() if line.startswith("model name")),
        platform.processor() or platform.machine(),
    )
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{name}, {psutil.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.release().split('-')[0]}"
    )


def _cpuinfo() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8") if path.exists() else ""
