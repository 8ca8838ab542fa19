"""Alembic's folder: `env.py`, one module a revision in `versions/`, long statements in a folder beside it."""
