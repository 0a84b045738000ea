"""Whole generations of a tiny model: born, killed, resumed, refused, rolled back, rebuilt, and checked."""

from __future__ import annotations

import errno
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from germline import candidates, examination, sources
from germline import lineage as reading
from germline.approval import approve
from germline.checkout import weights
from germline.cli import main
from germline.errors import DataError, GermlineError, Interrupted, Locked, PlanError, StoreDamaged
from germline.evals.exams import Exam
from germline.evals.questions import Item
from germline.evals.style import voice
from germline.evolve import age_up
from germline.examination import sit_sealed
from germline.founding import found
from germline.lineage import ADAPTER, ADAPTER_CONFIG, EXAM, PARENT_SCORECARD, TRAIN, TRAINING, Lineage
from germline.marks import Score
from germline.model.adapter import mean
from germline.model.weights import read
from germline.pinning import pin
from germline.records import Event, Row
from germline.replay import fit_of, replay
from germline.settings import Exams, Plan, load_plan
from germline.store import keys, ledger, lock, objects
from germline.store.home import Home
from germline.store.verify import verify
from tests.tiny.conftest import SECOND, grow, quiet

pytestmark = pytest.mark.tiny


def test_a_founding_that_was_cut_short_may_go_on_from_another_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.md").write_text("The fog horn is ochre. The main lamp is plum.\n" * 20, encoding="utf-8")

    def begin(dtype: str) -> Lineage:
        texts = [tmp_path / "a.md"]
        return found(tmp_path / "home", "scratch", name="one", dtype=dtype, texts=texts, on_event=quiet)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(ledger, "append", raising(OSError(errno.ENOSPC, "No space left on device")))
        begin("fp32")
    assert len(list((tmp_path / "home" / "objects").rglob("*"))) > 4
    assert begin("bf16").head.name == "g0"
    assert verify(Home.open(tmp_path / "home")).problems == ()


def raising(error: Exception) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def test_two_generations_are_whole_and_tell_the_truth(grown: Path) -> None:
    home = Home.open(grown / "home")
    report = verify(home)
    assert report.problems == ()
    assert not list(home.runs.iterdir())
    history = Lineage.open(home)
    assert [(g.name, g.birth.kind) for g in history.born()] == [
        ("g0", "founded"),
        ("g1", "promoted"),
        ("g2", "promoted"),
    ]
    body = history.head.birth.body
    assert body["delta"]["rows_in"] == body["delta"]["rows"] + body["delta"]["heldout"] + sum(
        body["delta"]["refused"].values()
    )
    assert body["delta"]["refused"]["learned before"] == 17  # all of the first batch: it is no news to g2
    told = body["training"]
    assert told["last_loss"] < told["first_loss"]
    assert told["replayed_tokens"] / told["tokens"] == pytest.approx(load_plan(home.plan).curriculum.replay, abs=0.05)
    assert told["anchor_tokens"] == 0  # this plan has none
    assert history.born()[1].birth.body["training"]["replayed_tokens"] == 0
    own = history.head.manifest.files[EXAM].digest
    cards = [history.json(history.head, name)["marks"] for name in (reading.SCORECARD, reading.PARENT_SCORECARD)]
    child, parent = (card[own]["recall"]["bits_per_byte"] for card in cards)
    assert child < parent
    assert body["weight_change"] > 0.001
    assert list(history.scorecard(history.head).marks) == [
        generation.manifest.files[EXAM].digest for generation in history.born()[1:]
    ]


