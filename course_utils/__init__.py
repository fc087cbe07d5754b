"""The reusable code of *Words to BERT*, one idea a module.

config          BertConfig and TrainConfig: every setting, validated, with its unit
text            from a raw review to clean text, and BERT's normalization and words
unicode_tables  the sets of characters that these need, the same under every Python
subwords        learning from counted words which pieces to merge
tokenization    WordPiece: text to ids and back, equal to transformers'
hub             downloads that are retried, checked and healed
data            reviews, splits and batches
model           the BERT, from embeddings to heads
checkpoint      weights in and out, ours and transformers'; training state, written atomically
hardware        device, precision and threads for this machine, and why
optimization    who decays and who learns how fast; the schedule
training        fit: the one training loop
evaluation      metrics with intervals, and the baseline to beat
classification  texts and a checkpoint in, a scored classifier out
environment     is this machine ready for the course?
plots           every picture of the course
checks          the exercises' checks: check("02.3", answer)
finetune        the main job on a command line: python -m course_utils.finetune --help
predict         a label for a text: python -m course_utils.predict --help

Import the module that you need; this package imports nothing by itself.
"""
