"""One model's daily finetune: its chain of days, their checkpoints, the gate, and what serves.

Works on ports only; Airflow operators delegate to it (``plugins/easyrec``).
"""
