"""Embeddings, rerank, classifier and the list of models in one process, with one engine.

The four answer alike whether they run alone or here; together the model is loaded once, and their
requests share batches and cores fairly.
"""
