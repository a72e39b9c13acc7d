"""What analysis users bring along: files that come with their launches."""
