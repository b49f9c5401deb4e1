"""Evaluation metrics: event files as they grow, and the objective made of them (reference R9)."""
