"""For which smears a named risk does not hold, in words; nothing heavy is imported here."""

from __future__ import annotations

from typing import Any

from reddino.foundations.visible import short


def risk_warning(predictions: Any) -> str:
    """Return in one sentence for which smears the named risk does not hold; "" where it does."""
    if predictions.rule is None:
        return ""
    named = f"the error rate of {predictions.rule.risk:g} was measured on cells like the training cells"
    if predictions.domain is None or not predictions.domain.units:
        return f"{named}, and whether these smears are like them is not known"
    beyond = predictions.domain.beyond()
    if not beyond:
        return ""
    names = [f"{short(unit.slide or unit.source or 'these smears', 40)} ({unit.verdict})" for unit in beyond]
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return f"{named}; it does not hold for {', '.join(names[:6])}{more}"
