"""The programs that exports are for, each asked the same: the ids of a text, what comes next, how it goes on.

They are an extra, `export`, imported only here. llama.cpp is asked through its own server, which xllamacpp holds, on
loopback.
"""

from __future__ import annotations

import http.client
import json
import urllib.parse
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import torch
from tokenizers import AddedToken
from torch import Tensor

from germline.errors import PlanError
from germline.export.source import Source
from germline.model import weights
from germline.model.generate import generate
from germline.model.rows import Text, pack

Ids = Sequence[int]


class Consumer(Protocol):
    """Whoever computes a model."""

    name: str

    @property
    def ends(self) -> Collection[int]:
        """Ids besides the end of a document at which it has ended an answer."""

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text as it stands: nothing added, the names of special tokens are text."""

    def controls(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, again with nothing added, where the names of special tokens mean the tokens."""

    def names(self, ids: Ids) -> list[str]:
        """What each added token is called; for an id that is none, anything else."""

    def predict(self, prompts: Sequence[Ids]) -> Iterator[Tensor]:
        """Log-probabilities [V], fp64, natural, of what follows each prompt."""

    def go_on(self, prompt: Ids, limit: int) -> list[int]:
        """The greedy continuation, without what ends it."""


class Germline:
    """Ourselves, in fp32: what every other is held against."""

    name = "germline"
    ends: Collection[int] = ()

    def __init__(self, source: Source) -> None:
        self._tokenizer = source.tokenizer()
        self.end = self._tokenizer.eos_id
        """The id that ends an answer."""
        self.opening = source.shape.opening
        """What stands before every text, for any program."""
        self.added: Mapping[int, AddedToken] = source.added
        """What every other has to know of by the same names."""
        self._decoder = weights.load(source.shape, source.weights, torch.float32)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        return self._tokenizer.encode_batch(texts)

    def controls(self, texts: Sequence[str]) -> list[list[int]]:
        return [self._tokenizer.controls(text) for text in texts]

    def names(self, ids: Ids) -> list[str]:
        return [self.added[index].content for index in ids]

    @torch.inference_mode()
    def predict(self, prompts: Sequence[Ids]) -> Iterator[Tensor]:
        for prompt in prompts:
            batch = pack([[Text(tuple(prompt), (True,) * len(prompt))]], len(prompt))
            hidden = self._decoder(batch.tokens, self._decoder.within_texts(batch.segments, batch.positions))
            yield self._decoder.logits(hidden[:, -1])[0].double().log_softmax(-1)

    def go_on(self, prompt: Ids, limit: int) -> list[int]:
        return generate(self._decoder, [prompt], limit=limit, end=self.end)[0]


class Transformers:
    """A directory as transformers opens it, in fp32; an adapter, as peft puts it on the model of that directory."""

    def __init__(self, directory: Path, end: int, *, adapter: Path | None = None) -> None:
        transformers = needed("transformers")
        transformers.utils.logging.disable_progress_bar()
        self.name = f"transformers {version('transformers')}"
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
        self._model = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
        self._end, self.ends = end, frozenset[int]()
        if adapter is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what these two packages think of each other
                self._model = needed("peft").PeftModel.from_pretrained(self._model, adapter).eval()
            self.name = f"peft {version('peft')} on {self.name}"

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        plain = {"add_special_tokens": False, "split_special_tokens": True}
        return [self._tokenizer(text, **plain)["input_ids"] for text in texts]

    def controls(self, texts: Sequence[str]) -> list[list[int]]:
        meant = {"add_special_tokens": False, "split_special_tokens": False}
        return [self._tokenizer(text, **meant)["input_ids"] for text in texts]

    def names(self, ids: Ids) -> list[str]:
        return [name or "" for name in self._tokenizer.convert_ids_to_tokens(list(ids))]

    @torch.inference_mode()
    def predict(self, prompts: Sequence[Ids]) -> Iterator[Tensor]:
        for prompt in prompts:
            yield self._logits(prompt).double().log_softmax(-1)

    @torch.inference_mode()
    def go_on(self, prompt: Ids, limit: int) -> list[int]:
        said: list[int] = []
        while len(said) < limit and (token := int(self._logits([*prompt, *said]).argmax())) != self._end:
            said.append(token)
        return said

    def _logits(self, ids: Ids) -> Tensor:
        logits: Tensor = self._model(torch.tensor([list(ids)])).logits
        return logits[0, -1]


