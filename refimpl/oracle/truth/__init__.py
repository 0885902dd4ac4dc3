"""What is right for a case, and on what scale an error is judged."""
