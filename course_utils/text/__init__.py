"""From a raw review to clean text, and from clean text to the words that a tokenizer cuts up."""

from course_utils.text.cleaning import clean
from course_utils.text.pre_tokenization import normalize, pre_tokenize, pre_tokenize_bytes

__all__ = ["clean", "normalize", "pre_tokenize", "pre_tokenize_bytes"]
