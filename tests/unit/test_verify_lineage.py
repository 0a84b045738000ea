"""The verifier that stands alone: its signatures are RFC 8032's, its rules those of the ledger, its needs none."""

from __future__ import annotations

import ast
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from germline import verify_lineage
from germline.errors import StoreDamaged
from germline.lineage import TRAIN, Lineage
from germline.records import canonical_json, digest_of, plain
from germline.store import keys, ledger, objects, witness
from germline.store.archive import archive
from germline.store.entry import APPROVES, LAWS, Entry, message, to_bytes
from germline.store.home import Home
from germline.store.restore import restore
from germline.store.verify import verify
from germline.verify_lineage import L, verifies
from tests.unit.small_lineage import lighthouse, two_keys

FILE = Path(verify_lineage.__file__)

# RFC 8032, section 7.1: public key, message, signature.
VECTORS = (
    ("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"),
    ("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"),
    ("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"),
)  # fmt: skip


@pytest.mark.parametrize(("key", "said", "signature"), VECTORS)
def test_the_vectors_of_the_rfc(key: str, said: str, signature: str) -> None:
    assert verifies(key, signature, bytes.fromhex(said))
    assert not verifies(key, signature, bytes.fromhex(said) + b"\0")


def test_it_agrees_with_cryptography_on_right_and_on_wrong_signatures() -> None:
    dice = random.Random(1)
    for _ in range(40):
        private = Ed25519PrivateKey.from_private_bytes(dice.randbytes(32))
        key, said = private.public_key().public_bytes_raw(), dice.randbytes(dice.randrange(100))
        signature = bytearray(private.sign(said))
        assert verifies(key.hex(), signature.hex(), said)
        signature[dice.randrange(64)] ^= 1 << dice.randrange(8)
        assert not verifies(key.hex(), signature.hex(), said)
        assert not keys.verifies(key.hex(), signature.hex(), said)


def test_what_is_no_signature_is_none() -> None:
    """S + L signs the same by the equation alone: RFC 8032 refuses it. So it does y beyond the field."""
    key, said, signature = VECTORS[1]
    s = int.from_bytes(bytes.fromhex(signature[64:]), "little") + L
    assert not verifies(key, signature[:64] + s.to_bytes(32, "little").hex(), bytes.fromhex(said))
    for wrong in ("ff" * 32, "ed" + "ff" * 30 + "7f", "02" + "00" * 31, "01" + "00" * 30 + "80"):
        assert not verifies(wrong, signature, bytes.fromhex(said)), wrong


def test_it_is_one_file_of_the_standard_library() -> None:
    source = FILE.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 420
    ast.parse(source, feature_version=(3, 9))
    imported = set()
    for node in ast.walk(ast.parse(source)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        imported |= {name.split(".")[0] for name in names}
    assert imported <= set(sys.stdlib_module_names) | {"__future__"}


def run(*arguments: object, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    line = [python, "-I", "-S", str(FILE), *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, encoding="utf-8", check=False, timeout=60)


OLDEST = shutil.which("python3.9") or sys.executable


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return lighthouse(tmp_path_factory.mktemp("alone") / "home")


def test_exit_codes_and_words(home: Home, tmp_path: Path) -> None:
    assert run(home.root).stdout.startswith("no problems in ")
    assert run(home.root).returncode == 0
    assert run(tmp_path / "nothing").returncode == run().returncode == run(home.root, "more").returncode == 2
    (tmp_path / "a.tar").write_bytes(b"no tar")
    assert run(tmp_path / "a.tar").returncode == 2
    copy = Home(Path(shutil.copytree(home.root, tmp_path / "copy")))
    path = ledger.entry_path(copy, 1)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b'"rows":2', b'"rows":3'))
    found = run(copy.root)
    assert (found.returncode, found.stderr) == (1, "")
    assert found.stdout.startswith("ledger/000001.json was edited")


def test_a_folder_of_the_owner_s_beside_the_runs_hides_nothing(home: Home, tmp_path: Path) -> None:
    copy = Home(Path(shutil.copytree(home.root, tmp_path / "copy")))
    stray = objects.put(copy, b"named by nothing").digest[7:]
    for folder in ("lost+found", "g4 of old"):
        (copy.runs / folder).mkdir()
        found = run(copy.root)
        first, *_ = found.stdout.splitlines()
        assert (found.returncode, first) == (1, f"objects/{stray[:2]}/{stray} is named by nothing")
        assert [stray in problem.path for problem in verify(copy).problems] == [True]
    (copy.runs / "g4").mkdir()  # a run that may have put it there
    assert run(copy.root).returncode == 0 and verify(copy).problems == ()


