"""Pre-training: what is learnt from, the corruption's losses, the score on held-out text,
and the command line.
"""

import math
import shutil
from dataclasses import fields

import pytest
import torch
import transformers
from helpers import read_json, same, tiny_reviews, write_reviews
from safetensors.torch import load_file

from course_utils import data, pretrain
from course_utils.config import BertConfig, PretrainConfig, TrainConfig
from course_utils.data import registry
from course_utils.models import BertForCausalLM, BertForPreTraining, load_pretrained
from course_utils.tasks import pretraining
from course_utils.tasks.pretraining import (
    causal_loss,
    collate_causal,
    collate_masked,
    masked_loss,
    pair_examples,
    score_held_out,
    token_examples,
    training_texts,
    unigram_log_probs,
)
from course_utils.text import clean
from course_utils.tokenization import WordPieceTokenizer

TEXTS = [
    "The film was good. The cast was better! Was the end a surprise? No, it was not.",
    "A slow start. A dull middle. An end that never comes.",
    "Nothing works here. The plot is thin. The jokes are old. We left early.",
]
TOKENIZER = WordPieceTokenizer.train(TEXTS, 120, min_frequency=1)
SHAPE = {
    "vocab_size": TOKENIZER.vocab_size,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 64,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def model_of(kind):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return kind(BertConfig(**SHAPE)).eval()


# --- texts to examples ----------------------------------------------------------------------------


def test_no_text_of_another_split_is_learnt_from():
    train, held_out = training_texts(PretrainConfig(validation_texts=300))
    reviews = data.load_reviews("course")
    others = {
        clean(text)
        for split in ("validation", "test", "handwritten")
        for text in reviews[split]["text"]
    }
    own = {clean(text) for split in ("train", "unsupervised") for text in reviews[split]["text"]}
    assert len(held_out) == 300 and len(set(train) | set(held_out)) == len(train) + 300
    assert set(train) | set(held_out) == own - others
    assert training_texts(PretrainConfig(validation_texts=300, train_texts=50)) == (
        train[:50],
        held_out,
    )


def test_a_text_that_is_in_the_test_too_is_left_out(tmp_path, monkeypatch):
    folder = write_reviews(tmp_path)
    shared = data.read_split(folder, "test")["text"][0].as_py()
    train = data.read_split(folder, "train").to_pylist()
    write_split(folder, "train", [{**train[0], "text": shared + "<br />"}, *train[1:]])
    monkeypatch.setattr(registry, "COURSE_FOLDER", folder)
    texts, held_out = training_texts(PretrainConfig(validation_texts=2))
    assert clean(shared) not in {*texts, *held_out}
    with pytest.raises(ValueError, match="validation_texts=5000 leaves nothing of"):
        training_texts(PretrainConfig(validation_texts=5000))


def write_split(folder, split, rows):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(rows), folder / f"{split}.parquet")


@pytest.mark.parametrize("max_length", [8, 16, 512])
def test_long_texts_are_cut_into_equal_pieces_and_nothing_is_lost(max_length):
    for text in TEXTS:
        ids = TOKENIZER.encode(text, add_special_tokens=False)
        pieces = [example["input_ids"] for example in token_examples([text], TOKENIZER, max_length)]
        assert [token for piece in pieces for token in piece[1:-1]] == ids
        assert all(
            piece[0] == TOKENIZER.cls_token_id and piece[-1] == TOKENIZER.sep_token_id
            for piece in pieces
        )
        sizes = [len(piece) for piece in pieces]
        assert max(sizes) <= max_length and max(sizes) - min(sizes) <= 1
        assert len(pieces) == math.ceil(len(ids) / (max_length - 2))
    assert token_examples(["", " "], TOKENIZER, max_length) == []


def test_pairs_follow_each_other_or_do_not():
    examples = pair_examples(TEXTS * 20, TOKENIZER, 64, generator=generator())
    streams = [TOKENIZER.encode(text, add_special_tokens=False) for text in TEXTS]
    assert {example["labels"] for example in examples} == {0, 1}
    for example in examples:
        ids, types = example["input_ids"], example["token_type_ids"]
        first, second = ids[1 : types.index(1) - 1], ids[types.index(1) : -1]
        assert len(ids) <= 64 and first and second
        assert ids == [
            TOKENIZER.cls_token_id,
            *first,
            TOKENIZER.sep_token_id,
            *second,
            TOKENIZER.sep_token_id,
        ]
        joined = " ".join(map(str, [*first, *second]))
        follows = any(joined in " ".join(map(str, stream)) for stream in streams)
        if (
            example["labels"] == 0
        ):  # of a pair from elsewhere, chance may make neighbours in texts that repeat
            assert follows


