"""Dapr's Jobs API, as a sidecar serves it to its app."""
