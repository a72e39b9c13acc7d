"""What should run: campaigns, stages, edges, splitting, completion, text form."""
