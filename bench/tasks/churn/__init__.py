"""The churn task."""
