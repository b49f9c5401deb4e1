"""Texts that the UI shows."""

BEGIN_SEARCH = """\
### Begin search

Chooses hyper-parameters for this model: every trial is a PAI job, followed live, stopped early when poor.

| field | meaning |
|---|---|
| trials | how many trials; empty: `maxTrialNumber` of `config.yml` |
| max_duration_hours | no new trial starts after so many hours; empty: `maxExperimentDuration` |
| baseline | one trial more: the pipeline config as it is, to compare with |
| seed | same seed, same suggestions (given the same results); empty: derived from the run |
| experiment | id of an existing experiment that gets `trials` more |
| custom_parameters | JSON list of parameter sets to run first, e.g. `[{"model_config.embedding_regularization": 1e-5}]` |

Watch and steer it on the page: *EasyRec* in the menu, the tab *EasyRec* here, the button *EasyRec* of each trial task.
Concurrency is the number of slots of the model's pool (Admin → Pools), also while the search runs.
To stop a trial, mark its task failed; to run it anew, clear it. `close_experiment` writes the report and the
best config to OSS: their paths are in its XCom.
"""

DAILY_FINETUNE = """\
### Daily finetune

Each day this model learns from its newest data and goes on from the day before.

| field | meaning |
|---|---|
| bizdate | the day to train, e.g. 2022-06-17; empty: the run's own day, else the last complete one |
| start_from | begin a new chain: `begin`, an experiment's id, or an OSS path of a checkpoint; empty: go on |
| retrain | train the day again although it is done |
| retrain_later | then also train the later days again that were trained on what this one replaces |

The calendar of all days: *EasyRec* in the menu, or the tab *EasyRec* here.
A red square says in its log what is wrong and what to clear; later days wait and go on by themselves.
A failed gate is green: `promote` is skipped, the model of the day before keeps serving.
"""

PROMOTION = """\
### Promote or roll back

Changes by hand what serves. It waits until no day of the model trains.

| field | meaning |
|---|---|
| bizdate | a day whose model the gate refused, e.g. 2022-06-17: it serves from now on |
| roll_back_to | number of an earlier promotion that serves again; days after it are rolled back, and the next day trains from it |
| reason | why; kept with the promotion |

Promotions and their numbers: `python -m include.cli days <model>`, or `promotions/` beside the model on OSS.
"""

FINETUNE_SEARCH = """
Search what every day of a finetune chain is trained with (`finetune_search/` of the model's folder).

`open_experiment → trial[0…N) → close_experiment`. Each trial trains the days from **start_time** to **end_time**
(both inclusive) one after another, each from the day before's checkpoint; the first one from the checkpoint that
the daily run would use for it. A day's metric is one intermediate result, the trial's metric is their mean, and
a day without a metric fails its trial. The daily chain and what serves are not touched.

A failed job is replaced for its day alone. A cleared trial that had failed goes on at that day; after any other
end it starts over. *Running trials*: the slots of the model's pool.
"""

RECONCILE = """\
### Reconcile

Every five minutes it compares the store, Airflow's task states and MaxCompute's own list of our jobs. A job whose
task is gone (marked failed while no triggerer ran, deleted run) is stopped, what ended unseen is closed as it ended.
Jobs of another installation are never touched; what changed in the last two minutes is left for the next round.
A job of ours that the store doesn't know (the store was restored, or copied) makes the run red and is stopped only with
*stop_unknown*.
A day's run that gave its place to an earlier one, which was cleared, is started again (`start_again`).

What was done, and why, is in the log and in the XCom `report`. It is safe to trigger at any time. A red run: something
could not be looked at or stopped; the next run tries again, its log says what it is.
"""

ADOPTION = """\
### Adoption

Hands the parameters of a finetune search to the model's daily finetune: every day that **begins** from now on is
trained with them. They win over the ini's edits and over the learning rate that is handed over. Give the search's id
(and the number of a trial, if it is not to be the best one). They are tried on the next day's config first; values that
change the shape of a variable are refused.

*none* takes it back: days are trained as the model's folder says. What counts is in the log of `patch_config`.
"""
