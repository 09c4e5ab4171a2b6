"""Makes heater.csv: four hours of a heater under a beaker of water, simulated and then measured with noise.

`python notebooks/data/heater.py` writes the file again, the same as it is. Nothing here is real, but all is of the size
that such an experiment has: a block of aluminium is heated by up to 50 W, it heats 250 g of water, and the water loses
heat to the room, the more the hotter it is, since it evaporates as well. The room grows warmer in the afternoon.
"""

from pathlib import Path

import numpy as np
import pandas as pd

SEED, ROWS, SECONDS = 7, 1000, 15
"""Seconds between two rows."""
BLOCK, WATER = 180.0, 1050.0
"""Heat capacities in J/K."""
INNER, OUTER, EVAPORATION = 4.0, 0.45, 0.012
"""Heat that flows from block to water and from water to room in W/K; what evaporates in W/K²."""
NOISE = 0.1
"""Standard deviation of each thermometer in °C."""


def record() -> pd.DataFrame:
    """Return the experiment as it was measured: seconds, power in W, block, water and room in °C."""
    draw = np.random.default_rng(SEED)
    power = np.empty(0)
    while len(power) < ROWS:  # someone turns the knob every two to ten minutes
        power = np.append(power, np.full(draw.integers(8, 40), 10.0 * draw.integers(0, 6)))
    seconds = SECONDS * np.arange(ROWS)
    room = 21.0 + 2.5 * (seconds / seconds[-1]) ** 2 + 0.2 * np.sin(seconds / 700)
    temperatures = np.empty((ROWS, 2))
    block = water = room[0]
    for row in range(ROWS):
        temperatures[row] = block, water
        for _ in range(SECONDS):  # one second at a time
            over = water - room[row]
            inner = INNER * (block - water)
            block += (power[row] - inner) / BLOCK
            water += (inner - OUTER * over - EVAPORATION * over * abs(over)) / WATER
    seen = np.column_stack([temperatures, room]) + NOISE * draw.standard_normal((ROWS, 3))
    columns = {"seconds": seconds, "power": power[:ROWS].astype(int)}
    return pd.DataFrame({**columns, **dict(zip(("block", "water", "room"), seen.round(1).T, strict=True))})


if __name__ == "__main__":
    record().to_csv(Path(__file__).with_name("heater.csv"), index=False, lineterminator="\n")
