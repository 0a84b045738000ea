"""What every step of training reads, laid out on disk once, before the first: a run that is resumed goes on with it.

runs/g4/batches/tokens.bin   the texts (curriculum.texts)
runs/g4/batches/pieces.bin   for each piece of a text, in the order of training: where it lies and its row
runs/g4/batches/steps.bin    for each step: where its pieces begin, and the tokens before it; written last
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from germline.curriculum import mix, pack, texts
from germline.curriculum.texts import WORD, Item, Texts, Tokenize
from germline.errors import TrainingError
from germline.model.rows import Batch, Text
from germline.model.rows import pack as pack_rows
from germline.settings import Curriculum
from germline.store import disk

TOKENS, PIECES, STEPS = "tokens.bin", "pieces.bin", "steps.bin"
_PIECE = np.dtype([("start", "<i8"), ("length", "<u4"), ("row", "<u4")])
_STEP = np.dtype([("piece", "<i8"), ("tokens", "<i8"), ("learned", "<i8"), ("length", "<i8"), ("replayed", "<i8")])
"""The last record is no step but the end of the one before; its length is the longest row."""


@dataclass(frozen=True, slots=True)
class Batches:
    """The batches that were laid out in `directory`, each built from disk when it is asked for."""

    directory: Path
    steps: int
    real_tokens: int
    learned_tokens: int
    replayed_tokens: int
    """Those of `real_tokens` that are ancestors' texts."""

    def __len__(self) -> int:
        return self.steps

    def tokens_before(self, step: int) -> int:
        """Real tokens in all steps before this one."""
        return int(np.fromfile(self.directory / STEPS, _STEP, 1, offset=step * _STEP.itemsize)["tokens"][0])

    def __getitem__(self, step: int) -> Batch:
        if not 0 <= step < self.steps:
            raise IndexError(step)
        begin, end = np.fromfile(self.directory / STEPS, _STEP, 2, offset=step * _STEP.itemsize)
        count, offset = end["piece"] - begin["piece"], begin["piece"] * _PIECE.itemsize
        pieces = np.fromfile(self.directory / PIECES, _PIECE, count, offset=offset)
        rows: list[list[Text]] = [[] for _ in range(pieces["row"].max() + 1)]
        with (self.directory / TOKENS).open("rb") as file:
            for start, length, row in pieces.tolist():
                file.seek(start * WORD.itemsize)
                words = np.frombuffer(file.read(length * WORD.itemsize), WORD)
                rows[row].append(Text(tuple((words >> 1).tolist()), tuple((words & 1 == 1).tolist())))
        batch = pack_rows(rows, int(begin["length"]))
        if batch.real_tokens != end["tokens"] - begin["tokens"]:
            raise TrainingError(
                f"{self.directory}: the texts of step {step + 1} are damaged",
                hint="`germline evolve --restart` trains this generation from its start",
            )
        return batch


def lay_out(
    directory: Path, pools: Iterable[Iterable[Item]], plan: Curriculum, seed: int, *, tokenize: Tokenize, end: int,
    opening: Sequence[int] = (),
) -> Batches:  # fmt: skip
    """The batches in `directory`; where a run has not laid them out yet, those of `pools`: the delta's items, then
    each ancestor's. Only then are `pools` gone through, once. One plan and seed for one directory, but for the
    longest row, which a run may still change before its first step."""
    if not (directory / STEPS).exists() or _end(directory)["length"] != plan.row_tokens:
        disk.make_directory(directory)
        for leftover in sorted(directory.iterdir(), key=lambda path: path.name != STEPS):  # it vouches for the rest
            disk.remove(leftover)
        with disk.new_file(directory / TOKENS) as file:
            known = texts.write(pools, file, tokenize=tokenize, end=end, row_tokens=plan.row_tokens, opening=opening)
        staged = disk.temporary_path(directory)
        with disk.new_file(directory / PIECES) as pieces, disk.new_file(staged) as steps:
            _write_steps(known, plan, seed, pieces, steps)
        disk.sync_directory(directory)  # the other names, before the one that vouches for them
        disk.publish(staged, directory / STEPS)
    last = _end(directory)
    steps_and_end = (directory / STEPS).stat().st_size // _STEP.itemsize
    return Batches(directory, steps_and_end - 1, int(last["tokens"]), int(last["learned"]), int(last["replayed"]))


def _end(directory: Path) -> np.void:
    steps = directory / STEPS
    end: np.void = np.fromfile(steps, _STEP, 1, offset=steps.stat().st_size - _STEP.itemsize)[0]
    return end


def _write_steps(known: Texts, plan: Curriculum, seed: int, pieces: BinaryIO, steps: BinaryIO) -> None:
    piece = tokens = learned = replayed = 0
    ancestors = known.pieces[known.wordings[known.pools[0].stop]]
    for order in mix.epochs(known, plan, seed):
        for plot in pack.batches(known, order, row_tokens=plan.row_tokens, batch_tokens=plan.batch_tokens):
            records = np.empty(len(plot.pieces), _PIECE)
            records["start"] = known.starts[plot.pieces]
            records["length"] = known.starts[plot.pieces + 1] - records["start"]
            records["row"] = plot.rows
            pieces.write(records.tobytes())
            steps.write(np.array((piece, tokens, learned, plot.length, replayed), _STEP).tobytes())
            piece += len(records)
            tokens += int(records["length"].sum())
            learned += int(known.learned[plot.pieces].sum())
            replayed += int(records["length"][plot.pieces >= ancestors].sum())
    steps.write(np.array((piece, tokens, learned, plan.row_tokens, replayed), _STEP).tobytes())
