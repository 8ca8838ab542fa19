"""trytond on a port of its choice, with a line on stdout once it answers. Run with the ledger's own environment::

    .venv-ledger/bin/python ledger/serve.py --config trytond.conf --database fin [--port 8000]

Prints ``{"ready": true, "port": …}``; ends on SIGTERM after the requests that are running. One thread a connection.
"""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
import time

END_SECONDS = 5.0


def main() -> None:
    """Start and serve until a signal comes."""
    parser = argparse.ArgumentParser(description="Serve a Tryton database.")
    parser.add_argument(
        "--config", help="trytond.conf; TRYTOND_DATABASE__URI and the like in the environment do as well"
    )
    parser.add_argument("--database", required=True)
    parser.add_argument("--host", default="127.0.0.1", help="where to listen; a container needs 0.0.0.0")
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # or it writes a line for each request

    # trytond reads its configuration while its modules are imported: not before this line.
    from trytond import config

    if arguments.config:
        config.update_etc(arguments.config)
    from trytond.pool import Pool
    from trytond.status import status
    from trytond.wsgi import app
    from werkzeug.serving import make_server

    Pool.start()
    Pool(arguments.database).init()
    server = make_server(arguments.host, arguments.port, app, threaded=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # serve_forever ends on KeyboardInterrupt
    sys.stdout.write(json.dumps({"ready": True, "port": server.server_port}) + "\n")
    sys.stdout.flush()
    server.serve_forever()
    until = time.monotonic() + END_SECONDS
    while status and time.monotonic() < until:
        time.sleep(0.02)  # requests that were running write their answers


if __name__ == "__main__":
    main()
