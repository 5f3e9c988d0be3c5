"""What runs on your machine and is never deployed: the local cloud, the demo, the command line."""
