"""Separate processes that read live feeds, and the feed that receives their events."""
