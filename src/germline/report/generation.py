"""Everything about one generation, in words."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from germline.lineage import TRAINING, Generation, Lineage
from germline.records import plain
from germline.report import exams, tables
from germline.report.tables import Symbols, columns, indented
from germline.store import ledger


def document(lineage: Lineage, generation: Generation) -> dict[str, Any]:
    """The birth, the exams beside the parent's, what was trained, and every file with its hash."""
    manifest, birth = generation.manifest, generation.birth
    parent = lineage.generation(manifest.parent) if manifest.parent else None
    trained = lineage.json(generation, TRAINING) if TRAINING in manifest.files else None
    waits = birth in ledger.waiting(lineage.home, lineage.entries)
    return {
        "id": generation.name, "generation": generation.digest, "kind": lineage.outcome(generation),
        "time": birth.time, "waiting": waits, "signed": _signed(lineage, generation),
        "head": ledger.head(lineage.entries) == generation.digest,
        "parent": {"id": parent.name, "generation": parent.digest} if parent else None,
        "about": manifest.about, "body": plain(birth.body),
        "exams": _sittings(lineage, generation, parent),
        "trained": trained["parameters"] if trained else None,
        "weights": plain(manifest.weights),
        "files": plain({**manifest.files, **birth.files}),
    }  # fmt: skip


def lines(shown: Mapping[str, Any], symbols: Symbols) -> Iterator[str]:
    """The document in sections, each under a line of its own."""
    head = "  (HEAD)" if shown["head"] else ""
    yield f"{shown['id']}  {shown['generation']}{head}"
    descent = f", child of {shown['parent']['id']}" if shown["parent"] else ""
    yield f"{shown['kind']} {shown['time']}{descent}"
    if shown["waiting"]:
        yield f"waits for `germline approve {shown['id']}`"
    for name, told in sections(shown, symbols).items():
        if any(told):
            yield from ("", name, *indented(told))


def sections(shown: Mapping[str, Any], symbols: Symbols) -> dict[str, list[str]]:
    """What is told under each heading; nothing under those that a generation has nothing for."""
    body = shown["body"]
    return {
        "verdict": _verdict(shown["id"], body["verdict"], symbols) if body.get("verdict") else [],
        "signatures": [_signature(one) for one in shown["signed"]],
        "origin": _origin(body),
        "delta": _delta(body["delta"]) if "delta" in body else [],
        "exams": exams.lines(shown["exams"]) if shown["parent"] else [],
        "training": _training(body, shown["trained"]),
        "spent": _spent(body["spent"]) if "spent" in body else [],
        "environment": [", ".join(f"{key} {value}" for key, value in body.get("environment", {}).items())],
        "files": _files(shown),
    }


def _verdict(name: str, verdict: Mapping[str, Any], symbols: Symbols) -> list[str]:
    return [*tables.checks(verdict, symbols), *textwrap.wrap(tables.paragraph(name, verdict), 100)]


def _signed(lineage: Lineage, generation: Generation) -> list[dict[str, str]]:
    """Who signed the birth, and the approval where one was needed."""
    own = lineage.home.charter
    entries = [entry for entry in lineage.entries if entry.number == generation.number]
    return [
        {"kind": entry.kind, "by": own.owner(public), "key": public, "time": entry.time}
        for entry in entries
        if entry.is_birth or entry.kind == "promoted"
        for public in entry.signatures
    ]


def _signature(one: Mapping[str, str]) -> str:
    return f"{one['kind']} with the {one['by']}'s key {one['key'][:16]}, {one['time']}"


def _sittings(lineage: Lineage, generation: Generation, parent: Generation | None) -> list[dict[str, Any]]:
    names = exams.authors(lineage, generation)
    own = exams.at_birth(lineage, generation)
    before = exams.beside(lineage, generation, parent) if parent else {}
    sittings = []
    for exam, marks in own.items():
        author = names.get(exam, exam[7:15])
        if parent and exam in before:
            sittings.append(exams.sitting(exam, author, parent.name, before[exam]))
        sittings.append(exams.sitting(exam, author, generation.name, marks))
    return sittings


