"""Numbers of inspections in words."""


def p_value_words(p_value: float | None) -> str:
    """How many good parts look as bad as a part with this p-value, as a sentence without its full stop."""
    if p_value is None:
        return ""
    if p_value >= 0.995:
        return "All good parts look as bad or worse"
    if p_value > 0.1:
        return f"{100 * p_value:.0f} in 100 good parts look as bad"
    return f"1 in {1 / p_value:,.0f} good parts looks as bad"
