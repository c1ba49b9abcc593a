"""The Containerfile gives what `make images` gives. There is no engine to run it in: it is read, and compared."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from pointsman_images import debian
from pointsman_images.build import (
    ENVIRONMENTS,
    FOLDER,
    IMAGES,
    PACKAGES,
    PROGRAMS,
    PROJECT,
    SOURCES,
    VARIABLES,
    Role,
    program,
)
from pointsman_images.python import COMMANDS, USER

ESSENTIAL = frozenset({"sh", "ls", "cat", "sleep", "rm", "touch", "mkdir", "env", "id", "grep", "sed"})
"""Those that Debian's whole image has of its own"""
CONTAINERFILE = (PROJECT / "Containerfile").read_text()


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage: what it is made from, and its instructions, each with the rest of its line."""

    parent: str
    instructions: tuple[tuple[str, str], ...]

    def of(self, instruction: str) -> list[str]:
        return [rest for name, rest in self.instructions if name == instruction]


def stages(text: str) -> Mapping[str, Stage]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    arguments, found, name = dict[str, str](), dict[str, Stage](), ""
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        instruction, _, rest = line.strip().partition(" ")
        rest = re.sub(r"\$\{(\w+)\}", lambda match: arguments[match[1]], " ".join(rest.split()))
        if instruction == "ARG":
            key, _, value = rest.partition("=")
            arguments[key] = value
        elif instruction == "FROM":
            parent, _, name = rest.partition(" AS ")
            found[name] = Stage(parent=parent, instructions=())
        else:
            stage = found[name]
            found[name] = Stage(parent=stage.parent, instructions=(*stage.instructions, (instruction, rest)))
    return found


def differences(text: str) -> list[str]:
    """What the Containerfile does otherwise than `make images`."""
    read = stages(text)
    return [*_of_base(read["base"]), *_of_ours(read["ours"])] + [
        f"{name}: {difference}" for name, role in IMAGES.items() for difference in _of_image(name, role, read)
    ]


def _of_base(base: Stage) -> Iterator[str]:
    if base.parent != "{}:{}-slim".format(*debian.RELEASE):
        yield f"the base is {base.parent}"
    [run] = base.of("RUN")
    installed = run.partition("--no-install-recommends ")[2].partition(" &&")[0].split()
    if set(installed) != set(debian.PYTHON_IMAGE):
        yield f"packages: {set(installed) ^ set(debian.PYTHON_IMAGE)}"
    linked = run.partition("for command in ")[2].partition("; do ln -s busybox /usr/bin/$command;")[0].split()
    if set(linked) != set(COMMANDS) - ESSENTIAL:
        yield f"commands of busybox: {linked}"
    if base.of("USER") != [f"{USER}:{USER}"] or f"--uid {USER} --gid {USER}" not in run:
        yield f"the user is {base.of('USER')}"
    if base.of("WORKDIR") != [FOLDER]:
        yield f"the folder is {base.of('WORKDIR')}"
    if _variables(base) != VARIABLES:
        yield f"the variables are {_variables(base)}"


def _of_ours(ours: Stage) -> Iterator[str]:
    copied = {rest.split()[0] for rest in ours.of("COPY")}
    if not copied >= set(SOURCES):
        yield f"our wheel is of {copied}"


def _of_image(name: str, role: Role, read: Mapping[str, Stage]) -> Iterator[str]:
    stage = read.get(name)
    if stage is None:
        yield "there is no such target"
        return
    if stage.parent != "base" or stage.of("RUN") or stage.of("USER"):
        yield "it is more than base and what is copied"
    if [json.loads(command) for command in stage.of("CMD")] != [role.command]:
        yield f"the command is {stage.of('CMD')}"
    if {**VARIABLES, **_variables(stage)} != role.variables:
        yield f"the variables are {_variables(stage)}"
    sources = [re.match(r"--from=(\S+) ", rest) for rest in stage.of("COPY")]
    copied = [source[1] for source in sources if source is not None]
    locks = [rest.split()[0] for each in copied if each.endswith("-wheels") for rest in read[each].of("COPY")]
    if locks != [role.lock] or "ours" not in copied:
        yield f"it is made of {copied}, with {locks}"
    for each in copied:
        if each.endswith("-wheels") and not _installs(read[each], Path(role.lock).name):
            yield f"{each} does not install {role.lock} by its hashes"
    run = " ".join(rest for each in copied if each.endswith("-programs") for rest in read[each].of("RUN"))
    for command, module in role.programs.items():
        written = json.dumps(program(module)).strip('"').replace('\\"', '"')
        if f"printf '{written}' > /{PROGRAMS}/{command} " not in run:
            yield f'there is no command "{command}"'
    if role.environment is not None:
        made = [each for each in copied if each.endswith("-environment")]
        builds = f"XDG_CACHE_HOME=/{ENVIRONMENTS} python3 -m {role.environment.module}"
        if not made or builds not in " ".join(read[made[0]].of("RUN")):
            yield f"its environment is not built by {role.environment.module}"


def _installs(wheels: Stage, lock: str) -> bool:
    wanted = f"pip install --no-compile --require-hashes --only-binary :all: --target /{PACKAGES} -r {lock} "
    return any(run.startswith(wanted) for run in wheels.of("RUN"))


def _variables(stage: Stage) -> dict[str, str]:
    pairs = (pair.partition("=") for rest in stage.of("ENV") for pair in rest.split())
    return {name: value for name, _, value in pairs}


def test_it_gives_what_make_images_gives() -> None:
    assert differences(CONTAINERFILE) == []


@pytest.mark.parametrize(
    ("written", "drifted"),
    [
        pytest.param("COPY requirements/operator.txt", "COPY requirements/core.txt", id="another lock"),
        pytest.param("--require-hashes --only-binary :all: ", "--only-binary :all: ", id="no hashes"),
        pytest.param("USER 65532:65532", "USER 0:0", id="root"),
        pytest.param('"pointsman_operator"]', '"pointsman_operator", "--debug"]', id="another command"),
        pytest.param(" busybox ", " ", id="a package less"),
        pytest.param(" busybox ", " busybox curl ", id="a package more"),
        pytest.param(" wget ps kill;", " ps kill;", id="without what KubeRay's probes call"),
        pytest.param("debian:12-slim", "debian:13-slim", id="another Debian"),
        pytest.param("COPY operators operators\n", "", id="a part of our wheel left out"),
        pytest.param("COPY --from=ours /app /app\nCMD", "CMD", id="without our wheel"),
        pytest.param("pointsman_serving.kserve_python.environment", "venv", id="another environment"),
        pytest.param("/usr/local/bin/ray", "/usr/local/bin/rays", id="another command of others"),
        pytest.param("FROM base AS mlflow", "FROM base AS registry", id="an image less"),
    ],
)
def test_what_drifts_is_seen(written: str, drifted: str) -> None:
    assert written in CONTAINERFILE

    assert differences(CONTAINERFILE.replace(written, drifted)) != []
