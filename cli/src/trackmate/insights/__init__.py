"""What happened, in figures: what can be asked, what of an event counts, and how it is counted."""
