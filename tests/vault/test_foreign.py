"""What somebody else wrote is read in bounds, and what is damaged is named with its cure."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from germline import foreign, run
from germline.corpus import json_records
from germline.errors import GermlineError, ModelError, StoreDamaged
from germline.evals import exams
from germline.model.families import read_config
from germline.model.founder import keep_config
from germline.settings import Plan
from germline.store import reading
from tests.vault.bad_weights import CONFIG


def test_a_file_is_read_up_to_its_limit_and_no_further(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 10)
    assert foreign.read(tmp_path / "a", most=10) == b"x" * 10
    with pytest.raises(OSError, match="larger than 9 bytes"):
        foreign.read(tmp_path / "a", most=9)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="makes a pipe")
def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(OSError, match="not a regular file"):
            foreign.read(path)
    with pytest.raises(FileNotFoundError):
        foreign.read(tmp_path / "absent")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "'c' comes twice"),
        (b"[1, NaN]", "not a finite number"),
        (b"-Infinity", "not a finite number"),
        (b"1e400", "not a finite number"),
        (b"9" * 5_000, "digits"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"{} {}", "Extra data"),
        (b"\xff", "utf-8"),
        (b"", "Expecting value"),
    ],
)
def test_json_of_two_meanings_is_refused(text: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        foreign.parse_json(text)


def test_other_json_is_what_it_is() -> None:
    value = {"a": [1, -2.5, None, True, "é\ud83d".encode("utf-8", "ignore").decode()], "b": {"a": 10**4_000}}
    assert foreign.parse_json(json.dumps(value).encode()) == value


# --- configs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key", ["hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size"]
)
@pytest.mark.parametrize("value", [0, -1, 2**40, 10**4_000, 1.5, "32", True, None, [], {}])
def test_a_size_is_a_whole_number_within_reason(key: str, value: Any) -> None:
    with pytest.raises(ModelError, match=key):
        read_config(CONFIG | {key: value})


def test_what_is_not_known_of_a_config_is_dropped() -> None:
    strange = {
        "auto_map": {"AutoModel": "evil.Model"}, "trust_remote_code": True, "_attn_implementation_internal": "evil/x",
        "custom_pipelines": {}, "pruned_heads": {"0": [1]}, "task_specific_params": {}, "sep_token_id": 3,
    }  # fmt: skip
    assert keep_config(CONFIG | strange, Path("config.json")) == keep_config(CONFIG, Path("config.json"))


# --- a lineage's own files, which others may have touched -----------------------------------------------


@pytest.mark.parametrize(
    "data", [b"[" * 100_000, b'{"a":' * 50_000, b"9" * 5_000, b"\xff", b'{"a":1,"a":1}', b'{"a": NaN}', b""]
)
def test_a_published_file_that_is_no_canonical_json_is_damage(data: bytes) -> None:
    with pytest.raises(StoreDamaged):
        reading.parse(Path("ledger/000001.json"), data)
    with pytest.raises(StoreDamaged):
        exams.from_bytes(data)


def test_a_published_file_of_any_size_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "000001.json").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(StoreDamaged, match="1,099,511,627,776 bytes"):
        reading.read(tmp_path / "000001.json")


@pytest.mark.parametrize("data", [b"", b"[]", b"7", b"{}", b"[" * 100_000, b'{"adapter": 7}', b"\xff\xfe"])
def test_a_damaged_run_names_its_file_and_the_way_out(tmp_path: Path, data: bytes) -> None:
    unfinished: Any = SimpleNamespace(directory=tmp_path)
    for name, load in {run.TRAINED: run.load_trained, run.FIT: run.load_fit}.items():
        assert load(unfinished) is None
        (tmp_path / name).write_bytes(data)
        with pytest.raises(GermlineError, match=name) as raised:
            load(unfinished)
        assert "--restart" in raised.value.hint
        (tmp_path / name).unlink()
    (tmp_path / run.RUN).write_bytes(data)
    lineage: Any = SimpleNamespace(head=SimpleNamespace(digest="sha256:0"))
    with pytest.raises(GermlineError, match=run.RUN) as raised:
        run._resumed(lineage, Plan(), tmp_path, 1, lambda event: None)
    assert "--restart" in raised.value.hint


def test_the_longest_record_is_a_long_book() -> None:
    assert 8 * 2**20 <= json_records.LONGEST <= 16 * 2**20  # what is read of a line costs some 25 times as much
