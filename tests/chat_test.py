"""The chat: on a pseudo-terminal as a person uses it, and from a pipe."""
import json
import os
import pathlib
import pty
import re
import select
import signal
import tempfile
import time

import program
from program import run

GREEDY = ("--temp", "0", "-n", "12")


class Terminal:
    """A chat in a pseudo-terminal."""

    def __init__(self, model, folder, *arguments, term="xterm"):
        self.seen = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM=term, XDG_STATE_HOME=str(folder), LC_ALL="C.UTF-8")
            os.execv(program.PROGRAM, [program.PROGRAM, "chat", str(model), *arguments])

    def read_until(self, text, seconds=60):
        """What came up to and with the text; control sequences are left out."""
        end = time.monotonic() + seconds
        while text not in self.seen:
            if time.monotonic() > end:
                raise AssertionError(f"{text!r} did not come; seen: {self.seen[-2000:]!r}")
            if select.select([self.fd], [], [], 0.1)[0]:
                try:
                    data = os.read(self.fd, 65536)
                except OSError:
                    data = b""
                if not data:
                    raise AssertionError(f"the program ended before {text!r}; seen: {self.seen[-2000:]!r}")
                self.seen += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", data.decode("utf-8", "replace")).replace("\r", "")
        at = self.seen.index(text) + len(text)
        before, self.seen = self.seen[:at], self.seen[at:]
        return before

    def type(self, text):
        os.write(self.fd, text.encode())

    def line(self, text):
        """Types a line at the prompt."""
        self.read_until("> ")
        self.type(text + "\n")

    def exit_code(self):
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                if select.select([self.fd], [], [], 0.05)[0]:
                    os.read(self.fd, 65536)
            except OSError:
                pass
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        raise AssertionError(f"the program does not end; seen: {self.seen[-2000:]!r}")


class Chat(program.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = program.find_model()

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def test_a_chat_on_a_terminal(self):
        saved = self.folder / "chat.json"
        chat = Terminal(self.model, self.folder, *GREEDY)
        chat.read_until("/help lists the commands")
        chat.line("/nosuch")
        chat.read_until("unknown command '/nosuch'; known are: /help /system /save /load /regen /stats /clear /bye")
        chat.line("/stats")
        chat.read_until("no answer yet")
        chat.line("/system Answer in French.")
        chat.line("Say hello.")
        chat.line("/stats")
        self.assertIn("0 of them known", chat.read_until("of 8192 tokens"))
        chat.line('"""one')
        chat.read_until("... ")
        chat.type('two"""\n')
        chat.line("/stats")
        stats = chat.read_until("of 8192 tokens")
        self.assertGreater(int(re.search(r"(\d+) of them known", stats)[1]), 20)
        chat.line(f"/save {saved}")
        chat.read_until("saved 4 messages")
        chat.line("/regen")
        chat.line("/clear")
        chat.read_until("a new chat")
        chat.line(f"/load {saved}")
        chat.read_until("loaded 4 messages")
        chat.line("/bye")
        self.assertEqual(chat.exit_code(), 0)
        kept = json.loads(saved.read_text())
        self.assertEqual([m["role"] for m in kept["messages"]], ["user", "assistant"] * 2)
        self.assertEqual(kept["system"], "Answer in French.")
        self.assertEqual(kept["messages"][2]["content"], "one\ntwo")
        history = (self.folder / "bitkerf" / "history")
        self.assertIn("Say", history.read_text())
        self.assertEqual(history.stat().st_mode & 0o077, 0)

        again = Terminal(self.model, self.folder, *GREEDY)  # the arrow brings back what was typed last time
        again.read_until("> ")
        again.type("\x1b[A\n")
        self.assertEqual(again.exit_code(), 0)

    def test_interrupt_stops_the_answer_only(self):
        chat = Terminal(self.model, self.folder, "--temp", "0", "-n", "-1", "-c", "8192")
        chat.line("What is the capital of France?")  # greedily, this model never ends here
        chat.read_until(", la ", 120)
        chat.type("\x03")
        chat.read_until("(stopped;")
        chat.read_until("> ")
        chat.type("half a li\x03")
        chat.read_until("^C")
        chat.read_until("> ")
        chat.type("\x03")
        chat.read_until("/bye or Ctrl-D leaves")
        chat.read_until("> ")
        chat.type("\x04")
        self.assertEqual(chat.exit_code(), 0)

    def test_a_full_context_names_both_numbers_and_goes_on(self):
        chat = Terminal(self.model, self.folder, "--temp", "0", "-c", "64")
        chat.line("word " * 60)
        chat.read_until("and the context holds 64")
        chat.read_until("/clear")
        chat.line("Hi")
        chat.line("/bye")
        self.assertEqual(chat.exit_code(), 0)

    def test_a_plain_terminal(self):
        chat = Terminal(self.model, self.folder, *GREEDY, term="dumb")
        chat.line("Hi")
        chat.line("/bye")
        self.assertEqual(chat.exit_code(), 0)

    def test_a_pipe(self):
        result = run("chat", self.model, *GREEDY, stdin=b"Say hello.\n\"\"\"\na\nb\n\"\"\"\n/stats\n")
        self.assertEqual(result.code, 0, result)
        self.assertNotIn("\x1b", result.out)
        self.assertNotIn("> ", result.out)
        self.assertEqual(len(result.out.strip().split("\n")) >= 2, True, result)
        self.assertIn("of 8192 tokens", result.err)
        one = run("run", self.model, "--chat", "-p", "Say hello.", *GREEDY)
        self.assertEqual(result.out[:len(one.out)], one.out)

    def test_errors_in_a_pipe_end_the_program(self):
        self.assertEqual(run("chat", self.model, stdin=b"/foo\n").code, 2)
        self.assertEqual(run("chat", self.model, stdin=b'"""\nnever ends\n').code, 2)
        self.assertEqual(run("chat", self.model, "-c", "24", stdin=b"Hello there, how are you?\n").code, 2)

    def test_saved_chats_are_not_trusted(self):
        good = {"bitkerf_chat": 1, "system": "", "messages": [{"role": "user", "content": "a"},
                                                               {"role": "assistant", "content": "b"}]}
        bad = [b"", b"{", b"[]", b"{}", b"\xff", b"[" * 100000, json.dumps({**good, "bitkerf_chat": 2}).encode(),
               json.dumps({**good, "system": 1}).encode(), json.dumps({**good, "messages": {}}).encode(),
               json.dumps({**good, "messages": [1]}).encode(), json.dumps({**good, "messages": good["messages"][:1]}).encode(),
               json.dumps({**good, "messages": [{"role": "system", "content": "x"}] * 2}).encode(),
               json.dumps({**good, "messages": [{"role": "user", "content": None}] * 2}).encode()]
        path = self.folder / "c.json"
        for data in bad:
            path.write_bytes(data)
            result = run("chat", self.model, stdin=f"/load {path}\n".encode())
            self.assertEqual(result.code, 3, (data[:80], result))
            self.assertEqual(result.err.count("error:"), 1)
            # and a file that is no chat is not overwritten
            self.assertEqual(run("chat", self.model, stdin=f"/save {path}\n".encode()).code, 2)
            self.assertEqual(path.read_bytes(), data)
        path.write_text(json.dumps(good))
        self.assertEqual(run("chat", self.model, *GREEDY, stdin=f"/load {path}\n/save {path}\n/regen\n".encode()).code, 0)


if __name__ == "__main__":
    program.needs_model()
    program.needs_verb("chat")
    program.main()