class LlamaCpp:
    """A GGUF as llama.cpp's server holds it, in a context of so many tokens; closed at the end of a `with`."""

    def __init__(self, path: Path, context: int, end: int) -> None:
        self._end, self.ends = end, set[int]()
        xllamacpp = needed("xllamacpp")
        self.name = f"llama.cpp of xllamacpp {version('xllamacpp')}"
        told = xllamacpp.CommonParams()
        told.model.path, told.port, told.verbosity, told.n_gpu_layers = str(path), 0, -1, 0
        told.n_ctx, told.n_parallel, told.warmup = context, 1, False
        told.cpuparams.n_threads = told.cpuparams_batch.n_threads = torch.get_num_threads()
        try:
            self._server = xllamacpp.Server(told)
        except RuntimeError as error:
            raise PlanError(f"llama.cpp does not load {path.name}: {error}") from error
        address = urllib.parse.urlparse(self._server.listening_address)
        self._connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=600)

    def __enter__(self) -> LlamaCpp:
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.close()
        del self._server

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        plain = {"add_special": False, "parse_special": False}
        return [self._ask("/tokenize", {"content": text, **plain})["tokens"] for text in texts]

    def controls(self, texts: Sequence[str]) -> list[list[int]]:
        meant = {"add_special": False, "parse_special": True}
        return [self._ask("/tokenize", {"content": text, **meant})["tokens"] for text in texts]

    def names(self, ids: Ids) -> list[str]:
        return [self._ask("/detokenize", {"tokens": [index]})["content"] for index in ids]

    def predict(self, prompts: Sequence[Ids]) -> Iterator[Tensor]:
        # Half a character, and an ending, come without probabilities. So it is made to say "a": what it is asked for
        # are probabilities before any bias.
        said = [[self.encode(["a"])[0][-1], 1e6]]
        for prompt in prompts:
            answer = self._complete(prompt, 1, n_probs=1 << 24, logit_bias=said)
            told = answer["completion_probabilities"][0]["top_logprobs"]
            found = torch.full((len(told),), -torch.inf, dtype=torch.float64)
            for word in told:
                found[word["id"]] = word["logprob"] if word["logprob"] is not None else -torch.inf
            yield found

    def go_on(self, prompt: Ids, limit: int) -> list[int]:
        answer = self._complete(prompt, limit, return_tokens=True)
        ids: list[int] = answer["tokens"]
        if answer["stop_type"] == "eos" and ids[-1] != self._end:
            self.ends.add(ids[-1])  # llama.cpp takes every token that is called like an end for one
        return ids[:-1] if ids[-1:] == [self._end] else ids  # it tells the id that ended it, too

    def _complete(self, prompt: Ids, limit: int, **asked: Any) -> dict[str, Any]:
        plain = {"temperature": 0.0, "cache_prompt": False, "samplers": ["temperature"]}
        return self._ask("/completion", {"prompt": list(prompt), "n_predict": limit, **plain, **asked})

    def _ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self._connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        told: dict[str, Any] = json.loads(answer.read())
        if answer.status != 200:
            raise PlanError(f"llama.cpp answers {path} with {answer.status}: {told.get('error')}")
        return told


def needed(package: str) -> Any:
    """The consumer's module. PlanError where it is not installed: an export that nobody opened is not done."""
    import importlib

    try:
        return importlib.import_module(package)
    except ImportError:
        install = 'pip install -c constraints.txt -e ".[export]" in the folder germline came from'
        hint = f"{install}, or --unchecked to write it without having it opened"
        raise PlanError(f"{package}, which would open this export, is not installed", hint=hint) from None
