"""Proofs by attack and by hostile files, in batches that take seconds: the attempts that `proof.prove` deals out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.vault.cycle import require
from tests.vault.proof import Proof

LEDGER_BATCH, STORE_BATCH = 1000, 1000
ROOT = Path(__file__).resolve().parents[2]


def ledger(seed: int, count: int) -> Proof:
    """Edits, forgeries, cuts and forks of a ledger of 50 entries."""
    batches = -(-count // LEDGER_BATCH)

    def attempt(number: int, folder: Path) -> None:
        from tests.vault import ledger_attacks

        with _configured(folder):
            target = ledger_attacks.build(folder, arbiter=number % 2 == 1)
            for name, place, found in ledger_attacks.attack(target, LEDGER_BATCH, seed=1_000 * seed + number):
                require(found.by_the_witness, f"{name} of entry {place} is not found by the witness")
                require(found.by_the_checkpoint, f"{name} of entry {place} is not found by the checkpoint line")

    return Proof(
        name="ledger-attacks", attempts=batches, attempt=attempt, each=LEDGER_BATCH,
        about="edits, forged and foreign signatures, cuts, forks and older copies of ledgers of 50 entries, with one "
        "key and with two: each found given the witness, and each given a checkpoint line",
    )  # fmt: skip


def store(seed: int, count: int) -> Proof:
    """Damage to any file of a lineage, seen by both verifiers."""

    def attempt(number: int, folder: Path) -> None:
        from tests.vault import store_attacks

        with _configured(folder):
            target = store_attacks.build(folder)
            for seen in store_attacks.attack(target, STORE_BATCH, seed=1_000 * seed + number):
                require(seen.ours & seen.blamed, f"germline verify does not name it: {seen}")
                require(seen.alone & seen.blamed, f"the stand-alone verifier does not name it: {seen}")
                require(seen.ours ^ seen.alone <= {store_attacks.LAST}, f"the verifiers disagree: {seen}")

    return Proof(
        name="store-attacks", attempts=-(-count // STORE_BATCH), attempt=attempt, each=STORE_BATCH,
        about="bit flips, truncations, swaps, lost, added and linked files, edited JSON: each found, and blamed on "
        "the right file, by `germline verify` and by the stand-alone verifier",
    )  # fmt: skip


def rows(seed: int, count: int) -> Proof:
    """Malformed rows among good ones."""

    def attempt(number: int, folder: Path) -> None:
        from tests.vault import hostile_rows

        hostile_rows.prove(folder, count, 1_000 * seed + number)

    return Proof(
        name="hostile-rows", attempts=1, attempt=attempt, each=count,
        about="malformed rows and files among good ones, read twice: one reason for each refusal, books that balance, "
        "the same delta again, bounded memory, nothing read outside the source",
    )  # fmt: skip


def weights(seed: int) -> Proof:
    """Every variant of bad weights there is."""
    from tests.vault import bad_weights

    count = len(bad_weights.variants())

    def attempt(number: int, folder: Path) -> None:
        with _configured(folder):
            (folder / "tried").mkdir()
            bad_weights.prove(folder / "tried", count, seed)

    return Proof(
        name="bad-weights", attempts=1, attempt=attempt, each=count,
        about="founders (safetensors, GGUF), adapters and checkpoints with NaN, infinite, huge, misshapen, missing, "
        "foreign or overlapping tensors and lying headers: each refused with its reason",
    )  # fmt: skip


def exploits(seed: int) -> Proof:
    """Files that would like to run something."""
    from tests.vault.exploits import EXPLOITS

    def attempt(number: int, folder: Path) -> None:
        command = [sys.executable, "-m", "tests.vault.exploits", str(folder)]
        paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
        environment = {**os.environ, "PYTHONPATH": paths, "GERMLINE_CONFIG": str(folder)}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        require(done.returncode == 0, done.stderr[-2000:])
        found = json.loads(done.stdout)
        require(found.pop("control")[2], "the watch slept")
        for name, (outcome, why, did) in found.items():
            require(outcome == EXPLOITS[name][1] and not did, f"{name}: {outcome} {why} {did}")

    return Proof(
        name="exploits", attempts=1, attempt=attempt, each=len(EXPLOITS),
        about="model files with pickles, remote code, traversal, links and bombs, opened under an audit hook: refused "
        "or harmless, and nothing is run, unpickled or reached",
    )  # fmt: skip


@contextmanager
def _configured(folder: Path) -> Iterator[None]:
    """Keys and witnesses of one's own."""
    before = os.environ.get("GERMLINE_CONFIG", "")
    os.environ["GERMLINE_CONFIG"] = str(folder / "config")
    try:
        yield
    finally:
        os.environ["GERMLINE_CONFIG"] = before
