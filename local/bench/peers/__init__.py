"""What else one would use: written as its users write it, and measured in the same run."""