def test_an_exam_is_held_against_the_rows_of_all_ancestors(
    grown: Path, copy_of: Callable[[Path], Home], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are replayed: what stands in one of them is not unseen."""
    home, found = copy_of(grown), []

    def stop(*_: object, replayed: Iterable[Row], **__: object) -> None:
        found.extend(replayed)
        raise Interrupted("far enough")

    monkeypatch.setattr(examination, "write_exam", stop)
    (home.root.parent / "third.md").write_text("The colour of the bell is copper.\n", encoding="utf-8")
    with pytest.raises(Interrupted, match="far enough"):
        grow(home, 'data.sources=["../third.md"]')
    history = Lineage.open(home)
    assert found == [row for child in history.born()[1:] for row in history.rows(child, TRAIN)]
    assert {"first", "second"} <= {part for row in found for part in Path(row.source).parts}


def test_the_same_run_gives_the_same_child(founded: Path, copy_of: Callable[[Path], Home]) -> None:
    assert grow(copy_of(founded)).generation == grow(copy_of(founded)).generation


def test_a_share_of_an_update_is_merged_told_and_rebuilt(founded: Path, copy_of: Callable[[Path], Home]) -> None:
    home = copy_of(founded)
    lora_only = "training.embeddings=false"
    outcome = grow(home, lora_only, "training.merge_scales=[1.0, 0.5]", "gate.recall=1.0")
    lineage = Lineage.open(home)
    refused = lineage.born()[-1]
    assert outcome.kind == "refused" and refused.birth.body["merge_scale"] == 1.0
    assert lineage.json(refused, ADAPTER_CONFIG)["lora_alpha"] == 32.0
    assert [path.name for path in home.cache.rglob("*") if path.is_file()] == [refused.manifest.weights.digest[7:]]
    assert grow(home, lora_only, "training.merge_scales=[0.5]").kind == "promoted"
    half = Lineage.open(home).head
    assert half.birth.body["merge_scale"] == 0.5
    assert Lineage.open(home).json(half, ADAPTER_CONFIG)["lora_alpha"] == 16.0
    assert half.manifest.files[ADAPTER] == refused.manifest.files[ADAPTER]
    assert half.birth.body["weight_change"] < 0.7 * refused.birth.body["weight_change"]
    made = weights(Lineage.open(home), half)
    kept = made.read_bytes()
    made.unlink()
    assert weights(Lineage.open(home), half).read_bytes() == kept
    assert verify(home).problems == ()


def test_of_several_candidates_the_one_that_knows_most_is_born(founded: Path, copy_of: Callable[[Path], Home]) -> None:
    home = copy_of(founded)
    outcome = grow(home, "training.candidates=2")
    head = Lineage.open(home).head
    scores, chosen = head.birth.body["selection"], head.birth.body["candidate"]
    assert len(scores) == 2 and all(score["items"] > 5 for score in scores)
    assert chosen == max((0, 1), key=lambda number: (scores[number]["right"], -scores[number]["bits_per_byte"]))
    fit, told = fit_of(head)
    assert told == () and replay(Lineage.open(home), head, fit, quiet).same
    assert outcome.verdict.outcome == "promoted" and verify(home).problems == ()
    twin = copy_of(founded)
    grow(twin, f"training.seed={chosen}")
    assert head.manifest.weights == Lineage.open(twin).head.manifest.weights


def test_the_mean_of_all_candidates_is_born_rebuilt_and_trained_again(
    founded: Path, copy_of: Callable[[Path], Home], monkeypatch: pytest.MonkeyPatch
) -> None:
    each = []
    for seed in (0, 1):
        twin = copy_of(founded)
        grow(twin, f"training.seed={seed}")
        lineage = Lineage.open(twin)
        each.append(dict(read(lineage.path(lineage.head, ADAPTER))))
    home, asked, choose = copy_of(founded), [], candidates._selected

    def likes_the_last(*given: Any) -> Score:
        asked.append(choose(*given))
        return replace(asked[-1], right=len(asked))

    with monkeypatch.context() as patch:
        patch.setattr(candidates, "_selected", likes_the_last)
        grow(home, "training.candidates=2", "training.merge_candidates=true")
    lineage = Lineage.open(home)
    head, body = lineage.head, lineage.head.birth.body
    assert (body["candidate"], body["candidates"], len(body["selection"])) == (2, 2, 3)
    assert body["training"]["tokens"] == body["training"]["tokens_of_all_candidates"]
    config = lineage.json(head, ADAPTER_CONFIG)
    assert (config["r"], config["lora_alpha"]) == (16, 64.0)
    own, made = dict(read(lineage.path(head, ADAPTER))), mean(each)
    assert all(torch.equal(own[name], made[name]) for name in own) and own.keys() == made.keys()
    fit, told = fit_of(head)
    assert told == () and replay(lineage, head, fit, quiet).same
    kept = weights(lineage, head)
    kept.unlink()
    assert objects.hash_file(weights(Lineage.open(home), head)) == head.manifest.weights
    assert verify(home).problems == ()


def test_what_all_candidates_cost_is_told_together_and_without_what_the_founder_said(
    founded: Path, copy_of: Callable[[Path], Home], monkeypatch: pytest.MonkeyPatch
) -> None:
    home, speaking, choosing = copy_of(founded), 30.0, 20.0
    late, clock, choose = [0.0], time.monotonic, candidates._selected

    def says_nothing(*_: object) -> list[list[int]]:
        late[0] += speaking
        return []

    def chooses_slowly(*given: Any) -> Score:
        late[0] += choosing
        return choose(*given)

    monkeypatch.setattr("germline.anchoring.texts", says_nothing)
    monkeypatch.setattr("germline.candidates._selected", chooses_slowly)
    monkeypatch.setattr(time, "monotonic", lambda: clock() + late[0])
    grow(home, "training.candidates=2")
    body = Lineage.open(home).head.birth.body
    training, spent = body["training"], body["spent"]
    assert training["tokens_of_all_candidates"] == spent["all_attempts"]["tokens"] > training["tokens"]
    assert spent["tokens_per_second"] == training["tokens_of_all_candidates"] / spent["seconds_training"]
    told = spent["seconds_training"] + spent["seconds_exams"]
    assert spent["seconds_total"] - told == pytest.approx(speaking, abs=2.0)
    assert spent["seconds_exams"] > 2 * choosing


def test_candidates_that_nothing_can_tell_apart_are_refused_before_training(
    founded: Path, copy_of: Callable[[Path], Home]
) -> None:
    home = copy_of(founded)
    with pytest.raises(PlanError, match="candidates could be told apart"):
        grow(home, "training.candidates=2", 'data.sources=["../first/*.law"]', "data.heldout=0")


def test_killed_in_training_and_resumed_gives_the_same_child(founded: Path, copy_of: Callable[[Path], Home]) -> None:
    """A real SIGKILL of a real process, twice, at different steps."""
    whole = grow(copy_of(founded))
    home = copy_of(founded)
    run = home.runs / "g1"
    for _ in range(2):
        before = _newest(run)
        process = subprocess.Popen([sys.executable, "-c", _EVOLVE, str(home.root)])
        deadline = time.monotonic() + 120
        while _newest(run) == before and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert verify(home).problems == ()
        assert Lineage.open(home).head.number == 0
    resumed = grow(home)
    assert resumed.generation == whole.generation
    assert Lineage.open(home).head.birth.body["spent"]["tokens_per_second"] is None
    assert verify(home).problems == ()


_EVOLVE = """
import sys
from pathlib import Path
from germline.evolve import age_up
from germline.settings import load_plan
from germline.store.home import Home
home = Home.open(Path(sys.argv[1]))
age_up(home, load_plan(home.plan), lambda event: None)
"""


def _newest(run: Path) -> str:
    """The name of the last checkpoint, "" before the first."""
    return max((path.name for path in run.glob("checkpoint-*.safetensors")), default="")


def test_cut_between_any_two_stages_gives_the_same_child(
    founded: Path, copy_of: Callable[[Path], Home], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dying just before each of the last writes: the next evolve ends with the same id, and once."""
    whole = grow(copy_of(founded))
    home = copy_of(founded)

    class Died(BaseException):
        pass

    for module, name in [("germline.run", "save_trained"), ("germline.store.objects", "put_in_cache"),
                         ("germline.store.generations", "commit"), ("germline.store.ledger", "append")]:  # fmt: skip
        with monkeypatch.context() as patch:

            def die(*args: object, **kwargs: object) -> None:
                raise Died

            patch.setattr(f"{module}.{name}", die)
            with pytest.raises(Died):
                grow(home)
        assert verify(home).problems == ()
        assert Lineage.open(home).head.number == 0
    assert grow(home).generation == whole.generation
    assert verify(home).problems == ()
    assert [entry.kind for entry in ledger.entries(home)] == ["founded", "pinned", "promoted"]


def test_ctrl_c_is_resumable_and_says_how(founded: Path, copy_of: Callable[[Path], Home]) -> None:
    home = copy_of(founded)

    def interrupt(event: Event) -> None:
        if event.kind == "step" and event.data["step"] == 3:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted) as stopped:
        age_up(home, load_plan(home.plan), interrupt)
    assert stopped.value.exit_code == 130
    assert "the same command goes on" in stopped.value.hint
    with pytest.raises(PlanError, match=r"training\.rank was 8 and is 4") as changed:
        grow(home, "training.rank=4")
    assert "`germline evolve --set training.rank=8` goes on" in changed.value.hint
    assert grow(home, "training.rank=4", restart=True).verdict.outcome == "promoted"


