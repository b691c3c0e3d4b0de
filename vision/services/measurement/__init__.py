"""How well labelled pictures are told apart: what `manage.py measure` prints. Protocols: docs/measure.md."""
