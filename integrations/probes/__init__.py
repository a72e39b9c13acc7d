"""Small questions to outside systems before work is launched."""
