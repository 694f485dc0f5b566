"""A tf.data service that prepares batches for trainings on other hosts.

    python -m seq2lite.recipes.distributed.data_service --host 10.0.0.3 --port 5000 --worker-port 5001
    seq2lite translate --data-service grpc://10.0.0.3:5000

It needs no data files: a training sends its data. One worker prepares the batches in order, so a
training with a service has the same batches as without one, and resumes as exactly. For more
workers start more services, each on its own port, and separate their addresses by commas.
"""

import argparse
import socket
import sys
import urllib.parse

import tensorflow as tf


def serve(port: int = 0, worker_port: int = 0, host: str = "localhost") -> tuple[str, tuple]:
    """Start a service with one dispatcher and one worker.

    Args:
        port: Port of the dispatcher, to which trainings connect. Default: 0, any free port.
        worker_port: Port of the worker. Default: 0, any free port.
        host: Address of this host for other hosts. Default: `"localhost"`.

    Returns:
        The address of the service, and its servers, which stop when they are garbage-collected.

    Example:
        >>> from seq2lite.recipes.distributed.data_service import serve
        >>> address, running = serve()
        >>> address.startswith("grpc://localhost:")
        True
    """
    service = tf.data.experimental.service
    dispatcher = service.DispatchServer(service.DispatcherConfig(port=port))
    port = dispatcher.target.rpartition(":")[2]
    worker = service.WorkerServer(
        service.WorkerConfig(
            dispatcher_address=f"localhost:{port}",
            worker_address=f"{host}:%port%",
            port=worker_port,
        )
    )
    return f"grpc://{host}:{port}", (dispatcher, worker)


def require_reachable(addresses: str, seconds: float = 10) -> None:
    """Raise an error if no service listens at an address; TensorFlow would wait forever.

    Args:
        addresses: Addresses separated by commas: `"grpc://10.0.0.3:5000,grpc://10.0.0.4:5000"`.
        seconds: Timeout. Default: 10.

    Raises:
        ValueError: An address has another form.
        OSError: No service listens at an address.
    """
    for address in addresses.split(","):
        parts = urllib.parse.urlsplit(address)
        if parts.scheme != "grpc" or not parts.hostname or not parts.port:
            raise ValueError(
                f"`data_service` must be addresses like grpc://10.0.0.3:5000. Received: {address}"
            )
        try:
            socket.create_connection((parts.hostname, parts.port), timeout=seconds).close()
        except OSError as error:
            raise OSError(
                f"`data_service` must be running at {address} (python -m "
                f"seq2lite.recipes.distributed.data_service). Received: {error}"
            ) from error


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--port", type=int, default=5000, help="port of the service (default: 5000)"
    )
    parser.add_argument(
        "--worker-port", type=int, default=5001, help="port of its worker (default: 5001)"
    )
    parser.add_argument(
        "--host",
        default="localhost",
        help="address of this host for other hosts (default: localhost)",
    )
    options = parser.parse_args(arguments)
    try:
        address, (_, worker) = serve(options.port, options.worker_port, options.host)
    except tf.errors.OpError as error:
        sys.exit(
            f"error: `port` and `worker_port` must be free. Received: {options.port} and "
            f"{options.worker_port}: {error.message}"
        )
    print(f"--data-service {address}", flush=True)
    worker.join()


if __name__ == "__main__":
    main()
