"""DSPy: a language model, a signature, and its loop with tools."""

from __future__ import annotations

import dspy
import pytest


@pytest.fixture
def lm(base_url: str, key: str, model: str) -> dspy.LM:
    return dspy.LM(f"openai/{model}", api_base=base_url, api_key=key, cache=False, num_retries=0)


def test_dspy_whole(lm: dspy.LM) -> None:
    assert "“Hello”" in str(lm("Hello")[0])


def test_dspy_structured(lm: dspy.LM) -> None:
    class Gauge(dspy.Signature):
        """Read the gauge."""

        question: str = dspy.InputField()
        gauge: str = dspy.OutputField()
        metres: float = dspy.OutputField()

    with dspy.context(lm=lm):
        found = dspy.Predict(Gauge)(question="How high?")
    assert (found.gauge, found.metres) == ("1", 1)


async def test_dspy_streamed(lm: dspy.LM) -> None:
    with dspy.context(lm=lm):
        stream = dspy.streamify(dspy.Predict("question -> answer"))(question="How high?")
        parts = [part async for part in stream]
    assert len(parts) > 1
    assert parts[-1].answer == "1"


def test_dspy_tools(lm: dspy.LM) -> None:
    if not lm.supports_function_calling:
        pytest.skip("a model that litellm, by its name, does not know to call tools")
    asked: list[str] = []

    def level(at: str) -> str:
        """Read the gauge."""
        asked.append(at)
        return "12 m, rising"

    class Gauge(dspy.Signature):
        question: str = dspy.InputField()
        tools: list[dspy.Tool] = dspy.InputField()
        outputs: dspy.ToolCalls = dspy.OutputField()

    adapter = dspy.ChatAdapter(use_native_function_calling=True)
    with dspy.context(lm=lm, adapter=adapter):
        found = dspy.Predict(Gauge)(question="How high? [[tool]]", tools=[dspy.Tool(level)])
    for call in found.outputs.tool_calls:
        assert call.name == "level"
        call.execute(functions=[dspy.Tool(level)])
    assert asked == ["at 1"]
