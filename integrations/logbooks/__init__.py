"""The laboratory's electronic logbook: entries wanted from a page, written there once."""
