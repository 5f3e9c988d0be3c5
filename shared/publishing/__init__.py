"""The use case: query the job, decode it, leave its artifacts behind, have the subscribers told.

Callback, HTTP and sweep go one way: a task is enqueued, then worked on. Every step may be repeated or run beside
itself: what was stored first wins, and everything else is a pure function of it.
"""
