"""GoogLeNet beyond its rows: what is not looked at costs nothing."""

import jax

from fdl.models import googlenet
from tests.networks.row import images


def test_auxiliary_heads_are_not_computed_for_those_who_take_the_scores_alone():
    net, batch = googlenet(3, width=1 / 16), images(65)
    params, state = jax.eval_shape(net.init, jax.random.key(0), batch)
    program = jax.jit(lambda params, batch: net.apply(params, state, batch)[0][0]).lower(params, batch).as_text()
    arguments = program.split("@main(")[1].split(" -> ")[0].count("%arg")
    needed = {name: part for name, part in params.items() if not name.startswith("auxiliary")}
    assert arguments == len(jax.tree.leaves(needed)) + 1 < len(jax.tree.leaves(params))
