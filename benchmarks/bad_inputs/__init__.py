"""Broken files and requests by the thousand; see ``__main__``."""
