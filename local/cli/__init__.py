"""The command line, ``smarttag``: one module a command."""
