"""One search from its model folder to its report: opening, trials, closing.

Works on ports only; Airflow operators and triggers delegate to it (``plugins/easyrec``).
"""
