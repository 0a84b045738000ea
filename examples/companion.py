"""A program that keeps a lineage: it answers, and when it has learned enough, it comes of age and answers as its child.

    python examples/companion.py HOME "How high is the tower?"

The response generator holds a model; `trigger_age_up` lets the lineage grow, and the hook puts the child in its place.
Where the gate refuses the child, the parent goes on answering.
"""

from __future__ import annotations

import sys

import germline
from germline.errors import GermlineError, NothingNew


class ResponseGenerator:
    def __init__(self, lineage: germline.Lineage) -> None:
        self.lineage = lineage
        self.reload(lineage.head)
        lineage.on_promoted(self.reload)

    def reload(self, generation: germline.Generation) -> None:
        self.name, self.speaker = generation.name, self.lineage.speaker(generation.name)

    def answer(self, prompt: str) -> str:
        return "".join(germline.answer(self.speaker, prompt))


def trigger_age_up(lineage: germline.Lineage) -> str:
    try:
        return lineage.evolve(on_event=lambda event: print(event.text, file=sys.stderr)).kind
    except NothingNew:
        return "nothing new to learn"


def main(home: str, prompt: str) -> int:
    generator = ResponseGenerator(germline.Lineage.open(home))
    print(f"{generator.name}: {generator.answer(prompt)}")
    print(f"age-up: {trigger_age_up(generator.lineage)}")
    print(f"{generator.name}: {generator.answer(prompt)}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:3]))
    except (GermlineError, TypeError) as error:
        sys.exit(f"error: {error}")
