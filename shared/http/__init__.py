"""The HTTP API as one WSGI application, its problems, tokens and push signatures, and the adapter to FC 3.0 events."""
