"""The heart of finbridge: records, identity, decisions. Pure Python; imports nothing else of the project."""
