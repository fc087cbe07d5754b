"""The course's own reviews: what is shipped is what the grammar writes, balanced,
without repetition.
"""

import dataclasses
import json
import sys
from collections import Counter
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset

DATA = Path(__file__).resolve().parent.parent / "data"
sys.path.insert(0, str(DATA))

import make_reviews  # noqa: E402
from grammar import films, finish, measure, phrases, template  # noqa: E402
from grammar.review import Review, write_review  # noqa: E402

SPLITS = {split.name: split for split in make_reviews.SPLITS}
ROWS = {
    "train": 6_000,
    "validation": 1_000,
    "test": 2_000,
    "unsupervised": 20_000,
    "handwritten": 280,
}
LARGEST_TOTAL = 8 * 2**20


@pytest.fixture(scope="module")
def shipped() -> dict[str, list[Review]]:
    folder = make_reviews.REVIEWS
    return {name: make_reviews.from_file(folder / f"{name}.parquet") for name in make_reviews.FILES}


# --- what is shipped ------------------------------------------------------------------------------


def test_files_have_the_promised_rows_columns_and_size():
    for name, rows in ROWS.items():
        table = pq.read_table(make_reviews.REVIEWS / f"{name}.parquet")
        assert table.num_rows == rows
        assert table.schema.names == ["text", "label", "phenomenon"]
        assert table.schema.types == [pa.string(), pa.int64(), pa.string()]
        assert all(column.null_count == 0 for column in table.columns)
    assert sum(path.stat().st_size for path in make_reviews.REVIEWS.iterdir()) <= LARGEST_TOTAL


@pytest.mark.parametrize("name", ["train", "validation", "test", "handwritten"])
def test_labels_are_balanced_within_every_phenomenon(shipped, name):
    counts = Counter((review.phenomenon, review.label) for review in shipped[name])
    assert {phenomenon for phenomenon, _ in counts} == set(phrases.PHENOMENA)
    for phenomenon in phrases.PHENOMENA:
        assert counts[phenomenon, 0] == counts[phenomenon, 1] > 0
    assert {label for _, label in counts} == {0, 1}


def test_unsupervised_reviews_carry_no_label(shipped):
    assert {(review.label, review.phenomenon) for review in shipped["unsupervised"]} == {
        (-1, "unlabelled")
    }


def test_no_text_occurs_twice_within_or_between_splits(shipped):
    texts = [make_reviews.normal(review).text for reviews in shipped.values() for review in reviews]
    assert len(set(texts)) == len(texts)


def test_datasets_knows_the_names_of_the_classes():
    dataset = Dataset.from_parquet(str(make_reviews.REVIEWS / "unsupervised.parquet"))
    assert dataset.features["label"] == ClassLabel(names=["neg", "pos"])
    assert dataset[0]["label"] == -1


