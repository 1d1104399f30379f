"""How fast the product is, beside eager torch."""
