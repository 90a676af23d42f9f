"""The built-in tools: Slack, HTTP, commands, other skills."""

import os
from collections.abc import Mapping
from typing import Any

import pytest

from skills.kitchen import SESSION, Kitchen
from support.processes import alive, eventually
from wakeful.skills import Tools, built_in
from wakeful.skills.errors import ToolError

pytestmark = pytest.mark.anyio

ANSWER = (200, {"Content-Type": "application/json"}, b'{"a": [1]}')


class FarSide:
    """Answers every request so, and remembers it."""

    def __init__(self, status: int = 200, headers: Mapping[str, str] = ANSWER[1], body: bytes = ANSWER[2]) -> None:
        self.answer = (status, headers, body)
        self.requests: list[tuple[Any, ...]] = []

    async def __call__(self, *request: Any) -> tuple[int, Mapping[str, str], bytes]:
        self.requests.append(request)
        return self.answer

    async def asked(self, **args: Any) -> Any:
        """What the tool gives for these arguments."""
        return await built_in(Tools(fetch=self))["http_request"](args, SESSION)


class TestSlack:
    """``slack_send_message``."""

    @pytest.mark.parametrize(
        "args",
        [
            "{}",
            "{channel: '#a'}",
            "{text: a}",
            "{channel: 5, text: a}",
            "{channel: a, text: ' '}",
            "{channel: a, text: [1]}",
        ],
    )
    async def test_it_needs_a_channel_and_a_text(self, kitchen: Kitchen, args: str) -> None:
        why = await kitchen.error(f"- {{id: it, tool: slack_send_message, args: {args}}}")
        assert why == "step 'it': slack_send_message: it needs channel and text (or message), both texts"
        assert kitchen.sent == []

    async def test_without_slack_it_says_so(self) -> None:
        with pytest.raises(ToolError, match="there is no Slack to send to"):
            await built_in(Tools())["slack_send_message"]({"channel": "a", "text": "b"}, SESSION)
        with pytest.raises(ToolError, match="at most 40000 are allowed"):
            await built_in(Tools())["slack_send_message"]({"channel": "a", "text": "b" * 40_001}, SESSION)


class TestHttp:
    """``http_request``."""

    async def test_it_asks_and_answers(self) -> None:
        far = FarSide()
        answer = await far.asked(url="https://a.example/x?y=1")
        assert answer == {
            "status": 200,
            "headers": {"content-type": "application/json"},
            "body": '{"a": [1]}',
            "json": {"a": [1]},
        }
        assert far.requests == [("GET", "https://a.example/x?y=1", {}, b"", 30.0)]

    async def test_it_sends_json_or_a_body_and_headers(self) -> None:
        far = FarSide(204, {}, b"")
        answer = await far.asked(
            url="http://a", method="post", json={"k": "ü"}, headers={"X-A": "b", "n": 5}, timeout=2
        )
        assert answer == {"status": 204, "headers": {}, "body": ""}
        headers = {"x-a": "b", "n": "5", "content-type": "application/json"}
        assert far.requests[0] == ("POST", "http://a", headers, b'{"k": "\\u00fc"}', 2.0)
        await far.asked(url="http://a", method="PUT", body="ü")
        assert far.requests[1][3] == "ü".encode()

    async def test_what_says_json_and_is_none_is_null(self) -> None:
        assert (await FarSide(body=b"oops").asked(url="http://a"))["json"] is None

    async def test_errors_fail_unless_they_are_allowed(self) -> None:
        far = FarSide(404, {}, b"not there")
        with pytest.raises(ToolError) as error:
            await far.asked(url="https://a.example/x?token=secret")
        assert str(error.value) == "GET https://a.example/x was answered with 404: not there"
        assert (await far.asked(url="http://a", allow_errors=True))["status"] == 404

    @pytest.mark.parametrize(
        ("args", "why"),
        [
            ({}, "it needs url"),
            ({"url": 5}, "it needs url"),
            ({"url": "a.example"}, "must begin with http:// or https://"),
            ({"url": "file:///etc/passwd"}, "must begin with http://"),
            ({"url": "ftp://a"}, "must begin with http://"),
            ({"url": "http://"}, "name a host"),
            ({"url": "http://a/b c"}, "without blanks"),
            ({"url": "http://a/\r\nx: y"}, "without blanks"),
            ({"url": "http://ä"}, "of ASCII"),
            ({"url": "http://a/" + "x" * 9000}, "at most 8192 characters"),
            ({"url": "http://a:b"}, "the url can't be"),
            ({"url": "http://[a"}, "the url can't be"),
            ({"url": "http://u:p@a"}, "would be logged"),
            ({"url": "http://a", "method": "TRACE"}, "method must be one of"),
            ({"url": "http://a", "headers": [1]}, "headers must be a map"),
            ({"url": "http://a", "headers": {"a b": "c"}}, "'a b' is no name of a header"),
            ({"url": "http://a", "headers": {"a": "b\r\nc: d"}}, "must be one line of ASCII"),
            ({"url": "http://a", "json": 1, "body": "x"}, "exclude each other"),
            ({"url": "http://a", "body": "x" * 1_048_577}, "the body is larger"),
            ({"url": "http://a", "timeout": 0}, "timeout must be a number"),
            ({"url": "http://a", "timeout": 301}, "timeout must be a number"),
            ({"url": "http://a", "timeout": "5"}, "timeout must be a number"),
            ({"uri": "http://a"}, "there is no argument 'uri'; did you mean url"),
        ],
    )
    async def test_what_can_not_be_asked_is_refused(self, args: dict[str, Any], why: str) -> None:
        far = FarSide()
        with pytest.raises(ToolError) as error:
            await far.asked(**args)
        assert why in str(error.value)
        assert far.requests == []

    async def test_an_answer_without_end_is_refused(self) -> None:
        with pytest.raises(ToolError, match="the answer is larger than 524288 bytes"):
            await FarSide(body=b"x" * 524_289).asked(url="http://a")

    async def test_without_http_it_says_so(self) -> None:
        with pytest.raises(ToolError, match="there is no HTTP here"):
            await built_in(Tools())["http_request"]({"url": "http://a"}, SESSION)