def test_a_pair_never_exceeds_the_room():
    long = [" ".join(f"{text} " * 30 for text in TEXTS), "word " * 500, "One. " + "two " * 300]
    for max_length in (8, 17, 40):
        for seed in range(5):
            for example in pair_examples(long, TOKENIZER, max_length, generator=generator(seed)):
                assert len(example["input_ids"]) == len(example["token_type_ids"]) <= max_length
                assert example["input_ids"].count(TOKENIZER.sep_token_id) == 2


# --- batches and losses ---------------------------------------------------------------------------


def test_dynamic_masks_differ_and_static_ones_do_not():
    examples = token_examples(TEXTS * 10, TOKENIZER, 32)
    dynamic = [collate_masked(examples, TOKENIZER)["labels"] for _ in range(2)]
    static = [collate_masked(examples, TOKENIZER, static=True)["labels"] for _ in range(2)]
    assert not torch.equal(*dynamic) and torch.equal(*static)
    alone = collate_masked(examples[3:4], TOKENIZER, static=True)["labels"]
    width = len(examples[3]["input_ids"])
    assert torch.equal(alone[0, :width], static[0][3, :width])  # whatever company an example is in
    share = (static[0] != -100).sum() / sum(len(example["input_ids"]) - 2 for example in examples)
    assert 0.1 < share < 0.2


def test_the_global_generator_decides_by_default():
    examples = token_examples(TEXTS, TOKENIZER, 32)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        first = collate_masked(examples, TOKENIZER)
    second = collate_masked(examples, TOKENIZER, generator=generator(3))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_masked_loss_is_that_of_transformers():
    model = model_of(BertForPreTraining)
    theirs = transformers.BertForPreTraining(transformers.BertConfig(**SHAPE))
    from course_utils.models import model_tensors, their_name

    lacking = theirs.load_state_dict(
        {their_name(name): tensor for name, tensor in model_tensors(model).items()}, strict=False
    )
    assert not lacking.unexpected_keys
    theirs.tie_weights()
    batch = collate_masked(
        pair_examples(TEXTS * 5, TOKENIZER, 64, generator=generator()),
        TOKENIZER,
        generator=generator(1),
    )
    wanted = theirs.eval()(**batch).loss
    assert masked_loss(model, batch).item() == pytest.approx(wanted.item(), abs=1e-5)
    without = {name: tensor for name, tensor in batch.items() if name != "next_sentence_label"}
    assert masked_loss(model, without) < wanted - 0.3


def test_the_head_sees_few_different_numbers_of_places():
    model, seen = model_of(BertForPreTraining), []
    model.mlm.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    examples = pair_examples(TEXTS * 20, TOKENIZER, 64, generator=generator())
    for seed in range(6):
        batch = collate_masked(examples[: 40 + seed], TOKENIZER, generator=generator(seed))
        chosen = batch["labels"] != -100
        logits = model(
            batch["input_ids"], batch["attention_mask"], batch["token_type_ids"], chosen=chosen
        ).mlm_logits
        wanted = torch.nn.functional.cross_entropy(logits, batch["labels"][chosen])
        without = {name: tensor for name, tensor in batch.items() if name != "next_sentence_label"}
        assert masked_loss(model, without).item() == pytest.approx(wanted.item(), abs=1e-6)
        assert seen[-1] % 64 == 0 and 0 <= seen[-1] - int(chosen.sum()) < 64
    assert len(set(seen[::2])) > len(set(seen[1::2]))


def test_causal_loss_asks_for_the_next_token_of_the_same_text():
    model = model_of(BertForCausalLM)
    examples = token_examples(TEXTS, TOKENIZER, 24)
    batch = collate_causal(examples, TOKENIZER)
    total, count = 0.0, 0
    for example in examples:
        ids = torch.tensor([example["input_ids"]])
        log_probs = model(ids).logits.log_softmax(-1)[0]
        total -= sum(
            log_probs[place, ids[0, place + 1]].item() for place in range(ids.shape[1] - 1)
        )
        count += ids.shape[1] - 1
    assert int((batch["labels"] != -100).sum()) == count
    assert causal_loss(model, batch).item() == pytest.approx(total / count, abs=1e-5)


