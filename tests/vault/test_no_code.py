"""Nothing in the source can run what it reads: no pickle, no torch.load, no template, no eval."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import germline

SOURCES = sorted(Path(germline.__file__).parent.rglob("*.py"))
MODULES = {
    "pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "copyreg", "jsonpickle",
    "yaml", "ruamel", "jinja2", "mako", "chevron", "runpy", "code", "codeop", "pty", "pdb", "subprocess",
    "multiprocessing", "imp", "zipimport", "xmlrpc", "transformers", "huggingface_hub", "requests", "urllib",
    "http", "socket", "ftplib",
}  # fmt: skip
"""What can turn bytes into code, a template into text, or a name into a download."""
BUILTINS = {"eval", "exec", "compile", "__import__"}
ATTRIBUTES = {
    ("torch", "load"), ("torch", "save"), ("torch", "hub"), ("np", "load"), ("numpy", "load"),
    ("os", "system"), ("os", "popen"), ("os", "execv"), ("os", "fork"), ("os", "posix_spawn"), ("torch", "package"),
    ("torch", "jit"), ("importlib", "import_module"), ("importlib", "machinery"), ("codecs", "open"),
}  # fmt: skip
ALLOWED = {
    ("cli/commands.py", "importlib.import_module"),  # germline's own commands, each from a list of names
    ("__init__.py", "importlib.import_module"),  # germline's own library, when it is first used
    ("export/consumers.py", "importlib.import_module"),  # transformers, peft, xllamacpp, by names written there
    ("export/consumers.py", "http.client"),
    ("export/consumers.py", "urllib.parse"),  # llama.cpp's server, on loopback
    ("aging.py", "subprocess"),  # germline evolve, in a process of its own
    ("serve/server.py", "socket"),  # the port, on loopback
    ("serve/prompts.py", "jinja2"),
    ("serve/prompts.py", "jinja2.parser"),  # `{% generation %}`, which adds nothing
    ("serve/prompts.py", "jinja2.sandbox"),  # the owner's own template, in a sandbox
    ("serve/prompts.py", "from_string"),
    ("serve/prompts.py", "render"),
}
"""(file below src/germline, what it uses). Anything new here wants a reason of its own."""


def uses(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names if name.name.split(".")[0] in MODULES)
            case ast.ImportFrom(module=str(module), names=names):
                if module.split(".")[0] in MODULES:
                    yield module
                yield from (f"{module}.{name.name}" for name in names if (module, name.name) in ATTRIBUTES)
            case ast.Call(func=ast.Name(id=name)) if name in BUILTINS:
                yield name
            case ast.Attribute(value=ast.Name(id=owner), attr=attribute) if (owner, attribute) in ATTRIBUTES:
                yield f"{owner}.{attribute}"
            case ast.keyword(arg="allow_pickle" | "trust_remote_code" | "weights_only" as key):
                yield key
            case ast.Call(func=ast.Attribute(attr="render" | "from_string" | "find_class" | "extractall" as key)):
                yield key


def test_the_source_holds_nothing_that_runs_what_it_reads() -> None:
    found = set()
    for path in SOURCES:
        name = path.relative_to(Path(germline.__file__).parent).as_posix()
        found |= {(name, use) for use in uses(ast.parse(path.read_text("utf-8")))}
    assert found == ALLOWED
    assert len(SOURCES) > 50


@pytest.mark.parametrize(
    "code",
    [
        "import pickle", "from pickle import loads", "import torch\ntorch.load(p)",
        "from torch import load", "tarfile.open(p).extractall()",
        "import numpy as np\nnp.load(p, allow_pickle=True)", "eval('1')", "import jinja2",
        "from jinja2.sandbox import X",
        "Template(t).render()", "__import__('os')", "import os\nos.system('x')", "f(trust_remote_code=True)",
    ],
)  # fmt: skip
def test_the_search_finds_what_it_looks_for(code: str) -> None:
    assert [*uses(ast.parse(code))]


def test_no_chat_template_is_ever_read() -> None:
    """Exports write one, germline's own; the one that `serve --template` takes is a file that its owner names."""
    told = {path.name for path in SOURCES if "chat_template" in path.read_text("utf-8")}
    assert told == {"gguf_file.py", "huggingface.py"}
