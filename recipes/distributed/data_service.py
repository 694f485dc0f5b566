"""A tf.data service: makes the batches of trainings that run elsewhere.

    python -m seq2lite.recipes.distributed.data_service --host 10.0.0.3 --port 5000 --worker-port 5001
    python -m seq2lite.recipes.translate --data-service grpc://10.0.0.3:5000

Needs no data: a training sends what its batches are made of. One worker makes them, in order, so that a
training by a service is the training without it, batch by batch, and goes on as exactly. For more
workers start more services, each with a port of its own, and name them with commas between.
"""

import argparse
import socket
import sys
import urllib.parse

import tensorflow as tf


def serve(port=0, worker_port=0, host="localhost"):
    """Starts a service of one dispatcher and one worker.

    Args:
        port: Where trainings find it; 0: any that is free.
        worker_port: Where its worker is; 0: any that is free.
        host: This host's address, as the others know it.

    Returns:
        The service's address, and what must be kept for as long as it is to run.

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


def require_reachable(addresses, seconds=10):
    """Raises unless something listens at each address: TensorFlow itself would wait for ever.

    Args:
        addresses: As in `"grpc://10.0.0.3:5000,grpc://10.0.0.4:5000"`.
        seconds: How long to try.

    Raises:
        ValueError: An address has another form.
        OSError: Nothing answers there.
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


def main(arguments=None):
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, default=5000, help="of the service (default: 5000)")
    parser.add_argument(
        "--worker-port", type=int, default=5001, help="of its worker (default: 5001)"
    )
    parser.add_argument(
        "--host", default="localhost", help="this host, as others know it (default: localhost)"
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