# --- the score on held-out text -------------------------------------------------------------------


class Oracle(torch.nn.Module):
    """Knows each token at [MASK] and is certain of nonsense elsewhere;
    tells pairs apart by a fixed list.
    """

    def __init__(self, batch, pair_logits):
        super().__init__()
        self.batch, self.pair_logits = batch, pair_logits

    def forward(self, input_ids, attention_mask, token_type_ids, chosen):
        truth = torch.where(input_ids == TOKENIZER.mask_token_id, self.batch["labels"], 0)[chosen]
        return type(
            "Output",
            (),
            {
                "mlm_logits": 50.0 * torch.nn.functional.one_hot(truth, TOKENIZER.vocab_size),
                "nsp_logits": self.pair_logits,
            },
        )


def test_only_masked_positions_count_and_pairs_are_counted():
    examples = pair_examples(TEXTS * 8, TOKENIZER, 64, generator=generator())
    batch = collate_masked(examples, TOKENIZER, generator=generator(1))
    labels = batch["next_sentence_label"]
    pair_logits = torch.nn.functional.one_hot(labels, 2).float()
    pair_logits[:3] = pair_logits[:3].flip(-1)  # three wrong
    unigrams = unigram_log_probs(examples, TOKENIZER.vocab_size)
    found = score_held_out(
        Oracle(batch, pair_logits), [batch], unigrams, mask_token_id=TOKENIZER.mask_token_id
    )
    masked = (batch["labels"] != -100) & (batch["input_ids"] == TOKENIZER.mask_token_id)
    assert found.accuracy == 1 and found.loss == pytest.approx(0, abs=1e-6)
    assert found.num_targets == masked.sum() < (batch["labels"] != -100).sum()
    assert found.unigram_loss == pytest.approx(
        -unigrams[batch["labels"][masked]].mean().item(), rel=1e-5
    )
    assert found.num_pairs == len(labels) and found.nsp_accuracy == pytest.approx(
        1 - 3 / len(labels)
    )


def test_unigrams_are_shares_with_one_added():
    log_probs = unigram_log_probs([{"input_ids": [2, 5, 5, 3]}, {"input_ids": [2, 7, 3]}], 10)
    assert log_probs.exp().sum().item() == pytest.approx(1)
    assert log_probs.exp()[5].item() == pytest.approx(3 / 17) and log_probs.exp()[
        9
    ].item() == pytest.approx(1 / 17)


def test_nothing_masked_is_an_error():
    with pytest.raises(ValueError, match="no token was masked"):
        score_held_out(model_of(BertForPreTraining), [], torch.zeros(10), mask_token_id=4)


# --- the command line -----------------------------------------------------------------------------

QUICK = [
    "--num-train-epochs",
    "2",
    "--batch-size",
    "8",
    "--precision",
    "fp32",
    "--num-threads",
    "1",
    "--max-length",
    "16",
    "--hidden-size",
    "16",
    "--num-hidden-layers",
    "1",
    "--num-attention-heads",
    "2",
    "--intermediate-size",
    "32",
    "--vocab-size",
    "300",
    "--learning-rate",
    "3e-3",
    "--validation-texts",
    "8",
]


@pytest.fixture(scope="module")
def reviews(tmp_path_factory):
    splits = {
        split: [
            {**row, "text": f"We saw it. {row['text']} We left."}
            for row in tiny_reviews(24, seed=number)
        ]
        for number, split in enumerate(("train", "test", "unsupervised"))
    }
    return write_reviews(tmp_path_factory.mktemp("reviews"), **splits)


@pytest.fixture(autouse=True)
def use_tiny_reviews(request, monkeypatch):
    if "reviews" in request.fixturenames or "finished" in request.fixturenames:
        monkeypatch.setattr(registry, "COURSE_FOLDER", request.getfixturevalue("reviews"))
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def run(folder, *arguments):
    return pretrain.main([*QUICK, "--output-dir", str(folder), *arguments])