class TestCommand:
    """``run_command``."""

    async def ran(self, *programs: str, **args: Any) -> str:
        """What the tool gives, with these programs allowed."""
        tools = Tools(
            programs=frozenset(programs), environment=lambda _: {"PATH": os.environ["PATH"], "GREETING": "hi"}
        )
        return str(await built_in(tools)["run_command"](args, SESSION))

    async def test_it_gives_what_was_printed(self) -> None:
        assert await self.ran("printf", argv=["printf", "%s|%s", "$HOME; ls", 5]) == "$HOME; ls|5"
        assert await self.ran("cat", argv=["cat"], stdin="ä\n\n", cwd="/") == "ä\n"
        assert await self.ran("sh", argv=["sh", "-c", "echo $GREETING $WAKEFUL_X"]) == "hi"
        assert await self.ran("sh", argv=["sh", "-c", "echo a; exit 3"], allow_errors=True) == "a"

    async def test_lines_of_what_it_prints_are_parsed(self, kitchen: Kitchen) -> None:
        kitchen.write("tried", """
            name: tried
            steps: [{id: it, tool: run_command, args: {argv: [printf, "state: on\\nload: 5\\n"]}}]
            outputs: {load: "{{ it_parsed.load }}"}
            """)  # fmt: skip
        tools = Tools(programs=frozenset({"printf"}), environment=lambda _: {"PATH": os.environ["PATH"]})
        result = await kitchen.engine(tools).run("tried", {}, SESSION)
        assert result.outputs == {"load": "5"}

    @pytest.mark.parametrize(
        ("args", "why"),
        [
            ({"argv": ["sh", "-c", "echo x; echo why >&2; exit 3"]}, "sh: exit code 3: why"),
            ({"argv": ["sh", "-c", "echo only; exit 3"]}, "sh: exit code 3: only"),
            ({"argv": ["sh", "-c", "kill -9 $$"]}, "sh: ended by signal 9"),
            ({"argv": ["touch", "x"]}, "the program 'touch' is not allowed; there is nowhere-to-be-found, sh"),
            ({"argv": ["/bin/sh"]}, "the program '/bin/sh' is not allowed"),
            ({"argv": ["nowhere-to-be-found"]}, "can't start 'nowhere-to-be-found'"),
            ({"argv": ["sh", "a\0b"]}, "can't start 'sh'"),
            ({"argv": ["sh", "\ud800"]}, "can't start 'sh'"),
            ({"argv": "sh -c true"}, "it needs argv, a list"),
            ({"argv": []}, "it needs argv, a list"),
            ({"argv": ["sh", ["a"]]}, "argv must be a list of texts"),
            ({"argv": ["sh", True]}, "argv must be a list of texts"),
            ({"argv": ["sh", "x" * 70_000]}, "argv is larger"),
            ({"argv": ["sh"], "cwd": "/nowhere"}, "there is no folder '/nowhere'"),
            ({"argv": ["sh"], "cwd": 5}, "stdin and cwd must be texts"),
            ({"argv": ["sh"], "timeout": 1000}, "timeout must be a number of seconds up to 600"),
            ({"command": ["sh"]}, "there is no argument 'command'"),
        ],
    )
    async def test_what_fails_or_can_not_be_says_why(self, args: dict[str, Any], why: str) -> None:
        with pytest.raises(ToolError) as error:
            await self.ran("sh", "nowhere-to-be-found", **args)
        assert why in str(error.value)

    async def test_it_is_off_unless_programs_are_allowed(self) -> None:
        with pytest.raises(ToolError, match="no program is allowed"):
            await self.ran(argv=["true"])

    @pytest.mark.slow
    async def test_time_and_output_are_bounded(self) -> None:
        with pytest.raises(ToolError, match=r"sh took longer than 0\.3 s and was ended"):
            await self.ran("sh", argv=["sh", "-c", "sleep 1000 & sleep 1000"], timeout=0.3)
        said = await self.ran("sh", argv=["sh", "-c", "head -c 300000 /dev/zero | tr '\\0' x"])
        assert said == "x" * 262_144 + "\n… (cut)"
        pid = int(await self.ran("sh", argv=["sh", "-c", "sleep 1000 >&- 2>&- & echo $!"]))
        eventually(lambda: not alive(pid), "the process to end")


