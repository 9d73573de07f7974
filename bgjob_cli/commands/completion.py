"""`bgjob completion`: the script that teaches a shell to complete our verbs, options and jobs.

The scripts are small and never change with the options: they ask us for the candidates.
"""

import argparse

from bgjob_cli import exit_status
from bgjob_cli.output import Output
from bgjob_cli.terminal_text import cut
from bgjobd.errors import BgjobError, ErrorCode

DESCRIPTION = """\
Print the completion script of a shell: bash, zsh or fish. Verbs, options, and names and ids of jobs are completed.

  bash:  echo 'source <(bgjob completion bash)' >> ~/.bashrc
  zsh:   echo 'source <(bgjob completion zsh)' >> ~/.zshrc
  fish:  bgjob completion fish > ~/.config/fish/completions/bgjob.fish"""

OPTIONS_END_AT_COMMAND = True

_WIDEST_DESCRIPTION = 60

_BASH = """\
_bgjob() {
    local line typed="${COMP_LINE:0:COMP_POINT}"
    # Readline takes a colon for the end of a word, so its COMP_WORDS are not ours, and what stands before the colon is
    # not part of what is replaced.
    local current="${typed##*[[:space:]]}"
    local stays="${current%"$2"}"
    local -a words
    read -ra words <<< "${typed%"$current"}"
    COMPREPLY=()
    while IFS=$'\\t' read -r line _; do
        COMPREPLY+=("$(printf '%q' "${line#"$stays"}")")
    done < <(bgjob completion --candidates -- "${words[@]:1}" "$current" 2>/dev/null)
}
complete -o default -o bashdefault -F _bgjob bgjob
"""

_ZSH = """\
#compdef bgjob
_bgjob() {
    local word description
    local -a found
    while IFS=$'\\t' read -r word description; do
        found+=("${word//:/\\\\:}:${description}")
    done < <(bgjob completion --candidates -- "${(@)words[2,CURRENT]}" 2>/dev/null)
    if (( $#found )); then
        _describe -V bgjob found
    else
        _default
    fi
}
if [[ "${funcstack[1]}" == _bgjob ]]; then
    _bgjob "$@"
else
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
    compdef _bgjob bgjob
fi
"""

_FISH = """\
function __bgjob_candidates
    set -l words (commandline -opc) (commandline -ct)
    set -l found (bgjob completion --candidates -- $words[2..-1] 2>/dev/null)
    if set -q found[1]
        printf '%s\\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c bgjob -f -k -a '(__bgjob_candidates)'
"""

_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `completion`."""
    parser.usage = "bgjob completion bash|zsh|fish"
    parser.add_argument(
        "--candidates", action="store_true", help="print what the last of the words may become; the scripts use it"
    )


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Print a script, or the candidates it asks for."""
    if arguments.candidates:
        return _print_candidates(arguments.command, output)
    if len(arguments.command) != 1 or arguments.command[0] not in _SCRIPTS:
        raise BgjobError(
            ErrorCode.INVALID_ARGUMENT,
            f"cannot complete for {' '.join(arguments.command)!r}: the shell has to be one of {', '.join(_SCRIPTS)}",
            "For example: bgjob completion bash",
        )
    output.raw(_SCRIPTS[arguments.command[0]].encode())
    return exit_status.OK


def _print_candidates(words: list[str], output: Output) -> int:
    """Print one candidate a line: the word, a tab, its description."""
    # Here, because the script itself is to be printed without msgspec and a daemon.
    from bgjob_cli.candidates import candidates

    for word, description in candidates(words):
        output.line(f"{word}\t{cut(description.partition(chr(10))[0], _WIDEST_DESCRIPTION)}")
    return exit_status.OK
