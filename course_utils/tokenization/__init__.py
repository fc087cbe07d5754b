"""Text to ids and back: WordPiece and byte-pair encoding, equal to the library's on every text."""

from course_utils.tokenization.byte_pair import BytePairTokenizer
from course_utils.tokenization.files import SPECIAL_TOKENS, VocabularyError
from course_utils.tokenization.loading import LibraryTokenizer, load_tokenizer
from course_utils.tokenization.protocol import Tokenizer
from course_utils.tokenization.subwords import learn_merges, learn_vocabulary
from course_utils.tokenization.wordpiece import WordPieceTokenizer

__all__ = [
    "SPECIAL_TOKENS",
    "BytePairTokenizer",
    "LibraryTokenizer",
    "Tokenizer",
    "VocabularyError",
    "WordPieceTokenizer",
    "learn_merges",
    "learn_vocabulary",
    "load_tokenizer",
]