def _origin(body: Mapping[str, Any]) -> list[str]:
    if "origin" not in body:
        return []
    told = [f"{body['parameters']:,} parameters"]
    for key, value in body["origin"].items():
        if isinstance(value, Mapping):
            told += [f"{key}: {name} {item}" for name, item in value.items()]
        elif value is not None:
            told.append(f"{key}: {value}")
    return told


def _delta(delta: Mapping[str, Any]) -> list[str]:
    refused = sum(delta["refused"].values())
    told = [
        f"{delta['rows_in']} rows in: {delta['rows']} learned ({tables.size(delta['bytes'])}), "
        f"{delta['heldout']} held out, {refused} refused",
        f"{delta['facts']} facts found",
    ]
    return told + [f"refused {count}: {reason}" for reason, count in delta["refused"].items()]


def _training(body: Mapping[str, Any], trained: list[Mapping[str, Any]] | None) -> list[str]:
    if "training" not in body:
        return []
    done = body["training"]
    told = [
        f"{done['steps']} steps, {done['tokens']:,} tokens ({done['learned_tokens']:,} learned), "
        f"loss {tables.decimals(done['first_loss'])} to {tables.decimals(done['last_loss'])}",
        *_kinds(done),
        *_selection(body),
        f"weights moved by {body['weight_change']:.3%} from the parent's"
        + (f", with {body['merge_scale']:.0%} of the trained update" if body.get("merge_scale", 1.0) != 1 else ""),
    ]
    return [*told, "", *_parameters(trained)] if trained else told


def _kinds(done: Mapping[str, Any]) -> list[str]:
    """Of what these tokens were; generations of an older germline do not say."""
    if "replayed_tokens" not in done:
        return []
    replayed, anchored = done["replayed_tokens"] / done["tokens"], done["anchor_tokens"] / done["tokens"]
    return [f"{1 - replayed - anchored:.0%} of these tokens new, {replayed:.0%} replayed, {anchored:.0%} its anchor"]


def _selection(body: Mapping[str, Any]) -> list[str]:
    """What each of several candidates made of the questions that one was chosen by."""
    marks = body.get("selection", ())
    candidates = body.get("candidates", len(marks))  # an older germline had no mean of them, and did not say
    names = [*(f"candidate {number + 1}" for number in range(candidates)), "the mean of all"]
    told = [f"{name} {score['right']} of {score['items']}" for name, score in zip(names, marks, strict=False)]
    if told:
        told[body["candidate"]] += " (chosen)"
    return [f"selection questions right: {', '.join(told)}"] if told else []


def _parameters(trained: list[Mapping[str, Any]]) -> list[str]:
    header = ("parameters of", "tensors", "changed", "count", "dtype", "learning rate", "weight decay")
    rows = [
        (
            row["group"], str(row["tensors"]), str(row["changed"]), f"{row['parameters']:,}", row["dtype"],
            f"{row['learning_rate']:g}" if row.get("trained", True) else "frozen", f"{row['weight_decay']:g}",
        )
        for row in sorted(trained, key=lambda row: not row.get("trained", True))
    ]  # fmt: skip
    return columns([header, *rows], right=(1, 2, 3, 5, 6))


def _spent(spent: Mapping[str, Any]) -> list[str]:
    every = spent["all_attempts"]
    return [
        f"{tables.seconds(spent['seconds_total'])}: training {tables.seconds(spent['seconds_training'])}, "
        f"exams {tables.seconds(spent['seconds_exams'])}",
        f"{_speed(spent['tokens_per_second'])}, peak memory {tables.size(spent['peak_memory_bytes'])}",
        f"in all, attempts {every['attempts']}: {tables.seconds(every['seconds'])}, {every['steps']:,} steps, "
        f"{every['tokens']:,} tokens",
    ]


def _files(shown: Mapping[str, Any]) -> list[str]:
    rows = [
        (name, f"{file['size']:,}", file["digest"].removeprefix("sha256:")) for name, file in shown["files"].items()
    ]
    weights = shown["weights"]
    merged = ("(merged weights)", f"{weights['size']:,}", weights["digest"].removeprefix("sha256:"))
    return columns([("name", "bytes", "sha256"), *rows, merged], right=(1,), gap=1)


def _speed(tokens_per_second: float | None) -> str:
    return (
        "resumed: no speed for the whole run"
        if tokens_per_second is None
        else f"{tokens_per_second:,.0f} tokens per second"
    )
