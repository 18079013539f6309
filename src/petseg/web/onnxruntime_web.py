"""ONNX Runtime Web, from the npm registry.

The package is 20 MB and holds builds for WebGPU, WebGL and Node.js too; the page needs two files.
"""

import base64
import hashlib
import io
import json
import shutil
import subprocess
import tarfile
import tempfile
from contextlib import suppress
from pathlib import Path

from petseg.core.errors import PetsegError

VERSION = "1.30.0"
_SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
_FILES = {
    # Some servers don't know .mjs, and browsers run no module of an unknown type.
    "ort.wasm.bundle.min.js": "package/dist/ort.wasm.bundle.min.mjs",
    "ort-wasm-simd-threaded.wasm": "package/dist/ort-wasm-simd-threaded.wasm",
}
_TIMEOUT = 600  # seconds


def fetch_runtime() -> dict[str, bytes]:
    """Return the content of each file that the page loads, by name.

    npm finds the package by the user's own settings, or in its cache if there is no network.
    Raises PetsegError if there is no npm, or if the package is not the one that was tried.
    """
    content = _fetch_package()
    if base64.b64encode(hashlib.sha512(content).digest()).decode() != _SHA512:
        raise PetsegError(
            f"npm's onnxruntime-web {VERSION} is not the package that petseg was tried with "
            "(sha512 differs); check npm's registry and cache."
        )
    with tarfile.open(fileobj=io.BytesIO(content)) as package:
        files = {name: package.extractfile(member) for name, member in _FILES.items()}
        return {name: file.read() for name, file in files.items() if file}


def _fetch_package() -> bytes:
    npm = shutil.which("npm")
    if npm is None:
        raise PetsegError(
            f"npm isn't installed; petseg export-web fetches onnxruntime-web {VERSION} with it. "
            "Install Node.js, which includes npm, then run petseg export-web again."
        )
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", f"onnxruntime-web@{VERSION}", "--prefer-offline", "--json"]
        try:
            done = subprocess.run(
                [*command, "--ignore-scripts", "--loglevel=silent"],
                cwd=folder,
                capture_output=True,
                text=True,
                errors="replace",
                stdin=subprocess.DEVNULL,
                timeout=_TIMEOUT,
            )
            packages = [] if done.returncode else list(Path(folder).glob("*.tgz"))
            reason = _reason(done.stdout)
        except subprocess.TimeoutExpired:
            packages, reason = [], f"no answer within {_TIMEOUT} seconds"
        if len(packages) != 1:
            raise PetsegError(
                f"npm can't fetch onnxruntime-web {VERSION} ({reason}); connect to the network or "
                "check npm's settings, then run petseg export-web again."
            )
        return packages[0].read_bytes()


def _reason(output: str) -> str:
    """Return npm's own summary of its error."""
    with suppress(ValueError, LookupError, TypeError):
        return str(json.loads(output)["error"]["summary"]).strip(" .")
    return "npm pack failed"
