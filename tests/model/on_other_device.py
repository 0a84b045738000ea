"""Training, exams and answers on a device that is not the CPU: no two devices meet, and all comes out alike.

Not collected by itself: `test_devices.py` runs this file in a process of its own (see `other_device`).
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from germline.evals.score import Question, log_likelihoods
from germline.forge import trainable
from germline.forge.fit import Fit
from germline.model import weights
from germline.model.decoder import Decoder
from germline.model.generate import Sampling, generate
from germline.model.rows import predict
from germline.ops.loss import cross_entropy_sum
from germline.records import Event
from germline.settings import Training
from tests.model.conftest import SMALL
from tests.model.other_device import NAME, Elsewhere
from tests.model.test_families import VARIANTS, saved
from tests.model.training_runs import METHODS, batches, ignore, train

HERE = {name: method for name, method in METHODS.items() if method[0].optimizer == "adamw" and not method[0].noise}
"""8-bit moments round by dice, and noise is thrown by them, which a device made in Python cannot have."""


def load(path: Path, training: Training, fit: Fit, device: str) -> Decoder:
    in_full = trainable.in_full(training)
    return weights.load(SMALL, path, fit.on.dtype, bits=fit.setting.bits, in_full=in_full, device=device)


def test_the_two_devices_do_not_meet() -> None:
    here, there = torch.ones(3), torch.ones(3).to(NAME)
    assert isinstance(there, Elsewhere) and there.device.type == NAME
    with pytest.raises(RuntimeError, match="two devices"):
        here + there


@pytest.mark.parametrize("method", HERE)
def test_training_goes_as_on_the_cpu(small_weights: Path, tmp_path: Path, method: str) -> None:
    """A run that was killed after a checkpoint and resumed; its curve is of all steps. Last bits may differ: a dot
    product is one kernel here and a sum of products there."""
    training, fit = HERE[method]

    class Killed(BaseException):
        pass

    def kill(event: Event) -> None:
        if event.kind == "step" and event.data["step"] == 4:
            raise Killed

    there = tmp_path / "there"
    with pytest.raises(Killed):
        train(load(small_weights, training, fit, NAME), there, fit=fit, training=training, on_event=kill)
    made = train(load(small_weights, training, fit, NAME), there, fit=fit, training=training, on_event=ignore)
    expected = train(load(small_weights, training, fit, "cpu"), tmp_path / "here", fit=fit, training=training)
    assert made.curve == pytest.approx(expected.curve, rel=1e-4)


@pytest.mark.parametrize("in_file", [False, True])
@pytest.mark.parametrize("sampling", [None, Sampling(temperature=1.5, seed=1)])
def test_exams_and_answers_are_the_cpus(small_weights: Path, sampling: Sampling | None, in_file: bool) -> None:
    def asked(device: str) -> tuple[list[list[float]], list[list[int]]]:
        decoder = weights.load(SMALL, small_weights, torch.float32, device=device, in_file=in_file)
        questions = [Question("abcdef", ("ghi", "j")), Question("k", ("lm", "no", "p"))]
        scores = log_likelihoods(decoder, questions, lambda text: [ord(letter) - 32 for letter in text])
        return scores, generate(decoder, [[5, 6, 7], [11]], limit=6, end=96, sampling=sampling)

    (there, said_there), (here, said_here) = asked(NAME), asked("cpu")
    assert said_there == said_here
    for a, b in zip(there, here, strict=True):
        assert a == pytest.approx(b, rel=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_family_reads_and_learns(tmp_path: Path, variant: str) -> None:
    model = saved(variant, tmp_path)

    def learned(device: str) -> list[torch.Tensor]:
        decoder = weights.load(model.shape, model.weights, torch.float32, device=device)
        parameters = trainable.prepare(decoder, Training(rank=4)).parameters
        hidden, targets = predict(decoder, batches(1)[0])
        loss = cross_entropy_sum(hidden, decoder.output_weight, targets, model.shape.logit_softcap)
        return [part.cpu() for part in torch.autograd.grad(loss, list(parameters.values()))]

    for a, b in zip(learned(NAME), learned("cpu"), strict=True):
        assert torch.allclose(a, b, atol=1e-5 * float(b.abs().max()) + 1e-9)
