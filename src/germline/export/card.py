"""What an export says of itself to people: a model card, as Hugging Face shows them, and Ollama's Modelfile."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from germline.model.founder_source import DEMO

DEMO_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
"""What `DEMO` is a quantized file of, as the package that ships it says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """The founder, as somebody elsewhere can have it."""

    name: str
    """The directory that `germline export` writes of it, and that an adapter looks for: it says there exactly what was
    compared."""
    hub: str
    """The public model that it is a quantized file of; empty where none is known."""
    founder: str
    """Its name in the lineage: g0."""

    def told(self) -> str:
        """How to come by it."""
        written = (
            f"`germline export {self.founder} --to hf -o {self.name}` writes the founder, {self.founder}, as the "
            "directory of that name, where an adapter looks for it."
        )
        return f"{written} It is a quantized file of `{self.hub}`, and differs a little." if self.hub else written


def base_of(origin: Mapping[str, Any], founder: str, directory: str) -> Base:
    """What a founder of this origin can be had as; `directory` is where an export of it would lie.

    An origin names files, of a directory no more than `config.json` and its like, and never their owner's path. So it
    tells which public model that is of the demo alone.
    """
    demo = origin.get("kind") == "demo" and DEMO in origin.get("files", {})
    return Base(name=directory, hub=DEMO_MODEL if demo else "", founder=founder)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ancestor:
    """One generation of the line, the founder first."""

    name: str
    digest: str
    data: str
    """The digest of the rows that it learned; empty for the founder."""
    rows: int
    facts: int
    scores: Mapping[str, Any]


def card(name: str, about: Mapping[str, str], line: Sequence[Ancestor], base: Base, *, library: str = "") -> str:
    """README.md: front matter that the hub reads, then where the model comes from and how it was examined. `library`
    is what opens it, by the hub's name.

    The hub takes no `base_model` but its own models' names.
    """
    front = {"license": about.get("license", "unknown"), "library_name": library, "tags": ["germline"],
             "pipeline_tag": "text-generation", "base_model": base.hub}  # fmt: skip
    rows = [
        f"| {one.name} | `{one.digest[7:19]}` | {one.rows or '-'} | {one.facts or '-'} | "
        f"{f'`{one.data[7:19]}`' if one.data else '-'} | {_percent(one.scores.get('recall'))} | "
        f"{_percent(one.scores.get('generalization'))} | {_percent(one.scores.get('spoken'))} |"
        for one in line
    ]
    return "\n".join([
        "---", *(f"{key}: {json.dumps(value)}" for key, value in front.items() if value), "---", "",
        f"# {name}", "",
        f"Generation {about['generation']} of the lineage {about['lineage']}, grown with germline. Raw format: what "
        "somebody says ends with a line break, and the answer follows; no roles, no system prompt.", "",
        "| generation | id | rows | facts | data | recall | unseen wordings | spoken |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |", *rows, "",
        "Recall is the lowest over the exams of all ancestors, each written before the generation was trained.", "",
        "## Where it comes from", "", *([base.told(), ""] if "base" in about else []),
        *(f"- {key}: `{value}`" for key, value in sorted(about.items()) if value), "",
        "`germline.json` holds the signed ledger entries of the line and the hash of every other file; "
        "`python -I verify_lineage.py .` checks them with Python alone. `parity.json` tells which program opened it, "
        "and how near its answers were to germline's own.", "",
    ])  # fmt: skip


def _percent(share: Any) -> str:
    return f"{share:.1%}" if isinstance(share, int | float) else "-"


def modelfile(file: str, context: int, end: str) -> str:
    """Ollama's, raw: https://docs.ollama.com/modelfile. The persona's own turns end as training ended them."""
    return "\n".join([
        f"FROM ./{file}", "", 'TEMPLATE """{{- range .Messages }}{{ .Content }}{{ if eq .Role "assistant" }}'
        f'{end}{{{{ else }}}}', '{{ end }}{{- end }}"""', "", f"PARAMETER num_ctx {context}",
        f"PARAMETER stop {json.dumps(end)}",
        "PARAMETER temperature 0", "PARAMETER repeat_penalty 1", "",  # as the exams asked; Ollama's own are 0.8 and 1.1
    ])  # fmt: skip
