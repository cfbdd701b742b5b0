from molecule_a2a.members import (
    convert_list_member,
    convert_member,
    convert_object,
    convert_objects,
    fill_members,
    get_text,
    list_aliases,
    rename_members,
)


def mark(value):
    return {**value, "marked": True}


def test_the_aliases_of_names_are_their_snake_case():
    assert list_aliases("taskId", "oauth2MetadataUrl", "id") == {
        "task_id": "taskId",
        "oauth2_metadata_url": "oauth2MetadataUrl",
    }


def test_members_are_renamed_where_the_name_is_free():
    source = {"a": 1, "b": 2, "c": 3}
    assert rename_members(source, {"a": "A", "b": "c"}) == {"A": 1, "b": 2, "c": 3}
    assert rename_members(source, {"x": "y"}) is source


def test_only_objects_are_converted():
    assert convert_object({}, mark) == {"marked": True}
    assert convert_object([{}], mark) == [{}]
    assert convert_objects([{}, 5, [{}]], mark) == [{"marked": True}, 5, [{}]]
    assert convert_objects({}, mark) == {}


def test_only_members_that_are_objects_are_converted():
    target = {"object": {}, "list": [{}], "null": None}
    for name in ("object", "list", "null", "absent"):
        convert_member(target, name, mark)
    assert target == {"object": {"marked": True}, "list": [{}], "null": None}
    for name in ("object", "list", "null", "absent"):
        convert_list_member(target, name, mark)
    assert target == {"object": {"marked": True}, "list": [{"marked": True}], "null": None}


def test_only_absent_members_are_filled():
    target = {"null": None, "empty": "", "false": False}
    fill_members(target, ("null", "empty", "false", "absent"), 7)
    assert target == {"null": 7, "empty": "", "false": False, "absent": 7}


def test_only_a_text_is_a_text():
    assert get_text({"a": "x"}, "a") == "x"
    assert get_text({"a": 5}, "a") == ""
    assert get_text({}, "a") == ""