def test_a_delta_that_changed_under_a_run_is_refused(founded: Path, copy_of: Callable[[Path], Home]) -> None:
    """The exam and the batches were made of what was read; what is stored is the file."""
    home = copy_of(founded)

    def interrupt(event: Event) -> None:
        if event.kind == "step" and event.data["step"] == 1:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted):
        age_up(home, load_plan(home.plan), interrupt)
    rows = home.runs / "g1" / TRAIN
    rows.write_bytes(rows.read_bytes().replace(b"ochre", b"oehre"))
    with pytest.raises(GermlineError, match=r"g1/delta is damaged: it is not what was read") as failure:
        grow(home)
    assert "--restart" in failure.value.hint
    assert grow(home, restart=True).kind == "promoted"


def test_without_a_voice_that_is_told(founded: Path, copy_of: Callable[[Path], Home]) -> None:
    home, told = copy_of(founded), list[str]()
    plan = load_plan(home.plan, ["curriculum.epochs=1"])
    age_up(home, plan, lambda event: told.append(event.text))
    assert sum("no voice is judged" in text for text in told) == 1


def test_nothing_new_says_so_and_a_refused_delta_is_not_trained_twice(
    grown: Path, copy_of: Callable[[Path], Home]
) -> None:
    home = copy_of(grown)
    with pytest.raises(DataError, match="nothing new to learn"):
        grow(home, SECOND)
    assert not list(home.runs.iterdir())
    home = copy_of(grown)
    (home.root.parent / "third").mkdir()
    (home.root.parent / "third" / "a.md").write_text("The colour of the cellar hatch is teal, as ever.\n", "utf-8")
    cards = home.root.parent / "cards.toml"
    cards.write_text('[[card]]\nprompt = "Hatch?"\nscorer = "contains"\nanswer = "teal"\n', encoding="utf-8")
    third = ('data.sources=["../third"]', "gate.recall=1.0", "data.heldout=0.0", 'exams.cards="../cards.toml"')
    refused = grow(home, *third)
    assert refused.verdict.outcome in ("refused", "inconclusive")
    assert Lineage.open(home).head.number == 2
    with pytest.raises(GermlineError, match=r"(refused|inconclusive) before, as g3"):
        grow(home, *third)
    assert not list(home.runs.iterdir())
    cards.write_text(cards.read_text().replace("teal", "teal."), encoding="utf-8")
    assert grow(home, *third).number == 4, "another exam may find otherwise"
    assert verify(home).problems == ()


