"""What time makes happen: claims at the instant, delivery, settlement, leases, pruning."""

from wakeful.engine.engine import Engine
from wakeful.engine.limits import Limits

__all__ = ["Engine", "Limits"]
