"""Who: experiments, people, roles, tokens; the root of access."""
