"""wakeful under the names of the AITP document: ``ains.api:app`` is a node, ``ains.scheduler`` makes schedules.

These are adapters and no more; see docs/decisions/0007-ains-names.md.
"""
