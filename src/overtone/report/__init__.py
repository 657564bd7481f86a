"""The report of a run: text tables, plots, a summary for DVC, and an HTML page."""
