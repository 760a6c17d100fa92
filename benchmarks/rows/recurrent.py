"""The recurrent layers."""

import numpy as np

from fdl.layers import conv_lstm, gru, lstm, reverse_sequences, rnn
from rows.row import Row


def rows(scale):
    n, steps, inputs = 64 // scale, 100, 128
    lengths = np.random.default_rng(0).integers(steps + 1, size=n)

    def arguments(gates, hidden, states, **more):
        def make(draw):
            return {
                "xs": draw(n, steps, inputs),
                **{name: draw(n, hidden) for name in states},
                "wx": 0.05 * draw(inputs, gates * hidden),
                "wh": 0.05 * draw(hidden, gates * hidden),
                "b": draw(gates * hidden),
                **more,
            }

        return make

    def video(draw):
        return {
            "xs": draw(n // 4, 16, 16, 16, 8),
            "h0": draw(n // 4, 16, 16, 16),
            "c0": draw(n // 4, 16, 16, 16),
            "wx": 0.1 * draw(3, 3, 8, 64),
            "wh": 0.1 * draw(3, 3, 16, 64),
            "b": draw(64),
        }

    size, both = f"T={steps} N={n} D={inputs}", ("h0", "c0")
    return [
        Row(rnn, f"{size} H=512", arguments(1, 512, ("h0",))),
        Row(lstm, f"{size} H=512", arguments(4, 512, both)),
        Row(lstm, f"{size} H=512, states", arguments(4, 512, both, remember="states")),
        Row(lstm, f"{size} H=128", arguments(4, 128, both)),
        Row(lstm, f"{size} H=128, lengths", arguments(4, 128, both, lengths=lengths)),
        Row(gru, f"{size} H=512", arguments(3, 512, ("h0",))),
        Row(gru, f"{size} H=128, states", arguments(3, 128, ("h0",), remember="states")),
        Row(conv_lstm, f"T=16 N={n // 4} 16x16x8 F=16", video),
        Row(reverse_sequences, f"{n}x{steps}x512", lambda draw: {"xs": draw(n, steps, 512), "lengths": lengths}),
    ]
