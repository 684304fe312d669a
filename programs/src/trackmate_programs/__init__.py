"""What the programs have in common, beside what they agree on: each is one on its own."""
