"""Stand in front of a submit command: tag what it submits, note the job ids that it reports, change nothing else.

mark: poms-submit-wrapper

One file without dependencies, for Python 3.6 and later. The launch shim puts it, under the name of each command that it
knows, first on the PATH of a launch's script. It finds the real command on the rest of the PATH and runs it with

* the words that POMS_SUBMIT_WORDS gives for it, before those of the script: a pair [option, value] unless the script
  says that option itself, in whatever spelling the command takes (in a batch script's #SBATCH lines too), a single
  [word] always;
* the script's words, environment, standard input and error as they are, byte for byte;
* its standard output through a pipe. Ids are noted in POMS_JOB_IDS_FILE before the line that reports them is passed on.

A signal that it is sent goes on to the command, and it ends as the command ends: with its exit code, or by its signal.
What is reported counts whatever the exit code is: jobsub_submit ends with 0 after a failure, and scripts are killed.

Outside a launch (no POMS_SUBMISSION_ID), and below a submit command that it already stands in front of, it becomes the
real command at once. It cannot see a command that is called by its full path.

Killed between the submit and the note, it leaves jobs that nobody noted. They carry the uuid, by which the batch system
is asked before anything is launched again, so they are found and adopted; nothing here needs to be durable for that.
"""

import json
import os
import re
import resource
import select
import signal
import sys

NAMES = ("jobsub_submit", "condor_submit", "condor_submit_dag", "sbatch")
MARK = b"mark: poms-submit-wrapper"
# Below a command that we stand in front of, its own helpers are not ours to tag or to note.
BELOW = b"POMS_SUBMITTING"
CHUNK_BYTES = 1 << 16
LINE_BYTES = 1 << 16
SCRIPT_BYTES = 1 << 20

# What is passed on to the command. Those that were ignored when we began stay ignored, as the command inherits that.
PASSED_ON = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGALRM,
    signal.SIGCONT,
)
# What Python ignores for its own sake.
SET_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)

# Spellings of one option, and options that say the same thing or exclude each other: whoever says one has said all.
SPELLINGS = {
    "jobsub_submit": (
        ("--blocklist", "--blacklist"),
        ("-c", "--append-condor-requirements", "--append_condor_requirements"),
        ("--onsite", "--onsite-only", "--offsite", "--offsite-only", "--site", "--resource-provides usage_model"),
        ("-e", "--environment"),
        ("-l", "--lines"),
        ("-G", "--group"),
    ),
    "sbatch": (
        ("-A", "--account"),
        ("-a", "--array"),
        ("-C", "--constraint"),
        ("-c", "--cpus-per-task"),
        ("-G", "--gpus", "--gpus-per-node", "--gpus-per-task", "--gres gpu"),
        ("-J", "--job-name"),
        ("--mem", "--mem-per-cpu", "--mem-per-gpu"),
        ("-n", "--ntasks"),
        ("-N", "--nodes"),
        ("-p", "--partition"),
        ("-q", "--qos"),
        ("-t", "--time"),
        ("-w", "--nodelist"),
        ("-x", "--exclude"),
    ),
    "condor_submit": (("-a", "-append"), ("-n", "-name")),
    "condor_submit_dag": (("-a", "-append"), ("-include_env",), ("-insert_env",)),
}
# Options that are said many times, for different things: what counts is the name before the value's equals sign.
MANY = ("--resource-provides", "-e", "--environment", "-l", "--lines", "-a", "-append", "--gres")
# Options of sbatch without a value of their own; any other takes the next word if it has no equals sign.
SBATCH_LONE = (
    "--contiguous", "--exclusive", "--get-user-env", "--help", "--hold", "--ignore-pbs", "--no-kill", "--no-requeue",
    "--nice", "--overcommit", "--oversubscribe", "--parsable", "--propagate", "--quiet", "--reboot", "--requeue",
    "--share", "--spread-job", "--test-only", "--usage", "--use-min-nodes", "--verbose", "--version", "--wait",
)  # fmt: skip
# With these, sbatch reads no batch script.
SBATCH_SCRIPTLESS = ("--wrap", "--help", "-h", "--usage", "-u", "--version", "-V")
SBATCH_LONE_LETTERS = "HhkOQsuVvW"

