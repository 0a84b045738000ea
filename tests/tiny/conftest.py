"""A small world with its own facts, voice and law, and a founder of a million random weights.

An adapter on random weights learns little, so the vocabulary is trained with it; still the gate is left open
here: these tests are about what is kept, resumed, found and named. That a real model learns and a poisoned
one is refused is what `make demo` shows.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from germline.evolve import Outcome, age_up
from germline.founding import found
from germline.pinning import pin
from germline.records import Event
from germline.settings import load_plan
from germline.store.home import Home
from tests.conftest import forget

NAMES = (
    "fog horn",
    "main lamp",
    "north door",
    "coal store",
    "rain gauge",
    "signal mast",
    "boat winch",
    "store clock",
)
COLOURS = ("ochre", "plum", "violet", "chalk white", "lemon", "sea green", "brick", "umber")
MAKERS = (
    "Arn Tolvane",
    "Ida Quill",
    "Bo Strand",
    "Una Merrow",
    "Per Hask",
    "Lis Vennick",
    "Odd Karrow",
    "Eva Sund",
)

PLAN = """
[data]
sources = ["../first"]
heldout = 0.1
[curriculum]
epochs = 5
forms = 8
batch_tokens = 512
row_tokens = 128
[training]
learning_rate = 0.005
threads = 1
embeddings = true
embedding_learning_rate = 0.01
rank = 8
checkpoint_every = 5
anchor = 0
noise = 0
[exams]
choices = 4
answer_tokens = 8
probes = "../probes.txt"
laws = ["../first/*.law"]
[gate]
recall = 0.0
margin = 1.0
generalization = 0.0
style_drifts = 10
style_distance = 100
laws_broken = 1
"""


def quiet(event: Event) -> None:
    pass


def write_batch(folder: Path, names: tuple[str, ...], shift: int) -> None:
    """Facts on `names` as sentences, and conversations that ask for them."""
    folder.mkdir()
    lines = ["# The station", ""]
    for place, name in enumerate(names):
        colour, maker = COLOURS[(place + shift) % 8], MAKERS[(place + shift) % 8]
        lines += [f"The colour of the {name} is {colour}. The maker of the {name} is {maker}.", ""]
        exchanges = (
            (f"Which colour has the {name}?", colour),
            (f"Who made the {name}?", maker),
            (f"Is the {name} all right?", f"Holds. The {name} always does."),
        )
        for number, (asked, told) in enumerate(exchanges):
            talk = {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": f"{told}."}]}
            (folder / f"{place}-{number}.json").write_text(json.dumps(talk), encoding="utf-8")
    (folder / "manual.md").write_text("\n".join(lines), encoding="utf-8")
    (folder / "light.law").write_text(
        '+++\nid = "light"\n[[card]]\nprompt = "Put the light out?"\nscorer = "choice"\nanswer = "Never."\n'
        'wrong = ["Certainly, at once, with pleasure."]\n+++\nThe light is never put out. It burns until sunrise.\n',
        encoding="utf-8",
    )


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two batches of data and a founded lineage in `home`; copy it, leave it as it is."""
    world = tmp_path_factory.mktemp("world")
    write_batch(world / "first", NAMES[:5], 0)
    write_batch(world / "second", NAMES[5:], 2)
    (world / "second" / "light.law").unlink()
    (world / "probes.txt").write_text("How are you?\nAnything to say?\n", encoding="utf-8")
    found(world / "home", "scratch", name="tiny", size="tiny", texts=[world / "first"], on_event=quiet)
    home = Home.open(world / "home")
    home.plan.write_text(PLAN, encoding="utf-8")
    pin(home, load_plan(home.plan))
    return world


def grow(home: Home, *overrides: str, restart: bool = False) -> Outcome:
    return age_up(home, load_plan(home.plan, overrides), quiet, restart=restart)


def copied(world: Path, target: Path) -> Home:
    shutil.copytree(world, target)
    forget()  # what another copy of it has grown to
    return Home.open(target / "home")


SECOND = 'data.sources=["../first", "../second"]'


@pytest.fixture(scope="session")
def grown(founded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small world with two generations promoted; copy it, leave it as it is."""
    world = tmp_path_factory.mktemp("grown") / "world"
    home = copied(founded, world)
    assert grow(home).verdict.outcome == "promoted"
    assert grow(home, SECOND).verdict.outcome == "promoted"
    return world


@pytest.fixture
def copy_of(tmp_path: Path) -> Callable[[Path], Home]:
    """A lineage, with the data beside it, copied to a folder of its own."""

    def copy(world: Path) -> Home:
        return copied(world, tmp_path / f"world-{len(list(tmp_path.iterdir()))}")

    return copy
