"""A model folder, its tokenizer and its pooling: text to vector."""
