"""QuerySmarttagJob of MPS: the client, and what the service means by its answers."""
