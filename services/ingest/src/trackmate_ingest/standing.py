"""
Whether this process lives, and whether requests should be sent here.
"""


class Standing:
    """Always well. Whoever runs an app that may not be says so in a subclass."""

    def dead(self) -> str:
        """Why the process can only be replaced, in words; "" when it lives."""
        return ""

    def fault(self) -> str:
        """Why no requests should be sent here, in words; "" when they should."""
        return ""

    def note(self) -> str:
        """What to know of it although requests are taken."""
        return ""
