"""What the pages on how to add something use of the tests of notices."""

from tests.notices.conftest import caught_up, crew, mailbox

__all__ = ["caught_up", "crew", "mailbox"]
