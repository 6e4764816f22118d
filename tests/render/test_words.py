"""Words: vocabularies, sentences and tables from files; pages and pictures of coloured words; sequences as heatmaps."""

import copy
import html.parser
import json
import re

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from lrp_ref import errors, preprocess, render
from lrp_ref.preprocess import Vocabulary, vocabulary
from lrp_ref.propagate.explanation import Explanation
from lrp_ref.render import colours
from lrp_ref.render.canvas import printable
from lrp_ref.render.readings import colours_of, on_scale, signed_number


def put(path, content):
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content, encoding="utf-8")
    return path


# --- vocabularies ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("v.txt", "<unk>\ngood\nbad\n"),
        ("v.txt", "\ufeff<unk>\r\ngood\r\nbad\r\n"),
        ("v.txt", "<unk>\ngood\nbad"),
        ("v.json", '["<unk>", "good", "bad"]'),
        ("v.json", '{"good": 1, "bad": 2, "<unk>": 0}'),
    ],
)
def test_a_vocabulary_is_lines_a_list_or_an_object(tmp_path, name, content):
    found = Vocabulary.load(put(tmp_path / name, content))
    assert dict(found.numbers) == {"<unk>": 0, "good": 1, "bad": 2}
    assert found.rows == 3
    assert found.look_up(["bad", "good", "bad"]).tolist() == [2, 1, 2]
    assert found.look_up(["fine"], unknown="<unk>").tolist() == [0]
    assert found.spell([1, 2, 7]) == ("good", "bad", "#7")


def test_a_word_may_hold_signs_at_which_python_splits_lines(tmp_path):
    found = Vocabulary.load(put(tmp_path / "v.txt", "a\u2028b\nc\x85\n"))
    assert dict(found.numbers) == {"a\u2028b": 0, "c\x85": 1}


def test_numbers_may_be_left_out_and_say_how_many_rows_are_needed():
    found = Vocabulary({"a": 0, "z": 9})
    assert found.rows == 10
    assert found.spell([9, 3]) == ("z", "#3")
    assert copy.deepcopy(found).spell([9]) == ("z",)
    with pytest.raises(TypeError):
        found.numbers["b"] = 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("v.txt", "a\nb\na\n", "'a' stands there twice, as number 0 and as number 2"),
        ("v.txt", "a\n\nb\n", "line 2 is empty"),
        ("v.txt", "", "needs words"),
        ("v.txt", b"\xff\xfe\x00", "no text in UTF-8"),
        ("v.json", "[1, 2]", "a list of words, or an object"),
        ("v.json", "{", "this is no vocabulary"),
        ("v.json", '"a"', "a list of words, or an object"),
        ("v.json", '{"a": -1}', "'a' must be a row of the embedding table, an integer of at least 0; found -1"),
        ("v.json", '{"a": 1.5}', "an integer of at least 0; found 1.5"),
        ("v.json", '{"a": true}', "an integer of at least 0; found True"),
        ("v.json", '{"a": 3, "b": 3}', "'a' and 'b' have the same number, 3"),
        ("v.json", "[" * 100_000, "this is no vocabulary"),
    ],
)
def test_what_is_no_vocabulary_is_refused_by_name(tmp_path, name, content, message):
    with pytest.raises(errors.FormatError, match=re.escape(message)) as caught:
        Vocabulary.load(put(tmp_path / name, content))
    assert name in str(caught.value)


def test_a_missing_file_and_one_that_is_too_large_are_refused(tmp_path, monkeypatch):
    with pytest.raises(errors.FormatError, match="cannot be read: No such file"):
        Vocabulary.load(tmp_path / "v.txt")
    monkeypatch.setattr(vocabulary, "BYTES", 3)
    with pytest.raises(errors.FormatError, match="more than 3 bytes"):
        Vocabulary.load(put(tmp_path / "v.txt", "abcd"))


def test_an_unknown_word_is_named_with_its_place_and_what_is_near():
    found = Vocabulary.of(["the", "film", "was", "brilliant"])
    message = r"word 3, 'briliant', is not in the vocabulary of 4 words \(the nearest is 'brilliant'\), and 1 more are not either"
    with pytest.raises(errors.UnknownNameError, match=message):
        found.look_up(["the", "film", "briliant", "xyz"])
    with pytest.raises(errors.UnknownNameError, match="'<unk>' is itself not in the vocabulary"):
        found.look_up(["the"], unknown="<unk>")


