"""A generation written for other programs, and opened by them before anybody is told that it is there.

What is written is staged beside its place, read by the program that it is for, and compared with germline's own
answers; it gets its name only if they agree. Two exports of one generation are equal byte for byte, `parity.json`
aside, which tells what was measured.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import psutil

from germline import __version__, verify_lineage
from germline.checkout import scale_of, weights
from germline.errors import DoesNotFit, GermlineError, PlanError
from germline.export import adapter, gguf_file, huggingface
from germline.export.card import Ancestor, Base, base_of, card, modelfile
from germline.export.consumers import Consumer, Germline, LlamaCpp, Transformers, needed
from germline.export.gguf_shape import ARCHITECTURES, context
from germline.export.gguf_types import require_known
from germline.export.parity import Parity, compare
from germline.export.source import Source
from germline.lineage import ADAPTER, CONFIG, ORIGIN, TOKENIZER, TRAIN, WEIGHTS, Generation, Lineage
from germline.records import OnEvent, canonical_json, plain
from germline.store import disk, reading
from germline.store.entry import to_bytes
from germline.store.objects import hash_file

Kind = Literal["gguf", "hf", "adapter", "ollama"]
PROVENANCE, PARITY, VERIFIER = "germline.json", "parity.json", "verify_lineage.py"
PARITY_CONTEXT = 256
"""Tokens that llama.cpp is opened with."""


class Mismatch(GermlineError):
    """The program that an export is for answers otherwise than germline does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    directory: Path
    file: Path
    """The one that matters: the GGUF, or the weights."""
    digest: str
    size: int
    parity: Parity | None
    """None where nobody opened it."""
    notes: tuple[str, ...]


def export(
    lineage: Lineage,
    generation: Generation,
    kind: Kind,
    directory: Path,
    on_event: OnEvent,
    *,
    quantization: str = "q8_0",
    checked: bool = True,
) -> Exported:
    """Write `generation` as `kind` into `directory`, which must not be there or be empty.

    Mismatch, and nothing written, where the real program reads, expects or says something else; with `checked` false
    nobody opens it, and it says so itself. ModelError for what the format cannot hold, PlanError for a quantization
    that is none and for a program that is not installed, DoesNotFit where the disk is too small.
    """
    require_known(quantization)
    if checked:  # before anything is written: it takes seconds, in which Ctrl-C ends the process at once
        for package in _PACKAGES[kind]:
            needed(package)
    lineage.home.require_outside(directory)
    disk.require_free(directory)
    source = source_of(lineage, generation)
    _require_disk(directory, source)
    disk.make_directory(directory.absolute().parent)
    staged = disk.temporary_path(directory.absolute().parent)
    disk.make_directory(staged)
    try:
        written = _WRITERS[kind](lineage, generation, source, quantization, staged)
        parity = _compared(written, source, on_event) if checked else None
        _tell(lineage, generation, source, staged, parity, library=_LIBRARIES.get(kind, ""))
        if parity and parity.failed:
            problem = f"{parity.consumer} does not answer as germline does: {'; '.join(parity.failed)}"
            raise Mismatch(problem, hint="nothing was written; please report it, with the model's config.json")
        made = hash_file(staged / written.file)
        disk.publish_directory(staged, directory.absolute())
    except BaseException:
        with suppress(GermlineError, ValueError):
            disk.remove_tree(staged, staged)
        raise
    return Exported(directory=directory, file=directory / written.file, digest=made.digest, size=made.size,
                    parity=parity, notes=tuple(written.notes))  # fmt: skip


def source_of(lineage: Lineage, generation: Generation) -> Source:
    """All of a generation that any format needs, and what it shall say of itself."""
    founder = lineage.founder_of(generation)
    origin = lineage.json(founder, ORIGIN)
    base = _base(lineage, founder)
    name = f"{lineage.home.name} {generation.name}"
    about = {
        "lineage": lineage.home.name, "lineage_id": lineage.home.charter.id, "generation": generation.name,
        "id": generation.digest, "weights": generation.manifest.weights.digest, "founder": founder.digest,
        "ledger_entry": generation.birth.digest, "license": origin.get("license") or "", "germline": __version__,
    }  # fmt: skip
    if based_on := base.name if generation.digest != founder.digest else base.hub:  # no founder is based on itself
        about["base"] = based_on
    for ancestor in lineage.trained_line(generation):
        if TRAIN in ancestor.manifest.files:
            about[f"data_{ancestor.name}"] = ancestor.manifest.files[TRAIN].digest
    return Source(
        config=lineage.json(founder, CONFIG), tokenizer_json=lineage.read(founder, TOKENIZER),
        weights=weights(lineage, generation), name=name, about={key: value for key, value in about.items() if value},
    )  # fmt: skip


class Made(NamedTuple):
    """What a writer made in its directory, and what it takes to compare it."""

    file: str
    """The one that matters."""
    notes: list[str]
    """For its reader."""
    opened: Callable[[], AbstractContextManager[Consumer]]
    """How the program that it is for opens it."""
    form: str
    """What it is compared as (`parity.compare`)."""
    context: int = PARITY_CONTEXT
    """Tokens that the program is opened with."""


def _compared(made: Made, source: Source, on_event: OnEvent) -> Parity:
    with made.opened() as theirs:
        parity = compare(Germline(source), theirs, made.form, normalized=bool(made.notes), context=made.context,
                         on_event=on_event)  # fmt: skip
        del theirs  # with what it has mapped, before that is removed: Windows removes nothing that is open
        return parity


