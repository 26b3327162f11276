"""Pytree functions under their short names: ``addax.tree.map``, ``addax.tree.leaves``, ..."""

from addax.core.tree import all as all
from addax.core.tree import broadcast as broadcast
from addax.core.tree import flatten as flatten
from addax.core.tree import flatten_with_path as flatten_with_path
from addax.core.tree import leaves as leaves
from addax.core.tree import leaves_with_path as leaves_with_path
from addax.core.tree import map as map
from addax.core.tree import map_with_path as map_with_path
from addax.core.tree import reduce as reduce
from addax.core.tree import reduce_associative as reduce_associative
from addax.core.tree import static as static
from addax.core.tree import structure as structure
from addax.core.tree import transpose as transpose
from addax.core.tree import unflatten as unflatten
