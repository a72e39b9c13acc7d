"""Credentials, by reference only: our own secrets by name, and those that launches run with, where they lie."""

from integrations.credentials.secrets import authorization, certificate, secret

__all__ = ["authorization", "certificate", "secret"]
