"""What a shell makes of a command line when Tab is pressed, in a terminal of its own.

    complete.py bash|zsh|fish SCRIPT LINE...

reads the completion script and prints each line as it is after Tab (a pseudo terminal stands for
the person's). Exit code 3: the shell is not installed."""

import os
import pty
import re
import select
import shutil
import sys
import time

SHOW = b"\x18\x10"  # Ctrl-X Ctrl-P is bound to what shows the line
SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"],
             "PS1=; bind 'set bell-style none'; show() { printf 'LINE<%s>\\n' \"$READLINE_LINE\"; }; "
             "bind -x '\"\\C-x\\C-p\": show'; source SCRIPT"),
    "zsh": (["zsh", "-f", "-i"],
            "PS1=; autoload -U compinit; compinit -u -D; show() { print -r -- \"LINE<$BUFFER>\" }; "
            "zle -N show; bindkey '^X^P' show; source SCRIPT"),
    "fish": (["fish", "--no-config", "--private", "-i"],
             "function fish_prompt; end; function show; echo 'LINE<'(commandline)'>'; end; "
             "bind \\cx\\cp show; source SCRIPT"),
}


class Terminal:
    def __init__(self, command):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm", COLUMNS="200", LC_ALL="C.UTF-8")
            os.execvp(command[0], command)

    def send(self, data):
        os.write(self.fd, data)

    def read_until(self, pattern, seconds=20.0):
        """What came since the last call, up to a match; None when there is none in time."""
        text, end = "", time.monotonic() + seconds
        while time.monotonic() < end:
            ready, _, _ = select.select([self.fd], [], [], 0.05)
            if ready:
                try:
                    text += os.read(self.fd, 65536).decode("utf-8", "replace")
                except OSError:
                    return None
                if "\x1b[c" in text or "\x1b[0c" in text:  # fish asks what it talks to
                    self.send(b"\x1b[?62c")
                    text = text.replace("\x1b[c", "").replace("\x1b[0c", "")
            found = re.search(pattern, text)
            if found:
                return found
        return None


def settled(terminal):
    """The line, when it stays as it is."""
    before = None
    for _ in range(20):
        terminal.send(SHOW)
        found = terminal.read_until(r"LINE<([^>]*)>", 1.0)
        if found and found.group(1) == before:
            return before
        before = found.group(1) if found else before
    return before


def main():
    shell, script, lines = sys.argv[1], sys.argv[2], sys.argv[3:]
    if shutil.which(shell) is None:
        return 3
    command, setup = SHELLS[shell]
    terminal = Terminal(command)
    # What is echoed of this line is not what it prints.
    terminal.send((setup.replace("SCRIPT", script) + "; echo rea''dy\r").encode())
    if terminal.read_until(r"ready\r?\n") is None:
        print(f"{shell} did not start", file=sys.stderr)
        return 1
    for line in lines:
        terminal.send(line.encode() + b"\t")
        time.sleep(0.4)  # a key that comes while the shell completes may be lost
        shown = settled(terminal)
        if shown is None:
            print(f"{shell} shows no line", file=sys.stderr)
            return 1
        print(shown.rstrip() + ("_" if shown.endswith(" ") else ""))
        for _ in range(20):
            terminal.send(b"\x05\x15")  # to the end of the line, and all of it away
            if settled(terminal) == "":
                break
    terminal.send(b"\x04")
    return 0


sys.exit(main())
