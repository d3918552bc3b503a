"""The outlets of a lab behind a Unix socket, for masters in processes of their own."""

import contextlib
import socketserver
import threading
from collections.abc import Iterator

from broker.contract.messages import Power
from tests.system.provisioning_netns.lab import Lab


@contextlib.contextmanager
def serve_outlets(lab: Lab) -> Iterator[str]:
    """Serve ``<stack> on|off|read`` on a socket and give its path."""

    class Server(socketserver.UnixStreamServer):
        request_queue_size = 64  # a master switches all stacks at once

    class Line(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            stack, verb = self.rfile.readline().decode().split()
            if verb != "read":
                lab.switch_now(int(stack), on=verb == "on")
            level = lab.levels.get(int(stack), Power.OFF)
            with contextlib.suppress(BrokenPipeError):  # it was killed meanwhile
                self.wfile.write(f"{level}\n".encode())

    path = str(lab.folder / "outlets")
    with Server(path, Line) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield path
        finally:
            server.shutdown()
            thread.join()