def test_a_checkpoint_tells_what_the_lineage_cannot(home: Home, tmp_path: Path) -> None:
    line = witness.checkpoint(home, ledger.entries(home))
    assert run(home.root, "--checkpoint", line).returncode == 0
    copy = Home(Path(shutil.copytree(home.root, tmp_path / "copy")))
    ledger.entry_path(copy, 4).unlink()
    assert run(copy.root).returncode == 0
    found = run(copy.root, "--checkpoint", line)
    assert (found.returncode, found.stdout.split()[0]) == (1, "ledger/000004.json")
    forged = line[:-1] + ("0" if line[-1] != "0" else "1")
    for wrong in (forged, line.replace(" 4 ", " 3 "), "germline-checkpoint", "x", ""):
        assert run(home.root, "--checkpoint", wrong).returncode == 1, wrong


# --- an archive: whatever `germline restore` refuses ------------------------------------------------------


@pytest.fixture(scope="module")
def packed(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cold") / "g1.tar"
    archive(home, Lineage.open(home).resolve("g1").digest, path, lambda path, size: None)
    return path


def agree(path: Path, target: Path) -> set[str]:
    """What the stand-alone verifier finds wrong with a file that `germline restore` refuses."""
    with pytest.raises(StoreDamaged):
        restore(path, target, None, lambda path, size: None)
    check = verify_lineage.Check(path)
    check.run()
    assert check.problems
    return {name for name, _ in check.problems}


def crafted(path: Path, files: Mapping[str, bytes], form: int = tarfile.USTAR_FORMAT, **pax: str) -> Path:
    """Any tar of these files, as somebody else writes it; `pax` is said of the last."""
    with tarfile.open(path, "w", format=form) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o444
            info.pax_headers = {key.replace("_", "."): value for key, value in pax.items() if name == [*files][-1]}
            tar.addfile(info, io.BytesIO(data))
    return path


def held(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        return {info.name: tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]


def test_an_archive_is_whole_and_its_verifier_is_looked_at(packed: Path, tmp_path: Path) -> None:
    found = run(packed)
    assert (found.returncode, found.stderr) == (0, "") and "no problems in " in found.stdout
    data, changed = packed.read_bytes(), tmp_path / "changed.tar"
    start = data.index(b'"""Checks a germline lineage')
    changed.write_bytes(data[:start] + b"'" + data[start + 1 :])
    assert agree(changed, tmp_path / "there") == {"verify_lineage.py"}
    found = run(changed)
    assert (found.returncode, found.stdout.splitlines()[0]) == (1, "verify_lineage.py is not what was put there")


def test_no_bit_of_an_archive_may_be_another_and_none_be_missing_or_more(packed: Path, tmp_path: Path) -> None:
    data, changed, dice = packed.read_bytes(), tmp_path / "changed.tar", random.Random(2)
    headers = [place for place in range(0, len(data), 512) if data[place + 257 : place + 262] == b"ustar"]
    in_header = [place + dice.randrange(512) for place in [*dice.sample(headers, 12), headers[-1]]]
    blanks = [place - 1 for place in headers[1:] if data[place - 1] == 0][:8]
    for place in [*(one for one in in_header if not headers[0] + 257 <= one < 262), *blanks, len(data) - 1]:
        changed.write_bytes(data[:place] + bytes([data[place] ^ 1 << dice.randrange(8)]) + data[place + 1 :])
        agree(changed, tmp_path / "there")
    for other in (data[:-1], data[:-512], data[:-1024], data[: headers[-1]], data + b"\0", data + bytes(512),
                  data + b"garbage" * 1000):  # fmt: skip
        changed.write_bytes(other)
        agree(changed, tmp_path / "there")


@pytest.mark.parametrize("name", ["germline.toml", "json.py", "tarfile.py", "objects/json.py", "runs/x", "zzz"])
def test_a_file_that_no_archive_holds_is_found_whoever_wrote_the_tar(packed: Path, tmp_path: Path, name: str) -> None:
    files = dict(sorted({**held(packed), name: b"import os"}.items()))
    agree(crafted(tmp_path / "more.tar", files), tmp_path / "there")
    cells = [verify_lineage.header(name, len(data)) + data + bytes(-len(data) % 512) for name, data in files.items()]
    (tmp_path / "more.tar").write_bytes(b"".join(cells) + bytes(1024))
    assert "more.tar" in agree(tmp_path / "more.tar", tmp_path / "there")


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_a_tar_that_is_extracted_to_other_bytes_than_are_hashed_is_none(
    packed: Path, tmp_path: Path, form: int
) -> None:
    """A sparse map: the bytes in the file are the right ones, and not those that any tar makes of it."""
    files = held(packed)
    *_, last = (name for name in files if name.startswith("objects/"))
    files[last] = files.pop(last)
    size = len(files[last])
    sparse = {"GNU_sparse_size": str(size), "GNU_sparse_numblocks": "1", "GNU_sparse_map": f"1,{size - 1}"}
    path = crafted(tmp_path / "sparse.tar", files, form, **(sparse if form == tarfile.PAX_FORMAT else {}))
    agree(path, tmp_path / "there")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.tar")
    assert run(tmp_path / "pipe.tar").returncode == 2


@pytest.mark.parametrize("name", ["", " ", "a\nb", "a\x1b[2J", "a\u009b2J", "a\u202eb", "a\ud800"])
def test_a_name_that_does_not_show_on_one_line_names_no_lineage(home: Home, tmp_path: Path, name: str) -> None:
    copy = Home(Path(shutil.copytree(home.root, tmp_path / "copy")))
    told = json.loads(copy.identity.read_bytes())
    copy.identity.chmod(0o644)
    copy.identity.write_bytes(canonical_json({**told, "name": "Aria Ö ✓ \u0378"}))  # U+0378 is nothing yet
    check = verify_lineage.Check(copy.root)
    check.run()
    assert "lineage.json" not in dict(check.problems) and copy.charter.name.startswith("Aria")
    text = json.dumps({**told, "name": name}, sort_keys=True, separators=(",", ":"), ensure_ascii="\ud800" in name)
    copy.identity.write_bytes(text.encode())
    check = verify_lineage.Check(copy.root)
    check.run()
    assert dict(check.problems)["lineage.json"]
    with pytest.raises(StoreDamaged, match=r"lineage\.json"):
        Home.open(copy.root)


# --- an export ----------------------------------------------------------------------------------------


def export_of(home: Home, directory: Path, file: str = "model.safetensors") -> Path:
    """HEAD as `germline.exporting` writes it, which no test without torch can call; what it is about is g1."""
    lineage = Lineage.open(home)
    line = lineage.ancestry(lineage.head)
    directory.mkdir()
    (directory / file).write_bytes(b"weights 1")
    (directory / "README.md").write_bytes(b"what it is\n")
    head = line[-1]
    about = {"generation": head.name, "id": head.digest, "weights": head.manifest.weights.digest,
             "lineage": home.name, "lineage_id": home.charter.id, "founder": line[0].digest,
             "ledger_entry": head.birth.digest}  # fmt: skip
    for one in line[1:]:
        about[f"data_{one.name}"] = one.manifest.files[TRAIN].digest
    files = {path.name: plain(objects.hash_file(path)) for path in directory.iterdir()}
    (directory / "parity.json").write_bytes(b'{"opened":false}')
    (directory / "germline.json").write_bytes(canonical_json({
        "format": 1, "about": about, "files": files, "charter": json.loads(home.identity.read_bytes()),
        "generations": [one.manifest for one in line], "ledger": [json.loads(to_bytes(one.birth)) for one in line],
    }))  # fmt: skip
    return directory


def changed(export: Path, change: Callable[[dict[str, Any]], object]) -> subprocess.CompletedProcess[str]:
    told = json.loads((export / "germline.json").read_bytes())
    change(told)
    (export / "germline.json").write_bytes(canonical_json(told))
    return run(export)


@pytest.mark.parametrize(
    ("file", "unsigned"),
    [
        ("model.safetensors", "README.md, parity.json"),
        ("a-g1-Q8_0.gguf", "README.md, a-g1-Q8_0.gguf, parity.json"),
        ("adapter_model.safetensors", "README.md, adapter_model.safetensors, parity.json"),
    ],
)
def test_of_an_export_it_is_told_what_nobody_signed(home: Home, tmp_path: Path, file: str, unsigned: str) -> None:
    found = run(export_of(home, tmp_path / "out", file))
    told = f"no problems\nNOT SIGNED, for these there is the export's own word alone: {unsigned}\n"
    assert (found.returncode, found.stdout, found.stderr) == (0, told, "")


def test_changed_weights_of_an_export_are_found_whatever_it_says_of_them(home: Home, tmp_path: Path) -> None:
    export = export_of(home, tmp_path / "out")
    (export / "model.safetensors").write_bytes(b"weights 2")
    digest = objects.hash_file(export / "model.safetensors").digest
    assert run(export).stdout.startswith("model.safetensors is not what was written\n1 problems\n")
    found = changed(export, lambda told: told["files"]["model.safetensors"].update(digest=digest))
    assert found.stdout.startswith("model.safetensors is not the weights that were signed\n1 problems\n")
    found = changed(export, lambda told: told["about"].update(weights=digest))
    assert found.stdout.startswith("germline.json is not of the generation that it is about\n1 problems\n")
    assert found.returncode == 1


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda told: told["charter"].update(name="another"), "names another lineage, or other keys"),
        (lambda told: told["charter"]["keys"].update(arbiter="0" * 64), "names another lineage, or other keys"),
        (lambda told: told["about"].update(lineage="another"), "says another lineage than was signed"),
        (lambda told: told["about"].update(founder="sha256:" + "0" * 64), "says another founder"),
        (lambda told: told["about"].update(data_g1="sha256:" + "0" * 64), "says another data_g1"),
        (lambda told: told["about"].pop("ledger_entry"), "says another ledger_entry"),
    ],
)
def test_an_export_cannot_name_another_lineage_other_keys_or_other_data(
    home: Home, tmp_path: Path, change: Callable[[dict[str, Any]], object], problem: str
) -> None:
    found = changed(export_of(home, tmp_path / "out"), change)
    assert found.returncode == 1 and f"germline.json {problem}" in found.stdout