@pytest.mark.parametrize("name", list(SPLITS))
def test_shipped_rows_are_those_that_the_grammar_writes(shipped, name):
    split = SPLITS[name]
    rows = make_reviews.plan(split)
    for index in range(0, split.rows, split.rows // 100):
        written = make_reviews.write_row(split, index, *rows[index]).text
        assert shipped[name][index].text == written, (
            f"{name} {index}: run python data/make_reviews.py"
        )


def test_shipped_handwritten_rows_are_those_of_the_json_lines(shipped):
    assert shipped["handwritten"] == make_reviews.read_handwritten(make_reviews.HANDWRITTEN)


def test_data_card_says_what_the_report_prints(shipped):
    card = (DATA / "README.md").read_text(encoding="utf-8")
    for table in measure.report(shipped).split("\n\n"):
        assert table in card, (
            f"the card differs from python data/make_reviews.py --report:\n{table}"
        )


# --- two sides ------------------------------------------------------------------------------------


def test_the_sides_share_no_film_fact_and_no_frame():
    train, test = phrases.pools_of("train"), phrases.pools_of("test")
    for pool in phrases.all_pools():
        shared = set(train[pool]) & set(test[pool])
        assert train[pool] or not phrases.all_pools()[pool]
        if phrases.family(pool) in ("frame", "fact"):
            assert not shared, f"{pool} shares {shared}"
        else:
            assert shared or not phrases.all_pools()[pool]


def test_shipped_test_reviews_name_no_film_of_train_and_train_none_of_test(shipped):
    titles = {
        side: {film.title.lower() for film in films.catalogue(side)} for side in phrases.SIDES
    }
    assert len(titles["train"]) > 250 and len(titles["test"]) > 100
    assert not titles["train"] & titles["test"]
    for names, foreign in ((("test",), "train"), (("train", "validation", "unsupervised"), "test")):
        long = [
            title for title in titles[foreign] if title.count(" ") >= 2
        ]  # "drift" may be any word
        text = "\n".join(review.text.lower() for name in names for review in shipped[name])
        assert len(long) > 60 and not [title for title in long if title in text]


def test_a_film_keeps_its_facts_and_no_person_exists_twice():
    for side in phrases.SIDES:
        catalogue = films.catalogue(side)
        people = [person.name for film in catalogue for person in (film.lead, film.costar)]
        assert len(set(people)) == len(people)
        directors = {film.title: film.director for film in catalogue}
        assert all(directors[film.sibling] == film.director for film in catalogue)


# --- the grammar ----------------------------------------------------------------------------------


def test_the_same_seed_writes_the_same_review_and_another_seed_another():
    def write(seed: int) -> list[Review]:
        return [
            write_review("train", 1, name, Random(f"{seed}/{name}")) for name in phrases.PHENOMENA
        ]

    assert write(1) == write(1)
    assert not {review.text for review in write(1)} & {review.text for review in write(2)}


def test_every_frame_of_every_pool_can_be_written_on_its_side():
    """Forces each frame in turn, so that a slot without a pool is found here
    and not by a rare seed.
    """
    from grammar.writer import Writer

    for side in phrases.SIDES:
        film, other = films.catalogue(side)[0], films.catalogue(side)[2]
        for pool, frames in phrases.pools_of(side).items():
            if phrases.family(pool) != "frame":
                continue
            for frame in frames:
                for label in (0, 1):
                    writer = Writer(Random(0), side, film, other, label, frozenset({"home"}))
                    text = template.expand(template.parse(frame.text), writer.rng, writer.fill)
                    text = finish.finish([text], film, other, Random(0))[0]
                    assert text[0] == text[0].upper() and not set(text) & set(
                        "[]{}|\x02\x03\x04"
                    ), text


def test_no_markup_of_the_grammar_is_left_in_a_review(shipped):
    for reviews in shipped.values():
        for review in reviews:
            assert not set(review.text) & set("{}[]|\x02\x03\x04")
            assert "<" not in review.text.replace("<br /><br />", "")


def test_polarity_slots_follow_the_label():
    """`=` takes the label's phrases and `!` the opposite ones: two-sided frames rest on it."""
    from grammar.writer import Writer

    words = {sign: {phrase.text for phrase in phrases.all_pools()[f"adj{sign}"]} for sign in "+-"}
    film, other = films.catalogue("train")[0], films.catalogue("train")[2]
    for label, same, opposite in ((1, "+", "-"), (0, "-", "+")):
        writer = Writer(Random(7), "train", film, other, label, frozenset())
        assert {writer.fill("adj", "", "=", ()) for _ in range(30)} <= words[same]
        assert {writer.fill("adj", "", "!", ()) for _ in range(30)} <= words[opposite]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("a amusing film", "An amusing film"),
        ("a unique film, a one-note script", "A unique film, a one-note script"),
        ("a unimaginative film of a hour", "An unimaginative film of an hour"),
        ('a 84-minute "bore". it ended', 'An 84-minute "bore". It ended'),
        ("a 118-minute film! a honest one", "A 118-minute film! An honest one"),
    ],
)
def test_articles_and_capitals(raw, expected):
    film = films.catalogue("train")[0]
    assert finish.finish([raw], film, film, Random(0)) == [expected]


