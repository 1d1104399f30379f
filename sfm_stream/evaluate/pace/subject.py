"""The cell that every bench measures, and when its made ticks begin."""

FIRST_TIME = 1_704_067_200 * 10**9
"""2024-01-01T00:00:00Z in ns."""
SEED = 0
CELL = {"states": 32, "frequencies": 8, "outputs": 32}
READOUT = "amplitude"
