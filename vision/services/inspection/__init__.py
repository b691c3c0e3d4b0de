"""Inspection of parts: what inspectors learn from, their training, their verdicts and how good these are."""
