import pytest

from pruning.scopes import SCOPES, Global, Layer


def test_global_is_one_pool_of_all():
    assert Global().pools(["a", "b"]) == [("a", "b")]


def test_layer_is_one_pool_each():
    assert Layer().pools(["a", "b"]) == [("a",), ("b",)]


@pytest.mark.parametrize("names", [[], ["a"], ["c", "a", "b"]])
@pytest.mark.parametrize("scope", SCOPES)
def test_every_group_is_in_exactly_one_pool_in_order(scope, names):
    assert [name for pool in SCOPES[scope]().pools(names) for name in pool] == names
