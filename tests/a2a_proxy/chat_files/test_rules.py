import posixpath
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.a2a_proxy.chat_files import rules
from services.a2a_proxy.errors import (
    AddressRefused,
    FileMissing,
    InboundSecretRefused,
    InvalidFilePath,
    TargetUnavailable,
    TargetWaking,
    WorkspaceNotFound,
    WorkspaceRemoved,
    WorkspaceUnreachable,
)
from services.a2a_proxy.model import (
    Answer,
    DeliveryMode,
    DispatchFailure,
    Fault,
    Push,
    Route,
    SendState,
    Status,
    Stream,
    WorkspaceId,
)
from services.chassis.errors import PermissionDenied

JSON = {"content-type": "application/json"}
W = WorkspaceId("w")


async def no_chunks():
    return
    yield b""


def build_route(**fields) -> Route:
    return Route(**{"workspace_id": W, "status": Status.ONLINE, "address": "http://agent/", "trusted": True, **fields})


# Paths ───────────────────────────────────────────────────────────────────────

UNDER = "path must be under /configs, /workspace, /home, or /plugins"


@pytest.mark.covers("ACT-11", "ACT-18")
@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("", "path query required"),
        ("workspace/a", "path must be absolute"),
        ("../workspace/a", "path must be absolute"),
        ("/etc/passwd", UNDER),
        ("/", UNDER),
        ("//workspace/a", UNDER),
        ("/workspaces/a", UNDER),
        ("/Workspace/a", UNDER),
        ("/etc/../workspace/a", UNDER),
        ("/workspace", "invalid path"),
        ("/workspace/", "invalid path"),
        ("/workspace/..", "invalid path"),
        ("/workspace/../etc/passwd", "invalid path"),
        ("/workspace/a/../b", "invalid path"),
        ("/workspace/./a", "invalid path"),
        ("/workspace//a", "invalid path"),
        ("/workspace/a/", "invalid path"),
        ("/workspace/a\0b", "invalid path"),
        ("/workspace/a\nb", "invalid path"),
        ("/workspace/a\x7f", "invalid path"),
        ("/workspace/" + "a" * 4096, "invalid path"),
        ("/configs/.auth_token", "invalid path"),
        ("/configs/agent/.env", "invalid path"),
        ("/configs/a/.ssh/id", "invalid path"),
        ("/configs/.platform_inbound_secret", "invalid path"),
    ],
)
def test_a_path_that_is_no_file_of_a_workspace_is_refused_with_its_text(path, text):
    with pytest.raises(InvalidFilePath) as refused:
        rules.check_path(path)

    assert refused.value.message == text


@pytest.mark.covers("ACT-11")
@pytest.mark.parametrize(
    "path",
    [
        "/configs/config.yaml",
        "/workspace/a",
        "/workspace/.molecule/chat-uploads/1-a.txt",
        "/home/agent/ä ö.txt",
        "/plugins/p/..hidden",
        "/workspace/...",
        "/workspace/" + "a" * 4000,
    ],
)
def test_the_path_of_a_file_is_allowed(path):
    rules.check_path(path)


@given(st.text(st.sampled_from("/.abworkspceonfighmlu\0\n"), max_size=40).map(lambda text: "/workspace/" + text))
def test_no_allowed_path_leaves_its_root(path):
    try:
        rules.check_path(path)
    except InvalidFilePath:
        return
    assert posixpath.normpath(path) == path
    assert path.startswith("/workspace/")
    assert "\0" not in path


# Where a request goes ────────────────────────────────────────────────────────


@pytest.mark.covers("ACT-20")
def test_a_workspace_uploads_to_itself_only():
    rules.check_caller(None, W)
    rules.check_caller(W, W)
    with pytest.raises(PermissionDenied):
        rules.check_caller(WorkspaceId("other"), W)


@pytest.mark.covers("ACT-10")
def test_a_workspace_that_does_not_exist_has_no_route():
    with pytest.raises(WorkspaceNotFound):
        rules.check_route(None)
    with pytest.raises(WorkspaceRemoved):
        rules.check_route(build_route(status=Status.REMOVED))


@pytest.mark.covers("ACT-10")
@pytest.mark.parametrize(
    "route",
    [
        build_route(address=""),
        *(build_route(status=status) for status in ("provisioning", "paused", "failed", "awaiting_agent")),
        build_route(status=Status.OFFLINE),
    ],
)
def test_a_workspace_without_a_running_agent_has_no_url(route):
    decision = rules.decide(build_route(**{**_fields(route), "status": Status(route.status)}))

    assert isinstance(decision, rules.Refusal)
    assert isinstance(decision.error, TargetUnavailable)
    assert (decision.error.message, decision.error.details) == ("workspace has no URL", {"status": str(route.status)})


def _fields(route: Route) -> dict:
    return {"address": route.address, "external": route.external}


@pytest.mark.parametrize("status", ["hibernating", "hibernated"])
def test_a_hibernated_workspace_wakes(status):
    decision = rules.decide(build_route(status=Status(status)))

    assert isinstance(decision, rules.Refusal)
    assert isinstance(decision.error, TargetWaking)


