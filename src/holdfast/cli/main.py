"""The `holdfast` command: one line in, plain words out.

An error is one line, a `hint:` line when there is something to do, and exit code 2. Data goes to stdout, everything
else to stderr; with `--json` the last line of stdout is one JSON object. `run` is what the supervisor calls, once per
process: it goes past the argument parser, which takes longer to import than a keeper takes to start.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

EXIT_REFUSED, EXIT_BROKEN, EXIT_DEGRADED, EXIT_INTERRUPTED = 2, 3, 4, 130


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command and exit: 0 well, 2 the caller must change something, 3 broken, 4 try later, 130 interrupted."""
    from holdfast.core.errors import Broken, Degraded, Refused

    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if words[:1] == ["run"] and "--help" not in words:
            _run(words[1:])
        else:
            from holdfast.cli.commands import call

            call(words)
    except Refused as e:
        _fail(str(e), e.hint, EXIT_REFUSED)
    except Degraded as e:
        _fail(str(e), e.hint or "try again in a moment; `holdfast status` says what is running", EXIT_DEGRADED)
    except Broken as e:
        _fail(str(e), "", EXIT_BROKEN)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:  # `holdfast … | head`
        sys.stderr.close()


def _fail(message: str, hint: str, code: int) -> None:
    print(message, file=sys.stderr)
    if hint:
        print(f"hint: {hint}", file=sys.stderr)
    sys.exit(code)


def _run(words: list[str]) -> None:
    """`run ROLE [--region NAME] --dir DIR`: one process of a region."""
    from holdfast.adapters.home import Home
    from holdfast.core.errors import Refused
    from holdfast.region.roles import role_named, run

    options = dict(zip(words[1::2], words[2::2], strict=False))
    unknown = set(options) - {"--region", "--dir"}
    if not words or unknown or len(words) % 2 == 0 or "--dir" not in options:
        raise Refused("usage: holdfast run ROLE --region NAME --dir DIR", hint="`holdfast up` runs all of them")
    run(role_named(words[0]), options.get("--region", ""), Home(Path(options["--dir"])))


if __name__ == "__main__":
    main()