def test_sentences_are_lines_and_an_empty_line_is_an_empty_sentence(tmp_path):
    file = put(tmp_path / "s.txt", "The  film\t was\n\n not bad \n")
    assert preprocess.read_sentences(file) == [("The", "film", "was"), (), ("not", "bad")]
    assert preprocess.read_sentences(file, lower=True)[0] == ("the", "film", "was")
    with pytest.raises(errors.FormatError, match="holds no sentence"):
        preprocess.read_sentences(put(tmp_path / "t.txt", "\n  \n"))


# --- tables ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("1,2.5\n-3,4e1\n", None),
        ("\ufeffrain,snow\r\n1,2.5\r\n-3,4e1\r\n", ("rain", "snow")),
        ('"rain";"snow"\n1;2.5\n\n-3;4e1\n', ("rain", "snow")),
        ("1\t2.5\n-3\t 4e1", None),
    ],
)
def test_a_table_is_rows_of_numbers_perhaps_with_names(tmp_path, content, names):
    table, found = preprocess.read_table(put(tmp_path / "t.csv", content))
    assert table.tolist() == [[1, 2.5], [-3, 40]]
    assert table.dtype == np.float64
    assert found == names


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no rows of numbers"),
        ("a,b\n", "no rows of numbers"),
        ("1,2\n3\n", "line 2: 1 cells, and 2 columns before"),
        ("a,b\n1,2\n3,x\n", "line 3, column 2: 'x' is no number"),
        ("1,2\n3,\n", "line 2, column 2: '' is no number"),
        ('1,"2\n', "this is no table"),
    ],
)
def test_what_is_no_table_is_refused_with_its_place(tmp_path, content, message):
    with pytest.raises(errors.FormatError, match=re.escape(message)):
        preprocess.read_table(put(tmp_path / "t.csv", content))


# --- readings -------------------------------------------------------------------------------------------------------------


def explained(relevance, x=None, targets=(0,)):
    """An explanation of one sample whose relevance is given, (…) of one target or (targets, …)."""
    several = len(targets) > 1
    prediction = np.array([[2.0, -1.0, 0.5]])
    value = prediction[:, list(targets)]
    relevance = np.asarray(relevance, dtype=np.float64)[None]
    x = np.zeros(relevance.shape[2 if several else 1 :]) if x is None else x
    return Explanation(
        {"input": relevance}, ("input",), {"input": np.asarray(x)[None]}, prediction,
        np.array([targets]) if several else np.array(targets), value if several else value[:, 0], composite="lstm_all",
    )  # fmt: skip


def test_the_relevance_of_a_word_is_that_of_its_number_or_the_sum_over_its_vector():
    (one,) = render.readings(explained([1.0, -2.0]), ["not", "bad"], labels=["negative", "positive", "neutral"])
    assert one.words == ("not", "bad")
    assert one.relevance.tolist() == [1, -2]
    assert one.caption == "negative, score 2, -50 % of it arrives"
    assert one.limit == 2
    (two,) = render.readings(explained([[1.0, 0.5], [-2.0, 4.0]]), ["not", "bad"])
    assert two.relevance.tolist() == [1.5, 2]
    assert two.caption == "class 0, score 2, 175 % of it arrives"


def test_several_targets_share_one_scale():
    found = render.readings(explained([[1.0, -2.0], [4.0, 0.0]], targets=(0, 1)), ["not", "bad"])
    assert [one.limit for one in found] == [4, 4]
    assert [one.caption for one in found] == ["class 0, score 2, -50 % of it arrives", "class 1, score −1, -400 % of it arrives"]


