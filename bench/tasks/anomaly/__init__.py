"""The anomaly task."""
