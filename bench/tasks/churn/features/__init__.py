"""Features of a user's past at a cut-off."""
