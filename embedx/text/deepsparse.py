"""DeepSparse's names and defaults, on which pipelines, the server and the command line agree."""

TASKS = (
    "transformers_embedding_extraction",
    "transformer_embedding_extraction",
    "embedding_extraction",
)
STRATEGIES = ("per_token", "reduce_mean", "reduce_max", "cls_token")
SEQUENCE_LENGTH = 128
"""The most tokens of a text, unless somebody says otherwise."""
