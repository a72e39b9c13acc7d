"""Tickets about requests in the laboratory's service desk."""
