"""What is made for others: the deployable package, the pictures of the documentation."""
