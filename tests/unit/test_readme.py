"""The README's tables are true: `python -m tests.unit.test_readme` writes them, this test compares."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from germline.other_names import HERE
from germline.settings import Plan

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
FOLDERS = (
    "",
    "store",
    "corpus",
    "curriculum",
    "tokenizer",
    "ops",
    "model",
    "forge",
    "evals",
    "judge",
    "karma",
    "export",
    "report",
    "serve",
    "cli",
)


def files_table() -> str:
    """Every file of the package with the first sentence of its docstring."""
    lines = []
    for folder in FOLDERS:
        for path in sorted((ROOT / "src/germline" / folder).glob("*.py")):
            name = path.relative_to(ROOT / "src/germline").as_posix()
            doc = " ".join((ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").split())
            sentence = re.split(r"(?<=\.)\s", doc, maxsplit=1)[0].rstrip(".")
            if path.name != "__init__.py":
                lines.append(f"| `{name}` | {sentence} |")
            elif folder:
                lines.append(f"| **`{folder}/`** | {sentence} |")
    return "| in `src/germline/` | what it is |\n| --- | --- |\n" + "\n".join(lines)


def plan_table() -> str:
    """Every key of the plan with its default and its help."""
    lines = ["| key | default | what it decides |", "| --- | --- | --- |"]
    for section, table in Plan.model_fields.items():
        assert table.annotation is not None
        for key, field in table.annotation.model_fields.items():
            default = field.default
            shown = f"{len(default)} entries" if isinstance(default, tuple) and len(default) > 3 else f"`{default!r}`"
            lines.append(f"| `{section}.{key}` | {shown.replace('()', '[]')} | {field.description} |")
    return "\n".join(lines)


def names_table() -> str:
    """What other trainers call a setting, and where it is here."""
    lines = (f"| `{theirs}` | {ours} |" for theirs, ours in HERE.items())
    return "| theirs | here |\n| --- | --- |\n" + "\n".join(lines)


def with_tables(text: str) -> str:
    for name, table in (("files", files_table()), ("plan", plan_table()), ("names", names_table())):
        before, rest = text.split(f"<!-- {name} -->\n")
        text = f"{before}<!-- {name} -->\n{table}\n<!-- /{name} -->{rest.split(f'<!-- /{name} -->')[1]}"
    return text


def test_the_tables_are_what_the_code_says() -> None:
    text = README.read_text(encoding="utf-8")
    assert with_tables(text) == text, "run: python -m tests.unit.test_readme"


def test_every_folder_is_in_the_map() -> None:
    present = {path.parent.name for path in (ROOT / "src/germline").glob("*/__init__.py")}
    assert present == set(FOLDERS) - {""}


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text(encoding="utf-8")), encoding="utf-8")
