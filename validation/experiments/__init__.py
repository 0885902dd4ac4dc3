"""What is measured of a trained model: the ladder, retraining, and what people use scores for."""
