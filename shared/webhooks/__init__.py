"""Telling subscribers: who they are, what is signed, where may be dialled, and how each delivery fares."""
