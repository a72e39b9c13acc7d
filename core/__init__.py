"""Mechanisms without a domain: clock, states, ledger, locks, queue."""
