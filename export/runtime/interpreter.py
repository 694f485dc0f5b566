"""The TFLite interpreter."""

from pathlib import Path

from ai_edge_litert.interpreter import Interpreter

from .container import BundleError


def open_interpreter(
    content: bytes | Path, num_threads: int, name: str | Path, **options: object
) -> Interpreter:
    """Open a TFLite file.

    Args:
        content: The file's bytes, or its path, which the runtime maps into memory.
        num_threads: Number of threads of the interpreter.
        name: The file's name, for error messages.
        options: Further options of ai-edge-litert's `Interpreter`.

    Raises:
        BundleError: The content is not a TFLite file that this runtime supports.
    """
    source = (
        {"model_path": str(content)} if isinstance(content, Path) else {"model_content": content}
    )
    try:
        return Interpreter(**source, num_threads=num_threads, **options)
    except (ValueError, RuntimeError) as error:
        raise BundleError(
            f"{name} must be a TFLite file that this runtime supports. Received: {error}"
        ) from error