@pytest.mark.covers("ACT-19")
@pytest.mark.parametrize(
    "fields", [{}, {"external": True, "trusted": False}, {"external": True, "status": Status.OFFLINE}]
)
def test_every_agent_with_an_address_is_asked(fields):
    route = build_route(**fields)

    assert rules.decide(route) == Push("http://agent/", route.trusted)
    assert rules.decide(build_route(mode=DeliveryMode.POLL, **fields)) == rules.decide(route)


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("http://a:1/", "http://a:1/internal/file/read?path=/workspace/a%20b%3F%26%23%25"),
        ("http://a:1", "http://a:1/internal/file/read?path=/workspace/a%20b%3F%26%23%25"),
        ("https://a/base/?x=1#f", "https://a/base/internal/file/read?path=/workspace/a%20b%3F%26%23%25"),
    ],
)
def test_the_url_of_an_endpoint_is_below_the_address(address, url):
    assert rules.build_url(address, rules.DOWNLOAD_PATH, file="/workspace/a b?&#%") == url


# Answers ─────────────────────────────────────────────────────────────────────

FAILURES = [DispatchFailure(fault, SendState.UNKNOWN) for fault in Fault if fault is not Fault.ADDRESS_REFUSED]


@pytest.mark.covers("ACT-10", "ACT-18")
@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.fault)
@pytest.mark.parametrize("judge", [rules.judge_upload, rules.judge_download])
def test_an_agent_that_does_not_answer_is_unreachable(judge, failure):
    with pytest.raises(WorkspaceUnreachable):
        judge(failure)


@pytest.mark.covers("A2A-17")
@pytest.mark.parametrize("judge", [rules.judge_upload, rules.judge_download])
def test_a_refused_address_is_told_apart(judge):
    with pytest.raises(AddressRefused):
        judge(DispatchFailure(Fault.ADDRESS_REFUSED, SendState.NOT_SENT))


@pytest.mark.covers("ACT-10")
@pytest.mark.parametrize("status", [200, 201, 400, 413, 404, 500, 507])
def test_an_answer_of_the_agent_comes_back_unchanged(status):
    answer = Answer(status=status, headers=JSON, body=b'{"any": 1}')

    assert rules.judge_upload(answer) == answer


@pytest.mark.parametrize(
    "answer",
    [
        Answer(status=302, headers=JSON),
        Answer(status=304),
        Answer(status=200, headers={"content-type": "text/html"}, body=b"<script>"),
        Answer(status=200, headers=JSON | {"content-encoding": "gzip"}, body=b"\x1f"),
        Answer(status=400, headers=JSON | {"content-encoding": "br"}, body=b"\x1f"),
        Answer(status=502, headers={"content-type": "text/html"}),
        Answer(status=503),
    ],
)
def test_an_answer_that_no_agent_gives_is_not_passed_on(answer):
    with pytest.raises(WorkspaceUnreachable):
        rules.judge_upload(answer)


def test_an_error_page_is_replaced():
    page = Answer(status=413, headers={"content-type": "text/html"}, body=b"<h1>nginx</h1>")

    assert rules.judge_upload(page).body == b'{"error":"Request Entity Too Large"}'


@pytest.mark.covers("ACT-11", "ACT-18")
@pytest.mark.parametrize(
    ("result", "error"),
    [
        (Answer(status=404, body=b"<h1>"), FileMissing),
        (Answer(status=400), InvalidFilePath),
        (Answer(status=401), InboundSecretRefused),
        (Answer(status=403), WorkspaceUnreachable),
        (Answer(status=302, headers={"location": "http://x/"}), WorkspaceUnreachable),
        (Answer(status=206), WorkspaceUnreachable),
        (Answer(status=204), WorkspaceUnreachable),
        (Answer(status=500), WorkspaceUnreachable),
        (Stream(status=200, headers={"content-encoding": "gzip"}, chunks=no_chunks()), WorkspaceUnreachable),
    ],
)
def test_only_a_plain_200_is_a_file(result, error):
    with pytest.raises(error):
        rules.judge_download(result)


def test_an_upload_that_is_not_authorised_is_no_answer_of_the_agent():
    with pytest.raises(InboundSecretRefused):
        rules.judge_upload(Answer(status=401, headers=JSON))


# Heads of files ──────────────────────────────────────────────────────────────


@pytest.mark.covers("ACT-11")
def test_the_headers_of_the_agent_describe_the_file():
    told = {"content-type": "text/plain", "content-length": "12", "content-disposition": 'attachment; filename="b.txt"'}

    assert rules.describe_file(told, "/workspace/a.txt") == rules.FileHead(
        content_type="text/plain", disposition='attachment; filename="b.txt"', content_length=12
    )


@pytest.mark.parametrize("length", ["", "-1", "+1", "1 ", "٣", "9" * 30, str(2**63), "0x1"])
def test_a_length_that_is_none_is_left_out(length):
    assert rules.describe_file({"content-length": length}, "/workspace/a").content_length is None


@pytest.mark.parametrize(
    "told",
    ["", "inline", 'inline; filename="a.html"', 'attachment; filename="a"b"', "attachment; x=1", "ATTACHMENT\t"],
)
def test_a_file_is_always_an_attachment(told):
    head = rules.describe_file({"content-disposition": told}, "/workspace/dir/a.txt")

    assert head.disposition == 'attachment; filename="a.txt"'


@given(st.text(max_size=30))
def test_no_name_breaks_the_header(name):
    disposition = rules.build_disposition(name)

    assert disposition.isascii()
    assert disposition.isprintable()
    assert re.fullmatch(r"""attachment; filename="[^"\\]*"(; filename\*=UTF-8''[\w.~%-]*)?""", disposition)
    assert rules.SAFE_DISPOSITION.fullmatch(disposition)