@pytest.mark.parametrize(
    "change",
    [
        lambda told: told.update(ledger=[1]),
        lambda told: told["generations"][-1].update(weights=1),
        lambda told: told["ledger"][0].pop("entry"),
        lambda told: told.update(generations=[None, None]),
    ],
)
def test_a_germline_json_of_another_shape_is_a_problem(
    home: Home, tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    found = changed(export_of(home, tmp_path / "out"), change)
    assert (found.returncode, found.stderr) == (1, "")
    assert found.stdout.startswith("germline.json does not hold what it should\n")


def test_a_germline_json_that_is_too_deep_is_none(home: Home, tmp_path: Path) -> None:
    export = export_of(home, tmp_path / "out")
    (export / "germline.json").write_bytes(b"[" * 200_000)
    found = run(export)
    assert found.returncode == 2 and "Traceback" not in found.stderr


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
@pytest.mark.parametrize("name", ["model.safetensors", "germline.json"])
def test_no_link_of_an_export_is_followed(home: Home, tmp_path: Path, name: str) -> None:
    export = export_of(home, tmp_path / "out")
    (export / name).rename(tmp_path / "elsewhere")
    (export / name).symlink_to(tmp_path / "elsewhere")
    found = run(export)
    assert found.stdout.startswith(f"{name} is not a regular file\n1 problems\n")
    (export / name).unlink()
    assert run(export).returncode == 1


def test_a_checkpoint_is_not_of_an_export(home: Home, tmp_path: Path) -> None:
    line = witness.checkpoint(home, ledger.entries(home))
    export = export_of(home, tmp_path / "out")
    for given in (line, ""):
        found = run(export, "--checkpoint", given)
        assert (found.returncode, found.stdout) == (2, "")
        assert "a checkpoint is of a lineage or an archive of one" in found.stderr


# --- who may sign what --------------------------------------------------------------------------------

Forge = Callable[[Home, tuple[Entry, ...]], Entry]


def next_entry(home: Home, so_far: tuple[Entry, ...], signer: str, **fields: object) -> Entry:
    """What would follow, signed with a key that the lineage knows."""
    last = so_far[-1]
    body = {LAWS: last.body[LAWS], **fields.pop("body", {})}  # type: ignore[dict-item]
    entry = replace(last, sequence=last.sequence + 1, previous=last.digest, files={}, body=body, **fields)  # type: ignore[arg-type]
    public = home.charter.keys[signer]
    return replace(entry, signatures={public: keys.sign(public, message(entry.digest))})


def approve(home: Home, so_far: tuple[Entry, ...], signer: str, **body: object) -> Entry:
    return next_entry(home, so_far, signer, kind="promoted", body={APPROVES: so_far[1].digest, **body})


NEW = digest_of(b"new")
ALLOWED: dict[str, Forge] = {
    "an approval by the other key": lambda home, so_far: approve(home, so_far, "arbiter"),
    "laws pinned by the arbiter": lambda home, so_far: next_entry(
        home, so_far, "arbiter", kind="pinned", number=0, generation=so_far[0].generation, body={LAWS: NEW}
    ),
}
FORBIDDEN: dict[str, Forge] = {
    "an approval by the same key": lambda home, so_far: approve(home, so_far, "trainer"),
    "an approval of another": lambda home, so_far: signed_again(home, approve(home, so_far, "arbiter"), number=2),
    "an approval of nothing": lambda home, so_far: next_entry(
        home, so_far, "arbiter", kind="promoted", body={APPROVES: digest_of(b"nothing")}
    ),
    "a promotion unasked": lambda home, so_far: next_entry(home, so_far, "arbiter", kind="promoted", number=2),
    "a number born twice": lambda home, so_far: next_entry(home, so_far, "trainer", kind="refused"),
    "going back to what never led": lambda home, so_far: next_entry(home, so_far, "trainer", kind="rolled_back"),
    "laws pinned by the trainer": lambda home, so_far: next_entry(
        home, so_far, "trainer", kind="pinned", number=0, generation=so_far[0].generation
    ),
    "laws changed in passing": lambda home, so_far: approve(home, so_far, "arbiter", laws=NEW),
    "a second founder": lambda home, so_far: next_entry(home, so_far, "trainer", kind="founded", number=2),
    "a foreign kind": lambda home, so_far: next_entry(home, so_far, "trainer", kind="blessed"),
}


def signed_again(home: Home, entry: Entry, **fields: object) -> Entry:
    changed = replace(entry, **fields)  # type: ignore[arg-type]
    said = message(changed.digest)
    return replace(changed, signatures={public: keys.sign(public, said) for public in entry.signatures})


@pytest.mark.parametrize("kind", [*ALLOWED, *FORBIDDEN])
def test_what_a_key_holder_may_append(tmp_path: Path, kind: str) -> None:
    home = two_keys(tmp_path / "home")
    so_far = ledger.entries(home)
    forged = (ALLOWED | FORBIDDEN)[kind](home, so_far)
    ledger.entry_path(home, 2).write_bytes(to_bytes(forged))
    check = verify_lineage.Check(home.root)
    check.run()
    problems = {problem.path for problem in verify(home).problems}
    assert {name for name, _ in check.problems} == problems == (set() if kind in ALLOWED else {"ledger/000002.json"})
    if kind in FORBIDDEN:
        with pytest.raises(StoreDamaged):
            ledger.entries(home)


def test_an_approval_counts_once(tmp_path: Path) -> None:
    home = two_keys(tmp_path / "home")
    for place in (2, 3):
        so_far = ledger.entries(home)
        ledger.entry_path(home, place).write_bytes(to_bytes(approve(home, so_far, "arbiter")))
    check = verify_lineage.Check(home.root)
    check.run()
    assert [name for name, _ in check.problems] == ["ledger/000003.json"]
    assert [problem.path for problem in verify(home).problems] == ["ledger/000003.json"]


@pytest.mark.skipif(shutil.which("python3.9") is None, reason="no Python 3.9 here")
def test_the_oldest_python_runs_it(home: Home) -> None:
    done = run(home.root, python=OLDEST)
    if "pyenv" in done.stderr:
        pytest.skip("python3.9 is a name without a program here")
    assert (done.returncode, done.stderr) == (0, "")