def _gguf(lineage: Lineage, generation: Generation, source: Source, quantization: str, staged: Path) -> Made:
    name = f"{_file_name(lineage.home.name)}-{generation.name}-{quantization.upper()}.gguf"
    with disk.new_file(staged / name) as file:
        notes = gguf_file.write(source, file, quantization)
    longest = min(PARITY_CONTEXT, _context(source))
    return Made(name, notes, lambda: LlamaCpp(staged / name, longest, source.end), quantization, longest)


def _ollama(lineage: Lineage, generation: Generation, source: Source, quantization: str, staged: Path) -> Made:
    made = _gguf(lineage, generation, source, quantization, staged)
    text = modelfile(made.file, _context(source), source.end_name)
    disk.write_new(staged / "Modelfile", text.encode())
    return made


def _hugging_face(lineage: Lineage, generation: Generation, source: Source, quantization: str, staged: Path) -> Made:
    huggingface.write_directory(source.config, source.tokenizer_json, source.weights, staged)
    return Made(WEIGHTS, [], lambda: nullcontext(Transformers(staged, source.end)), "hf")


def _adapter(lineage: Lineage, generation: Generation, source: Source, quantization: str, staged: Path) -> Made:
    founder, *line = lineage.ancestry(generation)
    if not line:
        problem = f"{generation.name} is the founder: it learned nothing that an adapter could hold"
        raise PlanError(problem, hint="germline export --to hf")
    for child in line:
        lineage.read(child, ADAPTER)  # re-hashed before it is trusted
    steps = [(lineage.path(child, ADAPTER), scale_of(lineage, child)) for child in line]
    adapter.write(steps, source.shape, source.about["base"], staged)

    @contextmanager
    def opened() -> Iterator[Consumer]:
        beside = disk.temporary_path(staged.parent)
        try:
            huggingface.write_directory(source.config, source.tokenizer_json, weights(lineage, founder), beside)
            yield Transformers(beside, source.end, adapter=staged)
        finally:
            with suppress(GermlineError, ValueError):
                disk.remove_tree(beside, beside)

    return Made("adapter_model.safetensors", [], opened, "adapter")


_WRITERS: dict[Kind, Callable[[Lineage, Generation, Source, str, Path], Made]] = {
    "gguf": _gguf, "hf": _hugging_face, "adapter": _adapter, "ollama": _ollama,
}  # fmt: skip


_PACKAGES: dict[Kind, tuple[str, ...]] = {
    "gguf": ("xllamacpp",), "ollama": ("xllamacpp",), "hf": ("transformers",), "adapter": ("transformers", "peft"),
}  # fmt: skip
"""What opens it."""
_LIBRARIES: dict[Kind, str] = {"hf": "transformers", "adapter": "peft"}
"""The same by the hub's name."""


def _tell(
    lineage: Lineage, generation: Generation, source: Source, staged: Path, parity: Parity | None, *, library: str
) -> None:
    """The card, what was measured, the verifier, and last the provenance, which names the hash of every other file."""
    line = lineage.ancestry(generation)
    text = card(source.name, source.about, [*map(_ancestor, line)], _base(lineage, line[0]), library=library)
    disk.write_new(staged / "README.md", text.encode())
    disk.write_new(staged / PARITY, canonical_json(plain(parity) if parity else {"opened": False}))
    disk.write_new(staged / VERIFIER, Path(verify_lineage.__file__).read_bytes())
    files = {path.name: plain(hash_file(path)) for path in sorted(staged.iterdir()) if path.name != PARITY}
    disk.write_new(staged / PROVENANCE, canonical_json({
        "format": 1, "about": dict(source.about), "files": files,
        "charter": json.loads(reading.read(lineage.home.identity)),
        "generations": [one.manifest for one in line],
        "ledger": [json.loads(to_bytes(one.birth)) for one in line],
    }))  # fmt: skip


def _ancestor(generation: Generation) -> Ancestor:
    files, body = generation.manifest.files, generation.birth.body
    data = files[TRAIN].digest if TRAIN in files else ""
    delta = body.get("delta", {})
    return Ancestor(name=generation.name, digest=generation.digest, data=data, rows=delta.get("rows", 0),
                    facts=delta.get("facts", 0), scores=body.get("scores", {}))  # fmt: skip


def _base(lineage: Lineage, founder: Generation) -> Base:
    return base_of(lineage.json(founder, ORIGIN), founder.name, directory_name(lineage, founder, "hf"))


def _context(source: Source) -> int:
    family = source.config["model_type"]
    return context(source.shape, ARCHITECTURES[family])


def directory_name(lineage: Lineage, generation: Generation, kind: Kind) -> str:
    """What the directory of an export is called where nobody says otherwise."""
    return f"{_file_name(lineage.home.name)}-{generation.name}-{kind}"


def _file_name(name: str) -> str:
    """In letters that any program takes, without their accents."""
    letters = "".join(sign for sign in unicodedata.normalize("NFKD", name) if not unicodedata.combining(sign))
    return re.sub(r"[^A-Za-z0-9._-]+", "-", letters).strip("-.") or "lineage"


def _require_disk(directory: Path, source: Source) -> None:
    """The master's size is the most that any format takes but f32, and about what a comparison takes beside."""
    there = next(path for path in directory.absolute().parents if path.is_dir())
    needed, free = source.weights.stat().st_size, psutil.disk_usage(str(there)).free
    if free < needed:
        problem = f"{there}: an export takes up to {needed / 2**30:.1f} GiB, {free / 2**30:.1f} are free"
        raise DoesNotFit(problem, hint="name a directory on another disk with -o")
