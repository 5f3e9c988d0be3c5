"""Every published job as a row: written once, listed newest first, searched, sealed by day; docs/catalogue.md.

The callback imports ``catalogue`` and ``row`` only; what searches and seals is imported when it is first needed.
"""
