"""The reusable code of *Words to BERT*, one idea per room.

config, container, files, progress, environment   the ground
text            from a raw review to clean text, and to words
tokenization    text to ids and back
data            data sets and batches
models          the BERT that you build, bottom up
training        fit, the one loop, and what it stands on
evaluation      metrics, comparing, calibration, behaviour, the baseline
plots           every picture and diagram
tasks           texts in, a scored model out
checks          the exercises' checks
finetune, pretrain, predict                       the command lines

Import the room that you need; this package imports nothing by itself. The README's tree names every
module.
"""