class TestOtherSkills:
    """``skill_run``."""

    async def nested(self, kitchen: Kitchen, args: str) -> Any:
        """What the tool gives."""
        kitchen.write("other", """
            name: other
            inputs: [{name: n, type: integer, required: true}]
            steps: [{id: it, compute: "result = inputs.n * 2"}]
            outputs: {n: "{{ it }}", source: "{{ session.source }}"}
            """)  # fmt: skip
        return await kitchen.value(f"- {{id: it, tool: skill_run, args: {args}}}")

    async def test_c2_8_it_gives_the_other_skills_outputs(self, kitchen: Kitchen) -> None:
        outputs = {"n": 4, "source": "cron"}
        assert await self.nested(kitchen, "{skill_name: other, inputs: {n: 2}}") == outputs
        assert await self.nested(kitchen, "{skill: other, inputs: '{\"n\": 2}'}") == outputs

    async def test_c2_8_without_execution_it_gives_the_plan(self, kitchen: Kitchen) -> None:
        plan = await self.nested(kitchen, "{skill_name: other, inputs: {n: 2}, execute: false}")
        assert plan == "other\ninput n = 2\n1. it: compute\noutput n\noutput source"

    async def test_a_skill_that_fails_fails_the_step(self, kitchen: Kitchen) -> None:
        kitchen.write("other", "steps: [{id: bad, compute: 1 / 0}]")
        why = await kitchen.error("- {id: it, tool: skill_run, args: {skill_name: other}}")
        assert why.startswith("step 'it': skill_run: other: step 'bad': compute, line 1: ZeroDivisionError")

    @pytest.mark.parametrize(
        ("args", "why"),
        [
            ("{}", "it needs skill_name"),
            ("{skill_name: nope}", "nope: there is no skill 'nope'"),
            ("{skill_name: ../other}", "is no name of a skill"),
            ("{skill_name: tried, inputs: '{'}", "inputs must be a map"),
            ("{skill_name: tried, inputs: [1]}", "inputs must be a map"),
        ],
    )
    async def test_what_can_not_be_run_says_why(self, kitchen: Kitchen, args: str, why: str) -> None:
        assert why in await kitchen.error(f"- {{id: it, tool: skill_run, args: {args}}}")

    async def test_skills_that_run_each_other_end(self, kitchen: Kitchen) -> None:
        kitchen.write("other", "steps: [{tool: ask}, {tool: skill_run, args: {skill_name: tried}}]")
        why = await kitchen.error("- {id: it, tool: skill_run, args: {skill_name: other}}")
        assert "nested more than 5 deep, the last 'other'" in why or "nested more than 5 deep, the last 'tried'" in why
        assert len(kitchen.asked) == 2


class TestAnyTool:
    """What an engine was given by its maker."""

    async def test_what_it_raises_fails_the_step(self, kitchen: Kitchen) -> None:
        kitchen.answers["x"] = [TimeoutError("slow"), ValueError("odd")]
        step = "- {id: it, tool: ask, args: {for: x}, timeout: 50}"
        assert await kitchen.error(step) == "step 'it': ask: TimeoutError: slow"
        assert await kitchen.error(step) == "step 'it': ask: ValueError: odd"

    async def test_what_it_gives_is_plain_data_in_bounds(self, kitchen: Kitchen) -> None:
        kitchen.answers |= {"x": object(), "y": "x" * 1_100_000, "z": {"a": (1, {2})}}
        assert "gave what is no plain data" in await kitchen.error("- {id: it, tool: ask, args: {for: x}}")
        assert "results of more than 1048576 bytes" in await kitchen.error("- {id: it, tool: ask, args: {for: y}}")
        assert await kitchen.value("- {id: it, tool: ask, args: {for: z}}") == {"a": [1, [2]]}

    async def test_all_results_together_are_in_bounds(self, kitchen: Kitchen) -> None:
        kitchen.answers["x"] = "x" * 1_000_000
        steps = "".join(f"- {{id: s{n}, tool: ask, args: {{for: x}}}}\n" for n in range(20))
        assert "or 16777216 in all" in await kitchen.error(steps)
        assert len(kitchen.asked) < 20
