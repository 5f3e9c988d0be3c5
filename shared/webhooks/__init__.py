"""Telling subscribers: who they are, what is signed, where may be dialled, and what is owed until it is delivered."""
