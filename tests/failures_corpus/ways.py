"""The ways: scripts that really fail, each with its cause and whose it is. No two variants have host, user, path or time
in common. Ways whose names fall into the other half were not looked at while the rules were written.
"""

from __future__ import annotations

import hashlib
import shlex
import sys
from dataclasses import dataclass

EXPERIMENT = "experiment"


@dataclass(frozen=True)
class Variant:
    """What differs from one job to the next of the same way."""

    host: str
    user: str
    folder: str
    run: int
    stamp: str


VARIANTS = (
    Variant("fnpc7011.fnal.gov", "alice", "/scratch/dir_4711/glide_Xy12Ab", 10412, "2026-11-30 03:14:07,123"),
    Variant("wn-204-11-33-01-a.cr.cnaf.infn.it", "novapro", "/tmp/condor/execute/dir_99812", 88, "Nov 30 23:59:01"),
    Variant("gridworker12.ph.ic.ac.uk", "uboonepro", "/data2/jobs/3f1c0a9e-7c1b-4d7e-9a35-0b8b3c5d1e2f", 700123, "30-Nov-2026 11:02:44 UTC"),
    Variant("b9p14p2033.cern.ch", "mmuster", "/pool/condor/dir_20017", 5, "2026-12-01T08:09:10.456Z"),
)  # fmt: skip


@dataclass(frozen=True)
class Way:
    """One way to fail: its script in shell with {host}, {user}, {folder}, {run}, {stamp} and {py} in it."""

    name: str
    cause: str
    owner: str
    script: str
    memory_mb: int = 300
    wall_s: int = 60
    late: bool = False

    @property
    def is_held_out(self) -> bool:
        """Tell whether it belongs to the half that nobody tuned the rules by."""
        return self.late or int(hashlib.sha256(self.name.encode()).hexdigest(), 16) % 2 == 1

    def job(self, variant: Variant, python: str = sys.executable) -> str:
        """Return the script of one job."""
        text = BEFORE + self.script
        for name, value in {**vars(variant), "py": shlex.quote(python)}.items():
            text = text.replace("{" + name + "}", str(value))
        return text


BEFORE = """
echo "{stamp} {host} job of {user} starts in {folder}"
echo "Begin processing the 1st record. run: {run} subRun: 1 event: 1 at {stamp}"
echo "ifdh: cp /pnfs/demo/persistent/{user}/r{run}.root {folder}/r{run}.root"
echo "{stamp} WARNING slow response of {host}, retrying in {run} s" >&2
"""


def python(body: str, name: str = "reco.py") -> str:
    """Return shell that writes a program into the sandbox and runs it."""
    return f"cat > {name} <<'PROGRAM'\n{body.strip()}\nPROGRAM\n{{py}} {name}\n"


def says(exit_code: int, *lines: str, out: bool = False) -> str:
    """Return shell that ends as a program does that is not installed here, with its messages as they are."""
    told = "\n".join(lines)
    return f"cat {'' if out else '>&2 '}<<'TEXT'\n{told}\nTEXT\nexit {exit_code}\n"


SERVER = """
import threading, http.server
class Catalogue(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(STATUS); self.end_headers(); self.wfile.write(b"no")
    def log_message(self, *a): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Catalogue)
threading.Thread(target=server.serve_forever, daemon=True).start()
port = server.server_port
"""
# A copy of a program that wants a library which nobody has: its name is written over that of one that it needs.
LIBRARY = python(
    """
import os, re, shutil
found = shutil.which("ls")
data = open(found, "rb").read()
names = [m for m in re.findall(rb"lib[a-z]+\\.so\\.[0-9]+", data) if m != b"libc.so.6"]
need = names[0]
fake = (b"libNovaGen")[: need.index(b".")].ljust(need.index(b"."), b"x") + need[need.index(b"."):]
open("nova_{run}", "wb").write(data.replace(need, fake))
os.chmod("nova_{run}", 0o755)
os.execv("./nova_{run}", ["nova_{run}"])
""",
    "start.py",
)

