"""The reusable code of *Words to BERT*, one idea a module.

config          BertConfig and TrainConfig: every setting, validated, with its unit
text            from a raw review to clean text, and BERT's normalization and words
unicode_tables  the sets of characters that these need, the same under every Python
subwords        learning from counted words which pieces to merge
tokenization    WordPiece and byte-pair encoding: text to ids and back, equal to the library's
tokenizer_files the files that these are kept in, and which of their settings we know
hub             downloads that are retried, checked and healed
data            reviews, splits and batches
model           the BERT, from embeddings to heads
checkpoint      weights in and out, ours and transformers'; training state, written atomically
hardware        device, precision and threads for this machine, and why
optimization    who decays and who learns how fast; the schedule
training        fit: the one training loop
records         what result.json tells of a run
evaluation      metrics with intervals, comparing two models, and the baseline to beat
calibration     does a model know how sure it may be? reliability, its error, temperature
behaviour       behavioural tests: minimum functionality, invariance, direction
classification  texts and a checkpoint in, a scored classifier out
pretraining     texts in, a checkpoint out: masked (BERT) or causal (GPT)
environment     is this machine ready for the course?
plots           every picture of the course
text_plots      pictures of text itself, piece by piece
checks          the exercises' checks: check("02.3", answer)
command_line    what the command lines share
finetune        the main job on a command line: python -m course_utils.finetune --help
pretrain        a BERT from nothing: python -m course_utils.pretrain --help
predict         a label for a text: python -m course_utils.predict --help

Import the module that you need; this package imports nothing by itself.
"""