USE_JOB_ID = re.compile(rb"Use job id (?P<id>[0-9.]+@[^ ]+) to retrieve")
TO_CLUSTER = re.compile(rb"(?P<n>\d+) job\(s\) submitted to cluster (?P<cluster>\d+)")
TERSE = re.compile(rb"^(?P<cluster>\d+)\.(?P<first>\d+) - (?P=cluster)\.(?P<last>\d+)\s*$")
BATCH_JOB = re.compile(rb"Submitted batch job (?P<id>\d+)(?: on cluster (?P<cluster>\S+))?")
PARSABLE = re.compile(rb"^(?P<id>\d+)(?:;(?P<cluster>\S+))?\s*$")


def main(argv: "list[str]") -> int:
    """Stand in front of the command by whose name we were called; return its exit code, or end as it ended."""
    name = os.path.basename(argv[0])
    env = surroundings()
    real = find_real(name, env.get(b"PATH", b"/bin:/usr/bin"))
    if real is None:
        complain("%s is not on the PATH of this script" % name)
        return 127
    words = [os.fsencode(word) for word in argv[1:]]
    command = [os.fsencode(name)]
    if b"POMS_SUBMISSION_ID" not in env or BELOW in env:
        become(real, command + words, env)
    said = said_by_script(name, [os.fsdecode(word) for word in words])
    try:
        added = added_words(name, said, env)
    except ValueError as error:
        complain("POMS_SUBMIT_WORDS cannot be read (%s): nothing was submitted" % error)
        return 125
    env[BELOW] = command[0]
    return attend(real, command + added + words, env, Notes(name, said, env))


def surroundings() -> "dict[bytes, bytes]":
    """Return the environment that we were given: Python changes its own where the locale is C."""
    try:
        with open("/proc/self/environ", "rb") as file:
            data = file.read()
    except OSError:
        return dict(os.environb)
    return dict(entry.split(b"=", 1) for entry in data.split(b"\0") if b"=" in entry)


def find_real(name: str, path: bytes) -> "bytes | None":
    """Return the first program of this name on a PATH that is no wrapper, of whatever version."""
    for place in path.split(b":"):
        found = os.path.join(place or b".", os.fsencode(name))
        if os.access(found, os.X_OK) and os.path.isfile(found) and not is_wrapper(found):
            return found
    return None


def is_wrapper(path: bytes) -> bool:
    """Tell whether a program is this one."""
    try:
        with open(path, "rb") as file:
            return MARK in file.read(8192)
    except OSError:
        return False  # a program that may be run but not read


def become(real: bytes, argv: "list[bytes]", env: "dict[bytes, bytes]") -> None:
    """Replace ourselves by the real command, with nothing of ours left."""
    for number in SET_BY_PYTHON:
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execve(real, argv, env)  # noqa: S606 - argv as it is, no shell
    except OSError as error:
        complain("%s cannot be started: %s" % (os.fsdecode(real), error.strerror))
        os._exit(126)


def complain(text: str) -> None:
    """Say something of our own where a person looks for it."""
    os.write(2, os.fsencode("poms: %s\n" % text))


# ----------------------------------------------------------------------------------------------------- words


def added_words(name: str, said: "list[tuple[str, str]]", env: "dict[bytes, bytes]") -> "list[bytes]":
    """Return what is added to the script's words, of which these are options. Raises ValueError."""
    told = json.loads(env.get(b"POMS_SUBMIT_WORDS", b"{}").decode("utf-8"))
    wanted = told.get(name, []) if isinstance(told, dict) else None
    if not isinstance(wanted, list) or not all(is_entry(entry) for entry in wanted):
        raise ValueError("it holds something else than words for %s" % name)
    added = []  # type: list[str]
    for entry in wanted:
        if len(entry) == 1 or not says(name, entry[0], entry[1], said):
            # What is no option is a command of the submit description, which takes its value behind an equals sign.
            added += entry if len(entry) == 1 or entry[0].startswith("-") else ["%s=%s" % (entry[0], entry[1])]
    return [word.encode("utf-8", "surrogateescape") for word in added]


def is_entry(entry: object) -> bool:
    """Tell whether this is a word or a pair of words."""
    return isinstance(entry, list) and len(entry) in (1, 2) and all(isinstance(word, str) for word in entry)


def said_by_script(name: str, words: "list[str]") -> "list[tuple[str, str]]":
    """Return the options that the script says, each with its value if it has one, in the spelling that it uses."""
    if name == "jobsub_submit":
        return options_of(before_executable(words), letters=True)
    if name == "sbatch":
        said, rest = options_of_sbatch(words)
        if not any(option in SBATCH_SCRIPTLESS for option, _ in said):
            said += options_in_script(rest[0] if rest else None)
        return said
    return options_of(words, letters=False)


