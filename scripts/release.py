#!/usr/bin/env python3
"""Builds what a release consists of: `make release` calls this.

Each part is a step of its own, because the workflow builds cfadmin on several machines:

    function    invalidator-ARCHITECTURE.zip and template-ARCHITECTURE.yaml, for each architecture
                whose standard library rustc has, and the files that need no build
    cfadmin     an archive with cfadmin for this machine
    checksums   SHA256SUMS of all files in the folder

The archives are reproducible: the same binaries make the same bytes.
"""

import argparse
import gzip
import hashlib
import io
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LICENSES = ["LICENSE-APACHE", "LICENSE-MIT"]
# The architectures in Lambda's words, each with Rust's name of the target and cargo lambda's option.
ARCHITECTURES = {
    "arm64": ("aarch64-unknown-linux-gnu", "--arm64"),
    "x86_64": ("x86_64-unknown-linux-gnu", "--x86-64"),
}


def run(*command):
    """Runs a command in the project's folder. Ends the program if it fails."""
    result = subprocess.run(command, cwd=ROOT)
    if result.returncode != 0:
        sys.exit(f"release.py: {' '.join(command)} failed")


def rustc(*arguments):
    """Returns what rustc prints."""
    return subprocess.run(["rustc", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def own_architecture():
    """Returns this machine's architecture in Lambda's words."""
    return "arm64" if platform.machine().lower() in ("aarch64", "arm64") else "x86_64"


def buildable():
    """Returns the architectures whose standard library rustc has."""
    return [
        architecture
        for architecture, (target, _) in ARCHITECTURES.items()
        if Path(rustc("--print", "target-libdir", "--target", target).strip()).is_dir()
    ]


def built_function(architecture):
    """Builds the function as `sam build` does, and returns the path of its binary."""
    # Without an option, cargo lambda builds for this machine and uses what `sam build` has compiled.
    is_own = sys.platform == "linux" and architecture == own_architecture()
    options = [] if is_own else [ARCHITECTURES[architecture][1]]
    run("cargo", "lambda", "build", "--locked", "--release", "--bin", "invalidator", *options)
    return ROOT / "target/lambda/invalidator/bootstrap"


def packed(binary, name):
    """Returns the files of an archive as (name, content, mode): a binary under this name, and the licenses."""
    licenses = [(license, (ROOT / license).read_bytes(), 0o644) for license in LICENSES]
    return [(name, Path(binary).read_bytes(), 0o755), *licenses]


def write_zip(path, files):
    """Writes a zip that depends on nothing but the files."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content, mode in files:
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # Unix, which the mode needs
            entry.external_attr = (0o100000 | mode) << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)


def write_tar(path, files):
    """Writes a compressed tar that depends on nothing but the files."""
    with open(path, "wb") as file, gzip.GzipFile("", "wb", 6, file, mtime=0) as compressed:
        with tarfile.open(fileobj=compressed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for name, content, mode in files:
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = len(content), mode
                archive.addfile(entry, io.BytesIO(content))


def replaced(text, pattern, replacement):
    """Replaces the only match of a pattern. Ends the program if there is none or more than one."""
    text, count = re.subn(pattern, replacement, text, flags=re.MULTILINE)
    if count != 1:
        sys.exit(f"release.py: template.yaml has {count} places that match {pattern!r} instead of 1")
    return text


def packaged(template, architecture, archive):
    """Returns the template whose function is the archive, for this architecture and no other.

    Edits the text, because a YAML library would drop the comments and rewrite the short forms of
    CloudFormation's functions.
    """
    template = replaced(template, r"^      CodeUri: \.$", f"      CodeUri: {archive}")
    template = replaced(template, r"^    AllowedValues: \[arm64, x86_64\]$", f"    AllowedValues: [{architecture}]")
    template = replaced(template, r"^    Default: arm64$", f"    Default: {architecture}")
    template = replaced(template, r" Pass the same value to sam build$", " This template has a function for no other")
    # There is nothing to build.
    return replaced(template, r"^    Metadata:\n      BuildMethod: .*\n      BuildProperties:\n        Binary: .*\n", "")


def function(options):
    """Makes the function's archives and templates."""
    binaries = {own_architecture(): options.function} if options.function else {}
    for architecture in [*binaries] or buildable():
        archive = f"invalidator-{architecture}.zip"
        binary = binaries.get(architecture) or built_function(architecture)
        write_zip(options.output / archive, packed(binary, "bootstrap"))
        template = packaged((ROOT / "template.yaml").read_text("utf-8"), architecture, archive)
        (options.output / f"template-{architecture}.yaml").write_bytes(template.encode())
    # The SAM CLI looks for its configuration beside the template.
    for name in ["samconfig.toml", "templates/forward-events.yaml"]:
        shutil.copy(ROOT / name, options.output)


def cfadmin(options):
    """Makes the archive of cfadmin."""
    host = re.search(r"^host: (.*)$", rustc("-vV"), re.MULTILINE).group(1)
    suffix = ".exe" if sys.platform == "win32" else ""
    if not options.cfadmin:
        run("cargo", "build", "--locked", "--release", "--bin", "cfadmin", "--no-default-features", "--features", "cli")
    binary = options.cfadmin or ROOT / f"target/release/cfadmin{suffix}"
    folder = f"cfadmin-{host}"
    files = [(f"{folder}/{name}", content, mode) for name, content, mode in packed(binary, f"cfadmin{suffix}")]
    if suffix:
        write_zip(options.output / f"{folder}.zip", files)
    else:
        write_tar(options.output / f"{folder}.tar.gz", files)


def checksums(options):
    """Writes the checksums of all other files."""
    files = sorted(path for path in options.output.iterdir() if path.name != "SHA256SUMS")
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (options.output / "SHA256SUMS").write_bytes("".join(lines).encode())


def main():
    steps = {"function": function, "cfadmin": cfadmin, "checksums": checksums}
    parser = argparse.ArgumentParser(description="Builds what a release consists of.")
    parser.add_argument("steps", nargs="+", choices=steps, metavar="STEP", help=", ".join(steps))
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="the folder [default: dist]")
    parser.add_argument("--function", metavar="FILE", help="take this binary for this machine instead of building")
    parser.add_argument("--cfadmin", metavar="FILE", help="take this binary instead of building")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    for step in options.steps:
        steps[step](options)


main()
