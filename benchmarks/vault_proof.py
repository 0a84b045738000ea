"""Try to lose something: kill, fail, cut the power, fill the disk, crowd, attack. A line for each proof; PROOFS.md.

    python benchmarks/vault_proof.py                            all of it
    python benchmarks/vault_proof.py --only storage-power       one proof
    python benchmarks/vault_proof.py --only storage-kills --seed 0 --attempt 37      one attempt of it, again

`storage` is the cycle of tests/vault/storage.py: found a lineage, bear two children, roll back, give up a run.
`evolve` is a whole evolve of the tiny model of tests/tiny. `make test` makes some of the same attempts (tests/vault).
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import promises
from tests.vault import attacks, crowd, deaths, full, outages, outside, proof, restoring, storage

from germline.store import disk

BATCHES = "curriculum/batches.py"
"""Its sync is reached by the evolve cycle alone; all others by the storage cycle, too."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=[name for name, _ in PROOFS], help="these proofs alone")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--attempt", type=int, help="this attempt alone")
    parser.add_argument("--most", type=int, help="at most so many attempts of each proof, spread over all there are")
    parser.add_argument("--kills", type=int, default=2000, help="random SIGKILLs (default %(default)s)")
    parser.add_argument("--power", type=int, default=3000, help="states after a power cut (default %(default)s)")
    parser.add_argument("--evolve-power", type=int, default=60, help="the same of the evolve cycle (%(default)s)")
    parser.add_argument("--restore-power", type=int, default=200, help="the same of a restore (%(default)s)")
    parser.add_argument("--rounds", type=int, default=20, help="crowds (default %(default)s)")
    parser.add_argument("--sizes", type=int, default=200, help="sizes of a disk that fills up (default %(default)s)")
    parser.add_argument("--ledger-attacks", type=int, default=6000, help="(default %(default)s)")
    parser.add_argument("--store-attacks", type=int, default=100_000, help="(default %(default)s)")
    parser.add_argument("--rows", type=int, default=10_000, help="malformed rows (default %(default)s)")
    parser.add_argument("--workers", type=int, default=min(4, os.cpu_count() or 1))
    parser.add_argument("--out", type=Path, help="write what was tried and lost as JSON")
    parser.add_argument("--report", type=Path, help="write PROOFS.md: each promise with its proofs")
    given = parser.parse_args()
    began, tallies = time.monotonic(), []
    with ExitStack() as stack:
        cycles = Cycles(stack)
        for name, make in PROOFS:
            if given.only and name not in given.only:
                continue
            if reason := WHY_NOT.get(name, str)():
                say(f"{name}: skipped: {reason}")
                continue
            made = make(cycles, given)
            chosen = proof.spread(made, given.most, given.seed) if given.attempt is None else [given.attempt]
            tallies.append(proof.prove(made, chosen, seed=given.seed, workers=given.workers, say=say))
            for _ in tallies[-1].lost[:1]:
                say(f"again with: benchmarks/vault_proof.py --only {name} --seed {given.seed} --attempt NUMBER")
    if given.out:
        result = {"seconds": round(time.monotonic() - began, 1), "proofs": [asdict(tally) for tally in tallies]}
        given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if given.report:
        given.report.write_text(promises.report(tallies, time.monotonic() - began), encoding="utf-8")
    return 1 if any(tally.lost for tally in tallies) else 0


class Cycles:
    """Each cycle is made when it is first asked for: most proofs need no torch."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._made: dict[str, Any] = {}

    @property
    def storage(self) -> Any:
        return self._once("storage", storage.storage_cycle)

    @property
    def evolve(self) -> Any:
        from tests.vault.evolving import evolve_cycle

        return self._once("evolve", lambda: self._stack.enter_context(evolve_cycle()))

    @property
    def restore(self) -> Any:
        return self._once("restore", lambda: self._stack.enter_context(restoring.restore_cycle()))

    def _once(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]


def mutants_of(cycle: str) -> list[str]:
    """The syncs that a cycle reaches: that of the batches evolve alone, that of a whole directory restore alone."""
    source, first = inspect.getsourcelines(disk.publish_directory)
    restored = {f"store/disk.py:{line}" for line in range(first, first + len(source))}
    owner = {line: "evolve" if line.startswith(BATCHES) else "restore" if line in restored else "storage"
             for line in outages.syncs()}  # fmt: skip
    return [line for line in owner if owner[line] == cycle]


Make = Callable[[Cycles, argparse.Namespace], proof.Proof]
PROOFS: tuple[tuple[str, Make], ...] = (
    ("storage-kills", lambda cycles, given: deaths.kills(cycles.storage, given.seed)),
    ("storage-random-kills", lambda cycles, given: deaths.random_kills(cycles.storage, given.seed, given.kills)),
    ("storage-errors", lambda cycles, given: deaths.errors(cycles.storage, given.seed)),
    ("storage-strace", lambda cycles, given: outside.system_calls(cycles.storage, given.seed)),
    ("storage-power", lambda cycles, given: outages.power(cycles.storage, given.seed, given.power)),
    ("storage-mutants", lambda cycles, given: outages.mutants(cycles.storage, given.seed, mutants_of("storage"))),
    ("ledger-attacks", lambda cycles, given: attacks.ledger(given.seed, given.ledger_attacks)),
    ("store-attacks", lambda cycles, given: attacks.store(given.seed, given.store_attacks)),
    ("hostile-rows", lambda cycles, given: attacks.rows(given.seed, given.rows)),
    ("bad-weights", lambda cycles, given: attacks.weights(given.seed)),
    ("exploits", lambda cycles, given: attacks.exploits(given.seed)),
    ("crowd", lambda cycles, given: crowd.crowd(cycles.storage, given.seed, given.rounds)),
    ("full-disks", lambda cycles, given: full.full_disks(cycles.storage, given.sizes)),
    ("read-only", lambda cycles, given: full.read_only(cycles.storage)),
    ("evolve-kills", lambda cycles, given: deaths.kills(cycles.evolve, given.seed)),
    ("evolve-errors", lambda cycles, given: deaths.errors(cycles.evolve, given.seed, each=False)),
    ("evolve-power", lambda cycles, given: outages.power(cycles.evolve, given.seed, given.evolve_power, deaths=4)),
    ("evolve-mutants", lambda cycles, given: outages.mutants(
        cycles.evolve, given.seed, mutants_of("evolve"), deaths=0)),
    ("restore-kills", lambda cycles, given: deaths.kills(cycles.restore, given.seed)),
    ("restore-power", lambda cycles, given: outages.power(cycles.restore, given.seed, given.restore_power)),
    ("restore-mutants", lambda cycles, given: outages.mutants(cycles.restore, given.seed, mutants_of("restore"))),
)  # fmt: skip
WHY_NOT = {"full-disks": full.why_not, "read-only": full.why_not, "storage-strace": outside.why_not}


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
