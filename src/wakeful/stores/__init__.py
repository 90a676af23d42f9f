"""Stores: where jobs and runs are kept."""
