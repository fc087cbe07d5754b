"""Diagrams: they can be read, show the shapes of a real forward pass and the data that they are
given, and refuse what they cannot draw.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch

matplotlib.use("Agg")

from helpers import FIXED, tiny_features, tiny_fit, tiny_model
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgba
from matplotlib.patches import FancyBboxPatch, Rectangle
from pictures import (
    check_arrows,
    check_contrast,
    check_layout,
    check_texts_fit_their_boxes,
    strings,
    texts,
)

from course_utils import data
from course_utils.config import BertConfig, TrainConfig
from course_utils.models import BertForPreTraining, BertForSequenceClassification, BertModel
from course_utils.plots import diagrams, theme
from course_utils.plots.diagrams import drawing
from course_utils.tokenization import WordPieceTokenizer
from course_utils.training import saved_state
from course_utils.training.optimization import linear_schedule

BASE = BertConfig()
COURSE = BertConfig(
    vocab_size=8192,
    hidden_size=256,
    num_hidden_layers=4,
    num_attention_heads=4,
    intermediate_size=1024,
)
LARGE = BertConfig(
    hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096
)
TINY = BertConfig(
    vocab_size=40,
    hidden_size=12,
    num_hidden_layers=1,
    num_attention_heads=1,
    intermediate_size=20,
    max_position_embeddings=16,
    type_vocab_size=3,
)
CONFIGS = {"base": BASE, "course": COURSE, "large": LARGE, "tiny": TINY}

TOKENS = ["[CLS]", "the", "film", "was", "not", "bad", ",", "and", "i", "laughed", ".", "[SEP]"]
IDS = [2, 206, 270, 264, 290, 483, 16, 218, 51, 3716, 18, 3]
SEGMENTS = [0] * 6 + [1] * 6
ROWS = np.random.default_rng(0).normal(size=(3, len(TOKENS), 8))
MASKED = ["[CLS]", "the", "[MASK]", "was", "not", "bad", ",", "and", "i", "cinema", ".", "[SEP]"]
PROGRESS = ["step", "history", "best_score", "random_states", "scaler"]


def masked(**k: Axes) -> Axes:
    return diagrams.masking(TOKENS, MASKED, [2, 5, 9], **k)


DRAW: dict[str, Callable[..., Axes]] = {
    "journey": lambda **k: diagrams.journey(
        "The film was not bad, and I laughed.",
        TOKENS,
        IDS,
        ROWS[0],
        {"neg": 0.13, "pos": 0.87},
        **k,
    ),
    "stacked_embeddings": lambda **k: diagrams.stacked_embeddings(
        TOKENS, IDS, SEGMENTS, 256, rows=tuple(ROWS), **k
    ),
    "stacked_embeddings, ids only": lambda **k: diagrams.stacked_embeddings(
        TOKENS, IDS, SEGMENTS, 768, **k
    ),
    "layer_norm_placement": diagrams.layer_norm_placement,
    "masks": lambda **k: diagrams.masks(TOKENS[:7], 3, **k),
    "masks, padded": lambda **k: diagrams.masks(["[CLS]", "good", "[SEP]", "[PAD]"], **k),
    "masks, one token": lambda **k: diagrams.masks(["film"], **k),
    "masking": masked,
    "padding": lambda **k: diagrams.padding([250, 12, 90, 400, 33, 71, 256], 3, 256, **k),
    "padding, one text": lambda **k: diagrams.padding([5], 8, 9, **k),
    "head_and_tail": lambda **k: diagrams.head_and_tail(900, 256, 0.5, **k),
    "head_and_tail, head only": lambda **k: diagrams.head_and_tail(300, 280, 0.0, **k),
    "head_and_tail, all fits": lambda **k: diagrams.head_and_tail(100, 256, 0.5, **k),
    "schedule": lambda **k: diagrams.schedule(TrainConfig(), 750, linear_schedule, **k),
    "schedule, no warm-up": lambda **k: diagrams.schedule(
        TrainConfig(num_warmup_steps=0.0), 9, linear_schedule, **k
    ),
    "schedule, long warm-up": lambda **k: diagrams.schedule(
        TrainConfig(num_warmup_steps=0.9), 100, linear_schedule, **k
    ),
    "saved_state": lambda **k: diagrams.saved_state(
        {"model": 39, "average": 0, "best": 1, "optimizer": 117}, PROGRESS, 300, **k
    ),
    "mcnemar_table": lambda **k: diagrams.mcnemar_table(
        1430, 120, 207, 243, ("TF-IDF", "course-bert"), **k
    ),
    "mcnemar_table, long names": lambda **k: diagrams.mcnemar_table(
        0, 1, 0, 0, ("TF-IDF, words and pairs", "B"), **k
    ),
    "longest_match": lambda **k: diagrams.longest_match(
        "unbelievable", {"un", "##bel", "##iev", "##able", "u"}, **k
    ),
    "longest_match, unknown": lambda **k: diagrams.longest_match("thex", {"the", "##ex"}, **k),
    "skip_gram_window": lambda **k: diagrams.skip_gram_window(TOKENS[1:-1], 3, 2, **k),
    "skip_gram_window, first": lambda **k: diagrams.skip_gram_window(TOKENS[1:5], 0, 9, **k),
}
OF_A_CONFIG: dict[str, Callable[..., Axes]] = {
    "bert": diagrams.bert,
    "attention_head": diagrams.attention_head,
    "heads": diagrams.heads,
    "one_body_two_heads": diagrams.one_body_two_heads,
}


def of_config(draw: Callable[..., Axes], config: BertConfig) -> Callable[..., Axes]:
    return lambda **k: draw(config, **k)


for name, draw in OF_A_CONFIG.items():
    for size, config in CONFIGS.items():
        DRAW[f"{name}, {size}"] = of_config(draw, config)
DRAW["bert, attention lit"] = lambda **k: diagrams.bert(BASE, ["attention", "attention_mask"], **k)
DRAW["bert, heads lit"] = lambda **k: diagrams.bert(COURSE, ["heads", "pooler"], num_labels=3, **k)


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    yield
    pyplot.close("all")


# --- what holds for all ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", DRAW)
def test_a_diagram_can_be_read(name: str) -> None:
    """By the eye, in print and in a notebook, and by its text alternative."""
    ax = DRAW[name]()
    found = texts(ax)
    check_layout(found)
    check_texts_fit_their_boxes(ax, found)
    check_arrows(ax, found)
    check_contrast(found)
    figure = ax.figure
    assert figure.dpi == 160
    assert figure.get_figwidth() <= 7 and figure.get_figheight() <= 8.5
    said = figure.get_label()
    assert said.endswith(".") and len(said.split()) >= 12


def test_settings_stay_and_the_page_is_white() -> None:
    with pyplot.style.context("dark_background"):  # a reader's own style
        before = matplotlib.rcParams.copy()
        ax = diagrams.bert(COURSE)
        assert matplotlib.rcParams == before
        assert ax.figure.get_facecolor() == to_rgba("white")
        check_contrast(texts(ax))


ONE_OF_EACH = {name.partition(",")[0]: name for name in DRAW}


@pytest.mark.parametrize("name", ONE_OF_EACH.values())
def test_given_axes_are_used(name: str) -> None:
    _, ax = pyplot.subplots()
    assert DRAW[name](ax=ax) is ax
    assert len(pyplot.get_fignums()) == 1


def test_every_diagram_is_drawn_here() -> None:
    assert set(ONE_OF_EACH) == set(diagrams.__all__)


# --- shapes of a real forward pass ----------------------------------------------------------------

SIZES = {"batch_size": 2, "seq_length": 5}
SHAPED = re.compile(r"(?:(\w+)\s+)?\[((?:[a-z_]+|\d+)(?:,\s*(?:[a-z_]+|\d+))*)\]")


def shapes_said(ax: Axes, sizes: dict[str, int]) -> list[tuple[str, tuple[int, ...]]]:
    """Every (name, shape) that a diagram shows, the name empty where none stands before it."""
    found = []
    joined = "\n\n".join(strings(ax))
    for name, numbers in SHAPED.findall(joined):
        parts = [part.strip() for part in numbers.split(",")]
        shape = tuple(sizes[part] if part in sizes else int(part) for part in parts)
        found.append((name, shape))
    return found


def real_shapes(config: BertConfig, num_labels: int) -> dict[str, tuple[int, ...]]:
    """The shapes of everything that has a name in BERT, as a forward pass finds them."""
    batch_size, seq_length = SIZES.values()
    input_ids = torch.zeros(batch_size, seq_length, dtype=torch.long)
    model = BertForPreTraining(config, attention="explicit").eval()
    classifier = BertForSequenceClassification(config, num_labels).eval()
    wide = []
    feed_forward = model.bert.encoder.layers[0].feed_forward.intermediate
    feed_forward.register_forward_hook(lambda module, given, result: wide.append(result))
    with torch.no_grad():
        body = model.bert(input_ids, output_hidden_states=True, output_attentions=True)
        heads = model(input_ids)
        logits = classifier(input_ids).logits
    tables = model.bert.embeddings
    found = {
        "input_ids": input_ids,
        "token_type_ids": input_ids,
        "attention_mask": input_ids,
        "position_ids": torch.arange(seq_length),
        "token_embeddings": tables.token_embeddings.weight,
        "position_embeddings": tables.position_embeddings.weight,
        "token_type_embeddings": tables.token_type_embeddings.weight,
        "hidden_states": body.hidden_states[0],
        "attention_probs": body.attention_probs[0],
        "GELU": wide[0],
        "sequence_output": body.sequence_output,
        "pooled_output": body.pooled_output,
        "mlm_logits": heads.mlm_logits,
        "nsp_logits": heads.nsp_logits,
        "logits": logits,
    }
    return {name: tuple(tensor.shape) for name, tensor in found.items()}


@pytest.mark.parametrize(("size", "num_labels"), [("course", 2), ("tiny", 4)])
def test_bert_shows_the_shapes_of_a_forward_pass(size: str, num_labels: int) -> None:
    config = CONFIGS[size]
    real = real_shapes(config, num_labels)
    said = shapes_said(diagrams.bert(config, num_labels=num_labels), SIZES)
    named = {name: shape for name, shape in said if name in real}
    assert named == real
    # What has no name is the way of the hidden states, or the rows of a table.
    states = real["hidden_states"]
    for name, shape in said:
        if name not in real:
            assert shape in (states, states[1:], (states[0], states[2])), (name, shape)


@pytest.mark.parametrize("size", CONFIGS)
def test_one_head_shows_the_shapes_of_a_real_head(size: str) -> None:
    config = CONFIGS[size]
    with torch.device("meta"):  # shapes without numbers
        attention = BertModel(config).encoder.layers[0].attention
        states = torch.empty(1, SIZES["seq_length"], config.hidden_size)
        query = attention._split_heads(attention.query(states))[0, 0]  # [seq, head_dim]
        scores = query @ query.T
        context = scores @ query
    weight = attention.query.weight.T[:, : config.head_dim]
    said = [shape for _, shape in shapes_said(diagrams.attention_head(config), SIZES)]
    projections = [tuple(weight.shape), tuple(query.shape)] * 3  # W_Q and Q, and so on
    attended = [tuple(scores.shape), tuple(scores.shape), tuple(context.shape)]
    assert said == [tuple(states.shape[1:]), *projections, *attended]


@pytest.mark.parametrize("size", CONFIGS)
def test_heads_show_the_shapes_of_a_real_split(size: str) -> None:
    config = CONFIGS[size]
    with torch.device("meta"):
        attention = BertModel(config).encoder.layers[0].attention
        merged = torch.empty(*SIZES.values(), config.hidden_size)
        split = attention._split_heads(merged)
        bands = split.transpose(1, 2)
        assert attention._merge_heads(split).shape == merged.shape
    said = [shape for _, shape in shapes_said(diagrams.heads(config), SIZES)]
    assert sorted(said) == sorted(
        tuple(tensor.shape) for tensor in (merged, bands, bands, merged, split)
    )


def test_two_heads_show_the_shapes_of_chosen_rows() -> None:
    chosen = torch.zeros(*SIZES.values(), dtype=torch.bool)
    chosen[0, 2] = chosen[1, 4] = chosen[1, 1] = True
    model = BertForPreTraining(TINY).eval()
    with torch.no_grad():
        found = model(chosen.long(), chosen=chosen)
    said = dict(shapes_said(diagrams.one_body_two_heads(TINY), {**SIZES, "num_chosen": 3}))
    assert said["mlm_logits"] == tuple(found.mlm_logits.shape)
    assert said["nsp_logits"] == tuple(found.nsp_logits.shape)
    assert said["rows"] == (3, TINY.hidden_size)


# --- the whole BERT, parts lit --------------------------------------------------------------------


def coloured_boxes(ax: Axes) -> set[str]:
    """The first line of every box that is filled with a tint."""
    titles: set[str] = set()
    found = texts(ax)
    for patch in ax.patches:
        if isinstance(patch, FancyBboxPatch) and to_hex(patch.get_facecolor()) != "#ffffff":
            box = patch.get_window_extent()
            inside = [
                text
                for text in found
                if box.contains(*text.get_window_extent().get_points().mean(axis=0))
            ]
            titles.add(max(inside, key=lambda text: text.get_window_extent().y1).get_text())
    return titles


def test_lit_parts_are_coloured_and_the_rest_is_pale() -> None:
    assert coloured_boxes(diagrams.bert(TINY, ["attention", "mlm"])) == {
        "self-attention",
        "MLM head",
    }
    assert coloured_boxes(diagrams.bert(TINY, ["heads"])) == {"MLM head", "NSP head", "classifier"}
    assert {"token_embeddings", "input_ids", "LayerNorm, dropout"} <= coloured_boxes(
        diagrams.bert(TINY, {"embeddings"})
    )
    # 16 boxes, of which the two norms of a layer look alike.
    assert len(coloured_boxes(diagrams.bert(TINY))) == 15
    assert "Set off: mlm and nsp." in diagrams.bert(TINY, ["nsp", "mlm"]).figure.get_label()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            {"lit": ["attentoin"]},
            "cannot light 'attentoin': the parts are token_embeddings, .*heads",
        ),
        ({"lit": "mlm"}, r"one text: 'mlm'; write \['mlm'\]"),
        ({"num_labels": 0}, "num_labels must be at least 1, got 0"),
    ],
)
def test_bert_refuses_what_it_does_not_know(arguments: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        diagrams.bert(TINY, **arguments)


# --- inputs ---------------------------------------------------------------------------------------


def test_the_journey_shows_the_sentence_its_ids_and_its_label() -> None:
    said = strings(DRAW["journey"]())
    assert {"The film was not bad, and I laughed.", "3716", "[1, 12]", "[1, 12, 8]"} <= set(said)
    assert {"neg", "13.0 %", "pos", "87.0 %"} <= set(said)
    assert "answers pos with probability 0.870" in DRAW["journey"]().figure.get_label()


def test_stacked_rows_add_up() -> None:
    with_zeros = np.zeros_like(ROWS)
    with_zeros[0] = ROWS[0]
    rows = tuple(with_zeros)
    ax = diagrams.stacked_embeddings(TOKENS, IDS, SEGMENTS, 8, rows=rows)
    cells = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    cells = [cell for cell in cells if cell.get_height() < 0.2]
    count = 4 * len(TOKENS)  # cells of one of the four rows
    fills = [to_hex(cell.get_facecolor()) for cell in cells]
    assert len(fills) == 4 * count
    assert fills[:count] == fills[3 * count :]  # the token's rows, plus zeros, are the sum
    assert len(set(fills[count : 3 * count])) == 1
    said = strings(ax)
    assert [text for text in said if text in ("+", "=")].count("+") == 2 * len(TOKENS)


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        (lambda: diagrams.journey("a", ["a"], [1, 2], [[0.0]], {"x": 1.0}), "got 1 tokens, 2 ids"),
        (lambda: diagrams.journey("a", ["a"], [1], [0.0], {"x": 1.0}), r"shape \[1\]"),
        (lambda: diagrams.journey("a", ["a"], [1], [[0.0]], {"x": 0.4}), "sum to 0.400"),
        (lambda: diagrams.journey("a", ["a"], [1], [[0.0]], {}), "sum to 0.000"),
        (lambda: diagrams.journey("a", [], [], np.zeros((0, 4)), {"x": 1.0}), "at least one token"),
        (lambda: diagrams.journey("a " * 60, ["a"], [1], [[0.0]], {"x": 1.0}), "too long for one"),
        (
            lambda: diagrams.journey("a", ["word"] * 20, [1] * 20, np.zeros((20, 4)), {"x": 1.0}),
            "20 tokens need 9.* inches side by side, and the picture has 5.7",
        ),
        (lambda: diagrams.stacked_embeddings(["a"], [1], [], 8), "got 1 tokens, 1 input_ids and 0"),
        (lambda: diagrams.stacked_embeddings([], [], [], 8), "at least one token"),
        (lambda: diagrams.stacked_embeddings(TOKENS * 2, IDS * 2, SEGMENTS * 2, 8), "24 tokens"),
        (
            lambda: diagrams.stacked_embeddings(
                ["a"], [1], [0], 8, rows=([[1]], [[1]], [[1], [2]])
            ),
            r"each of shape \[1, at least 1\], got \[\[1, 1\], \[1, 1\], \[2, 1\]\]",
        ),
    ],
)
def test_inputs_refuse_what_does_not_fit(draw: Callable[[], Axes], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        draw()


# --- masks and masking ----------------------------------------------------------------------------


def filled_cells(ax: Axes) -> int:
    cells = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    return sum(to_hex(cell.get_facecolor()) != "#ffffff" for cell in cells)


def test_masks_show_what_the_models_see() -> None:
    """The causal triangle is the one that BertModel itself makes, the padding included."""
    tokens = ["[CLS]", "good", "film", "[SEP]", "[PAD]", "[PAD]"]
    attention_mask = torch.tensor([[token != "[PAD]" for token in tokens]]).long()
    ids = torch.ones_like(attention_mask)
    counts = []
    for causal in (False, True):
        model = BertModel(TINY, causal=causal)
        visible = model._visible(ids, attention_mask).expand(1, 1, 6, 6)
        counts.append(int(visible.sum()))
    ax = diagrams.masks(tokens, 2)
    prefix = counts[1] + 1  # the first token sees the second one, too
    said = [text for text in strings(ax) if text.endswith("pairs")]
    assert said == [f"{count} of 36 pairs" for count in (*counts, prefix)]
    assert filled_cells(ax) == sum(counts) + prefix


def test_a_prefix_of_all_is_bidirectional() -> None:
    said = [text for text in strings(diagrams.masks(TOKENS[:4], 4)) if text.endswith("pairs")]
    assert said == ["16 of 16 pairs", "10 of 16 pairs", "16 of 16 pairs"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([],), "at least one token"),
        ((["a"] * 30,), "30 tokens are too many .*; draw at most 1"),
        ((["a", "b"], 3), r"prefix_length must lie in \[1, 2\], got 3"),
        ((["a", "b"], 0), r"got 0"),
    ],
)
def test_masks_refuse_what_they_cannot_draw(arguments: tuple, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        diagrams.masks(*arguments)


def test_masking_shows_what_mask_tokens_did() -> None:
    words = ["[PAD]", "[MASK]", "[CLS]", *"abcdefghi"]
    ids = torch.tensor([[2, 3, 4, 5, 6, 7, 8, 9]])
    corrupted, labels = data.mask_tokens(
        ids,
        mask_token_id=1,
        special_ids=[0, 1, 2],
        vocab_size=len(words),
        generator=torch.Generator().manual_seed(3),
        probability=0.7,
    )
    chosen = (labels[0] != -100).nonzero().flatten().tolist()
    before, after = ([words[number] for number in row[0].tolist()] for row in (ids, corrupted))
    ax = diagrams.masking(before, after, chosen)
    said = strings(ax)
    drawn = [text for text in said if text in words or text == "-100"]
    shown_labels = ["-100" if label == -100 else words[label] for label in labels[0].tolist()]
    triples = [list(triple) for triple in zip(before, after, shown_labels, strict=True)]
    assert drawn == list(chain(*triples))
    kept = sum(before[place] == after[place] for place in chosen)
    hidden = sum(after[place] == "[MASK]" for place in chosen)
    counts = [text for text in said if text.startswith("here")]
    assert 0 < hidden < len(chosen)
    assert counts == [f"here: {hidden}", f"here: {len(chosen) - hidden - kept}", f"here: {kept}"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([], [], []), "at least one token"),
        ((["a"], ["a", "b"], []), "as many masked tokens as tokens, got 2 and 1"),
        ((["a"], ["a"], [1]), r"positions \[1\] lie outside the 1 tokens"),
        ((["a", "b"], ["a", "c"], [0]), "position 1 changed from 'b' to 'c', but is not"),
        ((["a"] * 40, ["a"] * 40, []), "40 tokens need"),
    ],
)
def test_masking_refuses_what_did_not_happen(arguments: tuple, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        diagrams.masking(*arguments)


@pytest.mark.parametrize("tokens", [["the", "[MASK]"], ["[CLS]", "film"]])
def test_two_heads_need_their_rows(tokens: Sequence[str]) -> None:
    with pytest.raises(ValueError, match=r"begin with \[CLS\] and have at least one \[MASK\]"):
        diagrams.one_body_two_heads(TINY, tokens)


# --- batches --------------------------------------------------------------------------------------


def shares_of_padding(ax: Axes) -> list[int]:
    return [int(text.split()[0]) for text in strings(ax) if text.endswith("% padding")]


def test_padding_is_what_collate_pads() -> None:
    lengths = [40, 12, 90, 33, 71, 100, 8]
    features = [{"input_ids": [1] * length} for length in lengths]

    def share_of(batches: list[list[int]], seq_length: int | None = None) -> int:
        padded = total = 0
        for batch in batches:
            chosen = [features[place] for place in batch]
            mask = data.collate(chosen, multiple_of=1)["attention_mask"]
            width = seq_length or mask.shape[1]
            total += len(batch) * width
            padded += len(batch) * width - int(mask.sum())
        return round(100 * padded / total)

    in_order = [[0, 1, 2], [3, 4, 5], [6]]
    generator = torch.Generator().manual_seed(0)
    grouped = data.make_batches(lengths, 3, generator=generator)
    expected = [share_of(in_order, 100), share_of(in_order), share_of(grouped)]
    assert expected[0] > expected[1] > expected[2]
    assert shares_of_padding(diagrams.padding(lengths, 3, 100)) == expected


def test_texts_beyond_max_length_are_cut_before_they_are_padded() -> None:
    assert shares_of_padding(diagrams.padding([500, 500], 2, 10)) == [0, 0, 0]
    assert shares_of_padding(diagrams.padding([500, 5], 2, 10)) == [25, 25, 25]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([], 4, 8), "1 to 64 lengths to draw, got 0"),
        (([3] * 65, 4, 8), "got 65"),
        (([3, 0], 4, 8), "at least 1, got a shortest length of 0"),
        (([3], 0, 8), "batch_size=0"),
        (([3], 4, 0), "max_length=0"),
    ],
)
def test_padding_refuses_what_is_no_batch(arguments: tuple, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        diagrams.padding(*arguments)


@pytest.mark.parametrize("num_tokens", [3, 20, 40, 901])
@pytest.mark.parametrize("tail_share", [0.0, 0.3, 0.5, 1.0])
def test_head_and_tail_are_those_of_truncate_ids(num_tokens: int, tail_share: float) -> None:
    kept = data.truncate_ids(list(range(num_tokens)), 21, tail_share=tail_share)
    body = kept[1:-1]
    head = sum(number == place + 1 for place, number in enumerate(body))
    said = strings(diagrams.head_and_tail(num_tokens, 21, tail_share))
    parts = re.findall(r"^(?:head|left out|tail): (\d+) token", "\n".join(said), re.MULTILINE)
    counts = [int(count) for count in parts]
    assert counts == [head, num_tokens - len(kept), len(body) - head]
    assert f"kept: {len(kept)} tokens" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((2, 10, 0.5), "at least 3 .*, got 2 and 10"),
        ((9, 2, 0.5), "got 9 and 2"),
        ((9, 5, 1.5), r"tail_share must lie in \[0, 1\], got 1.5"),
    ],
)
def test_head_and_tail_refuse_what_truncate_ids_refuses(arguments: tuple, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        diagrams.head_and_tail(*arguments)


# --- runs -----------------------------------------------------------------------------------------


def test_the_schedule_is_the_one_that_the_loop_follows(tmp_path: Path) -> None:
    config = TrainConfig(num_train_epochs=3, batch_size=4, learning_rate=1e-3, **FIXED)
    history = tiny_fit(tiny_model(), tiny_features(16), config).history
    ax = diagrams.schedule(config, config.num_updates(16), linear_schedule)
    steps, rates = ax.lines[0].get_data()
    assert list(steps) == [entry["step"] for entry in history]
    assert list(rates) == pytest.approx([entry["learning_rate"] for entry in history])


def test_the_schedule_names_its_warm_up_and_its_peak() -> None:
    said = strings(DRAW["schedule"]())
    assert {"warm-up: 75 updates", "peak: 0.0001 at update 76"} <= set(said)
    assert "There is no warm-up" in DRAW["schedule, no warm-up"]().figure.get_label()
    with pytest.raises(ValueError, match="num_updates must be at least 1, got 0"):
        diagrams.schedule(TrainConfig(), 0, linear_schedule)


def test_a_saved_state_is_drawn_as_a_run_wrote_it(tmp_path: Path) -> None:
    config = TrainConfig(batch_size=4, average_decay=0.9, **FIXED)
    tiny_fit(tiny_model(), tiny_features(16), config, output_dir=tmp_path, stop_after=2)
    state = saved_state.newest_state(tmp_path / "state")
    files = sorted(path.stem for path in state.glob("*.safetensors"))
    tensors, progress = saved_state.load_state(state, files)
    counts = {name: len(group) for name, group in tensors.items()}
    ax = diagrams.saved_state(counts, progress, progress["step"])
    said = set(strings(ax))
    assert f"state/{state.name}/" in said
    assert {f"{name}.safetensors" for name in files} <= said
    assert set(progress) <= said
    assert f"{counts['optimizer']} tensors" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (({}, ["step"], 1), "at least one file of model, .*; got none"),
        (({"gradients": 3}, ["step"], 1), "at least one file of .*; got gradients"),
        (({"model": 3}, ["mood"], 1), r"name in progress.json of step, .*; got mood"),
        (({"model": 3}, [], 1), r"progress.json .*; got none"),
    ],
)
def test_a_saved_state_refuses_what_it_does_not_know(arguments: tuple, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        diagrams.saved_state(*arguments)


# --- comparing, words -----------------------------------------------------------------------------


def test_mcnemars_table_sets_the_disagreements_off() -> None:
    ax = DRAW["mcnemar_table"]()
    said = strings(ax)
    assert {"1,430", "120", "207", "243", "1,550\n(77.5 %)", "1,637\n(81.8 %)"} <= set(said)
    assert any(text.startswith("they disagree on 327 of 2,000") for text in said)
    edges = [to_hex(patch.get_edgecolor()).upper() for patch in ax.patches]
    assert edges == [theme.PALE, theme.BLUE, theme.VERMILLION, theme.PALE]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((0, 0, 0, 0, ("a", "b")), "one at least above 0"),
        ((1, -1, 0, 0, ("a", "b")), "only_first=-1"),
        ((1, 1, 0, 0, ("a" * 40, "b")), "short names of two models"),
        ((1, 1, 0, 0, ("a",)), "short names of two models"),
    ],
)
def test_mcnemars_table_refuses_what_is_no_table(arguments: tuple, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        diagrams.mcnemar_table(*arguments)


SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PIECES = ["un", "u", "n", "##bel", "##iev", "##able", "##n", "the", "th", "##ex", "a"]


@pytest.mark.parametrize("word", ["unbelievable", "thex", "unn", "a", "the", "zebra"])
def test_the_longest_match_is_the_tokenizers(word: str) -> None:
    tokenizer = WordPieceTokenizer([*SPECIAL, *PIECES])
    pieces = [tokenizer.tokens[number] for number in tokenizer.encode(word)][1:-1]
    ax = diagrams.longest_match(word, set(tokenizer.tokens))
    said = strings(ax)
    assert said[said.index("result") + 1 :] == pieces
    found = [said[place - 1] for place, text in enumerate(said) if text == "yes"]
    if pieces != ["[UNK]"]:
        assert found == pieces


def test_the_tries_get_shorter_until_one_is_found() -> None:
    said = strings(diagrams.longest_match("unn", {"un", "##n"}))
    start = said.index("in the vocabulary?") + 1
    assert said[start : start + 6] == ["unn", "no", "un", "yes", "##n", "yes"]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("", "one word without white space, got ''"),
        ("two words", "one word without white space"),
        ("x" * 25, "25 letters and takes 25 tries; at most 19 letters and 40 tries"),
    ],
)
def test_the_longest_match_refuses_what_it_cannot_draw(word: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        diagrams.longest_match(word, {"un"})


def test_a_window_makes_the_pairs_of_skip_gram() -> None:
    tokens = TOKENS[1:-1]
    for center in range(len(tokens)):
        near = [
            f"({tokens[center]}, {token})"
            for place, token in enumerate(tokens)
            if 0 < abs(place - center) <= 2
        ]
        said = strings(diagrams.skip_gram_window(tokens, center, 2))
        assert "  ".join(near) in said
    assert "makes 0 pairs" in diagrams.skip_gram_window(["film"], 0, 2).figure.get_label()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([], 0, 2), "at least one token"),
        ((["a"], 1, 2), r"center must lie in \[0, 1\), got 1"),
        ((["a"], -1, 2), "got -1"),
        ((["a", "b"], 0, 0), "window must be at least 1, got 0"),
    ],
)
def test_a_window_refuses_what_it_cannot_draw(arguments: tuple, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        diagrams.skip_gram_window(*arguments)


def test_widths_are_those_that_agg_draws() -> None:
    """Places are computed before drawing, so the computed widths must be right."""
    ax = drawing.page(1.0)
    drawing.label(ax, 3.5, 0.5, "token_type_embeddings", weight="bold")
    drawing.heading(ax, 3.5, 0.8, "bidirectional")
    drawn = [text.get_window_extent().width / ax.figure.dpi for text in texts(ax)]
    computed = [
        drawing.inches("token_type_embeddings", "bold"),
        theme.text_width("bidirectional", theme.NORMAL, "bold") / 72,
    ]
    assert drawn == pytest.approx(computed, abs=0.03)
