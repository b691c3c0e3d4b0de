"""Pages of inspection: the console, one inspection, the history, and the inspectors themselves."""
