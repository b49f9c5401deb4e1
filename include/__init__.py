"""EasyRec AutoML: the core (no Airflow), its adapters to the outside, and the sandbox."""