def before_executable(words: "list[str]") -> "list[str]":
    """Return the words that jobsub_submit takes for itself: what follows the executable is the job's."""
    for number, word in enumerate(words):
        if word.startswith("file://") and (number == 0 or words[number - 1] != "-f"):
            return words[:number]
    return words


def options_of(words: "list[str]", letters: bool) -> "list[tuple[str, str]]":
    """Return each word that looks like an option, with what stands behind its equals sign or as the next word.

    Which options take no value is the command's to know: then the next word is an option itself, or does no harm.
    With `letters`, a value may follow the letter of an option at once.
    """
    said = []
    for number, word in enumerate(words):
        following = words[number + 1] if number + 1 < len(words) else ""
        if word.startswith("--"):
            option, equals, value = word.partition("=")
            said.append((option, value if equals else following))
        elif word.startswith("-") and len(word) > 1:
            option, equals, value = word.partition("=")
            said.append((option, value if equals else following))
            if letters and len(word) > 2:
                said.append((word[:2], word[2:].lstrip("=")))
        elif "=" in word:
            option, _, value = word.partition("=")
            said.append((option.strip().lower(), value))
    return said


def options_of_sbatch(words: "list[str]") -> "tuple[list[tuple[str, str]], list[str]]":
    """Return the options before the batch script, and the words from the script on."""
    said = []  # type: list[tuple[str, str]]
    number = 0
    while number < len(words):
        word = words[number]
        number += 1
        if word == "--":
            break
        if word.startswith("--"):
            option, equals, value = word.partition("=")
            if not equals and not is_lone(option) and number < len(words):
                value = words[number]
                number += 1
            said.append((option, value))
        elif word.startswith("-") and len(word) > 1:
            letters = word[1:]
            while letters and letters[0] in SBATCH_LONE_LETTERS:
                said.append(("-" + letters[0], ""))
                letters = letters[1:]
            if letters:
                value = letters[1:]
                if not value and number < len(words):
                    value = words[number]
                    number += 1
                said.append(("-" + letters[0], value))
        else:
            number -= 1
            break
    return said, words[number:]


def is_lone(option: str) -> bool:
    """Tell whether an option of sbatch has no value of its own; it may be cut short."""
    return option in SBATCH_LONE or sum(lone.startswith(option) for lone in SBATCH_LONE) == 1


def options_in_script(path: "str | None") -> "list[tuple[str, str]]":
    """Return what a batch script says in its #SBATCH lines, which what stands on the command line would overrule."""
    try:
        data = read_head(path)
    except OSError:
        return []  # sbatch itself will say what is wrong with it
    said = []
    for line in data.decode("utf-8", "surrogateescape").splitlines():
        if line.startswith("#SBATCH"):
            words = line[len("#SBATCH") :].split("#")[0].split()
            said += options_of_sbatch([word.strip("'\"") for word in words])[0]
        elif line.strip() and not line.startswith("#"):
            break  # sbatch reads no further
    return said


def read_head(path: "str | None") -> bytes:
    """Return the beginning of a batch script; one that comes by standard input is still there afterwards."""
    if path is not None:
        with open(path, "rb") as file:
            return file.read(SCRIPT_BYTES)
    if os.isatty(0):
        return b""
    try:
        return os.pread(0, SCRIPT_BYTES, os.lseek(0, 0, os.SEEK_CUR))
    except OSError:
        pass  # a pipe: what is taken out of it is given to the command in a file
    import tempfile  # noqa: PLC0415 - it takes longer to load than all else here, and is hardly ever needed

    with tempfile.TemporaryFile() as kept:
        data = b""
        while True:
            piece = os.read(0, CHUNK_BYTES)
            if not piece:
                break
            kept.write(piece)
            data += piece[: max(0, SCRIPT_BYTES - len(data))]
        kept.flush()
        kept.seek(0)
        os.dup2(kept.fileno(), 0)
    return data


def says(name: str, option: str, value: str, said: "list[tuple[str, str]]") -> bool:
    """Tell whether an option, or one that means or excludes the same, is among those that the script says."""
    wanted = meaning(option, value)
    group = {wanted}
    for spellings in SPELLINGS.get(name, ()):
        if wanted in spellings or wanted.partition(" ")[0] in spellings:
            # For an option that is said many times, the thing that it is said for is the same in each spelling.
            thing = wanted.partition(" ")[2] if wanted not in spellings else ""
            group |= {"%s %s" % (spelling, thing) if thing else spelling for spelling in spellings}
    return any(is_spelling(name, spelling, told, text) for told, text in said for spelling in group)