@pytest.fixture(scope="module")
def finished(tmp_path_factory, reviews):
    """A folder with a finished run; not to be changed."""
    folder = tmp_path_factory.mktemp("a place") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "COURSE_FOLDER", reviews)
        assert run(folder) == 0
    return folder


def test_the_result_tells_all(finished):
    result = read_json(finished / "result.json")
    assert result["held_out"]["num_targets"] > 0 and result["held_out"]["loss"] > 0
    assert result["config"]["vocab_size"] == 300 and result["config"]["learning_rate"] == 3e-3
    assert {setting.name for setting in (*fields(PretrainConfig), *fields(TrainConfig))} <= result[
        "config"
    ].keys()
    assert result["train_tokens"] > result["train_examples"] > 0 and result["num_updates"] == len(
        result["curve"]
    )
    assert result["command"].startswith("python -m course_utils.pretrain --num-train-epochs 2")
    assert result["command"].endswith("--output-dir $OUTPUT_DIR")
    assert not (finished / "state").exists()


def test_transformers_loads_what_was_made(finished):
    theirs = transformers.AutoModel.from_pretrained(finished, dtype=torch.float32)
    ours = load_pretrained(finished)
    tokenizer = transformers.AutoTokenizer.from_pretrained(finished)
    ids = tokenizer(TEXTS[0], return_tensors="pt")["input_ids"]
    assert ids[0].tolist() == WordPieceTokenizer.load(finished).encode(TEXTS[0])
    with torch.no_grad():
        difference = theirs(ids).last_hidden_state - ours(ids).sequence_output
    assert difference.abs().max() < 1e-5
    assert {tensor.dtype for tensor in load_file(finished / "model.safetensors").values()} == {
        torch.float16
    }


def test_a_run_that_was_stopped_ends_as_if_it_had_not(finished, reviews, tmp_path, capsys):
    assert run(tmp_path / "run", "--stop-after", "3") == 0
    assert "stopped; the weights so far are in" in capsys.readouterr().out
    assert load_pretrained(tmp_path / "run").config.hidden_size == 16
    assert run(tmp_path / "run") == 0
    assert same(
        load_file(tmp_path / "run/model.safetensors"), load_file(finished / "model.safetensors")
    )
    resumed = read_json(tmp_path / "run/result.json")
    assert resumed["resumed_from_steps"] == [3]
    assert resumed["held_out"] == read_json(finished / "result.json")["held_out"]


def test_a_finished_run_only_shows_its_result(finished, monkeypatch, capsys):
    monkeypatch.setattr(
        "course_utils.tasks.pretraining.run.fit", lambda *_, **__: pytest.fail("work was done")
    )
    assert run(finished) == 0
    assert "held-out loss" in capsys.readouterr().out
    assert run(finished, "--objective", "clm") == 1
    assert "objective is 'mlm' there and 'clm' here" in capsys.readouterr().err


@pytest.mark.parametrize("objective", ["mlm+nsp", "clm"])
def test_every_objective_runs(objective, reviews, tmp_path, capsys):
    assert run(tmp_path / "run", "--objective", objective, "--num-train-epochs", "1") == 0
    result = read_json(tmp_path / "run/result.json")
    assert ("nsp_accuracy" in result["held_out"]) == (objective == "mlm+nsp")
    assert ("pairs told apart" in capsys.readouterr().out) == (objective == "mlm+nsp")


def test_a_later_stage_goes_on_from_an_earlier_one(finished, reviews, tmp_path):
    assert (
        run(
            tmp_path / "run",
            "--start-from",
            str(finished),
            "--max-length",
            "32",
            "--learning-rate",
            "1e-9",
            "--num-train-epochs",
            "0.1",
        )
        == 0
    )
    before, after = (
        load_file(folder / "model.safetensors") for folder in (finished, tmp_path / "run")
    )
    assert all((before[name] - after[name]).abs().max() < 1e-4 for name in before)
    assert (tmp_path / "run/vocab.txt").read_bytes() == (finished / "vocab.txt").read_bytes()
    result = read_json(tmp_path / "run/result.json")
    assert (
        result["config"]["start_from"] == finished.name
        and "--start-from $START_FROM" in result["command"]
    )
    assert len(result["config"]["start_from_sha256"]) == 64


