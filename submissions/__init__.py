"""Make it happen and watch: batches, launches, jobs, recovery, holds."""
