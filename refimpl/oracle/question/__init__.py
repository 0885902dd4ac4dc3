"""What is asked: a case with its network, its conventions and its layout."""