@pytest.mark.parametrize(("probes", "notes"), [("What now?\n", 1), ("How are you?\n", 0)])
def test_probes_that_an_inherited_voice_overrides_are_told(tmp_path: Path, probes: str, notes: int) -> None:
    (tmp_path / "probes.txt").write_text(probes, "utf-8")
    spoken = voice([f"Lamp {place} burns, and the log is signed." for place in range(30)], ["How are you?"], ())
    line = [Exam(items=(), passages=(), voice=spoken, laws=(), cards=())]
    told: list[Event] = []
    settings = Exams(probes="probes.txt")
    exam = examination.write_exam(tmp_path / "exam", settings, tmp_path, [], [], [], line, told.append, laws=())
    assert exam.voice is None
    assert [event.kind for event in told] == ["note"] * notes + ["stage"]


def test_a_lineage_out_of_an_archive_grows_on_by_the_plan_of_its_head(
    grown: Path, copy_of: Callable[[Path], Home], capsys: pytest.CaptureFixture[str]
) -> None:
    old = copy_of(grown)
    world = old.root.parent
    (world / "third").mkdir()
    (world / "third" / "a.md").write_text("The colour of the cellar hatch is teal, as ever.\n", "utf-8")
    assert main(["--home", str(old.root), "archive", "HEAD", "-o", str(world / "g2.tar")]) == 0
    assert main(["restore", str(world / "g2.tar"), str(world / "again")]) == 0
    capsys.readouterr()
    assert main(["--home", str(world / "again"), "plan", "of"]) == 0
    home = Home.open(world / "again")
    home.plan.write_text(capsys.readouterr().out, encoding="utf-8")
    assert load_plan(home.plan) == load_plan(old.plan, ["data.sources=[]"])
    assert grow(home, 'data.sources=["../third"]', "data.heldout=0.0").number == 3
    assert verify(home).problems == ()


