"""What the paper's networks do inside, and what their parts are worth."""