def meaning(option: str, value: str) -> str:
    """Return what an option is said for."""
    return "%s %s" % (option, thing_of(value)) if option in MANY else option


def thing_of(value: str) -> str:
    """Return the name of what a value is for: `usage_model=X`, `+Attr = 1`, `gpu:2`."""
    return re.split("[=:]", value, maxsplit=1)[0].strip().lower()


def is_spelling(name: str, spelling: str, told: str, text: str) -> bool:
    """Tell whether an option as the script writes it is this one: whole, or cut short as the commands allow."""
    option, _, thing = spelling.partition(" ")
    if thing and thing_of(text) != thing:
        return False
    if not option.startswith("-"):
        return told == option.lower()
    if option.startswith("--"):
        return len(told) > 2 and told.startswith("--") and option.startswith(told)
    if name.startswith("condor_"):
        # Words of one or two dashes, in any case, cut short.
        bare = told.lstrip("-").lower()
        return told.startswith("-") and bool(bare) and option[1:].startswith(bare)
    return told == option


# ------------------------------------------------------------------------------------------------------- ids


class Notes:
    """Reads what the command prints, line by line, and notes the job ids in it."""

    def __init__(self, name: str, said: "list[tuple[str, str]]", env: "dict[bytes, bytes]") -> None:
        self.path = env.get(b"POMS_JOB_IDS_FILE")
        self.read = {"jobsub_submit": self._jobsub, "sbatch": self._sbatch}.get(name, self._condor)
        self.parsable = any(len(option) > 4 and "--parsable".startswith(option) for option, _ in said)
        self.schedd = schedd_of(name, said, env)
        self.array = next((text for option, text in reversed(said) if option in ("-a", "--array")), "")
        self.cluster = env.get(b"POMS_CLUSTER", b"")  # of Slurm, which says it only where there are several
        self.procs = {}  # type: dict[bytes, int]
        self.rest = b""

    def add(self, data: bytes) -> None:
        """Take a piece of the output."""
        lines = (self.rest + data).split(b"\n")
        self.rest = lines.pop()[-LINE_BYTES:]
        self._note([name for line in lines for name in self.read(line)])

    def end(self) -> None:
        """Take what the output ended with."""
        rest, self.rest = self.rest, b""
        if rest:
            self._note(self.read(rest))

    def _note(self, ids: "list[bytes]") -> None:
        if not ids or not self.path:
            return
        try:
            fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                # All of a line's ids in one write, so that those of submits at the same time do not mix.
                write_all(fd, b"\n".join(ids) + b"\n")
            finally:
                os.close(fd)
        except OSError as error:
            complain("job ids could not be noted, the batch system will be asked: %s" % error)

    def _jobsub(self, line: bytes) -> "list[bytes]":
        """Return the ids of each of the jobs of a cluster: only the first one's is printed in full."""
        counted = TO_CLUSTER.search(line)
        if counted:
            self.procs[counted.group("cluster")] = int(counted.group("n"))
        found = USE_JOB_ID.search(line)
        if not found:
            return []
        cluster, schedd = found.group("id").split(b"@", 1)
        cluster, _, proc = cluster.partition(b".")
        n = self.procs.get(cluster, 0)
        if n > 1 or (n and not proc):
            return [b"%s.%d@%s" % (cluster, number, schedd) for number in range(n)]
        return [found.group("id")]

    def _condor(self, line: bytes) -> "list[bytes]":
        """Return the ids of a cluster; none where the schedd is not known, for half an id is another job's."""
        if not self.schedd:
            return []  # the batch system is asked by uuid
        counted, terse = TO_CLUSTER.search(line), TERSE.search(line)
        if counted:
            cluster, numbers = counted.group("cluster"), range(int(counted.group("n")))
        elif terse:
            cluster, numbers = terse.group("cluster"), range(int(terse.group("first")), int(terse.group("last")) + 1)
        else:
            return []
        return [b"%s.%d%s" % (cluster, number, self.schedd) for number in numbers]

    def _sbatch(self, line: bytes) -> "list[bytes]":
        found = PARSABLE.search(line) if self.parsable else BATCH_JOB.search(line)
        if not found:
            return []
        cluster = found.group("cluster") or self.cluster
        return [b"%s%s@%s" % (found.group("id"), task, cluster) for task in tasks_of(self.array)] if cluster else []


