"""Layers wired together: models, their domains and shapes, and what rewrites a model. A model knows neither rules nor files."""
