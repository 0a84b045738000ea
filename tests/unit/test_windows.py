"""What Windows does otherwise, put into the places where it would: no Windows is at hand."""

from __future__ import annotations

import errno
import io
import os
import stat
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from germline import errors
from germline.cli import feed, main, output
from germline.corpus import read as corpus
from germline.errors import DataError, GermlineError, PlanError
from germline.model.founder_directory import _license
from germline.settings import load_plan
from germline.store import disk, failures
from tests.unit.small_lineage import lighthouse


def _refuse(times: int, primitive: object) -> Any:
    left = [times]

    def watch(called: Any, *arguments: Any, **named: Any) -> Any:
        if called is primitive and left[0]:
            left[0] -= 1
            raise PermissionError(errno.EACCES, "another program has it open", str(arguments[0]))
        return called(*arguments, **named)

    return watch


def test_what_a_scanner_has_open_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plan").write_bytes(b"old")
    slept: list[float] = []
    with monkeypatch.context() as windows:
        windows.setattr(disk, "_WINDOWS", True)
        windows.setattr(disk.time, "sleep", slept.append)
        windows.setattr(disk, "watch", _refuse(3, os.replace))
        disk.replace(tmp_path / "plan", b"new")
    assert (tmp_path / "plan").read_bytes() == b"new" and slept == sorted(slept) and len(slept) == 3


def test_what_stays_open_is_an_error_that_names_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plan").write_bytes(b"old")
    slept: list[float] = []
    with monkeypatch.context() as windows:
        windows.setattr(disk, "_WINDOWS", True)
        windows.setattr(failures, "_WINDOWS", True)
        windows.setattr(disk.time, "sleep", slept.append)
        windows.setattr(disk, "watch", _refuse(99, os.replace))
        with pytest.raises(GermlineError) as raised:
            disk.replace(tmp_path / "plan", b"new")
    assert "close what has it open" in raised.value.hint and 5 < sum(slept) < 20
    assert [path.name for path in tmp_path.iterdir()] == ["plan"]
    assert (tmp_path / "plan").read_bytes() == b"old"


def test_elsewhere_a_refusal_is_final(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(disk.time, "sleep", lambda seconds: pytest.fail("waited"))
        patched.setattr(disk, "watch", _refuse(1, os.replace))
        with pytest.raises(GermlineError, match="another program"):
            disk.replace(tmp_path / "plan", b"new")


def test_files_hidden_by_attribute_are_not_learned_and_junctions_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = tmp_path / "texts"
    for folder in ("$RECYCLE.BIN", "My Music", "mounted", "open"):
        (texts / folder).mkdir(parents=True)
        (texts / folder / "note.txt").write_text(f"The {folder} holds a note that is long enough to be learned.")
    (texts / "desktop.txt").write_text("A hidden file that no program shows to anybody who looks for it.")
    told = {
        "$RECYCLE.BIN": SimpleNamespace(st_file_attributes=stat.FILE_ATTRIBUTE_HIDDEN),
        "My Music": SimpleNamespace(st_file_attributes=stat.FILE_ATTRIBUTE_SYSTEM),
        "desktop.txt": SimpleNamespace(st_file_attributes=stat.FILE_ATTRIBUTE_HIDDEN),
        "mounted": SimpleNamespace(st_file_attributes=0, st_reparse_tag=0xA0000003),
    }
    with monkeypatch.context() as windows:
        windows.setattr(corpus, "_status", lambda path: told.get(path.name))
        found = list(corpus._walk(texts, tmp_path))
    assert sorted(path.relative_to(texts).as_posix() for path in found) == ["mounted", "open/note.txt"]


def test_a_drive_that_is_gone_is_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = lighthouse(tmp_path / "home")
    with monkeypatch.context() as gone:
        gone.setattr(Path, "exists", lambda path: False)
        assert feed._stored(home, Path("/drive/notes")) == "/drive/notes"
    assert main(["feed", "/nowhere/notes", "--home", str(home.root)]) == 2
    assert "there is no such file or folder" in capsys.readouterr().err


def test_a_backslash_in_a_plan_is_explained(tmp_path: Path) -> None:
    plan = tmp_path / "germline.toml"
    plan.write_text('[data]\nsources = ["C:\\Users\\me"]\n')
    with pytest.raises(PlanError) as raised:
        load_plan(plan)
    assert "backslash" in raised.value.hint
    plan.write_text('[data]\nsources = ["C:\\notes"]\n')
    with pytest.raises(DataError) as unread:
        list(corpus.read(load_plan(plan).data.sources, tmp_path, voice="assistant"))
    assert "backslash" in unread.value.hint


def test_what_is_piped_is_utf_8(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    assert output._encoding(pipe) == "cp1252"
    with monkeypatch.context() as windows:
        windows.setattr(output, "_WINDOWS", True)
        windows.delenv("PYTHONIOENCODING", raising=False)
        assert output._encoding(pipe) == "utf-8"
        windows.setattr(sys, "stdin", pipe)
        assert output._encoding(pipe) == "utf-8-sig"
        windows.setenv("PYTHONIOENCODING", "cp1252")
        assert output._encoding(pipe) == "cp1252"


def test_a_suggested_command_is_one_that_its_shell_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert errors.shell_word("my models") == "'my models'"
    with monkeypatch.context() as windows:
        windows.setattr(errors, "_WINDOWS", True)
        assert errors.shell_word("my models") == '"my models"'


def test_a_pipe_that_nobody_reads_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    closed, of_a_file = OSError(errno.EINVAL, "Invalid argument"), OSError(errno.EINVAL, "Invalid argument", "file")
    assert errors.is_closed_pipe(BrokenPipeError()) and not errors.is_closed_pipe(closed)
    with monkeypatch.context() as windows:
        windows.setattr(errors, "_WINDOWS", True)
        assert errors.is_closed_pipe(closed) and not errors.is_closed_pipe(of_a_file)


def test_the_license_of_a_model_card_with_its_line_ends(tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    for ends in ("\n", "\r\n"):
        card.write_bytes(ends.join(["---", "license: apache-2.0", "---", "words"]).encode())
        assert _license(card) == "apache-2.0"
