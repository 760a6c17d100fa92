"""Networks of two halves: an encoder reads a source, a decoder writes a target and looks at what the encoder made.

    source -> encode -> context
                           |
    target ----------> decode -> scores for the next word of the target

In training the target is known, and all of it goes through the decoder at once: word t is predicted from the words
before it ("teacher forcing"). To translate, the source is encoded once, and the decoder is called again and again with
the word that it chose last, as a stream: that is what `EncoderDecoder.generate` does.

The halves are no layers of their own. They are parts of one wiring over the same children, which may share some of
them, and so they take the params and state of the whole.

Source: Sutskever, Vinyals and Le, "Sequence to sequence learning with neural networks" (2014).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from fdl.layer import Layer, Tree
from fdl.layers import Serial
from fdl.sampling import generate, greedy, stream_step
from fdl.wiring import Combinator, Net


class EncoderDecoder(Serial, init=False):
    """A network from (source, target, lengths=None) to scores, whose wiring is in three parts.

    A subclass says how its layers are wired in `encoding`, `decoding` and `scoring`. Lengths [N] are the sources'.

    Args:
        layers: by name.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fdl.models import transformer
        >>> net = transformer(100, features=16, heads=2, hidden=32, depth=1)
        >>> source, target = (jax.ShapeDtypeStruct((2, t), jnp.int32) for t in (7, 5))
        >>> params, state = jax.eval_shape(net.init, jax.random.key(0), source, target)
        >>> context, _ = jax.eval_shape(net.encode.apply, params, state, source)
        >>> hidden, _ = jax.eval_shape(net.hidden.apply, params, state, source, target)
        >>> context.shape, hidden.shape
        ((2, 7, 16), (2, 5, 16))
    """

    def encoding(self, net: Net, source: Any, lengths: Any = None) -> Any:
        """Computes the context, any pytree of arrays, by calling the children of ``net``."""
        raise NotImplementedError(f"{type(self).__name__} does not define encoding")

    def decoding(self, net: Net, target: Any, context: Any, lengths: Any = None) -> Any:
        """Computes the hidden states [N, T, C] of a target, or of what follows in a stream."""
        raise NotImplementedError(f"{type(self).__name__} does not define decoding")

    def scoring(self, net: Net, hidden: Any) -> Any:
        """Computes the scores [N, T, vocabulary] of hidden states."""
        raise NotImplementedError(f"{type(self).__name__} does not define scoring")

    def wire(self, net: Net, source: Any, target: Any, lengths: Any = None) -> Any:
        context = self.encoding(net, source, lengths)
        return self.scoring(net, self.decoding(net, target, context, lengths))

    @property
    def encode(self) -> Layer:
        """From (source, lengths=None) to the context."""
        return _Encode(self)

    @property
    def decode(self) -> Layer:
        """From (target, context, lengths=None) to scores, piece by piece after `begin_stream`."""
        return _Decode(self)

    @property
    def hidden(self) -> Layer:
        """From (source, target, lengths=None) to hidden states, for `fdl.losses.linear_softmax_cross_entropy`."""
        return _Hidden(self)

    def generate(
        self,
        params: Tree,
        state: Tree,
        source: Any,
        lengths: Any = None,
        *,
        first: int,
        length: int,
        stop: int | None = None,
        key: Any = None,
        choose: Callable[[Any, jax.Array], jax.Array] = greedy,
    ) -> jax.Array:
        """Writes a target for each source, word by word.

        Args:
            params, state: of the network.
            source, lengths: what it is given, N sources.
            first: the word that targets begin with.
            length: how many words to write after it.
            stop, key, choose: as for `fdl.sampling.generate`.

        Returns:
            Words [N, length], without the first.
        """
        context, _ = self.encode.apply(params, state, source, lengths)
        begin = jnp.full(len(source), first, jnp.int32)
        stream = self.begin_stream(params, state, len(source), length)
        step = stream_step(self.decode, params, context, lengths)
        words, _ = generate(step, stream, begin, length, key=key, choose=choose, stop=stop)
        return words


class _Part(Combinator):
    """A part of the wiring, over all of the layers."""

    whole: EncoderDecoder

    @property
    def children(self) -> dict[str, Layer]:
        return self.whole.children


class _Encode(_Part):
    def wire(self, net: Net, source: Any, lengths: Any = None) -> Any:
        return self.whole.encoding(net, source, lengths)


class _Decode(_Part):
    def wire(self, net: Net, target: Any, context: Any, lengths: Any = None) -> Any:
        return self.whole.scoring(net, self.whole.decoding(net, target, context, lengths))


class _Hidden(_Part):
    def wire(self, net: Net, source: Any, target: Any, lengths: Any = None) -> Any:
        return self.whole.decoding(net, target, self.whole.encoding(net, source, lengths), lengths)
