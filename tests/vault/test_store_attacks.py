"""Whatever is done to a lineage is found, by `germline verify` and by the verifier that stands alone."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from germline import verify_lineage
from germline.store import disk, objects
from tests.vault import ledger_attacks, store_attacks
from tests.vault.store_attacks import MUTATIONS, Target, attack, build, look


@pytest.fixture
def target(tmp_path_factory: pytest.TempPathFactory) -> Target:
    return build(tmp_path_factory.mktemp("attacked"))


def test_both_find_every_mutation_and_name_the_file(target: Target) -> None:
    assert look(target) == (set(), set())
    tried: Counter[str] = Counter()
    for seen in attack(target, 300, seed=1):
        tried[seen.kind] += 1
        assert seen.ours & seen.blamed, seen
        assert seen.alone & seen.blamed, seen
        assert seen.ours ^ seen.alone <= {store_attacks.LAST}, seen
    assert set(tried) == {mutation.__name__ for mutation in MUTATIONS}
    assert look(target) == (set(), set())


def test_both_let_pass_what_is_no_damage(target: Target) -> None:
    home = target.home
    for directory in (home.objects, home.ledger, home.generations, home.cache, next(home.objects.iterdir())):
        disk.temporary_path(directory).write_bytes(b"half a fi")
    (home.root / "germline.toml").write_text("mine")
    assert look(target) == (set(), set())
    (home.runs / "g3").mkdir()
    objects.put(home, b"of a run in flight")
    assert look(target) == (set(), set())
    (home.runs / "g3").rmdir()
    ours, alone = look(target)
    assert ours == alone and len(ours) == 1


@pytest.mark.parametrize("arbiter", [False, True], ids=["one key", "two keys"])
def test_the_one_that_stands_alone_finds_every_attack_on_a_ledger(
    tmp_path_factory: pytest.TempPathFactory, arbiter: bool
) -> None:
    fifty = ledger_attacks.build(tmp_path_factory.mktemp("fifty"), arbiter=arbiter)
    whole = verify_lineage.Check(fifty.root)
    whole.run(fifty.checkpoint)
    assert whole.problems == []
    dice = random.Random(5)
    for kind in (*ledger_attacks.INSIDE, *ledger_attacks.BEHIND):
        for place in (13, 27):
            ledger_attacks.one(fifty, kind, place, dice)
            check = verify_lineage.Check(fifty.working.root)
            check.run(fifty.checkpoint)
            assert check.problems, (kind, place)


def test_the_mutations_are_undone(target: Target) -> None:
    before = {path: path.read_bytes() for path in target.home.root.rglob("*") if path.is_file()}
    list(attack(target, 40, seed=2))
    assert {path: path.read_bytes() for path in target.home.root.rglob("*") if path.is_file()} == before
    assert store_attacks.look(target) == (set(), set())
