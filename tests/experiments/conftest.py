"""What the tests of the experiments share: the package on the path, tiny reviews, tiny weights."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from helpers import SHAPE, tiny_reviews, write_reviews

from course_utils.config import BertConfig
from course_utils.models import BertForPreTraining, save_pretrained
from course_utils.tokenization import WordPieceTokenizer

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # the experiments are tested, but not installed


@pytest.fixture(scope="session")
def small_reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like data/reviews, with 32 reviews of three sentences in three of its splits."""
    splits = {}
    for seed, name in enumerate(("train", "test", "unsupervised")):
        splits[name] = []
        for row in tiny_reviews(32, seed=seed):
            text = f"{row['text']} We went home. The rain fell on {name} again."
            splits[name].append({**row, "text": text})
    return write_reviews(tmp_path_factory.mktemp("reviews"), **splits)


@pytest.fixture(scope="session")
def small_berts(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two folders with one vocabulary, and with weights of seeds that no recipe has."""
    folders = []
    texts = [row["text"] for row in tiny_reviews(40)]
    for seed in (10, 11):
        folder = tmp_path_factory.mktemp(f"bert-{seed}")
        tokenizer = WordPieceTokenizer.train(texts, vocab_size=120)
        config = BertConfig(
            **{
                **SHAPE,
                "vocab_size": tokenizer.vocab_size,
                "hidden_dropout_prob": 0.0,
                "attention_probs_dropout_prob": 0.0,
            }
        )
        torch.manual_seed(seed)
        save_pretrained(BertForPreTraining(config), folder)
        tokenizer.save(folder)
        folders.append(folder)
    return folders


@pytest.fixture
def same_threads() -> Iterator[None]:
    """torch's number of threads as it was: `fit` sets it."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
