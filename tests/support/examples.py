"""How many examples a property is tried with."""

from hypothesis import settings

USUAL = 100


def examples(number: int) -> int:
    """So many, or as much fewer as the profile in use has fewer than usual."""
    return number * settings().max_examples // USUAL