def test_what_is_asked_though_training_rows_hold_it_is_told_by_name(tmp_path: Path) -> None:
    (tmp_path / "cards.toml").write_text(
        '[[card]]\nid = "hatch"\nprompt = "Which colour has the hatch?"\nscorer = "contains"\nanswer = "teal"\n'
        '[[card]]\nid = "stove"\nprompt = "Who made the old stove?"\nscorer = "contains"\nanswer = "Tom"\n', "utf-8"
    )  # fmt: skip
    spoken = voice([f"Lamp {place} burns, and the log is signed." for place in range(30)], ["How are you today?"], ())
    older = [
        Item(paper=paper, prompt=f"{question}\n", answer="teal", wrong=("ochre",))
        for paper, question in (("wording", "Name the hatch's old colour."), ("recall", "What is the hatch's colour?"))
    ]
    line = [Exam(items=tuple(older), passages=(), voice=spoken, laws=(), cards=())]
    said = ("Which colour has the hatch?", "How are you today?", "Name the hatch's old colour.", older[1].prompt)
    rows = [Row(kind="text", source="a", position=place, text=text) for place, text in enumerate(said)]
    told: list[Event] = []
    settings = Exams(cards="cards.toml")
    for train in (rows, rows[3:]):
        examination.write_exam(tmp_path / "exam", settings, tmp_path, train, [], [], line, told.append, laws=())
        (tmp_path / "exam").unlink()
    (note,) = (event for event in told if event.kind == "note")
    held = ["tone probe 'How are you today?'", "challenge card hatch", 'older question "Name the hatch\'s old colour."']
    assert note.data == {"held": held} and note.text.endswith(": " + ", ".join(held))


def test_a_delta_of_which_nothing_is_trained_on_says_so(founded: Path, copy_of: Callable[[Path], Home]) -> None:
    home = copy_of(founded)
    (home.root.parent / "prose").mkdir()
    (home.root.parent / "prose" / "a.md").write_text("Nobody went out, and the wind kept on and on.\n", "utf-8")
    prose = ('data.sources=["../prose"]', "data.heldout=0.0")
    with pytest.raises(PlanError, match=r"curriculum\.documents is 0") as failure:
        grow(home, *prose, "curriculum.documents=0")
    assert "--restart" in failure.value.hint
    assert grow(home, *prose, restart=True).number == 1


