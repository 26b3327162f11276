"""What a program is. Importing the package also gives jaxprs their printed form (printer.py)."""

from addax.core import printer as _printer
