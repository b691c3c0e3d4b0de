"""The demo library: a plant's catalogue, parts, cases and pictures, the same on every machine."""
