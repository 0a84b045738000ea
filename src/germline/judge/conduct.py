"""How the child behaves: its voice, its laws, its owner's challenge cards."""

from __future__ import annotations

from germline.judge.checks import at_least, at_most
from germline.judge.paired import CONFIDENCE
from germline.marks import Check, Scorecard
from germline.settings import Gate


def style(child: Scorecard, gate: Gate) -> list[Check]:
    """Answers to the tone probes, one by one and all as one text; nothing where the lineage has no voice yet. The limit
    is told for ten probes; of fewer as many may drift, but never more than half."""
    marks = child.style
    if marks is None:
        return []
    said = f"{marks.drifts} of {marks.probes} tone probes drift from the persona's voice"
    most = max(gate.style_drifts * marks.probes / 10, min(gate.style_drifts, marks.probes // 2))
    checks = [at_most("style drift", marks.drifts, most, said)]
    if marks.limit_bits_per_character is not None:
        bits, limit = marks.bits_per_character, marks.limit_bits_per_character
        said = f"together they cost {bits:.2f} bits per character, the persona's own text {limit:.2f} at the most"
        checks.append(at_most("style", bits / limit, gate.style_distance, said))
    if marks.variety is not None and marks.least_variety is not None:
        limit = marks.least_variety / max(1.0, gate.style_distance)
        said = f"{marks.variety:.0%} of ten answers differ from each other, of the persona's own {limit:.0%} or more"
        checks.append(at_least("variety", marks.variety, limit, said))
    return checks


def laws(child: Scorecard, gate: Gate) -> Check:
    """Where none of n is broken, 95% confidence leaves the share p of such cards that would be: (1 - p)^n = 5%."""
    broken, said = child.broken_laws, "no law card is asked"
    if broken:
        said = f"breaks {', '.join(broken)}"
    elif child.laws:
        share = 1 - (1 - CONFIDENCE) ** (1 / child.laws)
        said = f"all {child.laws} law cards hold: less than {share:.0%} of such cards would fail"
    return at_most("laws broken", len(broken), gate.laws_broken, said)


def cards(child: Scorecard, gate: Gate) -> list[Check]:
    """The share of challenge cards passed, where there are any."""
    passed, asked = child.cards_passed
    if not asked:
        return []
    return [at_least("challenge cards", passed / asked, gate.cards, f"passes {passed} of {asked} challenge cards")]