def test_templates_choose_nest_and_refuse_unbalanced_brackets():
    nodes = template.parse("[a|b [c|d]] {x1=:past}")
    written = {template.expand(nodes, Random(seed), lambda *slot: str(slot)) for seed in range(50)}
    slot = "('x', '1', '=', ('past',))"
    assert written == {f"a {slot}", f"b c {slot}", f"b d {slot}"}
    with pytest.raises(ValueError, match="expected ']'"):
        template.parse("[a|b")
    with pytest.raises(ValueError, match="balanced"):
        template.parse("a]b")
    with pytest.raises(ValueError, match="at least one item"):
        template.pick(Random(0), [])


# --- files ----------------------------------------------------------------------------------------


def test_saving_and_reading_gives_the_same_rows_and_leaves_no_half_file(tmp_path):
    reviews = [Review("Un café.<br /><br />Fine 🎬", 1, "plain"), Review("no", 0, "irony")]
    make_reviews.save(reviews, tmp_path / "new" / "a.parquet")
    assert make_reviews.from_file(tmp_path / "new" / "a.parquet") == reviews
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.parquet"]


def test_the_content_hash_sees_text_label_phenomenon_and_order():
    review = Review("fine", 1, "plain")
    reviews = [review, Review("bad", 0, "plain")]
    variants = [reviews, reviews[::-1], reviews[:1]]
    for change in ({"text": "Fine"}, {"label": 0}, {"phenomenon": "irony"}):
        variants.append([dataclasses.replace(review, **change), reviews[1]])
    assert len({make_reviews.content_hash(rows) for rows in variants}) == len(variants)


def test_check_names_what_differs(tmp_path, monkeypatch, capsys):
    written = {"test": [Review("fine", 1, "plain")], "train": [Review("bad", 0, "plain")]}
    monkeypatch.setattr(make_reviews, "everything", lambda: written)
    for name, reviews in written.items():
        make_reviews.save(reviews, tmp_path / f"{name}.parquet")
    assert make_reviews.main(["--check", "--output-dir", str(tmp_path)]) == 0
    make_reviews.save(written["train"], tmp_path / "test.parquet")
    assert make_reviews.main(["--check", "--output-dir", str(tmp_path)]) == 1
    assert "test.parquet: expected" in capsys.readouterr().err


GOOD = [{"text": f"Review {i}.", "label": i % 2, "phenomenon": "plain"} for i in range(240)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": 2}, r"line 3: expected label 0 \(neg\) or 1 \(pos\), got 2"),
        ({"label": "pos"}, "line 3: expected label 0"),
        ({"label": True}, "line 3: expected label 0"),
        ({"label": 1}, "expected as many neg as pos reviews, got 119 and 121"),
        ({"phenomenon": "sarcasm"}, "line 3: expected one of plain, .* got 'sarcasm'"),
        ({"text": "  "}, "line 3: expected a text"),
        ({"text": "review 5"}, "expected each text once"),
        ({"stars": 3}, "line 3: expected the fields text, label and phenomenon"),
    ],
)
def test_a_wrong_handwritten_review_is_refused(tmp_path, change, message):
    path = tmp_path / "handwritten.jsonl"
    rows = [row | change if index == 2 else row for index, row in enumerate(GOOD)]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        make_reviews.read_handwritten(path)


def test_good_handwritten_reviews_pass_and_too_few_do_not(tmp_path):
    path = tmp_path / "handwritten.jsonl"
    path.write_text("\n".join(map(json.dumps, GOOD)), encoding="utf-8")
    assert len(make_reviews.read_handwritten(path)) == 240
    path.write_text("\n".join(map(json.dumps, GOOD[:238])), encoding="utf-8")
    with pytest.raises(ValueError, match="at least 240"):
        make_reviews.read_handwritten(path)
