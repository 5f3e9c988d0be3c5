"""The durable work queue: what is to be done, by which protocol, on which schedule, and what was given up."""