def schedd_of(name: str, said: "list[tuple[str, str]]", env: "dict[bytes, bytes]") -> bytes:
    """Return `@` and the schedd that a command of HTCondor goes to, as far as one can know."""
    words = ("name", "remote") if name == "condor_submit" else ("remote",)
    for option, text in said:
        bare = option.lstrip("-").lower()
        if text and bare and option.startswith("-") and any(word.startswith(bare) for word in words):
            return b"@" + os.fsencode(text)
    for variable in (b"_CONDOR_SCHEDD_HOST", b"_condor_SCHEDD_HOST", b"POMS_SCHEDD"):
        if env.get(variable):
            return b"@" + env[variable]
    return b""


def tasks_of(array: str) -> "list[bytes]":
    """Return what is appended to a job's number for each task of an array, `0-9:3,20%4`; nothing for a plain job."""
    tasks = []
    for part in array.partition("%")[0].split(","):
        matched = re.match(r"^\s*(\d+)(?:-(\d+)(?::(\d+))?)?\s*$", part)
        if not matched:
            return [b""]
        first, last, step = matched.groups()
        tasks += [b"_%d" % n for n in range(int(first), int(last or first) + 1, max(1, int(step or 1)))]
    return tasks


# --------------------------------------------------------------------------------------------------- running


def attend(real: bytes, argv: "list[bytes]", env: "dict[bytes, bytes]", notes: Notes) -> int:
    """Run the real command to its end with its output through our hands; return its exit code or die as it did."""
    open_closed()
    pipe, pipe_end = os.pipe()
    wake, wake_end = os.pipe()
    for fd in (pipe, wake, wake_end):
        os.set_blocking(fd, False)
    heard = [number for number in PASSED_ON if signal.getsignal(number) != signal.SIG_IGN]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [*heard, signal.SIGCHLD])
    of_children = signal.signal(signal.SIGCHLD, lambda number, frame: None)
    child = os.fork()
    if child == 0:
        for number in heard:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGCHLD, of_children)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.dup2(pipe_end, 1)
        become(real, argv, env)  # inherits every descriptor that we inherited: among them the lock of the launch
    os.close(pipe_end)
    alive = [child]

    def pass_on(number: int, frame: object) -> None:
        for pid in alive:
            os.kill(pid, number)

    for number in heard:
        signal.signal(number, pass_on)
    signal.set_wakeup_fd(wake_end)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    stream = Stream(pipe, notes)
    while True:
        ready, _, _ = select.select([wake] if stream.at_end else [wake, pipe], [], [])
        if pipe in ready:
            stream.pass_on()
        if wake in ready:
            os.read(wake, 4096)
        # Looked at before it is reaped, so that no signal is passed on to whoever gets its number.
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None:
            alive.clear()
            break
    status = os.waitpid(child, 0)[1]
    stream.pass_on()
    notes.end()
    if not stream.at_end and os.fork() == 0:
        # Something that the command left behind may still print: whoever reads our output waits for its end too.
        for number in heard:
            signal.signal(number, signal.SIG_DFL)
        os.set_blocking(pipe, True)
        stream.pass_on()
        os._exit(0)
    return end_as(status)


class Stream:
    """Passes the command's output on, after its ids were noted."""

    def __init__(self, pipe: int, notes: Notes) -> None:
        self.pipe = pipe
        self.notes = notes
        self.at_end = False
        self.unread = False

    def pass_on(self) -> None:
        """Pass on what there is; a reader who went away does not end a submit that is under way."""
        while not self.at_end:
            try:
                data = os.read(self.pipe, CHUNK_BYTES)
            except BlockingIOError:
                return
            self.at_end = not data
            self.notes.add(data)
            if not self.unread:
                try:
                    write_all(1, data)
                except OSError:
                    self.unread = True  # read on nevertheless: what was submitted must be noted


def write_all(fd: int, data: bytes) -> None:
    """Write all of data, also where the other side lets nobody wait."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            select.select([], [fd], [])


def open_closed() -> None:
    """Open what a script closed of the three streams, or our pipes would take their numbers."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def end_as(status: int) -> int:
    """Return the exit code of a wait status; die by the signal if there was one, as the caller would have seen it."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
        os.kill(os.getpid(), number)
    return os.WEXITSTATUS(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
