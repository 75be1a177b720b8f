"""Embeddings over HTTP: FastAPI in front, worker threads behind. The only user of FastAPI."""