def test_steps_behind_the_words_must_have_nothing():
    (one,) = render.readings(explained([1.0, -2.0, 0.0]), ["not", "bad"])
    assert one.relevance.tolist() == [1, -2]
    with pytest.raises(errors.ShapeError, match="those after the words have relevance too"):
        render.readings(explained([1.0, -2.0, 0.1]), ["not", "bad"])
    with pytest.raises(errors.ShapeError, match="3 words, and relevance for 2 steps"):
        render.readings(explained([1.0, -2.0]), ["not", "so", "bad"])
    with pytest.raises(errors.ShapeError, match=r"\(T,\) or \(T, features\)"):
        render.readings(explained(np.ones((2, 2, 2))), ["not", "bad"])
    with pytest.raises(errors.ParameterError, match="no sample 1"):
        render.readings(explained([1.0]), ["not"], sample=1)


def test_a_reading_needs_as_many_numbers_and_marks_as_words():
    with pytest.raises(errors.ShapeError, match="2 words with 1 relevances"):
        render.Reading(("a", "b"), np.ones(1), "", 1.0)
    with pytest.raises(errors.ShapeError, match="2 words with 2 relevances and 1 marks"):
        render.Reading(("a", "b"), np.ones(2), "", 1.0, (True,))


def test_words_have_the_colours_of_heatmaps_and_letters_that_can_be_read():
    reading = render.Reading(tuple("abcde"), np.array([2.0, 0.0, -2.0, 0.5, -0.5]), "", 2.0)
    expected = render.heatmap(reading.relevance)[0].tolist()
    found = colours_of(reading)
    assert [list(colour) for colour, _ in found] == expected
    assert [dark for _, dark in found] == [True, False, True, False, False]
    nothing = render.Reading(("a",), np.zeros(1), "", 0.0)
    assert colours_of(nothing) == [(colours.NEUTRAL, False)]


def test_control_characters_are_spelled_out_and_joiners_kept():
    assert printable("a\x1b[31mb\x00\u202e") == "a\\x1b[31mb\\x00\\u202e"
    assert printable("می\u200cخواهم 日本 ε") == "می\u200cخواهم 日本 ε"
    assert [signed_number(v) for v in (0.314, -12.3, 0.0, -0.0, 1e-9)] == ["+0.31", "−12", "0", "0", "+1e−09"]


# --- pages ----------------------------------------------------------------------------------------------------------------