def test_a_law_that_was_put_otherwise_is_asked_as_it_is_now(grown: Path, copy_of: Callable[[Path], Home]) -> None:
    home = copy_of(grown)
    law = home.root.parent / "first" / "light.law"
    law.write_text(law.read_text().replace('prompt = "', 'prompt = "Keeper, ', 1), encoding="utf-8")
    pin(home, load_plan(home.plan))
    (home.root.parent / "third").mkdir()
    (home.root.parent / "third" / "a.md").write_text("The colour of the cellar hatch is teal, as ever.\n", "utf-8")
    outcome = grow(home, 'data.sources=["../third"]', "data.heldout=0.0")
    history = Lineage.open(home)
    child = history.generation(outcome.generation)
    for card in (history.scorecard(child, PARENT_SCORECARD), history.scorecard(child)):
        assert [list(marks.laws) for marks in card.marks.values()] == [[], [], ["light/1"]]
    head = history.resolve("g2")
    then, now = examination.inherited(history, head, head.birth), examination.inherited(history, head)
    assert [(len(a.laws), len(b.laws), a.digest == b.digest) for a, b in zip(then, now, strict=True)] == [
        (1, 0, True),
        (0, 0, True),
    ]
    assert examination.examine(history, head, quiet) == history.scorecard(head)
    assert verify(home).problems == ()


def test_the_cache_is_rebuilt_byte_for_byte(grown: Path, copy_of: Callable[[Path], Home]) -> None:
    home = copy_of(grown)
    history = Lineage.open(home)
    expected = weights(history, history.head).read_bytes()
    shutil.rmtree(home.cache)
    assert weights(history, history.head).read_bytes() == expected
    assert verify(home).problems == ()


