"""A cluster, as the command sees it: the API server is asked, and no operator."""
