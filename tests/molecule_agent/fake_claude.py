"""A program that behaves as `claude -p --output-format stream-json` does: the message says how.

It records its arguments in `calls.jsonl` of its directory.
"""

import json
import sys
import time
from pathlib import Path

SESSION = "0b8f6a52-6a0e-4d3a-9d1e-3a1f1f0f7a11"


def write_line(text):
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def emit(**event):
    write_line(json.dumps({"session_id": SESSION, **event}))


def emit_piece(text, parent=None):
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
    emit(type="stream_event", event=delta, parent_tool_use_id=parent)


def emit_message(text, parent=None, *, partial=True):
    if partial:
        emit(type="stream_event", event={"type": "message_start", "message": {}}, parent_tool_use_id=parent)
        for start in range(0, len(text), 4):
            emit_piece(text[start : start + 4], parent)
    content = [{"type": "text", "text": text}, {"type": "tool_use", "id": "t", "name": "Bash", "input": {}}]
    emit(type="assistant", message={"role": "assistant", "content": content}, parent_tool_use_id=parent)


def main():
    prompt = sys.stdin.read()
    with Path("calls.jsonl").open("a") as calls:
        calls.write(json.dumps({"arguments": sys.argv[1:], "prompt": prompt}) + "\n")
    emit(type="system", subtype="init", tools=["Bash"], model="m")
    if prompt == "crash":
        sys.stderr.write("Segmentation fault\n")
        sys.exit(139)
    if prompt == "hang":
        emit_piece("begun")
        time.sleep(600)
    if prompt == "give up":
        emit(type="result", subtype="error_max_turns", is_error=True)
        sys.exit(1)
    if prompt == "silent":
        emit(type="result", subtype="success", is_error=False, result="said at the end")
        return
    emit_message("Let me look.", partial=prompt != "whole messages")
    emit(type="user", message={"content": [{"type": "tool_result", "tool_use_id": "t", "content": "x" * 200_000}]})
    emit_message("A tool runs me.", parent="t")
    write_line("not json")
    emit_message(f"You said: {prompt}", partial=prompt != "whole messages")
    emit(type="result", subtype="success", is_error=False, result=f"You said: {prompt}", num_turns=2)


main()
