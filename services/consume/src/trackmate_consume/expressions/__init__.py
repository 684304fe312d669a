"""Filter and transform: CEL and jq, in a child process where their cost is not bounded by form."""
