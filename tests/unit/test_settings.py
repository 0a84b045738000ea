"""A plan is checked before anything runs, and a misspelt key never passes in silence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from germline.errors import PlanError
from germline.other_names import HERE
from germline.settings import Plan, Training, kept_plan, load_plan, parse_plan


def plan_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "germline.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_an_empty_plan_is_the_defaults(tmp_path: Path) -> None:
    assert load_plan(plan_file(tmp_path, "")) == Plan()


def test_overrides_win_over_the_file(tmp_path: Path) -> None:
    path = plan_file(tmp_path, "[training]\nrank = 8\nalpha = 4.0\n")
    plan = load_plan(path, ["training.rank=32", "data.voice=user", "training.learning_rate=1e-5"])
    assert (plan.training.rank, plan.training.alpha, plan.training.learning_rate) == (32, 4.0, 1e-5)
    assert plan.data.voice == "user"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[data]\nsources = ["a", "b\\u0000"]', "sources holds a character that no path or text may have: NUL"),
        ('[exams]\nprobes = "\\u0000"', "probes holds a character that no path or text may have: NUL"),
        ('[[fragments.named]]\nname = "a"\nexampels = []', "exampels; did you mean 'examples'?"),
        ("[trainig]\nrank = 8", "unknown key trainig; did you mean 'training'?"),
        ("[training]\nlora_alpha = 32", "unknown key training.lora_alpha; here: training.alpha"),
        ("load_in_4bit = true", 'unknown key load_in_4bit; here: training.quantize = "nf4"'),
        ("[training]\nrnak = 8", "unknown key training.rnak; did you mean 'rank'?"),
        (
            "[[fragments.named]]\nname = 'a'\ndescrption = 'x'\nexamples = [['a', 'b'], ['c', 'd']]",
            "unknown key fragments.named.0.descrption; did you mean 'description'?",
        ),
        ("[gate]\nrecall = 1.5", "gate.recall"),
        ("[data]\nvoice = 'narrator'", "data.voice"),
        ("[gate]\nrecall = nan", "gate.recall"),
        ("[gate]\nstyle_distance = inf", "gate.style_distance"),
        ("[training]\nmerge_scales = [0.85, 0.85]", "has a share twice"),
        ("training = 3", "training"),
        ("[training]\nmerge_candidates = true", "set training.candidates to 2 or more"),
        ("= 3", "not a TOML file"),
        ("x = " + "[" * 5_000, "not a TOML file"),
        ("x = " + "9" * 5_000, "not a TOML file"),
        ("[training]\nrank = 0x" + "f" * 5_000, "training.rank"),
        ("#" * (2**20 + 1), "larger than"),
    ],
)
def test_a_plan_that_cannot_be_followed_names_the_key(tmp_path: Path, text: str, said: str) -> None:
    path = plan_file(tmp_path, text)
    with pytest.raises(PlanError) as failure:
        load_plan(path)
    assert said in failure.value.message
    assert str(path) in failure.value.message
    assert failure.value.exit_code == 2


@pytest.mark.parametrize("override", ["rank=8", "training.rank", "=8", "training.=8"])
def test_a_malformed_override_says_how_to_write_it(tmp_path: Path, override: str) -> None:
    with pytest.raises(PlanError, match=r"section\.key=value"):
        load_plan(plan_file(tmp_path, ""), [override])


def test_every_key_is_documented() -> None:
    for name, section in Plan.model_fields.items():
        assert section.annotation is not None
        for key, field in section.annotation.model_fields.items():
            assert field.description, f"{name}.{key} has no help"


def test_a_parsed_plan_survives_json() -> None:
    plan = parse_plan({"training": {"rank": 4}}, source="here")
    assert parse_plan(plan.model_dump(mode="json"), source="here") == plan


def test_a_kept_plan_of_before_a_setting_was_there_did_without_it() -> None:
    kept = Plan().model_dump(mode="json")
    assert kept_plan(kept, source="g1 plan.json") == Plan()
    del kept["training"]["noise"]
    assert kept_plan(kept, source="g1 plan.json").training == Training(noise=0.0)
    assert "noise" not in kept["training"], "what was read stays as it is"
    with pytest.raises(PlanError, match=r"plan\.json: training"):
        kept_plan({"training": 3}, source="g1 plan.json")


def test_every_name_from_elsewhere_leads_to_a_setting_that_there_is() -> None:
    sections = Plan().model_dump()
    for theirs, ours in HERE.items():
        named = re.findall(r"\b([a-z]+)\.([a-z_]+)", ours)
        assert named or ours.startswith("needless"), theirs
        assert all(key in sections[section] for section, key in named), ours
        assert not any(theirs in table for table in sections.values()), theirs
