"""How fast the engine is, beside eager torch."""
