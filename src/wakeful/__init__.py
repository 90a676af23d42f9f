"""wakeful: the durable scheduler that services and AI agents trust with "later"."""

__version__ = "0.1.0"
