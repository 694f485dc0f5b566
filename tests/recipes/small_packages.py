"""Small Debian packages, gettext catalogs, and a mirror that serves them on loopback."""

import bz2
import contextlib
import dataclasses
import functools
import hashlib
import http.server
import io
import lzma
import random
import struct
import tarfile
import threading
from pathlib import Path

SUITE = "debian/dists/bookworm"
TEMPLATE = """Template: p{0}/x
Type: boolean
Description: Start the {1} now?
 The {1} of package {0} may be started {2}, or
 .
 at the next boot of this machine.
"""


def deb(control=(), data=(), compression="gz"):
    """A Debian package of `{name: content}`; `zst` leaves the tar file as it is."""
    archive = b"!<arch>\n"
    parts = {"debian-binary": b"2.0\n"}
    for part, files in (("control", control), ("data", data)):
        tar = io.BytesIO()
        mode = "w:" if compression == "zst" else f"w:{compression}"
        with tarfile.open(fileobj=tar, mode=mode) as writer:
            for name, content in dict(files).items():
                member = tarfile.TarInfo(f"./{name}")
                member.size = len(content)
                writer.addfile(member, io.BytesIO(content))
        parts[f"{part}.tar.{compression}"] = tar.getvalue()
    for name, content in parts.items():
        header = f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n"
        archive += header.encode() + content + b"\n" * (len(content) % 2)
    return archive


def catalog(pairs, order="<"):
    """A gettext catalog (.mo)."""
    texts = [text.encode() for column in zip(*pairs, strict=True) for text in column]
    tables, data = b"", b""
    start = 28 + 8 * len(texts)
    for text in texts:
        tables += struct.pack(f"{order}2I", len(text), start + len(data))
        data += text + b"\0"
    head = struct.pack(f"{order}7I", 0x950412DE, 0, len(pairs), 28, 28 + 8 * len(pairs), 0, 0)
    return head + tables + data


@dataclasses.dataclass
class Mirror:
    """A folder of packages, and the server's behavior and record."""

    root: Path
    address: str = ""
    index: str = ""
    sums: dict = dataclasses.field(default_factory=dict)
    requests: list = dataclasses.field(default_factory=list)  # paths
    authorizations: list = dataclasses.field(default_factory=list)
    failures: dict = dataclasses.field(default_factory=dict)  # path → number of failures left
    redirects: dict = dataclasses.field(default_factory=dict)  # path → address

    def write(self, path, content):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return file

    def add_package(self, name, version="1.0", fields="", **parts):
        content = deb(**parts)
        self.write(f"debian/pool/{name}.deb", content)
        self.index += (
            f"Package: {name}\nVersion: {version}\n{fields}Filename: pool/{name}.deb\n"
            f"Size: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\n\n"
        )

    def add_index(self, name, text):
        compress = bz2.compress if name.endswith(".bz2") else lzma.compress
        content = compress(text.encode())
        self.write(f"{SUITE}/{name}", content)
        self.sums[name] = f" {hashlib.sha256(content).hexdigest()} {len(content):>8} {name}\n"

    def publish(self, version="0.1"):
        """Write the index of the packages, and a release file in the form of a signed one."""
        self.add_index("main/binary-amd64/Packages.xz", self.index)
        sums = "".join(self.sums.values())
        release = (
            "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n"
            f"Origin: Debian\nVersion: {version}\nMD5Sum:\n {'0' * 32} 1 other\nSHA256:\n{sums}"
            "-----BEGIN PGP SIGNATURE-----\n\niQIzBAEBCAAdFiEE\n-----END PGP SIGNATURE-----\n"
        )
        self.write(f"{SUITE}/InRelease", release.encode())

    def add_questions(self, count=30):
        """Packages with one question each."""
        draw = random.Random(2)
        for i in range(count):
            words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=7)) for _ in range(9)]
            template = TEMPLATE.format(i, " ".join(words[:4]), " ".join(words[4:]))
            self.add_package(
                f"p{i}",
                f"1.{i}",
                "Depends: debconf\n",
                control={"templates": template.encode()},
                data={f"usr/share/doc/p{i}/copyright": b"Files: *\nLicense: Expat\n"},
            )


@contextlib.contextmanager
def serve(root):
    """Serve a `Mirror` of a folder."""
    mirror = Mirror(root)

    class Handler(http.server.SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_GET(self):
            mirror.requests.append(self.path)
            mirror.authorizations.append(self.headers.get("Authorization"))
            if mirror.failures.get(self.path, 0) > 0:
                mirror.failures[self.path] -= 1
                self.send_response(200)
                self.send_header("Content-Length", "1000")
                self.end_headers()
                self.wfile.write(b"half")
                self.close_connection = True
            elif self.path in mirror.redirects:
                self.send_response(302)
                self.send_header("Location", mirror.redirects[self.path])
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                super().do_GET()

    handler = functools.partial(Handler, directory=root)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        mirror.address = f"http://127.0.0.1:{server.server_port}"
        yield mirror
        server.shutdown()
