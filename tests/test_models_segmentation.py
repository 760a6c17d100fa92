"""What networks for segmentation do, beyond the rows of networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl.models import fcn, unet, vgg

KEY = jax.random.key(0)


@pytest.mark.slow
def test_a_fully_convolutional_network_is_vgg_wherever_it_has_room():
    """Its 7 x 7 kernel in the middle of a 7 x 7 map sees all of it, as the affine map does."""
    x = jax.random.normal(KEY, (2, 224, 224, 3))
    classifier, net = vgg(11, 3, width=2, hidden=4), fcn(32, 3, depth=11, width=2, hidden=4)
    params, state = classifier.init(KEY, x)
    head, scores = params["head"], params["scores"]
    as_convolutions = (
        {"w": head["affine_relu1"]["w"].reshape(7, 7, 16, 4), "b": head["affine_relu1"]["b"]},
        {
            "w": head["affine_relu2"]["w"][None, None],
            "b": head["affine_relu2"]["b"],
        },
    )
    fitting, _ = net.init(KEY, x)
    fitting |= {name: params[name] for name in params if name.startswith("stage")}
    fitting["head"] |= dict(zip(("conv1", "conv2"), as_convolutions, strict=True))
    fitting["scores"] = {"w": scores["w"][None, None], "b": scores["b"]}
    coarse = x
    for name in ("stage1", "stage2", "stage3", "stage4", "stage5", "head", "scores"):
        coarse, _ = net.children[name].apply(fitting[name], jax.eval_shape(net.init, KEY, x)[1][name], coarse)
    np.testing.assert_allclose(coarse[:, 3, 3], classifier.apply(params, state, x)[0], rtol=1e-4, atol=1e-5)


def test_a_tile_of_an_image_has_the_scores_that_the_image_has_there():
    """Without padding no score knows where the image ends, which lets one cut it into tiles that overlap."""
    net, x = unet(2, depth=1, width=2), jax.random.normal(KEY, (1, 36, 28, 1))
    params, state = jax.jit(net.init)(KEY, x)
    scores, of_tile = jax.jit(lambda *images: [net.apply(params, state, x)[0] for x in images])(x, x[:, 2:34, 4:24])
    assert (scores.shape, of_tile.shape) == ((1, 20, 12, 2), (1, 16, 4, 2))
    np.testing.assert_allclose(of_tile, scores[:, 2:18, 4:8], rtol=1e-4, atol=1e-5)


def test_scores_lie_where_their_pixels_are():
    """What one pixel changes lies around it, on every way through the network."""
    net, x = unet(1, depth=1, width=4, padding="SAME"), jax.random.normal(KEY, (1, 64, 64, 1))
    params, state = jax.jit(net.init)(KEY, x)
    scores, _ = jax.jit(net.apply)(params, state, jnp.concatenate([x, x.at[0, 20, 40].add(3)]))
    changed = np.asarray(scores[0] != scores[1])[..., 0]
    rows, columns = (np.flatnonzero(changed.any(axis)) for axis in (1, 0))
    assert abs((rows[0] + rows[-1]) / 2 - 20) <= 2
    assert abs((columns[0] + columns[-1]) / 2 - 40) <= 2
