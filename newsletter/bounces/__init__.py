"""What comes back: read, told apart, acted on, and written down."""
