"""
Filters (CEL) and transforms (jq). Filters that only compare run here, as closures (`comparing`);
everything else runs in a child process with limits (`child`, `process`).
"""
