"""The API: sign-in, errors, addresses."""
