"""BERT, with its heads."""

import jax
import jax.numpy as jnp

from fdl.losses import softmax_cross_entropy
from fdl.models import bert, bert_classifier, bert_masked, mask_words
from tests.networks.row import Published, Refused, Small, tokens

TEXT = (tokens(512), tokens(512), jax.ShapeDtypeStruct((2,), jnp.int32))

PUBLISHED = [
    # The reference's BertModel without its pooler, BertForMaskedLM, and BertForSequenceClassification.
    Published("bert", bert(), TEXT, (2, 512, 768), 108_891_648),
    Published("bert-masked", bert_masked(bert()), TEXT, (2, 512, 30_522), 109_514_298),
    Published("bert-classifier", bert_classifier(bert(), 2), TEXT, (2, 2), 109_483_778, slow=True),
    Published("bert-large", bert(features=1024, heads=16, depth=24), TEXT, (2, 512, 1024), 334_092_288, slow=True),
]


def batch(key):
    return (jax.random.randint(key, (2, 4), 0, 7), jnp.array([[0, 0, 1, 1]] * 2), jnp.array([4, 2])), jnp.array([0, 1])


def words(key):
    ids = jax.random.randint(key, (2, 4), 0, 7)
    return (ids,), ids


ENCODER = bert(7, 4, 4, 2, 1, dropout=0.0)
WITH_DROPOUT = bert(7, 4, 4, 2, 2)

SMALL = [
    Small("bert-masked", bert_masked(ENCODER, 7, 4), words, softmax_cross_entropy),
    Small("bert-classifier", bert_classifier(WITH_DROPOUT, 2, 4), batch, softmax_cross_entropy, slow=True),
]

REFUSED = [
    Refused("bert-heads", lambda: bert(features=100), "got 100 features and 12 heads"),
    Refused(
        "bert-rate", lambda: mask_words(jax.random.key(0), jnp.zeros(3, int), 7, 6, rate=15.0), "from 0 to 1.* got 15"
    ),
    Refused(
        "bert-ids", lambda: mask_words(jax.random.key(0), jnp.full(3, 7), 7, 6), r"mask_words expects ids in \[0, 7\)"
    ),
    Refused(
        "bert-where", lambda: mask_words(jax.random.key(0), jnp.zeros(3, int), 7, 6, where=jnp.ones(3)), "booleans"
    ),
    Refused("bert-mask", lambda: mask_words(jax.random.key(0), jnp.zeros(3, int), 7, 7), r"in \[0, 7\), got 7"),
]
