"""One exception tree, and messages that help."""

import inspect

import pytest

from lrp_ref import errors
from lrp_ref.errors import ExistingFileError, LrpError, MissingExtraError, ShapeError, UnknownNameError

OURS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, LrpError)]


@pytest.mark.parametrize("kind", OURS)
def test_everything_is_an_lrp_error_and_a_python_error_that_means_the_same(kind):
    assert issubclass(kind, LrpError)
    assert kind is LrpError or issubclass(kind, (ValueError, TypeError, LookupError, OSError, ImportError))
    assert inspect.getdoc(kind) != inspect.getdoc(LrpError) or kind is LrpError


@pytest.mark.parametrize("kind", OURS)
def test_a_place_is_put_in_front(kind):
    """Whoever walks the graph adds the node's name; the kind of error stays, and places nest."""
    error = kind("found 3, expected 4").at("conv1").at("model.npz")
    assert type(error) is kind
    assert str(error) == "model.npz: conv1: found 3, expected 4"


def test_at_does_not_change_the_error_itself():
    error = ShapeError("found 3")
    assert str(error.at("conv1")) == "conv1: found 3"
    assert str(error) == "found 3"


def test_an_unknown_name_comes_with_the_nearest_and_with_what_exists():
    error = errors.unknown("composite", "epsilon_pluss", ["epsilon_plus", "deep_taylor"])
    assert isinstance(error, UnknownNameError)
    assert str(error) == ("unknown composite 'epsilon_pluss'. Did you mean 'epsilon_plus'? Known: epsilon_plus, deep_taylor.")


def test_a_name_like_no_other_gets_no_suggestion():
    assert str(errors.unknown("rule", "xyz", ["Zero"])) == "unknown rule 'xyz'. Known: Zero."


def test_a_long_list_is_cut_and_an_empty_one_says_none():
    many = [f"node{i}" for i in range(25)]
    message = str(errors.unknown("node", "relu", many))
    assert message.endswith("node18, node19, ….")
    assert "node20" not in message
    assert str(errors.unknown("node", "relu", many[:20])).endswith("node19.")
    assert str(errors.unknown("node", "relu", [])) == "unknown node 'relu'. Known: none."


def test_a_name_need_not_be_a_string():
    assert str(errors.unknown("node", 3, (1, 2))) == "unknown node 3. Known: 1, 2."


def test_a_missing_extra_says_how_to_install_it():
    error = errors.missing_extra("matplotlib", "plot", "a picture")
    assert isinstance(error, MissingExtraError)
    assert str(error) == "a picture needs matplotlib: pip install 'lrp_ref[plot]'"


def test_errors_are_caught_by_the_python_name():
    """Callers who know nothing of the library catch what they would catch anywhere."""
    with pytest.raises(FileExistsError):
        raise ExistingFileError("heat.npz is there already")
    with pytest.raises(ImportError):
        raise errors.missing_extra("click", "cli", "the command line")
