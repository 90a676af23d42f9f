"""What is told with a run, and what is kept of what an app tells: the same for every protocol."""

from datetime import UTC

from wakeful.core.ports import Claim


def run_metadata(claim: Claim) -> tuple[tuple[str, str], ...]:
    """Which run this is, which attempt of it, and for when it was scheduled."""
    run = claim.run
    instant = run.scheduled_for.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
    return (
        ("wakeful-run-id", str(run.id)),
        ("wakeful-attempt", str(run.attempt)),
        ("wakeful-scheduled-for", instant),
    )


def told(text: str, limit: int) -> str:
    """Text from outside, for a person: on one line, without control characters, and short."""
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= limit else text[:limit] + "…"
