"""The pages: each reads the query string, asks the floors below and renders; verbs go to their logic."""
