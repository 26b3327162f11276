"""Constants, as Python numbers, which take the dtype of what they meet."""

import numpy as np

e: float = float(np.e)
euler_gamma: float = float(np.euler_gamma)
inf: float = float("inf")
nan: float = float("nan")
newaxis = None
pi: float = float(np.pi)
