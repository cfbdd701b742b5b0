import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.card_addresses import HIDDEN_ADDRESS, hide_addresses, is_shown, list_hosts

NONE = frozenset()

INSIDE = [
    "http://10.1.2.3:9000/a",
    "https://192.168.0.1",
    "http://127.0.0.1/",
    "http://127.1/",
    "http://2130706433/",
    "http://0x7f.1/",
    "http://[::1]:80/",
    "http://[fd00::1]/",
    "http://[::ffff:10.0.0.1]/",
    "http://169.254.169.254/latest",
    "http://localhost:8000",
    "http://ada/",
    "http://ada:9000/x",
    "http://ws-1.internal/",
    "http://a.svc.cluster.local/",
    "http://nas.home.arpa/",
    "http://nas.lan:8080/",
    "http://n\u00e4s.lan/",
    *(f"http://nas.{name}/" for name in ("localhost", "local", "localdomain", "internal", "intranet")),
    *(f"http://nas.{name}/" for name in ("lan", "home", "corp", "private")),
    "grpc://ada:50051",
    "HTTP:10.0.0.1",
    "http:\\\\10.0.0.1",
    "http:/10.0.0.1/",
    "http://user@docs.example/",
    "https://docs.example,@10.0.0.1/",
    "http://\uff11\uff10.0.0.1/",
    "http://10%2e0.0.1/",
    "https://docs.example/?next=http://10.0.0.1/",
    "https://docs.example/?next=http%3A%2F%2F10.0.0.1%2F",
    "1http://10.0.0.1/",
]

PUBLIC = [
    "https://docs.example/x?y#z",
    "https://docs.example:8443",
    "https://docs.xn--p1ai/",
    "http://8.8.8.8/",
    "https://[2606:4700::1111]/",
    "wss://events.docs.example",
    "https://docs.example/?next=https://other.example",
    "https://docs.example/50%25",
    "see https://docs.example.",
    "(https://docs.example), too",
    "[docs](https://docs.example/a)",
]

OTHER_TEXTS = ["", "plain", "a//b", "//comment", "rows:10", "news:local", "http: a protocol", "urn:a:b", "mailto:a@b.c"]


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("http://Ada:9000/x//y", {"ada:9000", "ada"}),
        ("ada:50051", {"ada:50051", "ada"}),
        ("http://user@ada/?q#f", {"ada"}),
        ("http://ada#f", {"ada"}),
        ("http:\\\\ada\\x", {"ada"}),
        ("http://[ada", set()),
        ("", set()),
    ],
)
def test_the_hosts_of_addresses_are_found_in_any_order(url, hosts):
    assert list_hosts(iter([url])) == hosts
    assert list_hosts(iter(["http://[bad", url, "http://other/"])) == {*hosts, "other"}


@pytest.mark.parametrize("url", INSIDE)
def test_an_inside_address_is_left_out(url):
    assert hide_addresses(url, NONE) is None
    assert hide_addresses({"a": url, "b": [url, 1], url: 2, "c": {"d": url}}, NONE) == {"b": [1], "c": {}}
    assert not is_shown(url, NONE)


@pytest.mark.parametrize("text", [*PUBLIC, *OTHER_TEXTS])
def test_other_texts_stay(text):
    assert hide_addresses(text, NONE) == text
    assert hide_addresses({"a": [text, None], text: 1}, NONE) == {"a": [text, None], text: 1}


@pytest.mark.parametrize("url", [url for url in INSIDE if " " not in url])
def test_an_address_in_the_middle_of_a_text_is_replaced(url):
    assert hide_addresses(f'Ask "{url}" or https://docs.example', NONE) == (
        f'Ask "{HIDDEN_ADDRESS}" or https://docs.example'
    )


def test_the_hosts_of_an_agent_are_hidden_though_they_are_public():
    hidden = list_hosts(iter(["https://Agent.example:8443/a2a", "agent-1:50051", "http://[::1"]))

    assert hidden == {"agent.example", "agent.example:8443", "agent-1", "agent-1:50051"}
    assert hide_addresses("https://agent.example/docs", hidden) is None
    assert hide_addresses("https://agent.example:9/docs", hidden) is None
    assert hide_addresses("call agent-1:50051 now", hidden) == f"call {HIDDEN_ADDRESS} now"
    assert hide_addresses("https://docs.agent.example/", hidden) == "https://docs.agent.example/"


@pytest.mark.parametrize("address", ["10.9.9.9:1", "127.0.0.1:8080", "[fd00::1]:443", "169.254.169.254:80"])
def test_an_inside_ip_address_with_a_port_is_hidden_without_a_scheme_too(address):
    assert hide_addresses(f"call {address} now", NONE) == f"call {HIDDEN_ADDRESS} now"
    assert hide_addresses({"description": address}, NONE) == {}
    assert hide_addresses("call 8.8.8.8:53 at 12:30", NONE) == "call 8.8.8.8:53 at 12:30"


def test_an_agent_may_have_the_name_of_its_host():
    hidden = list_hosts(iter(["http://ada:9000", "http://10.0.0.1"]))

    assert hide_addresses({"name": "ada", "version": "10.0.0.1"}, hidden) == {"name": "ada"}
    assert hide_addresses({"version": "10.0.0.2"}, hidden) == {"version": "10.0.0.2"}


@pytest.mark.parametrize(
    "value", [None, 7, True, {}, [], "docs.example", "/docs", "ftp://docs.example", "data:image/png"]
)
def test_only_a_web_address_is_shown_as_one(value):
    assert not is_shown(value, NONE)
    assert is_shown("https://docs.example/x", NONE)
    assert not is_shown("https://docs.example/x", {"docs.example"})


texts = st.sampled_from([*INSIDE, *PUBLIC, *OTHER_TEXTS]) | st.text(max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_what_is_hidden_stays_hidden(value):
    once = hide_addresses(value, NONE)

    assert hide_addresses(once, NONE) == once


@given(
    st.lists(texts, max_size=5), st.sampled_from(["http://10.9.8.7:6", "http://bare-host/", "https://agent.example"])
)
def test_an_address_between_any_texts_is_hidden(texts, url):
    host = url.partition("//")[2].strip("/")

    assert host not in (hide_addresses(" ".join([*texts, url, *texts]), list_hosts(iter([url]))) or "")
