"""``run_command``: a program with its arguments, never a shell, and only one that was allowed."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from wakeful.children import Ended, Limits, NotStartedError, run_child
from wakeful.skills.errors import ToolError, near
from wakeful.skills.results import Session, Tool

LARGEST_OUTPUT = 256 * 1024
LARGEST_ARGV = 64 * 1024
LONGEST_TIMEOUT_S = 600.0

_ARGS = ("argv", "timeout", "stdin", "cwd", "allow_errors")
# What programs that are started on somebody's behalf find in their environment.
Environment = Callable[[Session], Mapping[str, str]]


def command_tool(programs: Collection[str], environment: Environment) -> Tool:
    """The tool for these programs, named as they are to be written, with this environment.

    It gives what the program printed, without the last line break. An exit code other than 0 fails the step, unless
    ``allow_errors`` is true.
    """

    async def run_command(args: Mapping[str, Any], session: Session) -> str:
        for key in args:
            if key not in _ARGS:
                raise ToolError(f"there is no argument {key!r}{near(key, _ARGS)}")
        argv = _argv(args.get("argv"), programs)
        stdin, cwd = args.get("stdin") or "", args.get("cwd")
        if not isinstance(stdin, str) or not isinstance(cwd, str | None):
            raise ToolError("stdin and cwd must be texts")
        timeout_s = _timeout(args.get("timeout"))
        limits, known = Limits(timeout_s, out=LARGEST_OUTPUT), environment(session)
        try:
            ended = await run_child(argv, known, stdin.encode("utf-8", "replace"), cwd=cwd, limits=limits)
        except NotStartedError as error:
            raise ToolError(str(error)) from None
        return _output(argv[0], ended, timeout_s, args.get("allow_errors") is True)

    return run_command


def _argv(given: Any, programs: Collection[str]) -> list[str]:
    if not isinstance(given, list) or not given:
        raise ToolError("it needs argv, a list: the program and its arguments")
    argv = [str(each) if isinstance(each, int | float) and not isinstance(each, bool) else each for each in given]
    if not all(isinstance(each, str) for each in argv):
        raise ToolError("argv must be a list of texts")
    if sum(len(each) for each in argv) > LARGEST_ARGV:
        raise ToolError(f"argv is larger than {LARGEST_ARGV} characters")
    if not programs:
        raise ToolError("no program is allowed: the configuration names those that are")
    if argv[0] not in programs:
        raise ToolError(f"the program {argv[0][:80]!r} is not allowed{near(argv[0], programs)}")
    return argv


def _output(program: str, ended: Ended, timeout_s: float, allow_errors: bool) -> str:
    if ended.timed_out:
        raise ToolError(f"{program} took longer than {timeout_s:g} s and was ended")
    text = ended.out.decode("utf-8", "replace")
    if ended.code != 0 and not allow_errors:
        said = (ended.err.decode("utf-8", "replace").strip() or text.strip())[-1000:]
        raise ToolError(f"{program}: {ended.how}" + (f": {said}" if said else ""))
    return text.removesuffix("\n") + ("\n… (cut)" if ended.out_cut else "")


def _timeout(given: Any) -> float:
    if given is None:
        return 60.0
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given <= LONGEST_TIMEOUT_S:
        raise ToolError(f"timeout must be a number of seconds up to {LONGEST_TIMEOUT_S:g}")
    return float(given)