def test_a_start_that_does_not_fit_is_refused(finished, reviews, tmp_path, capsys):
    assert run(tmp_path / "run", "--start-from", str(finished), "--hidden-size", "32") == 1
    assert "has hidden_size 16, the settings say 32" in capsys.readouterr().err
    start = tmp_path / "start"
    shutil.copytree(finished, start)
    for name in ("tokenizer.json", "vocab.txt"):  # a new vocabulary would number other tokens
        (start / name).unlink()
    assert run(tmp_path / "another run", "--start-from", str(start)) == 1
    assert "vocab.txt cannot be read" in capsys.readouterr().err


def files_in(folder):
    return {
        path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize("arguments", [["--resume"], ["--no-resume"]])
def test_a_run_into_the_folder_that_it_starts_from_is_refused(
    arguments, finished, reviews, tmp_path, capsys
):
    start = tmp_path / "start"
    shutil.copytree(finished, start)
    for name in ("run.json", "result.json"):  # as a folder from others
        (start / name).unlink()
    before = files_in(start)
    assert run(start, "--start-from", f"{start}/../start/", *arguments) == 1
    err = capsys.readouterr().err
    assert (
        err.count("\n") == 1
        and "/start/ and would write over it; choose another output folder" in err
    )
    assert files_in(start) == before


def test_a_refused_command_leaves_the_run_that_is_there_able_to_go_on(
    finished, reviews, tmp_path, capsys
):
    start, folder = tmp_path / "start", tmp_path / "run"
    assert (
        run(start, "--vocab-size", "120", "--num-train-epochs", "0.1") == 0
    )  # its vocabulary is another
    assert run(folder, "--stop-after", "3") == 0
    before = files_in(folder)
    for arguments, words in (
        (["--start-from", str(start)], "start_from is '' there and 'start' here"),
        (["--vocab-size", "120"], "vocab_size is 300 there and 120 here"),
    ):
        capsys.readouterr()
        assert run(folder, *arguments) == 1
        assert words in capsys.readouterr().err
        assert files_in(folder) == before
    assert run(folder) == 0
    for name in ("model.safetensors", "vocab.txt", "tokenizer.json"):
        assert (folder / name).read_bytes() == (finished / name).read_bytes()
    assert read_json(folder / "result.json")["resumed_from_steps"] == [3]


def test_no_resume_trains_the_vocabulary_anew(finished, reviews, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    size = int(read_json(finished / "config.json")["vocab_size"])
    assert (
        run(tmp_path / "run", "--no-resume", "--vocab-size", "120", "--num-train-epochs", "0.1")
        == 0
    )
    assert len((tmp_path / "run" / "vocab.txt").read_text("utf-8").splitlines()) == 120 < size
    assert WordPieceTokenizer.load(tmp_path / "run").vocab_size == 120
    assert load_pretrained(tmp_path / "run").config.vocab_size == 120


def test_a_later_stage_has_its_own_dropout(finished):
    task = PretrainConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        hidden_dropout_prob=0.25,
        start_from=str(finished),
    )
    model = pretraining.run._model(task, WordPieceTokenizer.load(finished).vocab_size, seed=0)
    assert {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)} == {
        0.25
    }
    saved = load_pretrained(finished, model_class=BertForPreTraining)
    assert same(dict(model.named_parameters()), dict(saved.named_parameters()))
    assert model.training and model.bert.encoder.layers[0].attention.attention == "explicit"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--objective", "nsp"], "objective must be 'mlm', 'mlm+nsp' or 'clm', got 'nsp'"),
        (
            ["--max-length", "600"],
            "max_length must lie between 8 and max_position_embeddings=512, got 600",
        ),
        (["--attention", "flash"], "attention must be 'sdpa' or 'explicit', got 'flash'"),
        (
            ["--hidden-size", "30", "--num-attention-heads", "4"],
            "hidden_size=30 is not divisible by num_attention_heads=4",
        ),
        (["--validation-texts", "0"], "validation_texts must be at least 1, got 0"),
    ],
)
def test_wrong_arguments_end_with_usage(arguments, words, capsys):
    with pytest.raises(SystemExit) as left:
        pretrain.main(arguments)
    assert left.value.code == 2 and words in capsys.readouterr().err