WAYS: tuple[Way, ...] = (
    Way("memory_limit", "memory", EXPERIMENT, python("""
import time
kept = []
for n in range(60):
    kept.append(bytearray(b"x") * (20 << 20))
    print("event", n * {run}, flush=True)
    time.sleep(0.05)
"""), memory_mb=150),
    Way("memory_error", "memory", EXPERIMENT, "ulimit -v 400000\n" + python("""
def load(path):
    return bytearray(1 << 33)
load("{folder}/r{run}.root")
""")),
    Way("bad_alloc", "memory", EXPERIMENT, says(
        134, "terminate called after throwing an instance of 'std::bad_alloc'", "  what():  std::bad_alloc",
        "{folder}/run.sh: line {run}: {run} Aborted                 (core dumped) nova -c prod.fcl -n {run}")),
    Way("wall_limit", "time", EXPERIMENT, "echo 'event {run}'\nsleep 60\n", wall_s=2),
    Way("file_missing", "input", EXPERIMENT, python("""
def read(path):
    with open(path, "rb") as file:
        return file.read()
read("{folder}/input/{user}_r{run}_s01.root")
""")),
    Way("root_missing", "input", EXPERIMENT, says(
        1, "Error in <TFile::TFile>: file {folder}/neardet_r{run}_s12.root does not exist")),
    Way("root_truncated", "input", EXPERIMENT, says(
        1, "{stamp} opening file {folder}/r{run}.root",
        "Error in <TFile::ReadBuffer>: error reading all requested bytes from file {folder}/r{run}.root, got {run} of 300",
        "Error in <TFile::Init>: {folder}/r{run}.root failed to read the file header.")),
    Way("gzip_corrupt", "input", EXPERIMENT,
        "head -c 4000 /dev/urandom | gzip -c > events_{run}.dat.gz\n"
        "printf '\\000\\001\\002\\003\\004\\005' | dd of=events_{run}.dat.gz bs=1 seek=2000 conv=notrunc 2>/dev/null\n"
        "gzip -dc events_{run}.dat.gz > events_{run}.dat\n"),
    Way("checksum", "input", EXPERIMENT,
        "echo {user} > raw_{run}.dat\n"
        "echo 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  raw_{run}.dat' | sha256sum -c\n"),
    Way("library_missing", "software", EXPERIMENT, LIBRARY),
    Way("module_missing", "software", EXPERIMENT, python("import nova_reconstruction\n")),
    Way("product_missing", "software", EXPERIMENT, says(
        6, "{stamp} setting up for {user} on {host}",
        "ERROR: Product 'novasoft' (with qualifiers 'e20:prof'), has no v{run} version (or may not exist)",
        "ERROR: Setup failed: No such product novasoft")),
    Way("segfault", "software", EXPERIMENT, python("import ctypes\nprint('run {run}', flush=True)\nctypes.string_at(0)\n")),
    Way("heap", "software", EXPERIMENT, says(
        134, "malloc(): corrupted top size",
        "{folder}/run.sh: line 12: {run} Aborted                 (core dumped) lar -c reco_{run}.fcl")),
    Way("abort", "software", EXPERIMENT, python("import os\nprint('run {run} at {stamp}', flush=True)\nos.abort()\n")),
    Way("value_error", "software", EXPERIMENT, python("""
import logging
logging.basicConfig(format="{stamp} {host} %(levelname)s %(message)s")
def calibrate(run):
    logging.error("run %d has no constants", run)
    raise ValueError(f"run {run} of {'{user}'} has no constants in window {run * 7}-{run * 9}")
def main():
    calibrate({run})
main()
""")),
    Way("key_error", "software", EXPERIMENT, python("""
def geometry(name):
    return {"near": 1}[name]
geometry("far detector")
""", "geometry.py")),
    Way("art_exception", "software", EXPERIMENT, says(
        1, "%MSG-s ArtException:  PostEndJob {stamp} ModuleEndJob", "cet::exception caught in art",
        "---- EventProcessorFailure BEGIN", "  EventProcessor: an exception occurred during current event processing",
        "  ---- ScheduleExecutionFailure BEGIN",
        "    Path: ProcessingStopped.", "    ---- NotFound BEGIN",
        "      HitMaker: no hits with label daq for run: {run} subRun: 3 event: {run}",
        "      The above exception was thrown while processing module HitMaker/hits run: {run} subRun: 3 event: {run}",
        "    ---- NotFound END", "    Exception going through path reco", "  ---- ScheduleExecutionFailure END",
        "---- EventProcessorFailure END", "%MSG", "Art has completed and will exit with status 1.")),
    Way("out_of_range", "software", EXPERIMENT, says(
        134, "terminate called after throwing an instance of 'std::out_of_range'",
        "  what():  vector::_M_range_check: __n (which is {run}) >= this->size() (which is {run})")),
    Way("geant4", "software", EXPERIMENT, says(
        1, "-------- EEEE ------- G4Exception-START -------- EEEE -------", "*** G4Exception : GeomVol0002",
        "      issued by : G4PVPlacement::CheckOverlaps()", "Overlap with volume already placed!",
        "*** Fatal Exception *** core dump ***", "**** Track information is not available at this moment",
        "-------- EEEE -------- G4Exception-END --------- EEEE -------")),
    Way("fhicl", "submission", EXPERIMENT, says(
        90, "Failed to parse the configuration file 'prod_{user}_{run}.fcl' with exception",
        "---- Parse error BEGIN", "  detected at or near line {run}, character 7, of file \"{folder}/prod_{user}_{run}.fcl\"",
        "  services.TFileService.fileName: @local::", "---- Parse error END")),
    Way("option_unknown", "submission", EXPERIMENT, python("""
import argparse
parser = argparse.ArgumentParser(prog="gen")
parser.add_argument("--events")
parser.parse_args(["--evnts", "{run}"])
""")),
    Way("command_missing", "submission", EXPERIMENT, "nova_reco -n {run} -o {folder}/out.root\n"),
    Way("not_executable", "submission", EXPERIMENT, "echo 'run {run}' > reco_job\nchmod 644 reco_job\n./reco_job\n"),
    Way("disk_full", "node", "batch", python("""
def write(path, run):
    with open(path, "wb", buffering=0) as file:
        file.write(b"x" * run)
print("writing {folder}/r{run}.root", flush=True)
write("/dev/full", {run})
""", "writer.py")),
    Way("io_error", "node", "batch", "cat /proc/self/mem > r{run}.dat\n"),
    Way("illegal_instruction", "node", "batch", "echo 'run {run}'\nkill -ILL $$\n"),
    Way("drained", "node", "batch", "echo 'run {run} at {stamp}'\nexit 143\n"),
    Way("cvmfs", "service", "cvmfs", "set -e\n. /cvmfs/nova.opensciencegrid.org/novasoft/slf7/setup_{run}.sh\n"),
    Way("dns", "service", "network", python("""
import socket
def resolve(name):
    return socket.getaddrinfo(name, 443)
resolve("{host}.invalid")
""", "copy.py")),
    Way("catalogue_refused", "service", "catalogue", python("""
import socket, urllib.request
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
def next_file(url):
    return urllib.request.urlopen(url).read()
next_file(f"http://127.0.0.1:{port}/sam/demo/api/projects/name/{user}_{run}")
""", "samweb_client.py")),
    Way("catalogue_busy", "service", "catalogue", python(SERVER.replace("STATUS", "503") + """
import urllib.request
def locate(name):
    return urllib.request.urlopen(f"http://127.0.0.1:{port}/data/{name}").read()
locate("{user}_r{run}.root")
""", "metacat_client.py")),
    Way("xrootd", "service", "storage", says(
        54, "[{stamp}][ERROR  ] [XCp] unable to open root://{host}:1094//pnfs/demo/{user}/r{run}.root",
        "Run: [FATAL] Socket timeout: (source)")),
    Way("gfal", "service", "storage", says(
        1, "{stamp} {host} copying {folder}/r{run}.root to https://{host}:2880/pnfs/demo/{user}/r{run}.root",
        "gfal-copy error: 110 (Connection timed out) - TRANSFER ERROR: Copy failed (streamed). Last attempt: "
        "(Neon): Could not connect to server")),
    Way("proxy_expired", "credential", "tokens", says(
        1, "ERROR: proxy of /DC=org/DC=incommon/C=US/CN={user} in /tmp/x509up_u{run} has expired {run} s ago")),
    Way("token_refused", "credential", "tokens", python(SERVER.replace("STATUS", "401") + """
import urllib.request
def store(path):
    asked = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"X-Run": "{run}"})
    return urllib.request.urlopen(asked).read()
store("/pnfs/demo/{user}/r{run}.root")
""", "store.py")),
    Way("certificate_expired", "credential", "tokens", python("""
import datetime as d
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "{user}")])
made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number({run})
made = made.not_valid_before(d.datetime(2020, 1, 1)).not_valid_after(d.datetime(2020, 1, 2)).sign(key, hashes.SHA256())
open("proxy.pem", "wb").write(made.public_bytes(serialization.Encoding.PEM))
""", "make_proxy.py") + "openssl verify -CAfile proxy.pem proxy.pem >&2\n"),
    # Written when the rules were done, so that all of these are held out.
    Way("exec_format", "submission", EXPERIMENT, "head -c 200 /dev/urandom > reco_{run}\nchmod 755 reco_{run}\n./reco_{run}\n",
        late=True),
    Way("import_name", "software", EXPERIMENT, python("from json import calibrate\n", "hits.py"), late=True),
    Way("zero_division", "software", EXPERIMENT, python("""
def efficiency(found, made):
    return found / made
print("run {run} of {user}: efficiency", efficiency({run}, 0))
""", "plots.py"), late=True),
    Way("gzip_short", "input", EXPERIMENT, python("""
import gzip
whole = gzip.compress(bytes(range(256)) * {run})
open("r{run}.dat.gz", "wb").write(whole[: len(whole) // 2])
def unpack(name):
    return gzip.open(name).read()
unpack("r{run}.dat.gz")
""", "unpack.py"), late=True),
    Way("curl_dns", "service", "network", "curl -sS --max-time 20 https://{host}.invalid/{user}/r{run}.root -o r{run}.root\n",
        late=True),
    Way("rucio_error", "service", "catalogue", python(SERVER.replace("STATUS", "502") + """
import urllib.request
def list_replicas(name):
    return urllib.request.urlopen(f"http://127.0.0.1:{port}/replicas/{name}").read()
list_replicas("{user}:r{run}.root")
""", "rucio_client.py"), late=True),
    Way("ticket_expired", "credential", "tokens", says(
        1, "{stamp} {host} kx509: Ticket expired (server principal krbtgt/FNAL.GOV@FNAL.GOV) for {user}@FNAL.GOV"), late=True),
    Way("stale_handle", "service", "storage", says(
        1, "cp: cannot stat '/pnfs/demo/scratch/users/{user}/r{run}.root': Stale file handle"), late=True),
    Way("quota", "node", "batch", says(1, "{stamp} cannot write {folder}/r{run}.root: Disk quota exceeded"), late=True),
    Way("symbol_lookup", "software", EXPERIMENT, says(
        127, "nova: symbol lookup error: {folder}/lib/libHits.so: undefined symbol: _ZN4nova4HitsC1Ev"), late=True),
)  # fmt: skip
