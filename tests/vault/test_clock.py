"""A clock that jumps changes what a ledger says of the time, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

from germline.records import canonical_json, digest_of
from germline.store import generations, ledger, objects
from germline.store.generations import Manifest
from germline.store.home import Home
from germline.store.verify import verify

BODY = {"laws": digest_of(canonical_json([]))}
TIMES = (
    datetime(2030, 1, 1, tzinfo=UTC),
    datetime(2020, 1, 1, tzinfo=UTC),
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(2030, 10, 27, 2, 30, tzinfo=timezone(timedelta(hours=2))),
    datetime(2030, 10, 27, 2, 30, tzinfo=timezone(timedelta(hours=1))),
    datetime(2030, 1, 1, tzinfo=UTC),
)


def lineage(root: Path, times: tuple[datetime, ...]) -> Home:
    home = Home.create(root, "clock")
    weights = objects.put(home, b"weights")
    founder = generations.commit(home, Manifest(parent=None, files={"model": weights}, weights=weights))
    ledger.append(home, "founded", founder, 0, BODY, times[0])
    for number, now in enumerate(times[1:], 1):
        files = {"model": weights, "own": objects.put(home, b"%d" % number)}
        child = generations.commit(home, Manifest(parent=founder, files=files, weights=weights))
        ledger.append(home, "promoted", child, number, BODY, now)
    return home


def test_order_and_ids_do_not_depend_on_the_clock(tmp_path: Path) -> None:
    jumping, steady = lineage(tmp_path / "jumping", TIMES), lineage(tmp_path / "steady", TIMES[:1] * len(TIMES))
    assert ledger.born(ledger.entries(jumping)) == ledger.born(ledger.entries(steady))
    assert ledger.head(ledger.entries(jumping)) == ledger.born(ledger.entries(steady))[-1][1]
    assert verify(jumping).problems == ()
    assert ledger.entries(jumping)[6].time == "2030-10-27T00:30:00Z"