WAYS = {
    "full": ("training.method=full", "training.learning_rate=0.002", "training.optimizer=adamw8bit"),
    "nf4": ("training.quantize=nf4", "training.recompute=all"),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_child_trained_another_way_is_merged_kept_and_rebuilt(
    founded: Path, copy_of: Callable[[Path], Home], way: str
) -> None:
    home = copy_of(founded)
    assert grow(home, *WAYS[way]).verdict.outcome == "promoted"
    assert verify(home).problems == ()
    lineage = Lineage.open(home)
    rows = {row["group"]: row for row in lineage.json(lineage.head, TRAINING)["parameters"]}
    assert rows["embed_tokens"]["trained"] and rows["embed_tokens"]["changed"]
    assert rows["q_proj"]["trained"] == (way == "full")
    assert lineage.head.birth.body["environment"]["bits"] == ("nf4" if way == "nf4" else None)
    config = lineage.json(lineage.head, ADAPTER_CONFIG)
    assert ("q_proj" in config["target_modules"]) == (way == "nf4")
    assert ("q_proj" in config["modules_to_save"]) == (way == "full")
    before = weights(lineage, lineage.head).read_bytes()
    shutil.rmtree(home.cache)
    assert weights(Lineage.open(home), lineage.head).read_bytes() == before


def test_sealed_questions_are_of_every_exam_and_asked_on_request_alone(grown: Path) -> None:
    history = Lineage.open(Home.open(grown / "home"))
    told: list[Event] = []
    scores = sit_sealed(history, history.head, told.append)
    born = history.trained_line(history.head)
    assert list(scores) == [child.manifest.files[EXAM].digest for child in born] and len(told) == len(born)
    asked = [len(history.json(child, EXAM)["sealed"]) for child in born]
    assert [score.items for score in scores.values()] == asked and all(asked)
    assert all(0 <= score.right <= score.items and score.bits_per_byte > 0 for score in scores.values())


def test_a_keyframe_is_kept_whole(
    founded: Path, copy_of: Callable[[Path], Home], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its weights are an object: with the cache gone they are read, not rebuilt."""
    monkeypatch.setattr("germline.child.KEYFRAME_EVERY", 2)
    home = copy_of(founded)
    grow(home)
    grow(home, SECOND)
    shutil.rmtree(home.cache)
    history = Lineage.open(home)
    assert [reading.WEIGHTS in g.manifest.files for g in history.born()] == [True, False, True]
    assert weights(history, history.head).is_relative_to(home.objects)
    assert not home.cache.exists()
    assert verify(home).problems == ()


def test_damaged_weights_are_never_used(grown: Path, copy_of: Callable[[Path], Home]) -> None:
    home = copy_of(grown)
    history = Lineage.open(home)
    flip(weights(history, history.head), 5000)
    with pytest.raises(StoreDamaged):
        weights(history, history.head)


def test_a_branch_after_a_rollback_knows_only_its_own_ancestors(grown: Path, copy_of: Callable[[Path], Home]) -> None:
    home = copy_of(grown)
    first = Lineage.open(home).resolve("g1")
    ledger.append(home, "rolled_back", first.digest, first.number, {"from": 2})
    assert Lineage.open(home).head.number == 1
    with pytest.raises(GermlineError, match="this delta was promoted before, as g2") as failure:
        grow(home, SECOND)  # who rolled back from it does not want it anew
    assert "`germline rollback g2`" in failure.value.hint
    outcome = grow(home, SECOND, "training.seed=5")
    history = Lineage.open(home)
    child = history.generation(outcome.generation)
    assert (outcome.number, outcome.parent, child.manifest.parent) == (3, 1, first.digest)
    assert [g.number for g in history.ancestry(child)] == [0, 1, 3]


def test_a_second_process_is_held_off(grown: Path, copy_of: Callable[[Path], Home]) -> None:
    home = copy_of(grown)
    with lock.hold(home), pytest.raises(Locked):
        subprocess_error = subprocess.run(
            [sys.executable, "-c", _EVOLVE, str(home.root)], capture_output=True, text=True, check=False
        )
        assert "Locked" in subprocess_error.stderr
        raise Locked("seen")


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.chmod(0o644)
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("what", ["weights", "cached weights", "exam", "entry", "missing", "renamed", "added"])
def test_verify_finds_each_damage_and_names_the_file(grown: Path, copy_of: Callable[[Path], Home], what: str) -> None:
    home = copy_of(grown)
    history = Lineage.open(home)
    exam = history.path(history.head, EXAM)
    match what:
        case "weights":
            damaged = history.path(history.resolve("g0"), reading.WEIGHTS)
            flip(damaged, 100_000)
        case "cached weights":
            damaged = weights(history, history.head)
            flip(damaged, 100_000)
        case "exam":
            damaged = exam
            flip(damaged, 100)
        case "entry":
            damaged = ledger.entry_path(home, 2)
            flip(damaged, 300)
        case "missing":
            damaged = exam
            exam.unlink()
        case "renamed":
            damaged = exam.with_name("0" * 64)
            exam.rename(damaged)
        case _:
            damaged = exam.with_name(exam.name[:2] + "f" * 62)
            damaged.write_bytes(b"more")
    problems = verify(home).problems
    assert damaged.relative_to(home.root).as_posix() in [problem.path for problem in problems]


def test_an_init_that_was_cut_short_may_be_repeated(
    founded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["init", str(tmp_path / "home"), "--from", "scratch", "--text", str(founded / "first")]
    for cut in ((objects, "put"), (ledger, "append")):
        with monkeypatch.context() as killed:
            killed.setattr(*cut, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            assert main(words) == 130
    assert main(words) == 0
    assert main(words) == 1 and "there is a lineage in" in capsys.readouterr().err
    assert load_plan(tmp_path / "home" / "germline.toml") != Plan()  # the one for a model from scratch


def test_with_two_keys_a_child_is_proposed_and_then_approved(founded: Path, tmp_path: Path) -> None:
    world = Path(shutil.copytree(founded, tmp_path / "world"))
    shutil.rmtree(world / "home")
    found(
        world / "home", "scratch", name="two", texts=[world / "first"], arbiter=keys.make(), on_event=quiet
    )  # fmt: skip
    home = Home.open(world / "home")
    shutil.copy(founded / "home" / "germline.toml", home.plan)
    with pytest.raises(PlanError, match=r"the laws changed since they were pinned: added light\.law"):
        grow(home)
    pin(home, load_plan(home.plan))
    outcome = grow(home)
    assert (outcome.kind, outcome.verdict.outcome, Lineage.open(home).head.name) == ("proposed", "promoted", "g0")
    with pytest.raises(GermlineError, match="this delta was proposed before, as g1"):
        grow(home)
    shutil.rmtree(home.cache)  # its weights are merged again before they are approved
    approve(home, "g1")
    history = Lineage.open(home)
    assert (history.head.digest, history.head.name) == (outcome.generation, "g1")
    assert [card.id for card in sources.laws(history)] == ["light/1"]
    assert verify(home).problems == ()
    with pytest.raises(DataError, match="nothing new to learn"):
        grow(home)

    doses = ("training.embeddings=false", "training.merge_scales=[1.0, 0.5]", "gate.margin=0.9")
    second = grow(home, SECOND, *doses)
    assert second.kind == "proposed"
    assert "with 96% confidence" in next(check.reason for check in second.verdict.checks if check.name == "parent")
    approve(home, "g2")  # judged again as sure as it was
    assert Lineage.open(home).head.digest == second.generation


def test_until_mature_deals_the_sources_out_and_ends_where_nothing_is_new(
    founded: Path, copy_of: Callable[[Path], Home], capsys: pytest.CaptureFixture[str]
) -> None:
    home = copy_of(founded)
    arguments = ("evolve", "--home", str(home.root), "-S", "data.rows=11", "-S", "curriculum.epochs=40")
    assert main([*arguments, "--until-mature", "--json"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    born = [line["id"] for line in told if line["event"] == "outcome"]
    assert born == ["g1", "g2"]
    assert told[-1]["event"] == "end"
    assert "nothing new to learn" in told[-1]["reason"]
    history = Lineage.open(home)
    rows = [entry.body["delta"]["rows"] for entry in history.entries if entry.number]
    assert rows[0] == 11 >= rows[1] > 0
    assert all(entry.body["fresh_gain"]["units"] > 0 for entry in history.entries if entry.number)
    assert main([*arguments, "--until-mature"]) == 1  # from the start there is nothing new: an error, as ever
    assert "nothing new to learn" in capsys.readouterr().err


def test_until_mature_ends_where_the_lineage_stands_still_and_where_it_is_mature(
    founded: Path, copy_of: Callable[[Path], Home], capsys: pytest.CaptureFixture[str]
) -> None:
    """Children that learn next to nothing, under a policy that calls nine tenths little and any step small."""
    home = copy_of(founded)
    policy = ("maturity.fresh_gain=0.9", "maturity.weight_change=1", "maturity.style_drifts=10")
    settings = ("data.rows=6", "training.embedding_learning_rate=0.001", *policy)
    arguments = ["evolve", "--home", str(home.root), *(part for one in settings for part in ("-S", one))]
    assert main([*arguments, "--until-mature"]) == 0
    told = capsys.readouterr().out
    assert "HEAD is g2" in told and "HEAD is g3" not in told
    assert "no further: still: the last 2 generations newly know less than 90% of their own delta" in told
    assert main([*arguments, "--until-mature"]) == 0
    told = capsys.readouterr().out
    assert "HEAD is g3" in told and "HEAD is g4" not in told
    assert "no further: mature: the last 2 generations" in told
    assert "for 3 the weights moved by less than 100.0% and the voice held" in told
