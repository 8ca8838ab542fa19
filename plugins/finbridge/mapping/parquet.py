"""Rows of a parquet file, in the order of the file."""

from __future__ import annotations

from pathlib import Path


def read_parquet(path: Path) -> list[dict[str, object]]:
    """One dictionary a row; values as DuckDB gives them (text stays text).

    Raises:
        ValueError: the file is missing or no parquet file.
    """
    import duckdb

    with duckdb.connect(":memory:") as connection:
        try:
            result = connection.execute("SELECT * FROM read_parquet(?)", [str(path)])
        except duckdb.Error as error:
            raise ValueError(f"cannot read {path}: {error}") from None
        names = [column[0] for column in result.description or ()]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
