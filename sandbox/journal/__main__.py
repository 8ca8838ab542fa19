"""`python -m sandbox.journal --port 0 --control-port 0 --data DIR`: the finance stand-in as a process."""

from __future__ import annotations

import argparse
from pathlib import Path

import orjson
import uvloop

from sandbox.journal.book import Book
from sandbox.journal.control import Control
from sandbox.journal.file import JournalFile
from sandbox.journal.server import Access, Finance
from sandbox.wire import LOCAL, hold, listen, ready_line, stop_signal


def build(arguments: argparse.Namespace) -> Finance:
    """A finance system over a data folder; one that was used before goes on where it stopped."""
    chart = None if arguments.chart is None else frozenset(map(str, orjson.loads(arguments.chart.read_bytes())))
    book = Book(frozenset(arguments.companies.split(",")), chart)
    file = JournalFile(arguments.data / "journal.jsonl")
    for entry in file.read():
        book.take(entry)
    periods = arguments.data / "periods.json"
    if periods.exists():
        book.closed = {(company, period) for company, period in orjson.loads(periods.read_bytes())}
    access = Access(arguments.user, arguments.password, ttl_seconds=arguments.token_ttl)
    return Finance(book, file, access, periods)


async def serve(arguments: argparse.Namespace) -> None:
    """Listen on both ports until a signal; then write what is left and go."""
    lock, stop = hold(arguments.data), stop_signal()
    finance = build(arguments)
    runner, port = await listen(finance.handle, arguments.port, arguments.host)
    control, control_port = await listen(Control(finance).handle, arguments.control_port, arguments.host)
    ready_line(port=port, control_port=control_port)
    await stop.wait()
    await runner.cleanup()
    await control.cleanup()
    await finance.file.close()
    lock.close()


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="sandbox.journal", description="Finance stand-in")
    parser.add_argument("--host", default=LOCAL, help="where to listen; a container needs 0.0.0.0")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--control-port", type=int, default=0)
    parser.add_argument("--data", type=Path, required=True, help="folder that keeps journal.jsonl")
    parser.add_argument("--companies", default="1000,2000", help="company codes, or * for every code")
    parser.add_argument("--chart", type=Path, help="JSON list (or object) of the accounts that exist")
    parser.add_argument("--user", default="finbridge")
    parser.add_argument("--password", default="finbridge")
    parser.add_argument("--token-ttl", type=float, default=1800.0, help="seconds")
    uvloop.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
