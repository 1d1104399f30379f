"""Live feeds: connections to venues, piped inputs, and processes that read them."""
