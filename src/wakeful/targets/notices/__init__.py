"""How people are told: one module for each way."""
