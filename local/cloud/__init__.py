"""Stand-ins for MPS, OSS, MNS and Function Compute over loopback HTTP, for the real SDKs to talk to."""