class Tags(html.parser.HTMLParser):
    """The tags with their attributes, and the text of each."""

    def __init__(self, page):
        super().__init__()
        self.found, self.open = [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append([tag, dict(attrs), ""])
        if tag not in ("meta", "input"):
            self.open.append(self.found[-1])

    def handle_endtag(self, tag):
        assert self.open[-1][0] == tag, f"</{tag}> closes <{self.open[-1][0]}>"
        self.open.pop()

    def handle_data(self, data):
        for entry in self.open:
            entry[2] += data

    def of(self, tag):
        return [(attributes, text.strip()) for name, attributes, text in self.found if name == tag]


def page_of(*found, **options):
    tags = Tags(render.html(found, **options))
    assert not tags.open, "every tag is closed"
    return tags


def test_a_page_holds_every_word_with_its_colour_and_number():
    (reading,) = render.readings(explained([1.0, -2.0, 0.0]), ["not", "bad", "."])
    tags = page_of(reading)
    spans = [(a, text) for a, text in tags.of("span") if "style" in a]
    assert [text for _, text in spans] == ["not+1", "bad−2", ".0"]
    assert [a["title"] for a, _ in spans] == ["+1", "−2", "0"]
    expected = ["#{:02x}{:02x}{:02x}".format(*c) for c in render.heatmap(reading.relevance)[0].tolist()]
    assert [a["style"].partition(";")[0] for a, _ in spans] == [f"background: {c}" for c in expected]
    assert [text for _, text in tags.of("h2")] == ["class 0, score 2, -50 % of it arrives"]
    assert [a["title"] for a, _ in tags.of("h2")] == ["max |R| = 2"]
    assert [text for _, text in tags.of("small")] == ["+1", "−2", "0"]


def sentence(*relevance, caption="", words=None):
    words = tuple(f"w{i}" for i in range(len(relevance))) if words is None else words
    return render.Reading(words, np.array(relevance), caption, max(map(abs, relevance)))


def test_the_sentences_of_a_page_share_a_scale():
    """CONV-WORD-RELEVANCE."""
    pale, usual, wild = sentence(0.1, -0.2), sentence(1.0, -2.0), sentence(100.0, 50.0)
    assert [one.limit for one in on_scale([pale, usual, wild])] == [2.0, 2.0, 2.0]
    assert [one.limit for one in on_scale([pale, usual, wild], "sentence")] == [0.2, 2.0, 100.0]
    assert [one.limit for one in on_scale([pale, usual], percentile=100)] == [2.0, 2.0]
    assert [one.limit for one in on_scale([pale, usual], "sentence", 50)] == pytest.approx([0.15, 1.5])
    assert on_scale([sentence(0.0), sentence(0.0), sentence(1.0)])[0].limit == 1.0
    assert on_scale([]) == ()
    filler = render.heatmap([0.1, -0.2], limit=2.0)[0].tolist()
    colours = [a["style"].partition(";")[0] for a, _ in page_of(pale, usual, wild).of("span") if "style" in a]
    assert colours[:2] == ["background: #{:02x}{:02x}{:02x}".format(*colour) for colour in filler]
    for options, said in (({}, "the median over"), ({"scale": "sentence"}, "of each"), ({"percentile": 95}, "that 95 % of")):
        assert said in render.html([pale, usual], **options)
        assert any(said in text.get_text() for text in render.sentences([pale, usual], **options).texts)
    with pytest.raises(errors.UnknownNameError, match="Did you mean 'page'"):
        render.html([pale], scale="pages")
    with pytest.raises(errors.ParameterError, match="percentile"):
        render.sentences([pale], percentile=0)


def test_what_is_said_of_one_sentence_stands_together():
    first, second = ("not", "bad"), ("so", "so")
    made = [sentence(1.0, 2.0, caption=f"{rule}: {words[0]}", words=words) for rule in ("a", "b") for words in (first, second)]
    tags = page_of(*made)
    assert [text for _, text in tags.of("h2")] == ["sentence 1", "sentence 2"]
    assert [text for _, text in tags.of("h3")] == ["a: not", "b: not", "a: so", "b: so"]
    assert len(tags.of("section")) == 2


def test_words_titles_and_captions_cannot_break_out_of_the_page():
    evil = "</span><script>alert(1)</script>&amp;\"'"
    reading = render.Reading((evil, "\x00"), np.array([1.0, -1.0]), evil, 1.0, (True, False))
    text = render.html([reading], title=evil, facts=evil)
    assert "<script" not in text
    assert "\x00" not in text
    tags = page_of(reading, title=evil, facts=evil)
    assert evil in tags.of("u")[0][1]
    assert tags.of("h1")[0][1] == evil


def test_a_sentence_is_set_in_the_direction_of_its_writing_and_its_numbers_from_left_to_right():
    hebrew = render.Reading(("\u05e9\u05dc\u05d5\u05dd", "film"), np.array([1.0, -0.5]), "", 1.0)
    page = render.html([hebrew])
    assert '<p class="words" dir="auto">' in page
    assert "direction: ltr; unicode-bidi: isolate" in page.partition(".words small")[2].partition("}")[0]


def test_a_page_needs_nothing_else():
    page = render.html([render.Reading(("a",), np.ones(1), "", 1.0)])
    assert page.startswith("<!DOCTYPE html>")
    assert not re.search(r"https?:|src=|href=|url\(|@import|<script|<link", page)
    assert render.html([render.Reading((), np.zeros(0), "none", 0.0)]).count("<section>") == 1


# --- pictures -------------------------------------------------------------------------------------------------------------


def drawn(figure):
    """The pixels of a figure, (H, W, 3)."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def texts(figure):
    return [t.get_text() for axes in figure.axes for t in axes.texts]


def test_a_picture_sets_the_words_in_their_order_on_their_colours():
    reading = render.Reading(("not", "$very$", "bad"), np.array([1.0, 0.0, -2.0]), "class 0, score 2", 2.0)
    figure = render.sentences([reading], title="Two $words", numbers=True)
    found = texts(figure)
    assert found == ["Two $words", "class 0, score 2", "not", "+1", "$very$", "0", "bad", "−2"]
    pixels = drawn(figure).reshape(-1, 3)
    for colour, _ in colours_of(reading):
        assert (pixels == colour).all(axis=1).sum() > 100
    boxes = [patch.get_bbox() for patch in figure.axes[0].patches]
    assert [box.x0 for box in boxes] == sorted(box.x0 for box in boxes)


def test_words_go_on_in_another_line_and_never_leave_the_picture():
    reading = render.Reading(tuple(f"word{i}" for i in range(40)), np.linspace(-1, 1, 40), "", 1.0)
    narrow, wide = (render.sentences([reading], width=w, numbers=True) for w in (4.0, 12.0))
    for figure in (narrow, wide):
        boxes = [patch.get_bbox() for patch in figure.axes[0].patches]
        assert max(box.x1 for box in boxes) < figure.get_figwidth()
        assert max(box.y1 for box in boxes) < figure.get_figheight()
        rows = {round(box.y0, 3) for box in boxes}
        assert all(np.diff(sorted(rows)) > 0.29)
    assert narrow.get_figheight() > wide.get_figheight()


def test_a_picture_holds_so_many_sentences():
    reading = render.Reading(("a",), np.ones(1), "", 1.0)
    for count in (0, 101):
        with pytest.raises(errors.ParameterError, match=f"1 to 100 sentences, found {count}"):
            render.sentences([reading] * count)


def test_a_sequence_has_time_from_left_to_right_and_a_row_for_each_feature():
    relevance = np.array([[1.0, 0.0], [0.0, -2.0], [0.5, 0.0]])
    figure = render.sequence(explained(relevance, x=np.arange(6.0).reshape(3, 2)), features=["rain", "snow"], steps=list("abc"))
    image, values, bars = figure.axes[1], figure.axes[0], figure.axes[2]
    assert image.images[0].get_array().tolist() == render.heatmap(relevance.T).tolist()
    assert values.images[0].get_array().shape == (2, 3, 3)
    assert [t.get_text() for t in image.get_yticklabels()] == ["rain", "snow"]
    assert [t.get_text() for t in bars.get_xticklabels()] == ["a", "b", "c"]
    heights = sorted((p.get_x() + p.get_width() / 2, p.get_height()) for p in bars.patches if p.get_height())
    assert heights == [(0, 1.0), (1, -2.0), (2, 0.5)]
    drawn(figure)


def test_of_several_targets_each_has_its_map_on_one_scale():
    maps = np.zeros((3, 4, 2))
    maps[0, 0, 0], maps[1, 0, 0], maps[2, 0, 0] = 1.0, 8.0, 2.0
    figure = render.sequence(explained(maps, targets=(0, 1, 2)), labels=["a", "b", "c"])
    panels = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in panels[:4]] == ["input", "a, score 2", "c, score 0.5", "b, score −1"]
    assert panels[3].images[0].get_array().tolist() == render.heatmap(maps[1].T, limit=8.0).tolist()
    assert panels[1].images[0].get_array().tolist() == render.heatmap(maps[0].T, limit=8.0).tolist()


def test_what_is_no_sequence_is_refused():
    for relevance, shape in ((np.ones(3), "(3,)"), (np.ones((2, 2, 2)), "(2, 2, 2)"), (np.ones((0, 2)), "(0, 2)")):
        with pytest.raises(errors.ShapeError, match=re.escape(f"found {shape}")):
            render.sequence(explained(relevance))
    with pytest.raises(errors.ShapeError, match="3 names for 2 features"):
        render.sequence(explained(np.ones((4, 2))), features=list("abc"))
    with pytest.raises(errors.ShapeError, match="3 names for 4 steps"):
        render.sequence(explained(np.ones((4, 2))), steps=list("abc"))
    with pytest.raises(errors.ParameterError, match="no sample 1"):
        render.sequence(explained(np.ones((4, 2))), sample=1)


@pytest.mark.parametrize("shape", [(1, 1), (700, 3), (50, 120)])
def test_sequences_of_any_extent_are_drawn(shape):
    figure = render.sequence(explained(np.linspace(-1, 1, np.prod(shape)).reshape(shape)))
    assert drawn(figure).std() > 0


def test_the_json_of_a_vocabulary_of_a_tokeniser_is_read(tmp_path):
    file = put(tmp_path / "vocab.json", json.dumps({"[PAD]": 0, "é": 5}))
    assert Vocabulary.load(file).look_up(["é"]).tolist() == [5]
