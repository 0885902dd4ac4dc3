"""What the literature claims, beside what the studies measured."""
