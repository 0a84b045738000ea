"""Is a fact that HEAD no longer says forgotten, or only not known by a name it never heard?

    python benchmarks/heredity.py --arm germline --work DIR
    python benchmarks/heredity_lost.py --work DIR --lineage germline-0

Asks HEAD of a benchmark lineage for every fact that its line was taught, in six of the taught wordings, and sets what
it would say beside what it said in a sealed one (the last line of DIR/<lineage>.jsonl). Half a minute.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from pathlib import Path

from germline.checkout import weights
from germline.curriculum.render import PROMPT_END
from germline.evals.score import Question, likelihoods
from germline.forge.machine import arithmetic, machine
from germline.lineage import Lineage
from germline.settings import Plan
from germline.speaker import examinee
from germline.store.home import Home
from germline.wordings import TAUGHT_QUESTIONS, closed, say

FORMS = TAUGHT_QUESTIONS[::3]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--lineage", default="germline-0")
    given = parser.parse_args()
    os.environ["GERMLINE_CONFIG"] = str((given.work / "config").resolve())
    last = json.loads((given.work / f"{given.lineage}.jsonl").read_text().splitlines()[-1])
    sealed = {(answer["subject"], answer["attribute"]): answer for answer in last["answers"]}

    lineage = Lineage.open(Home.open(given.work / given.lineage))
    on, _ = arithmetic(Plan().training, machine("cpu"))
    model = examinee(lineage, lineage.head, weights(lineage, lineage.head), on)
    facts = [fact for child in lineage.born()[1:] for fact in lineage.facts(child)]
    asked = [Question(say(form, fact) + PROMPT_END, (closed(fact.value),)) for fact in facts for form in FORMS]
    said = [likelihood.greedy for (likelihood,) in likelihoods(model.decoder, asked, model.tokenize)]

    table: Counter[tuple[bool, bool, int]] = Counter()
    for place, fact in enumerate(facts):
        if answer := sealed.get((fact.subject, fact.attribute)):
            taught = sum(said[place * len(FORMS) : (place + 1) * len(FORMS)])
            table[answer["exact"], answer["cloze"], taught] += 1
    print(f"| said, sealed wording | chosen, sealed wording | said, of {len(FORMS)} taught wordings | facts |")
    print("| --- | --- | ---: | ---: |")
    for (exact, chosen, taught), count in sorted(table.items()):
        print(f"| {exact} | {chosen} | {taught} | {count} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
