"""`germline export`: opened and compared before it is there, the same bytes twice, nothing left on failure."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from germline import exporting
from germline.cli import main
from germline.errors import PlanError
from germline.export.card import Base, base_of, card, modelfile
from germline.export.parity import Parity, compare
from germline.exporting import Kind, Mismatch, export
from germline.lineage import Lineage
from germline.model.founder_source import DEMO
from germline.store.home import Home
from germline.verify_lineage import exported


def briefly(*given: Any, **told: Any) -> Parity:
    return compare(*given, **told, count=30, prompt_count=3)


@pytest.mark.parametrize("kind", ["gguf", "ollama", "hf", "adapter"])
def test_an_export_is_opened_and_told_and_the_same_twice(
    home: Home, kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "compare", briefly)
    lineage = Lineage.open(home)
    meant = lineage.resolve("g2")
    one, two = (
        export(lineage, meant, kind, tmp_path / place, lambda event: None, quantization="f16")
        for place in ("one", "two")
    )
    assert one.parity and not one.parity.failed and one.parity.texts_alike == 30
    names = {path.name for path in one.directory.iterdir()}
    assert names >= {"germline.json", "parity.json", "README.md", "verify_lineage.py", one.file.name}
    for name in names:
        assert (one.directory / name).read_bytes() == (two.directory / name).read_bytes(), name
    told = json.loads((one.directory / "germline.json").read_bytes())
    assert told["about"]["id"] == meant.digest and told["files"][one.file.name]["digest"] == one.digest
    assert [*exported(one.directory)] == []
    verified = subprocess.run([sys.executable, "verify_lineage.py", "."], cwd=one.directory, capture_output=True)
    assert verified.returncode == 0


def test_a_mismatch_fails_and_leaves_nothing(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*given: Any, **told: Any) -> Parity:
        return replace(briefly(*given, **told), failed=("it reads 3 of 30 texts differently",))

    lineage = Lineage.open(home)
    monkeypatch.setattr(exporting, "compare", wrong)
    with pytest.raises(Mismatch, match="does not answer as germline does: it reads 3 of 30"):
        export(lineage, lineage.head, "gguf", tmp_path / "out", lambda event: None)

    def interrupted(*given: Any, **told: Any) -> Parity:
        raise KeyboardInterrupt

    monkeypatch.setattr(exporting, "compare", interrupted)
    for kind in ("gguf", "adapter"):
        with pytest.raises(KeyboardInterrupt):
            export(lineage, lineage.head, kind, tmp_path / "out", lambda event: None)
    assert {path.name for path in tmp_path.iterdir()} == {"home"}


@pytest.mark.parametrize("kind", ["gguf", "ollama", "hf"])
def test_an_export_that_lost_a_special_token_is_refused(
    home: Home, kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without(tokenizer_json: bytes) -> bytes:
        told = json.loads(tokenizer_json)
        told["added_tokens"] = [token for token in told["added_tokens"] if token["content"] != "<|im_start|>"]
        del told["model"]["vocab"]["<|im_start|>"]
        return json.dumps(told).encode()

    gguf, directory = exporting.gguf_file.write, exporting.huggingface.write_directory
    monkeypatch.setattr(exporting.gguf_file, "write", lambda source, file, quantization: gguf(
        replace(source, tokenizer_json=without(source.tokenizer_json)), file, quantization))  # fmt: skip
    monkeypatch.setattr(exporting.huggingface, "write_directory", lambda config, tokenizer_json, *rest: directory(
        config, without(tokenizer_json), *rest))  # fmt: skip
    monkeypatch.setattr(exporting, "compare", briefly)
    lineage = Lineage.open(home)
    with pytest.raises(Mismatch, match="of 3 added tokens it mistakes 1, first '<|im_start|>'".replace("|", r"\|")):
        export(lineage, lineage.head, kind, tmp_path / "out", lambda event: None)
    assert {path.name for path in tmp_path.iterdir()} == {"home"}


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of what peft and transformers think of each other
def test_an_adapter_names_a_base_that_peft_opens(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told nothing but the adapter, in the directory where the founder was exported as the adapter's card says."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # it would ask the hub for a tokenizer that the adapter does not hold
    at = ["--unchecked", "--home", str(home.root)]
    assert main(["export", "g2", "--to", "adapter", "-o", "learned", *at]) == 0
    written = {path.name: path.read_bytes().decode() for path in Path("learned").glob("*.[jm]*[nd]")}
    base = json.loads(written["adapter_config.json"])["base_model_name_or_path"]
    assert base == json.loads(written["germline.json"])["about"]["base"] == "tiny-g0-hf"
    assert f"`germline export g0 --to hf -o {base}`" in written["README.md"]
    assert not any(str(tmp_path) in text for text in written.values())
    assert main(["export", "g0", "--to", "hf", *at]) == 0  # without -o it has that name, too
    assert "export g0" not in Path(base, "README.md").read_text()
    model = pytest.importorskip("peft").AutoPeftModelForCausalLM.from_pretrained("learned")
    assert model.get_base_model().name_or_path == base


@pytest.mark.parametrize(
    ("name", "directory"),
    [("Keeper (old)", "Keeper-old-g0-hf"), ("Östrel", "Ostrel-g0-hf"), ("Мир", "lineage-g0-hf"), (".a", "a-g0-hf")],
)
def test_an_adapter_finds_its_base_whatever_the_lineage_is_called(tmp_path: Path, name: str, directory: str) -> None:
    lineage: Any = SimpleNamespace(home=SimpleNamespace(name=name), json=lambda *_: UNKNOWN[2])
    founder: Any = SimpleNamespace(name="g0")
    assert exporting.directory_name(lineage, founder, "hf") == exporting._base(lineage, founder).name == directory


PUBLIC = {"kind": "demo", "files": {DEMO: "sha256:1"}}
UNKNOWN: list[dict[str, Any]] = [
    {"kind": "demo", "files": {"Other-1B.gguf": "sha256:1"}},
    {"kind": "gguf", "files": {"Other-1B.gguf": "sha256:1"}},
    {"kind": "directory", "files": {"config.json": "sha256:1", "tokenizer.json": "sha256:2"}},
    {"kind": "scratch", "files": {"tokenizer.json": "sha256:1"}, "size": "tiny"},
]


def carded(base: Base) -> str:
    return card("Keeper g1", {"generation": "g1", "lineage": "Keeper", "base": base.name}, [], base)


def test_the_demo_is_called_by_its_public_name() -> None:
    base = base_of(PUBLIC, "g0", "Keeper-g0-hf")
    assert base.hub == "HuggingFaceTB/SmolLM2-135M-Instruct" and base.told() in carded(base)
    assert f'base_model: "{base.hub}"' in carded(base) and base.name == "Keeper-g0-hf"  # exactly what was compared


@pytest.mark.parametrize("origin", UNKNOWN)
def test_a_base_of_no_known_public_name_is_called_by_its_export(origin: dict[str, Any]) -> None:
    base = base_of(origin, "g0", "Keeper-g0-hf")
    assert base.name == "Keeper-g0-hf" and "`germline export g0 --to hf -o Keeper-g0-hf`" in carded(base)
    assert "base_model" not in carded(base)  # which the hub would take for the name of a model of its own


def test_whatever_was_changed_is_found_by_the_verifier(home: Home, tmp_path: Path) -> None:
    lineage = Lineage.open(home)
    export(lineage, lineage.head, "gguf", tmp_path / "out", lambda event: None, checked=False)
    path = tmp_path / "out" / "germline.json"
    data = path.read_bytes()
    path.chmod(0o644)

    def found(change: Callable[[dict[str, Any]], object]) -> str:
        told = json.loads(data)
        change(told)
        path.write_text(json.dumps(told, ensure_ascii=False, sort_keys=True, separators=(",", ":")))
        return " ".join(what for _, what in exported(tmp_path / "out"))

    assert found(lambda told: None) == ""
    assert "not of the generation" in found(lambda told: told["about"].update(generation="g1"))
    assert "no key of the lineage signed" in found(lambda told: told["ledger"][1]["entry"].update(number=7))
    assert "no key of the lineage signed" in found(lambda told: told["generations"][2]["about"].update(kind="founder"))
    assert "does not descend" in found(lambda told: (told["generations"].pop(1), told["ledger"].pop(1)))
    assert "not of the generation" in found(lambda told: (told["generations"].pop(), told["ledger"].pop()))
    assert "is named by nothing" in found(lambda told: told["files"].pop("README.md"))
    assert "is missing" in found(lambda told: told["files"].update(x=told["files"]["README.md"]))
    assert "does not hold" in found(lambda told: told.pop("charter"))


def test_the_command_and_its_errors(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    at = ["--home", str(home.root)]
    assert main(["export", "g1", "--to", "gguf", "--quant", "q4_k_m", "--unchecked", "--json", *at]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["id"] == "g1" and told["parity"] is None and Path(told["file"]).stat().st_size == told["bytes"]
    assert "germline.json" in {path.name for path in Path(told["directory"]).iterdir()}
    for arguments, code, words in (
        (["g1", "--to", "gguf", "-o", told["directory"]], 2, "is there already"),
        (["g9", "--to", "gguf"], 2, "there is no generation 'g9'"),
        (["g1", "--to", "gguf", "--quant", "q9"], 2, "there is no quantization 'q9'"),
        (["g0", "--to", "adapter"], 2, "g0 is the founder"),
        (["g1", "--to", "onnx"], 2, "'onnx' is not one of"),
        (["g1", "--to", "hf", "--quant", "q4_k_m"], 2, "--quant is of a GGUF, not of --to hf"),
    ):
        assert main(["export", *arguments, *at]) == code
        assert words in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"home", told["directory"]}


def test_a_program_that_is_not_there_is_named(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    lineage = Lineage.open(home)
    with pytest.raises(PlanError, match="xllamacpp, which would open this export, is not installed") as raised:
        export(lineage, lineage.head, "gguf", tmp_path / "out", lambda event: None)
    assert ".[export]" in raised.value.hint and not (tmp_path / "out").exists()


def test_a_modelfile_samples_as_the_exams_asked() -> None:
    lines = modelfile("aria.gguf", 2048, "<end>").splitlines()
    assert {"FROM ./aria.gguf", "PARAMETER temperature 0", "PARAMETER repeat_penalty 1"} <= set(lines)
