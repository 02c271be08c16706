"""The next-event task: what a user will do next."""
