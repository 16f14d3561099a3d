"""A numbered periodical in every reader's inbox, on time, and every copy accounted for."""

__version__ = "0.1.0"
