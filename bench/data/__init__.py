"""The values that everything else reads: event logs, regular series, panels."""
