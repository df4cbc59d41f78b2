"""Serve this folder, so that a phone in the same network can open the page, and with several threads.

    python serve.py [PORT]

A browser gives a page several threads only if the server sends two headers, which this script does.
`python -m http.server` serves the page, too, with one thread.
"""
import socket
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Handler(SimpleHTTPRequestHandler):
    """Sends the headers that isolate the page from others, without which it may not share memory."""

    def end_headers(self):
        """Add the headers."""
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, *_):
        """Print no line for every file."""


def own_address():
    """Return the address of this machine in its network; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return probe.getsockname()[0]
        except OSError:
            return "127.0.0.1"


def main():
    """Serve until Ctrl-C."""
    port = sys.argv[1] if len(sys.argv) > 1 else "8000"
    if len(sys.argv) > 2 or not port.isdecimal() or not 0 <= int(port) < 65536:
        sys.exit(__doc__)
    folder = Path(__file__).resolve().parent
    try:
        server = ThreadingHTTPServer(("", int(port)), partial(Handler, directory=folder))
    except OSError as error:
        sys.exit(f"error: port {port} cannot be used ({error.strerror}); name another one: "
                 f"python serve.py {int(port) % 65535 + 1}")
    port = server.server_address[1]
    print(f"this machine: http://localhost:{port}\nphone:        http://{own_address()}:{port}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    main()
